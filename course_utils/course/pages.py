"""Static pages of a course run: one for each lesson and an index. Nothing in them is fetched."""

import base64
import html
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import nbformat
from nbconvert.exporters import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from papermill.execute import ERROR_MARKER_TAG
from PIL import Image

from course_utils.course.ledger import Entry
from course_utils.course.mathml import formula_html, strip_delimiters
from course_utils.runs.durations import duration

TEMPLATES = Path(__file__).parent / "templates"
WIDGET = "application/vnd.jupyter.widget-view+json"
THUMBNAIL = (480, 300)
_FORMULA = re.compile(r"(\$\$.+?\$\$|\$[^$\n]+?\$)", re.DOTALL)


@dataclass(frozen=True)
class Neighbor:
    """A page that another page links to."""

    href: str
    title: str


def write_lesson_page(
    entry: Entry,
    folder: Path,
    *,
    previous: Neighbor | None = None,
    following: Neighbor | None = None,
) -> Path:
    """Write the page of one executed notebook in `folder`, and return its path."""
    notebook = nbformat.read(folder / entry.notebook, as_version=4)
    exporter = _Exporter(
        template_name="course",
        extra_template_basedirs=[str(TEMPLATES)],
        exclude_input_prompt=True,
        exclude_output_prompt=True,
    )
    resources = {
        "course": {
            "entry": entry,
            "failed": entry.outcome != "ok",
            "duration": duration(entry.seconds),
            "previous": previous,
            "following": following,
        },
        "metadata": {"name": entry.title, "path": ""},
    }
    page, _ = exporter.from_notebook_node(_for_reading(notebook), resources)
    path = folder / entry.page
    path.write_text(page, encoding="utf-8")
    return path


def write_index(entries: Sequence[Entry], folder: Path) -> Path:
    """Write `index.html` in `folder`: a card for each entry, with its figure and its numbers."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["duration"] = duration
    environment.filters["number"] = _number
    cards = [
        {
            "entry": entry,
            "thumbnail": thumbnail(nbformat.read(folder / entry.notebook, as_version=4)),
            "settings": " · ".join(f"{key} {value}" for key, value in entry.parameters.items()),
        }
        for entry in entries
    ]
    page = environment.get_template("index_page.html.j2").render(
        cards=cards,
        done=sum(entry.outcome == "ok" for entry in entries),
        seconds=sum(entry.seconds for entry in entries),
    )
    path = folder / "index.html"
    path.write_text(page, encoding="utf-8")
    return path


def thumbnail(notebook: nbformat.NotebookNode) -> str:
    """Return the first figure of a notebook as the address of a small picture; "" if none."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            inline = re.search(r'src="data:image/png;base64,([^"]+)"', data.get("text/html", ""))
            encoded = data.get("image/png") or (inline[1] if inline else "")
            if encoded:
                return _shrink(base64.b64decode(encoded))
    return ""


class _Exporter(HTMLExporter):
    """nbconvert's page, with formulas as MathML."""

    def default_filters(self) -> Any:
        yield from super().default_filters()
        yield ("formulas", _formulas_in_text)

    @jinja2.pass_context
    def markdown2html(self, context: Any, source: str) -> str:
        cell = context.get("cell", {})
        renderer = _Renderer(
            escape=False, attachments=cell.get("attachments", {}), exclude_anchor_links=True
        )
        return MarkdownWithMath(renderer=renderer).render(source)


class _Renderer(IPythonRenderer):
    def block_math(self, body: str) -> str:
        return _formula(body, display=True)

    def inline_math(self, body: str) -> str:
        return _formula(body, display=False)

    def latex_environment(self, name: str, body: str) -> str:
        return _formula(f"\\begin{{{name}}}{body}\\end{{{name}}}", display=True)


def _formula(latex: str, *, display: bool) -> str:
    try:
        return formula_html(latex, display=display)
    except ValueError:
        # A page with one formula in LaTeX is better than no page; the tests refuse it.
        return f'<code class="formula-as-latex">{html.escape(latex.strip())}</code>'


def _formulas_in_text(text: str) -> str:
    """Translate the formulas of an output of type `text/latex`."""
    parts = _FORMULA.split(text)
    if len(parts) == 1:
        return _formula(*strip_delimiters(text)[:1], display=True)
    pieces = []
    for index, part in enumerate(parts):
        if index % 2:
            latex, display = strip_delimiters(part)
            pieces.append(_formula(latex, display=display))
        else:
            pieces.append(html.escape(part))
    return "".join(pieces)


def _for_reading(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Turn widgets into a note (a page has no kernel), drop papermill's own error banners, and
    show what was printed in one go as one text.
    """
    notebook.metadata.pop("widgets", None)
    notebook.cells = [
        cell for cell in notebook.cells if ERROR_MARKER_TAG not in cell.metadata.get("tags", [])
    ]
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = _joined(cell.outputs)
        for output in cell.get("outputs", []):
            if WIDGET in output.get("data", {}):
                output.data = nbformat.NotebookNode(
                    {"text/html": '<p class="widget-note">Interactive: run the notebook.</p>'}
                )
    return notebook


def _joined(outputs: list[nbformat.NotebookNode]) -> list[nbformat.NotebookNode]:
    """Join texts of one stream that follow each other: a kernel sends them in pieces."""
    joined: list[nbformat.NotebookNode] = []
    for output in outputs:
        stream = output.get("name") if output.output_type == "stream" else None
        if stream and joined and joined[-1].get("name") == stream:
            joined[-1].text += output.text
        else:
            joined.append(output)
    return joined


def _shrink(picture: bytes) -> str:
    with Image.open(io.BytesIO(picture)) as image:
        small = image.convert("RGB")
    small.thumbnail((THUMBNAIL[0] * 2, THUMBNAIL[1] * 2))
    out = io.BytesIO()
    small.save(out, "JPEG", quality=82)
    return "data:image/jpeg;base64," + base64.b64encode(out.getvalue()).decode()


def _number(value: int | float | str) -> str:
    """Round for people: 4 significant digits, or thousands set apart."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else value
