"""Predictions: what a student expects, how sure they are, and later what was right."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from IPython.display import display
from ipywidgets import HTML, RadioButtons, ToggleButtons, VBox

from course_utils.lessons.cards import (
    Tone,
    block_html,
    card_html,
    quiet_html,
    show_card,
    table_html,
)
from course_utils.lessons.frontend import is_interactive

SURENESS = ("just guessing", "fairly sure", "certain")
NOTHING_CHOSEN = "Choose an answer, and say how sure you are. The answer follows below."

# Of this lesson's run, in the order of asking.
_asked: "list[Prediction]" = []


@dataclass(eq=False)
class Prediction:
    """A question with choices, and what the student has answered so far."""

    question: str
    choices: tuple[str, ...]
    chosen: str | None = field(default=None, init=False)
    sureness: str | None = field(default=None, init=False)
    right: str | None = field(default=None, init=False)
    """The right choice, once it has been revealed."""

    @property
    def said(self) -> str:
        """What the student said, in words.

        Example:
            >>> Prediction("Is it?", ("yes", "no")).said
            'You made no prediction.'
        """
        if self.chosen is None:
            return "You made no prediction."
        sure = f" ({self.sureness})" if self.sureness else ""
        return f"You said **{self.chosen}**{sure}."

    def reveal(self, right: str, why: str) -> None:
        """Show the right choice beside what the student said, and `why` (inline markdown).

        Raises:
            ValueError: where `right` is none of the choices.
        """
        if right not in self.choices:
            raise ValueError(f"right={right!r} is none of the choices: {', '.join(self.choices)}")
        self.right = right
        tone = Tone.INFO
        if self.chosen is not None:
            tone = Tone.RIGHT if self.chosen == right else Tone.WRONG
        lines = [self.question, self.said, f"Answer: **{right}**. {why}"]
        show_card(tone, "Your prediction", "".join(map(block_html, lines)), lines=lines)

    def _ipython_display_(self) -> None:
        """Show nothing: `predict` has shown the question, also where it ends a cell."""


def predict(question: str, choices: Sequence[str]) -> Prediction:
    """Display a question to think about before the answer is shown (inline markdown).

    A person gets buttons for the choice and for how sure they are; everywhere else the choices
    are listed. `Prediction.reveal` tells the answer, and `predictions` lists them all.

    Raises:
        ValueError: for fewer than two choices, or the same one twice.

    Example:
        >>> share = predict("What share of the pixels is defect?", ["half", "a hundredth"])
        ? Predict first
          What share of the pixels is defect?
          - half
          - a hundredth
        >>> share.reveal("a hundredth", "Defects are small.")
        ◆ Your prediction
          What share of the pixels is defect?
          You made no prediction.
          Answer: **a hundredth**. Defects are small.
    """
    prediction = Prediction(question, tuple(choices))
    if len(set(choices)) < max(2, len(choices)):
        raise ValueError(f"{question!r} needs at least 2 different choices, got {list(choices)}")
    # A person who runs the cell again answers anew.
    _asked[:] = [one for one in _asked if one.question != question] + [prediction]
    if is_interactive():
        display(question_panel(prediction))
        return prediction
    listed = [f"- {choice}" for choice in choices]
    body = block_html(question) + block_html("\n".join(listed))
    show_card(Tone.ASK, "Predict first", body, lines=[question, *listed])
    return prediction


def predictions() -> None:
    """Display the predictions of this lesson: question, answer given, how sure, and what is right.

    Example:
        >>> forget_predictions()
        >>> predictions()
        ◆ Your predictions
          None was asked yet.
    """
    rows = [
        (one.question, one.chosen or "-", one.sureness or "-", one.right or "not yet shown")
        for one in _asked
    ]
    if not rows:
        show_card(Tone.INFO, "Your predictions", lines=["None was asked yet."])
        return
    lines = [
        f"{question} You: {you} ({sure}). Right: {right}" for question, you, sure, right in rows
    ]
    body = table_html(("question", "you said", "how sure", "right"), rows)
    summary = _summary()
    show_card(Tone.INFO, "Your predictions", body + quiet_html(summary), lines=[*lines, summary])


def forget_predictions() -> None:
    """Start a new run: nothing was asked."""
    _asked.clear()


def question_panel(prediction: Prediction) -> VBox:
    """Return the question with buttons for the choice and for how sure the student is."""
    choice = RadioButtons(
        options=prediction.choices, value=None, layout={"width": "auto", "margin": "0 0 0 1em"}
    )
    sure = ToggleButtons(options=SURENESS, value=None, layout={"margin": "0 0 0 1em"})
    head = HTML(card_html(Tone.ASK, "Predict first", block_html(prediction.question)))
    said = HTML(quiet_html(NOTHING_CHOSEN))

    def keep(_: object) -> None:
        prediction.chosen, prediction.sureness = choice.value, sure.value
        said.value = quiet_html(f"{prediction.said} You can still change it.")

    choice.observe(keep, "value")
    sure.observe(keep, "value")
    return VBox([head, choice, sure, said])


def _summary() -> str:
    known = [one for one in _asked if one.right and one.chosen]
    if not known:
        return "Predictions are kept when you run this notebook in JupyterLab."
    right = sum(one.chosen == one.right for one in known)
    certain = [one for one in known if one.sureness == SURENESS[-1]]
    text = f"{right} of {len(known)} right"
    if certain:
        hits = sum(one.chosen == one.right for one in certain)
        text += f"; where you were certain, {hits} of {len(certain)}"
    return f"{text}."
