"""A question to answer for oneself before the notebook shows the answer."""

from collections.abc import Sequence

from course_utils.lessons.cards import QUIET_STYLE, Tone, block_html, show_card


def predict(question: str, choices: Sequence[str] = (), *, then: str = "") -> None:
    """Display a question to think about first (inline markdown).

    `choices` are listed below it. `then` opens on a click; without it, a line says that the
    answer follows.

    Example:
        >>> predict("What share of the pixels is defect?", ["half", "a tenth", "a hundredth"])
        ? Predict first
          What share of the pixels is defect?
          - half
          - a tenth
          - a hundredth
          Decide before you read on: the answer follows below.
    """
    listed = "\n".join(f"- {choice}" for choice in choices)
    body = block_html(question) + (block_html(listed) if listed else "")
    lines = [f"{Tone.ASK.symbol} Predict first", question, *listed.splitlines()]
    if then:
        body += (
            '<details><summary style="cursor:pointer">I have made my prediction</summary>'
            f"{block_html(then)}</details>"
        )
        lines.append(f"When you have made your prediction: {then}")
    else:
        rest = "Decide before you read on: the answer follows below."
        body += f'<div style="{QUIET_STYLE}">{rest}</div>'
        lines.append(rest)
    show_card(Tone.ASK, "Predict first", body, text="\n  ".join(lines))
