"""The description of the data behind a table or figure."""

from dataclasses import dataclass, replace


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
"""Provenance of what shows no data set: a textbook drawing, a table from the literature."""


def transfer_provenance(home: Provenance, abroad: Provenance) -> Provenance:
    """Provenance of a model that learned from `home` and is tested on `abroad`; rendered if either of the two is."""
    return replace(
        abroad,
        description=f"{home.description}; tested on: {abroad.description}",
        rendered=home.rendered or abroad.rendered,
    )
