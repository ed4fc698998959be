"""Quizzes without a kernel: each choice opens to say whether it is right, and why."""

from dataclasses import dataclass
from functools import partial
from hashlib import sha256

from course_utils.lessons.cards import Tone, block_html, inline_html

CHOICE_STYLE = (
    "margin:.3em 0;padding:.35em .8em;border:1px solid rgba(128,128,128,.35);border-radius:6px;"
    "max-width:56em"
)
QUESTION_STYLE = "margin:1.1em 0 .4em"
FEEDBACK_STYLE = "margin:.35em 0 .2em;padding-left:.7em;border-left:4px solid rgb({rgb})"


@dataclass(frozen=True)
class Choice:
    """One choice, and the feedback on choosing it (inline markdown)."""

    text: str
    right: bool
    feedback: str

    def __post_init__(self) -> None:
        if not self.text.strip() or not self.feedback.strip():
            raise ValueError(f"choice {self.text!r} needs a text and feedback that says why")


@dataclass(frozen=True)
class Question:
    """A question with its choices: exactly one is right, unless `several` is set.

    Example:
        >>> Question("Is water wet?", (Choice("no", False, "Touch it."), Choice("so", False, "?")))
        Traceback (most recent call last):
        ValueError: question 'Is water wet?' has 0 right choices, wanted exactly 1
    """

    text: str
    choices: tuple[Choice, ...]
    several: bool = False

    def __post_init__(self) -> None:
        rights = sum(choice.right for choice in self.choices)
        if len(self.choices) < 2:
            raise ValueError(f"question {self.text!r} needs at least 2 choices")
        if len({choice.text for choice in self.choices}) < len(self.choices):
            raise ValueError(f"question {self.text!r} has the same choice twice")
        if self.several and not rights:
            raise ValueError(f"question {self.text!r} has no right choice, wanted at least 1")
        if not self.several and rights != 1:
            raise ValueError(f"question {self.text!r} has {rights} right choices, wanted exactly 1")


def quiz_bundle(questions: tuple[Question, ...]) -> dict[str, str]:
    """Return a quiz as HTML and as text, by MIME type.

    The choices of a question are shuffled, always in the same way. In HTML each choice opens on a
    click, which needs neither kernel nor script. In the text all the answers stand behind the last
    question.

    Example:
        >>> yes, no = Choice("3", True, "Counted."), Choice("4", False, "One too many.")
        >>> print(quiz_bundle((Question("How many?", (yes, no)),))["text/plain"])
        1. How many?
           a) 4
           b) 3
        <BLANKLINE>
        Answers
        1. a) wrong: One too many.
           b) right: Counted.
    """
    parts = ["<p>Choose an answer and click on it to see whether it is right, and why.</p>"]
    asked, answered = [], ["", "Answers"]
    for number, question in enumerate(questions, start=1):
        heading = f"<strong>{number}. {inline_html(question.text)}</strong>"
        heading += " <em>(several are right)</em>" if question.several else ""
        parts.append(f'<p style="{QUESTION_STYLE}">{heading}</p>')
        choices = sorted(question.choices, key=partial(_place, question.text))
        parts += [_choice_html(choice) for choice in choices]
        several = " (several are right)" if question.several else ""
        asked.append(f"{number}. {question.text}{several}")
        for place, choice in enumerate(choices):
            letter = chr(ord("a") + place)
            asked.append(f"   {letter}) {choice.text}")
            start = f"{number}. " if place == 0 else "   "
            word = "right" if choice.right else "wrong"
            answered.append(f"{start}{letter}) {word}: {choice.feedback}")
    html = f"<div>{''.join(parts)}</div>"
    return {"text/html": html, "text/plain": "\n".join(asked + answered)}


def _place(question: str, choice: Choice) -> bytes:
    return sha256(f"{question}{choice.text}".encode()).digest()


def _choice_html(choice: Choice) -> str:
    tone, word = (Tone.RIGHT, "Right.") if choice.right else (Tone.WRONG, "Not quite.")
    style = FEEDBACK_STYLE.format(rgb=tone.rgb)
    said = block_html(f"**{tone.symbol} {word}** {choice.feedback}")
    return (
        f'<details style="{CHOICE_STYLE}"><summary style="cursor:pointer">'
        f'{inline_html(choice.text)}</summary><div style="{style}">{said}</div></details>'
    )
