"""Read what a lesson asks: the exercises and the quiz in the Markdown file beside its checks.

    # `exercise_id`: its title

    The question, then sections `## Given` (may be missing), `## Stub`, `## Hints` (a list),
    `## Solution`, `## Feedback` (on a correct answer) and `## Mistakes`, a list of

    - `name_of_the_mistake`: the message for it, with {values} that the check fills in

    # Quiz

    ## A question of the quiz (several are right)

    - [x] a choice that is right
      and the feedback on choosing it

The code of a section stands in a block of three backticks and the word `python`.
"""

import re
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from course_utils.lessons.exercises import Exercise
from course_utils.lessons.quizzes import Choice, Question

WANTED = {"Stub", "Hints", "Solution", "Feedback", "Mistakes"}
SEVERAL = " (several are right)"


def read_content(number: str) -> tuple[tuple[Exercise, ...], tuple[Question, ...]]:
    """Return the exercises and the quiz of the lesson with this number.

    Raises:
        ValueError: for a file of another form, which the message names, or an exercise that has
            no function to check it.
    """
    module = import_module(f"course_utils.lessons.content.lesson_{number}")
    path = Path(str(module.__file__)).with_suffix(".md")
    try:
        return parse_content(path.read_text(encoding="utf-8"), vars(module))
    except ValueError as error:
        raise ValueError(f"{path.name}: {error}") from error


def parse_content(
    text: str, checks: dict[str, Any]
) -> tuple[tuple[Exercise, ...], tuple[Question, ...]]:
    """Return the exercises and the quiz in `text`; `checks` has a `check_ID` for each exercise.

    Raises:
        ValueError: for a text of another form.
    """
    _, *parts = _sections(text, "# ")
    if not parts or parts[-1][0] != "Quiz":
        raise ValueError("the last part must be '# Quiz'")
    *exercises, (_, quiz) = parts
    _, *questions = _sections(quiz, "## ")
    return (
        tuple(_exercise(heading, body, checks) for heading, body in exercises),
        tuple(_question(heading, body) for heading, body in questions),
    )


def _exercise(heading: str, body: str, checks: dict[str, Callable[[Any], None]]) -> Exercise:
    named = re.fullmatch(r"`(\w+)`: (.+)", heading)
    if named is None:
        raise ValueError(f"heading '# {heading}' must look like '# `blend`: Under the mask'")
    (_, question), *sections = _sections(body, "## ")
    parts = dict(sections)
    if len(parts) < len(sections) or not WANTED <= set(parts) <= WANTED | {"Given"}:
        found = ", ".join(name for name, _ in sections)
        raise ValueError(f"exercise {named[1]} needs {', '.join(sorted(WANTED))}, has {found}")
    if f"check_{named[1]}" not in checks:
        raise ValueError(f"exercise {named[1]} has no function check_{named[1]}")
    return Exercise(
        id=named[1],
        title=named[2],
        question=question,
        given=_code(parts["Given"]) if "Given" in parts else "",
        stub=_code(parts["Stub"]),
        hints=tuple(_items(parts["Hints"])),
        solution_source=_code(parts["Solution"]),
        feedback=parts["Feedback"],
        mistakes=dict(_mistake(item) for item in _items(parts["Mistakes"])),
        check_answer=checks[f"check_{named[1]}"],
    )


def _mistake(item: str) -> tuple[str, str]:
    named = re.fullmatch(r"`(\w+)`: (.+)", item, re.S)
    if named is None:
        raise ValueError(f"mistake {item!r} must look like '- `percent`: Divide by 100.'")
    return named[1], " ".join(named[2].split())


def _question(heading: str, body: str) -> Question:
    choices = []
    for item in _items(body):
        parts = re.fullmatch(r"\[([ x])\] (.+?)\n(.+)", item, re.S)
        if parts is None:
            raise ValueError(f"choice {item!r} must look like '- [x] text', feedback below it")
        choices.append(Choice(parts[2], parts[1] == "x", " ".join(parts[3].split())))
    return Question(heading.removesuffix(SEVERAL), tuple(choices), heading.endswith(SEVERAL))


def _sections(text: str, mark: str) -> list[tuple[str, str]]:
    """Split at headings, but not at comments in code; what stands before the first comes first."""
    found: list[tuple[str, list[str]]] = [("", [])]
    in_code = False
    for line in text.splitlines():
        in_code ^= line.startswith("```")
        if line.startswith(mark) and not in_code:
            found.append((line.removeprefix(mark).strip(), []))
        else:
            found[-1][1].append(line)
    return [(heading, "\n".join(lines).strip()) for heading, lines in found]


def _items(text: str) -> list[str]:
    return [item.strip() for item in re.split(r"^- ", text, flags=re.M)[1:]]


def _code(text: str) -> str:
    block = re.fullmatch(r"```python\n(.+)\n```", text, re.S)
    if block is None:
        raise ValueError(f"wanted a block of Python, got {text!r}")
    return block[1]
