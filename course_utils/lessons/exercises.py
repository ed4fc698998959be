"""An exercise that checks itself: four different outcomes, hints in steps, a solution."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

from course_utils.lessons.answers import AnswerRaised, Incorrect, Mistake, NotAttempted, is_stub
from course_utils.lessons.cards import (
    MONOSPACE,
    Tone,
    block_html,
    card_bundle,
    code_html,
    quiet_html,
    show_card,
)
from course_utils.lessons.records import EXERCISE_MIME, Outcome

TITLES = {
    Outcome.NOT_ATTEMPTED: (Tone.WAITING, "Not attempted yet"),
    Outcome.INCORRECT: (Tone.WRONG, "Not correct yet"),
    Outcome.ERROR: (Tone.BROKEN, "Your code raised an error"),
    Outcome.CORRECT: (Tone.RIGHT, "Correct"),
}
# The colors of the code are made for a light ground, so it brings its own in dark themes too.
SOLUTION_STYLE = "background:#f7f7f7;color:#222;padding:.6em .9em;border-radius:4px;margin:.4em 0"
SOURCE_STYLE = f"{MONOSPACE};background:transparent;color:inherit;margin:0;font-size:13px"


@dataclass(frozen=True)
class Verdict:
    """The outcome of an attempt, with what to say to the student."""

    outcome: Outcome
    message: str
    code: str = ""
    """The student's line and the exception, where their code raised one."""

    def _ipython_display_(self) -> None:
        """Show nothing: `check` has shown the card, also where it ends a cell."""


@dataclass(eq=False)
class Exercise:
    """A question, and how to tell what an answer to it is worth.

    `check_answer(answer)` returns for a correct answer; for a wrong one it calls
    `mistake("its_name")` or an `expect_...` tool that does. `mistakes` has the message for each
    name. Students' functions are called through `call_answer`. Any other exception is a fault of
    ours and is raised as such.

    `given`, `stub` and `solution_source` are source texts. `given` is what the notebook has
    defined before, `stub` is what the student finds, and the solution defines the same name.
    """

    id: str
    title: str
    question: str
    stub: str
    hints: tuple[str, ...]
    solution_source: str
    feedback: str
    """Shown for a correct answer."""
    check_answer: Callable[[Any], None]
    mistakes: Mapping[str, str] = field(default_factory=dict)
    given: str = ""
    _hints_shown: int = field(default=0, init=False, repr=False)

    @property
    def answer_name(self) -> str:
        """The name that the stub defines."""
        return re.findall(r"^(?:def )?(\w+)", self.stub)[0]

    def grade(self, answer: Any) -> Verdict:
        """Return what `answer` is worth, without showing anything."""
        try:
            if is_stub(answer):
                raise NotAttempted
            self.check_answer(answer)
        except NotAttempted:
            return Verdict(
                Outcome.NOT_ATTEMPTED,
                "Replace the `...` by your answer and run the cell again. You may also go on "
                "and come back later.",
            )
        except Mistake as mistake:
            message = self.mistakes[mistake.name].format(**mistake.values)
            return Verdict(Outcome.INCORRECT, message)
        except Incorrect as wrong:
            return Verdict(Outcome.INCORRECT, str(wrong))
        except AnswerRaised as raised:
            return Verdict(
                Outcome.ERROR, "The check called your function, and it stopped:", raised.report()
            )
        return Verdict(Outcome.CORRECT, self.feedback)

    def check(self, answer: Any) -> Verdict:
        """Grade `answer`, show a card, and return the verdict (which shows nothing itself)."""
        verdict = self.grade(answer)
        tone, words = TITLES[verdict.outcome]
        body = block_html(verdict.message) + (code_html(verdict.code) if verdict.code else "")
        lines = [verdict.message, verdict.code] if verdict.code else [verdict.message]
        content = {
            "exercise": self.id,
            "outcome": str(verdict.outcome),
            "message": "\n".join(lines),
        }
        title = f"{words} · {self.title}"
        show_card(tone, title, body, lines=lines, bundle={EXERCISE_MIME: content})
        return verdict

    def hint(self) -> None:
        """Show the next hint; after the last one, that one again."""
        total = len(self.hints)
        self._hints_shown = min(self._hints_shown + 1, total)
        lines = [self.hints[self._hints_shown - 1]]
        body = block_html(lines[0])
        if self._hints_shown == total:
            lines.append("This was the last hint: solution() shows one way to do it.")
            body += quiet_html("This was the last hint: `solution()` shows one way to do it.")
        title = f"Hint {self._hints_shown} of {total} · {self.title}"
        show_card(Tone.ASK, title, body, lines=lines)

    def solution(self) -> None:
        """Show one solution."""
        formatter = HtmlFormatter(noclasses=True, cssstyles=SOLUTION_STYLE, prestyles=SOURCE_STYLE)
        body = highlight(self.solution_source, PythonLexer(), formatter)
        show_card(Tone.INFO, f"One solution · {self.title}", body, lines=[self.solution_source])

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        title = f"Exercise · {self.title}"
        help_line = (
            f'Stuck? `exercise("{self.id}").hint()` helps in steps, `.solution()` shows one.'
        )
        body = block_html(self.question) + quiet_html(help_line)
        return card_bundle(Tone.ASK, title, body, [self.question, help_line])
