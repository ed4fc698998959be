"""Static pages of executed notebooks: of a course with their index, and of each run of a batch.

Nothing in them is fetched, but for the style that the pages of a batch share.
"""

import html
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2
import nbformat
from nbconvert.exporters import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from papermill.execute import ERROR_MARKER_TAG

from course_utils.config import Profile
from course_utils.io import write_atomic
from course_utils.runs.figures import find_figures, shrink
from course_utils.runs.mathml import formula_html, strip_delimiters
from course_utils.runs.records import Outcome, RunRecord, format_duration, format_run
from course_utils.runs.run_pages import PAGES, page_of

TEMPLATES = Path(__file__).parent / "templates"
WIDGET = "application/vnd.jupyter.widget-view+json"
COVER = "cover"
THUMBNAIL = (960, 600)  # pixels: the index shows half of that, for fine screens
POLICY = (
    "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline' 'self' file:; "
    "base-uri 'none'; form-action 'none'"
)
"""Of the pages of a batch, whose notebooks anybody may have written: no script runs in them."""
_STYLE = re.compile(r"<style[^>]*>(.*?)</style>", re.DOTALL)
_FORMULA = re.compile(r"(\$\$.+?\$\$|\$[^$\n]+?\$)", re.DOTALL)


@dataclass(frozen=True)
class _Page:
    """What the templates show of one executed notebook."""

    run: RunRecord
    notebook: nbformat.NotebookNode
    href: str
    run_href: str = ""
    """Page of the run on this machine, where this one shows the stored lesson instead."""
    home: tuple[str, str] = ("index.html", "All lessons")
    """Address and name of the page that leads to all."""

    @property
    def about(self) -> dict[str, Any]:
        """What the notebook's metadata say of the lesson."""
        return self.notebook.metadata.get("course", {})

    @property
    def title(self) -> str:
        return str(self.about.get("title", self.run.lesson))

    @property
    def thumbnail(self) -> str:
        """The figure of the cell tagged `cover`, or the first, as a small picture's address."""
        covers = [cell for cell in self.notebook.cells if COVER in cell.metadata.get("tags", [])]
        for _, encoded, alt in find_figures([*covers, *self.notebook.cells]):
            return shrink(encoded, alt, THUMBNAIL).picture
        return ""


def write_pages(
    runs: Sequence[RunRecord], folder: Path, stored: Mapping[str, Path] | None = None
) -> Path:
    """Write a page for each executed notebook in `folder`, and their index; return its path.

    A smoke run shows only that a lesson works here. Where the lesson is `stored` with its outputs
    (name -> notebook), the page shows that, and what became of the run has a page of its own.
    The pages lead from one to the next in the order of the lessons.
    """
    pages = []
    for run in sorted(runs, key=lambda run: run.lesson):
        ran = _Page(run, nbformat.read(folder / run.notebook, as_version=4), f"{run.lesson}.html")
        lesson = _stored_lesson(run, stored or {})
        if lesson:
            ran = replace(ran, href=f"{run.lesson}.run.html")
            write_atomic(folder / ran.href, _lesson_page(ran, None, None))
            ran = _Page(run, lesson, f"{run.lesson}.html", run_href=ran.href)
        pages.append(ran)
    index = _index(pages)
    for page, before, after in zip(pages, [None, *pages], [*pages[1:], None], strict=False):
        write_atomic(folder / page.href, _lesson_page(page, before, after))
    write_atomic(folder / "index.html", index)
    return folder / "index.html"


def write_run_page(run: RunRecord, folder: Path) -> Path:
    """Write the page of a run of the batch in `folder`, and return its path.

    Raises:
        ValueError: or whatever else nbconvert raises for a notebook that is odd enough.
        OSError: where the notebook cannot be read, or the page cannot be written.
    """
    notebook = nbformat.read(folder / run.notebook, as_version=4)
    place = page_of(run)
    shown = replace(run, notebook=quote(f"../{run.notebook}"))
    home = ("../report/index.html", "Report")
    text = _lesson_page(_Page(shown, notebook, place.name, home=home), None, None, format_run(run))
    head, body = text.split("</head>", 1)
    style = "\n".join(_STYLE.findall(head)).encode()  # nine tenths of a small page
    shared = folder / PAGES / f"style-{sha256(style).hexdigest()[:8]}.css"
    shared.parent.mkdir(exist_ok=True)
    if not shared.exists():
        write_atomic(shared, style)
    head = (
        f'{_STYLE.sub("", head)}<meta http-equiv="Content-Security-Policy" content="{POLICY}"/>'
        f'<link rel="stylesheet" href="{shared.name}"/>'
    )
    # What the policy does not cover: a page that sends its reader elsewhere.
    write_atomic(folder / place, f"{head}</head>{body.replace('<meta', '&lt;meta')}")
    return folder / place


def _stored_lesson(run: RunRecord, stored: Mapping[str, Path]) -> nbformat.NotebookNode | None:
    if run.parameters.get("profile") != Profile.SMOKE or run.lesson not in stored:
        return None
    lesson = nbformat.read(stored[run.lesson], as_version=4)
    return lesson if any(cell.get("outputs") for cell in lesson.cells) else None


def _lesson_page(
    page: _Page, previous: _Page | None, following: _Page | None, title: str = ""
) -> str:
    exporter = _Exporter(  # type: ignore[no-untyped-call]
        template_name="course",
        extra_template_basedirs=[str(TEMPLATES)],
        exclude_input_prompt=True,
        exclude_output_prompt=True,
    )
    resources = {
        "course": {
            "run": page.run,
            "run_href": page.run_href,
            "failed": page.run.outcome is not Outcome.OK,
            "duration": format_duration(page.run.seconds or 0),
            "previous": previous,
            "following": following,
            "home": page.home,
        },
        "metadata": {"name": title or page.title, "path": ""},
    }
    text, _ = exporter.from_notebook_node(_for_reading(page.notebook), resources)
    return str(text)


def _index(pages: Sequence[_Page]) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["duration"] = format_duration
    return environment.get_template("index_page.html.j2").render(
        pages=pages,
        done=sum(page.run.outcome is Outcome.OK for page in pages),
        seconds=sum(page.run.seconds or 0 for page in pages),
    )


class _Exporter(HTMLExporter):
    """nbconvert's page, with formulas as MathML."""

    def default_filters(self) -> Any:
        yield from super().default_filters()  # type: ignore[no-untyped-call]
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
    """Make a notebook ready for a page, which has no kernel.

    Widgets become a note, papermill's own error banners go, and what was printed in one go is
    shown as one text.
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
