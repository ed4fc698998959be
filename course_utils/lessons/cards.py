"""Cards: how a lesson shows something to a person, such as an exercise."""

import html
import re
from collections.abc import Mapping, Sequence
from enum import Enum

from course_utils.lessons.frontend import show_bundle

# Styles stand in the elements, not in a sheet: JupyterLab drops <style> from notebooks that it
# does not trust, and web viewers drop both. What remains there still reads well. The text keeps
# the color of the page and the tints are transparent, so light and dark themes both work.
CARD_STYLE = (
    "border:1px solid rgba(128,128,128,.35);border-left:5px solid {color};border-radius:6px;"
    "padding:.55em 1em;margin:.5em 0;max-width:56em;background:{tint};line-height:1.5;"
    "font-family:system-ui,-apple-system,'Segoe UI',sans-serif;font-size:14px"
)
MONOSPACE = "font-family:ui-monospace,'DejaVu Sans Mono',Menlo,Consolas,monospace"
CODE_STYLE = (
    f"{MONOSPACE};white-space:pre-wrap;overflow-x:auto;background:rgba(128,128,128,.14);border:0;"
    "border-radius:4px;padding:.5em .8em;margin:.4em 0;font-size:13px;line-height:1.45"
)
CELL_STYLE = "padding:.2em .9em .2em 0;text-align:left;vertical-align:top"
QUIET_STYLE = "opacity:.8;font-size:13px"
INLINE = re.compile(r"(`[^`]+`|\$[^$]+\$|\*\*[^*]+\*\*|\*[^*\s][^*]*\*)")


class Tone(Enum):
    """Color and symbol of a card (Okabe-Ito colors; the symbol says the same without them)."""

    INFO = ("0,114,178", "◆")
    ASK = ("86,180,233", "?")
    WAITING = ("128,128,128", "○")
    RIGHT = ("0,158,115", "✔")
    WRONG = ("213,94,0", "✘")
    BROKEN = ("204,121,167", "⚠")

    def __init__(self, rgb: str, symbol: str) -> None:
        self.rgb = rgb
        self.symbol = symbol


def show_card(
    tone: Tone,
    title: str,
    body: str = "",
    *,
    lines: Sequence[str] = (),
    bundle: Mapping[str, object] | None = None,
) -> None:
    """Display a card: HTML for notebooks and pages, title and `lines` for everything else.

    `title` is text with inline markdown and `body` is HTML. `bundle` adds MIME types, such as
    `{"application/vnd.course.metric+json": {...}}`.

    Example:
        >>> show_card(Tone.INFO, "Ready", lines=["All is here."])
        ◆ Ready
          All is here.
    """
    show_bundle({**card_bundle(tone, title, body, lines), **(bundle or {})})


def card_bundle(tone: Tone, title: str, body: str, lines: Sequence[str]) -> dict[str, str]:
    """Return a card as HTML and as text, by MIME type."""
    text = "\n".join([f"{tone.symbol} {title}", *lines])
    return {
        "text/html": card_html(tone, title, body),
        "text/plain": "\n  ".join(text.splitlines()),
    }


def card_html(tone: Tone, title: str, body: str = "") -> str:
    """Return the HTML of a card.

    Example:
        >>> "<strong>✔ Done</strong>" in card_html(Tone.RIGHT, "Done")
        True
    """
    style = CARD_STYLE.format(color=f"rgb({tone.rgb})", tint=f"rgba({tone.rgb},.09)")
    head = f"<div><strong>{tone.symbol} {inline_html(title)}</strong></div>"
    return f'<div style="{style}">{head}{body}</div>'


def quiet_html(text: str) -> str:
    """Return a line of less importance."""
    return f'<div style="{QUIET_STYLE}">{inline_html(text)}</div>'


def code_html(source: str) -> str:
    """Return `source` as an HTML block of code.

    Example:
        >>> code_html("a < b").endswith("a &lt; b</pre>")
        True
    """
    return f'<pre style="{CODE_STYLE}">{html.escape(source)}</pre>'


def table_html(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table of inline markdown.

    Example:
        >>> table_html(["a"], [["`1`"]]).count("<td ")
        1
    """

    def line(cells: Sequence[str], tag: str) -> str:
        return "".join(f'<{tag} style="{CELL_STYLE}">{inline_html(cell)}</{tag}>' for cell in cells)

    body = "".join(f"<tr>{line(row, 'td')}</tr>" for row in rows)
    return f"<table><tr>{line(head, 'th')}</tr>{body}</table>"


def block_html(text: str) -> str:
    """Turn a little markdown into HTML: paragraphs, `- ` lists and what `inline_html` knows.

    Example:
        >>> block_html("Count **all** pixels.").endswith("Count <strong>all</strong> pixels.</div>")
        True
    """
    blocks = []
    for block in re.split(r"\n\s*\n", text.strip()):
        lines = [line.strip() for line in block.splitlines()]
        if all(line.startswith("- ") for line in lines):
            items = "".join(f"<li>{inline_html(line[2:])}</li>" for line in lines)
            blocks.append(f'<ul style="margin:.3em 0">{items}</ul>')
        else:
            blocks.append(f'<div style="margin:.3em 0">{inline_html(" ".join(lines))}</div>')
    return "".join(blocks)


def inline_html(text: str) -> str:
    """Turn code, **bold** and *emphasis* into HTML; formulas in $ stay for MathJax.

    Example:
        >>> inline_html("`a < b` is **false**")
        '<code>a &lt; b</code> is <strong>false</strong>'
    """
    return "".join(_piece_html(piece) for piece in INLINE.split(text))


def _piece_html(piece: str) -> str:
    if len(piece) > 2 and piece[0] == piece[-1] == "`":
        return f"<code>{html.escape(piece[1:-1])}</code>"
    if len(piece) > 4 and piece.startswith("**") and piece.endswith("**"):
        return f"<strong>{html.escape(piece[2:-2])}</strong>"
    if len(piece) > 2 and piece[0] == piece[-1] == "*":
        return f"<em>{html.escape(piece[1:-1])}</em>"
    return html.escape(piece, quote=False)
