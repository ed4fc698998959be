"""What a lesson asks is read from Markdown; cards and quizzes need neither kernel nor styles."""

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from course_utils.lessons import LESSONS, Choice, Question, find_lesson, quiz
from course_utils.lessons.cards import Tone, block_html, card_html, inline_html
from course_utils.lessons.quizzes import quiz_bundle
from course_utils.lessons.texts import parse_content

RIGHT, WRONG = Choice("yes", True, "It is so."), Choice("no", False, "It is not so.")
TEXT = """\
# `half`: The half

What is half of `x`?

## Given

```python
# one half, as a comment
x = 3
```

## Stub

```python
half = ...
```

## Hints

- Divide.
- By two.

## Solution

```python
half = x / 2
```

## Feedback

Both halves are equal.

## Mistakes

- `double`: That is twice {x}.

# Quiz

## Which are even? (several are right)

- [x] 2
  Twice 1.
- [ ] 3
  No
  half of it is whole.
"""


def checked(answer):
    """Stand for what checks the answer."""


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


def test_exercises_and_quiz_are_read_from_markdown():
    (task,), (question,) = parse_content(TEXT, {"check_half": checked})
    assert (task.id, task.title, task.answer_name) == ("half", "The half", "half")
    assert task.question == "What is half of `x`?"
    assert task.given == "# one half, as a comment\nx = 3"
    assert (task.stub, task.solution_source) == ("half = ...", "half = x / 2")
    assert task.hints == ("Divide.", "By two.")
    assert task.mistakes == {"double": "That is twice {x}."}
    assert task.check_answer is checked
    assert (question.text, question.several) == ("Which are even?", True)
    assert question.choices[1] == Choice("3", False, "No half of it is whole.")


@pytest.mark.parametrize(
    ("was", "becomes", "said"),
    [
        ("# `half`: The half", "# half", "heading '# half' must look like"),
        ("## Hints", "## Hint", "exercise half needs Feedback, Hints"),
        ("## Hints", "## Stub\n\n## Hints", "exercise half needs"),
        ("`half`: The", "`other`: The", "other has no function check_other"),
        ("```python\nhalf = ...\n```", "half = ...", "wanted a block of Python"),
        ("- `double`: That", "- double: That", "mistake 'double: That is twice"),
        ("- [x] 2\n  Twice 1.", "- [x] 2", "choice '.x. 2' must look like"),
        ("# Quiz", "# Quizz", "the last part must be '# Quiz'"),
        ("[x]", "[ ]", "no right choice"),
    ],
)
def test_a_text_of_another_form_is_refused(was, becomes, said):
    with pytest.raises(ValueError, match=said):
        parse_content(TEXT.replace(was, becomes), {"check_half": checked})


def test_each_choice_opens_to_its_own_feedback_without_a_script():
    seen = Structure(quiz_bundle((Question("So?", (RIGHT, WRONG)),))["text/html"])
    assert seen.tags.count("details") == seen.tags.count("summary") == 2
    assert "script" not in seen.tags
    assert seen.open == []
    assert "It is so." in seen.text
    assert "It is not so." in seen.text


def test_the_plain_text_keeps_the_answers_for_the_end():
    questions = Question("So?", (RIGHT, WRONG)), Question("Or?", (WRONG, RIGHT))
    asked, answered = quiz_bundle(questions)["text/plain"].split("Answers")
    assert "2. Or?" in asked
    assert "It is" not in asked
    assert answered.count("right:") == 2
    question = Question("So?", (RIGHT, Choice("also", True, "f"), WRONG), several=True)
    assert all("several are right" in shown for shown in quiz_bundle((question,)).values())


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
    with pytest.raises(ValueError, match="feedback"):
        Choice("yes", True, "  ")


@pytest.mark.parametrize("spec", LESSONS, ids=lambda spec: spec.name)
def test_every_lesson_has_a_quiz_whose_right_answers_do_not_all_stand_at_one_place(spec, capsys):
    quiz(spec.number)
    assert spec.quiz[0].text in capsys.readouterr().out
    assert len({[c.right for c in q.choices].index(True) for q in spec.quiz}) > 1


@pytest.mark.parametrize("ask", [quiz, find_lesson])
def test_an_unknown_lesson_names_the_known(ask):
    with pytest.raises(ValueError, match="00_start_here"):
        ask("99")


@pytest.mark.parametrize("spec", LESSONS, ids=lambda spec: spec.name)
def test_the_longest_choice_of_a_quiz_is_no_hint(spec):
    questions = [question for question in spec.quiz if not question.several]
    longest = [max(question.choices, key=lambda choice: len(choice.text)) for question in questions]
    assert sum(choice.right for choice in longest) <= len(questions) / 2


@given(st.text(alphabet=st.sampled_from("ab <>&*`$-\n\"'"), max_size=40))
def test_any_text_becomes_sound_html_and_code_and_formulas_stay(text):
    assert Structure(block_html(text)).open == []
    assert inline_html("`a*b*c` and $x*y*z$") == "<code>a*b*c</code> and $x*y*z$"


@pytest.mark.parametrize("tone", Tone)
def test_a_card_says_without_color_what_it_is(tone):
    assert Structure(card_html(tone, "Title")).text == f"{tone.symbol} Title"
    assert len({t.symbol for t in Tone}) == len(Tone)
