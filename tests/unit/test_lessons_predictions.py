"""Predictions remember what a student said, and challenges what a student reached."""

import pytest

from course_utils.lessons import Prediction, challenge, challenges, predict, predictions
from course_utils.lessons.prediction import forget_predictions, question_panel


@pytest.fixture(autouse=True)
def _new_run():
    forget_predictions()


def said(capsys):
    return capsys.readouterr().out


def test_buttons_keep_the_choice_and_how_sure_and_can_be_changed():
    prediction = Prediction("How many?", ("one", "two"))
    _, choice, sure, words = question_panel(prediction).children
    choice.value = "one"
    assert "You said <strong>one</strong>." in words.value
    choice.value, sure.value = "two", "certain"
    assert prediction.said == "You said **two** (certain)."


def test_an_answer_shows_what_was_said_and_whether_it_was_right(capsys):
    prediction = predict("How many?", ["one", "two"])
    prediction.chosen, prediction.sureness = "one", "certain"
    said(capsys)
    prediction.reveal("two", "Count them.")
    assert said(capsys).startswith("✘ Your prediction")
    prediction.chosen = "two"
    prediction.reveal("two", "Count them.")
    assert "You said **two** (certain)." in (out := said(capsys))
    assert out.startswith("✔ Your prediction")


def test_the_table_counts_right_ones_among_those_that_were_made(capsys):
    for question, chosen in (("a?", "yes"), ("b?", "no"), ("c?", None)):
        prediction = predict(question, ["yes", "no"])
        prediction.chosen, prediction.sureness = chosen, chosen and "certain"
        prediction.reveal("yes", "So it is.")
    predict("d?", ["yes", "no"]).chosen = "no"
    said(capsys)
    predictions()
    assert "1 of 2 right; where you were certain, 1 of 2." in (out := said(capsys))
    assert "c? You: - (-). Right: yes" in out
    assert "d? You: no (-). Right: not yet shown" in out


def test_a_question_asked_again_stands_once_in_the_table(capsys):
    predict("a?", ["yes", "no"]).chosen = "yes"
    predict("a?", ["yes", "no"])
    said(capsys)
    predictions()
    assert said(capsys).count("a?") == 1


@pytest.mark.parametrize("choices", [[], ["one"], ["one", "one"]])
def test_a_question_needs_different_choices(choices):
    with pytest.raises(ValueError, match="at least 2 different choices"):
        predict("How many?", choices)


def test_the_right_answer_is_one_of_the_choices():
    with pytest.raises(ValueError, match="none of the choices: one, two"):
        predict("How many?", ["one", "two"]).reveal("three", "Oh.")


def test_runs_of_a_person_are_kept_and_those_of_a_batch_are_not(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    challenge("c", score="IoU", to_beat={"ours": 0.5}).enter('deeper, "wide"', 0.25)
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr(challenges, "is_interactive", lambda: True)
    board = challenge("c", score="IoU", to_beat={"ours": 0.5})
    board.enter('deeper, "wide"\nü', 0.25)
    board.enter("longer", 0.75)
    board.enter("longer", 0.7)
    said(capsys)
    again = challenge("c", score="IoU", to_beat={"ours": 0.5})
    assert again.runs == [('deeper, "wide"\nü', 0.25), ("longer", 0.7)]
    assert said(capsys).startswith("✔ Challenge: beaten!")


def test_lower_can_be_better(capsys):
    board = challenge("c", score="misses", to_beat={"ours": 4}, higher_is_better=False)
    assert said(capsys).startswith("? Challenge: beat 4.000")
    board.enter("mine", 3)
    assert said(capsys).startswith("✔ Challenge: beaten!\n  3.000  mine (you)\n  4.000  ours")


@pytest.mark.parametrize(
    ("tried", "value", "wanted"),
    [("", 0.5, "a few words"), (None, 0.5, "a few words"), ("mine", float("nan"), "finite")],
)
def test_a_run_without_words_or_number_is_refused(tried, value, wanted):
    with pytest.raises(ValueError, match=wanted):
        challenge("c", score="IoU", to_beat={"ours": 0.5}).enter(tried, value)
