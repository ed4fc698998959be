"""An exercise that checks itself: four different outcomes, hints in steps, a solution."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

from course_utils.lessons.cards import (
    MONOSPACE,
    QUIET_STYLE,
    Tone,
    block_html,
    card_html,
    code_html,
    show_card,
)
from course_utils.lessons.verdicts import (
    AnswerRaised,
    Incorrect,
    NotAttempted,
    Outcome,
    Verdict,
    is_stub,
)

EXERCISE_MIME = "application/vnd.course.exercise+json"
TONES = {
    Outcome.NOT_ATTEMPTED: (Tone.WAITING, "Not attempted yet"),
    Outcome.INCORRECT: (Tone.WRONG, "Not correct yet"),
    Outcome.ERROR: (Tone.BROKEN, "Your code raised an error"),
    Outcome.CORRECT: (Tone.RIGHT, "Correct"),
}
# The colors of the code are made for a light ground, so it brings its own in dark themes too.
SOLUTION_STYLE = "background:#f7f7f7;color:#222;padding:.6em .9em;border-radius:4px;margin:.4em 0"
SOURCE_STYLE = f"{MONOSPACE};background:transparent;color:inherit;margin:0;font-size:13px"


@dataclass(eq=False)
class Exercise:
    """A question, and how to tell what an answer to it is worth.

    `examine(answer)` returns for a correct answer; for a wrong one it calls
    `incorrect("message for this mistake")` or an `expect_...` tool that does. It calls the
    student's functions through `call_answer`. Any other exception is a fault of ours and is
    raised as such.

    `given`, `stub` and `solution` are source texts. `given` is what the notebook has defined
    before, `stub` is what the student finds, and `solution` defines the same `answer_name`.
    """

    id: str
    title: str
    question: str
    stub: str
    hints: tuple[str, ...]
    solution_source: str
    answer_name: str
    examine: Callable[[Any], None]
    why: str
    given: str = ""
    _hints_shown: int = field(default=0, init=False, repr=False)

    def judge(self, answer: Any) -> Verdict:
        """Return what `answer` is worth, without showing anything."""
        try:
            if is_stub(answer):
                raise NotAttempted
            self.examine(answer)
        except NotAttempted:
            return Verdict(
                Outcome.NOT_ATTEMPTED,
                "Replace the `...` by your answer and run the cell again. You may also go on "
                "and come back later.",
            )
        except Incorrect as mistake:
            return Verdict(Outcome.INCORRECT, str(mistake))
        except AnswerRaised as raised:
            return Verdict(
                Outcome.ERROR, "The check called your function, and it stopped:", raised.report()
            )
        return Verdict(Outcome.CORRECT, self.why)

    def check(self, answer: Any) -> Verdict:
        """Judge `answer`, show a card, and return the verdict (which shows nothing itself)."""
        verdict = self.judge(answer)
        tone, words = TONES[verdict.outcome]
        body = block_html(verdict.message)
        lines = [f"{tone.symbol} {words} · {self.title}", verdict.message]
        if verdict.code:
            body += code_html(verdict.code)
            lines.append(verdict.code)
        content = {
            "exercise": self.id,
            "outcome": str(verdict.outcome),
            "message": "\n".join(lines[1:]),
        }
        show_card(
            tone,
            f"{words} · {self.title}",
            body,
            text=_indented(lines),
            bundle={EXERCISE_MIME: content},
        )
        return verdict

    def hint(self) -> None:
        """Show the next hint; after the last one, that one again."""
        total = len(self.hints)
        self._hints_shown = min(self._hints_shown + 1, total)
        shown = self._hints_shown
        lines = [f"hint {shown} of {total} · {self.title}", self.hints[shown - 1]]
        body = block_html(self.hints[shown - 1])
        if shown == total:
            lines.append("This was the last hint: solution() shows one way to do it.")
            body += (
                f'<div style="{QUIET_STYLE}">This was the last hint: '
                "<code>solution()</code> shows one way to do it.</div>"
            )
        title = lines[0][0].upper() + lines[0][1:]
        show_card(Tone.ASK, title, body, text=_indented([f"{Tone.ASK.symbol} {title}", *lines[1:]]))

    def solution(self) -> None:
        """Show one solution."""
        source = self.solution_source.strip()
        formatter = HtmlFormatter(noclasses=True, cssstyles=SOLUTION_STYLE, prestyles=SOURCE_STYLE)
        title = f"One solution · {self.title}"
        text = _indented([f"{Tone.INFO.symbol} {title}", source])
        show_card(Tone.INFO, title, highlight(source, PythonLexer(), formatter), text=text)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        title = f"Exercise · {self.title}"
        text = _indented([f"{Tone.ASK.symbol} {title}", self.question])
        html = card_html(Tone.ASK, title, block_html(self.question))
        return {"text/html": html, "text/plain": text}


def _indented(lines: list[str]) -> str:
    return "\n  ".join("\n".join(lines).splitlines())
