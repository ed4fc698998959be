"""Quizzes and cards work without a kernel and without styles, and take any text."""

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from course_utils.lessons import Choice, Question, find_lesson, predict, quiz
from course_utils.lessons.cards import Tone, block_html, card_html, inline_html
from course_utils.lessons.content import LESSONS
from course_utils.lessons.quiz import quiz_html, quiz_text

RIGHT, WRONG = Choice("yes", True, "It is so."), Choice("no", False, "It is not so.")


class Structure(HTMLParser):
    """Collects the tags, and the text of which a browser shows what."""

    def __init__(self, source):
        super().__init__()
        self.open, self.tags, self.text = [], [], ""
        self.feed(source)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data):
        self.text += data


def test_each_choice_opens_to_its_own_feedback_without_a_script():
    seen = Structure(quiz_html((Question("So?", (RIGHT, WRONG)),)))
    assert seen.tags.count("details") == seen.tags.count("summary") == 2
    assert "script" not in seen.tags
    assert seen.open == []
    assert "It is so." in seen.text
    assert "It is not so." in seen.text


def test_the_plain_text_keeps_the_answers_for_the_end():
    text = quiz_text((Question("So?", (RIGHT, WRONG)), Question("Or?", (WRONG, RIGHT))))
    asked, answered = text.split("Answers")
    assert "2. Or?" in asked
    assert "It is" not in asked
    assert answered.count("right:") == 2


@pytest.mark.parametrize(
    ("choices", "several", "said"),
    [
        ((RIGHT, RIGHT), False, "same choice twice"),
        ((WRONG, Choice("never", False, "f")), False, "0 right choices"),
        ((RIGHT, Choice("also", True, "f")), False, "2 right choices"),
        ((WRONG, Choice("never", False, "f")), True, "no right choice"),
        ((RIGHT,), False, "at least 2"),
    ],
)
def test_questions_that_cannot_be_answered_are_refused(choices, several, said):
    with pytest.raises(ValueError, match=said):
        Question("So?", choices, several)


def test_several_right_choices_must_be_declared_and_are_said():
    question = Question("So?", (RIGHT, Choice("also", True, "f"), WRONG), several=True)
    assert "several are right" in quiz_html((question,))
    assert "several are right" in quiz_text((question,))


@pytest.mark.parametrize("feedback", ["", "  "])
def test_a_choice_without_feedback_is_refused(feedback):
    with pytest.raises(ValueError, match="feedback"):
        Choice("yes", True, feedback)


@pytest.mark.parametrize("outline", LESSONS, ids=lambda outline: outline.name)
def test_every_lesson_has_a_quiz_that_can_be_shown(outline, capsys):
    quiz(outline.number)
    assert outline.quiz[0].text in capsys.readouterr().out


def test_right_answers_do_not_all_stand_at_the_same_place():
    for outline in LESSONS:
        places = {[c.right for c in q.choices].index(True) for q in outline.quiz}
        assert len(places) > 1, outline.name


def test_a_quiz_of_an_unknown_lesson_names_the_known():
    with pytest.raises(ValueError, match=find_lesson("00").name):
        quiz("99")


@given(st.text(alphabet=st.sampled_from("ab <>&*`$-\n\"'"), max_size=40))
def test_any_text_becomes_sound_html(text):
    assert Structure(block_html(text)).open == []


def test_code_and_formulas_are_kept_as_they_are():
    assert inline_html("`a*b*c` and $x*y*z$") == "<code>a*b*c</code> and $x*y*z$"


@pytest.mark.parametrize("tone", Tone)
def test_a_card_says_without_color_what_it_is(tone):
    assert Structure(card_html(tone, "Title")).text == f"{tone.symbol} Title"
    assert len({t.symbol for t in Tone}) == len(Tone)


def test_a_prediction_can_keep_its_answer_closed(capsys):
    predict("How many?", ["one", "two"], then="Two.")
    assert "When you have made your prediction: Two." in capsys.readouterr().out
