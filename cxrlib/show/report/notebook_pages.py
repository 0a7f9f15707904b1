"""Executed notebooks as HTML that needs neither JavaScript nor a network: formulas become MathML."""

import re
from pathlib import Path

from cxrlib.runtime.files import whole_file

TEMPLATE = """{% extends 'lab/index.html.j2' %}
{% block html_head_js %}{% endblock %}
{% block html_head_js_mathjax %}{% endblock %}
{% block html_head_js_mermaidjs %}{% endblock %}
{% block jupyter_widgets %}{% endblock %}"""


FORMULA = re.compile(r"(?<!\\)(\$\$?)(?!\s)(.+?)(?<![\s\\])\1", re.DOTALL)


def write_notebook_pages(folder: Path) -> list[Path]:
    """Write <folder>/<name>.html beside every executed notebook.

    Returns:
        The pages, in order.
    """
    import nbformat
    from nbconvert import HTMLExporter

    pages = []
    for path in sorted(folder.glob("[0-9][0-9]_*.ipynb")):
        page = path.with_suffix(".html")
        pages.append(page)
        notebook = nbformat.read(path, as_version=4)
        for cell in notebook.cells:
            if cell.cell_type == "markdown":
                cell.source = with_mathml(cell.source)
        html, _ = HTMLExporter(raw_template=TEMPLATE).from_notebook_node(notebook)
        with whole_file(page) as temporary:
            temporary.write_text(html, encoding="utf-8")
    return pages


def with_mathml(markdown: str) -> str:
    """Markdown with its $...$ and $$...$$ formulas as MathML."""
    from latex2mathml.converter import convert

    def mathml(match: re.Match) -> str:
        return convert(match[2], display="block" if match[1] == "$$" else "inline")

    return FORMULA.sub(mathml, markdown)
