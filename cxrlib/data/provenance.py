"""The description of the data behind a table or figure."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Provenance:
    """Where pixels and annotations come from.

    Attributes:
        source: name of the data source, as in `data.source`; None where no data set is shown.
        description: one line for captions and the report.
        rendered: True where the images are drawn, not taken from patients.
        data: fingerprint of studies, annotations and pixels; None where only public annotations are used.
        split: fingerprint of the split; None where there is none.
    """

    source: str | None = None
    description: str | None = None
    rendered: bool = False
    data: str | None = None
    split: str | None = None


NO_DATA = Provenance()
"""The provenance of a table or figure that shows no data set, e.g. a textbook drawing."""
