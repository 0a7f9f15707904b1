"""Executed notebooks as HTML that needs neither JavaScript nor a network: formulas become MathML, pictures small."""

import base64
import io
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from cxrlib.runtime.environment import environment
from cxrlib.runtime.errors import readable
from cxrlib.runtime.files import file_sha256, fingerprint
from cxrlib.runtime.fingerprints import code_fingerprint
from cxrlib.runtime.store import is_kept, keep, work_on
from cxrlib.show.report.kept_pictures import PICTURES
from cxrlib.show.report.within_budget import embed_within
from cxrlib.workflow.notebooks import title_of

if TYPE_CHECKING:
    from nbconvert import HTMLExporter

CODE = code_fingerprint("cxrlib.show.report.notebook_pages")
"""What writes a page; taken on loading."""


TEMPLATE = """{% extends 'lab/index.html.j2' %}
{% block html_head_js %}{% endblock %}
{% block html_head_js_mathjax %}{% endblock %}
{% block html_head_js_mermaidjs %}{% endblock %}
{% block jupyter_widgets %}{% endblock %}
{% block body_header %}{{ super() }}<style>
.jp-OutputArea-output.jp-RenderedMarkdown pre { font-family: var(--jp-code-font-family); }
</style><p style="margin: 1em 2em"><a href="../report.html">Back to the report</a></p>
{% endblock %}"""


FORMULA = re.compile(r"(?<!\\)(\$\$?)(?!\s)(.+?)(?<![\s\\])\1", re.DOTALL)


BUDGET = 1_900_000
"""Bytes of all pictures of a notebook's page, before they are written as text."""


STEPS = [(1200, 75), (1000, 65), (800, 55), (600, 40)]
"""Width in pixels and JPEG quality in percent, tried in this order until the pictures fit."""


def write_notebook_pages(folder: Path) -> list[Path]:
    """Write <folder>/<name>.html beside every executed notebook.

    A page stays that was made from the same executed notebook by the same code and packages, and is whole.

    Returns:
        The pages, in order.

    Raises:
        Refusal: an executed notebook, or a picture in it, is damaged.
    """
    code, pages = fingerprint([CODE, environment()]), []
    for path in sorted(folder.glob("[0-9][0-9]_*.ipynb")):
        page = path.with_suffix(".html")
        identity = fingerprint([file_sha256(path), code])
        if not is_kept(page, identity):
            html = _html(path, folder / PICTURES / f"{path.stem}.json")
            (work_on(page, identity) / page.name).write_text(html, encoding="utf-8")
            keep(page, identity)
        pages.append(page)
    return pages


def _html(path: Path, pictures: Path) -> str:
    """The page of an executed notebook; `pictures` keeps its pictures for its next version."""
    import nbformat  # with nbconvert it takes seconds, for which pages that stay need not wait

    with readable(path):
        notebook = nbformat.read(path, as_version=4)
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = with_mathml(cell.source)
    _make_small(notebook, path, pictures)
    return _exporter().from_notebook_node(notebook, {"metadata": {"name": title_of(path)}})[0]


@cache
def _exporter() -> "HTMLExporter":
    from nbconvert import HTMLExporter

    return HTMLExporter(raw_template=TEMPLATE)


def _make_small(notebook: dict, path: Path, store: Path) -> None:
    """Replace every PNG output by a smaller picture, at the first of STEPS at which all fit into BUDGET.

    Args:
        notebook: as read.
        path: from where.
        store: as in `embed_within`.
    """
    with readable(path):
        outputs = [output.data for cell in notebook.cells for output in cell.get("outputs", []) if "data" in output]
        outputs = [data for data in outputs if "image/png" in data]
        pictures = [io.BytesIO(base64.b64decode(data["image/png"])) for data in outputs]
    small = embed_within(pictures, STEPS, BUDGET, store, path)
    for data, image in zip(outputs, small, strict=True):
        kind, _, text = image.source.removeprefix("data:").partition(";base64,")
        del data["image/png"]
        data[kind] = text


def with_mathml(markdown: str) -> str:
    """Markdown with its $...$ and $$...$$ formulas as MathML."""
    from latex2mathml.converter import convert

    def mathml(match: re.Match) -> str:
        return convert(match[2], display="block" if match[1] == "$$" else "inline")

    return FORMULA.sub(mathml, markdown)
