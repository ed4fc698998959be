"""The only place where a student's code is called, and the ways in which that may end."""

import dis
import inspect
import linecache
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType, FunctionType
from typing import Any, NoReturn

LONGEST_ERROR = 600  # characters; a torch error can quote a whole tensor


class NotAttempted(Exception):
    """The answer is still the stub."""


class Incorrect(Exception):
    """The answer is wrong; the message says how."""


class Mistake(Exception):
    """The answer is wrong in a way that the exercise has a message for, under this name."""

    def __init__(self, name: str, values: dict[str, Any]) -> None:
        super().__init__(name)
        self.name = name
        self.values = values
        """What stands in curly brackets in the message."""


class TooLong(BaseException):
    """The answer does not come to an end. No `Exception`, so that the answer cannot catch it."""


class AnswerRaised(Exception):
    """The student's own code raised `error`."""

    def __init__(self, answer: Callable[..., Any], error: Exception) -> None:
        super().__init__(str(error))
        self.answer = answer
        self.error = error

    def report(self) -> str:
        """Return the exception and the innermost line of the student's own, not our frames."""
        kind, text = type(self.error).__name__, str(self.error)
        if len(text) > LONGEST_ERROR:
            text = text[:LONGEST_ERROR] + " …"
        said = f"{kind}: {text}" if text else kind
        code = _code_of(self.answer)
        for frame in reversed(traceback.extract_tb(self.error.__traceback__)):
            if code is not None and frame.filename == code.co_filename and frame.lineno:
                line = linecache.getline(frame.filename, frame.lineno).strip()
                place = f"line {frame.lineno} of the cell, in {frame.name}"
                return f"{place}: {line}\n{said}" if line else f"{place}\n{said}"
        return said


def incorrect(message: str) -> NoReturn:
    """Say that the answer is wrong, with a message that any exercise may need.

    Example:
        >>> incorrect("Wanted a number.")
        Traceback (most recent call last):
        course_utils.lessons.answers.Incorrect: Wanted a number.
    """
    raise Incorrect(message)


def mistake(name: str, **values: Any) -> NoReturn:
    """Say that the answer makes the mistake that has this name in the text of the exercise.

    `values` stand in curly brackets in the message there.

    Example:
        >>> mistake("too_many", share=0.9)
        Traceback (most recent call last):
        course_utils.lessons.answers.Mistake: too_many
    """
    raise Mistake(name, values)


def call_answer(answer: Any, *args: Any) -> Any:
    """Call the student's function: what it raises is theirs, what a check raises is ours.

    Raises:
        NotAttempted: for a stub.
        Incorrect: for something that cannot take these arguments, or that forgets to return.
        AnswerRaised: for an exception in the student's code.

    Example:
        >>> call_answer(lambda x: x + 1, 2)
        3
    """
    name = name_of(answer)
    if not callable(answer):
        incorrect(f"Wanted a function, got {answer!r}: hand over the function itself.")
    _check_arguments(answer, name, args)
    try:
        result = answer(*args)
    except Exception as error:
        if isinstance(error, NotImplementedError) and raises_it_itself(answer, error):
            raise NotAttempted from error
        # A calculation with the placeholder of the stub.
        if isinstance(error, TypeError | AttributeError) and "ellipsis" in str(error):
            raise NotAttempted from error
        raise AnswerRaised(answer, error) from error
    if is_stub(result):
        raise NotAttempted
    if result is None:
        incorrect(f"`{name}` returned `None`: did you forget `return`?")
    return result


@contextmanager
def step_limit(answer: Any, most: int) -> Iterator[None]:
    """End the student's function after `most` steps: for exercises in which a loop may never end.

    A step is an instruction of Python's interpreter in the student's own cell; lines would not do,
    since `while True: pass` never reaches a new one.

    Raises:
        TooLong: from the step that is one too many.

    Example:
        >>> def forever():
        ...     while True:
        ...         pass
        >>> with step_limit(forever, 1000):
        ...     forever()
        Traceback (most recent call last):
        course_utils.lessons.answers.TooLong
    """
    file = getattr(_code_of(answer), "co_filename", None)
    steps = 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal steps
        if frame.f_code.co_filename != file:
            return None
        frame.f_trace_opcodes = True
        steps += 1
        if steps > most:
            raise TooLong
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(before)


def is_stub(answer: Any) -> bool:
    """Return whether `answer` is `...`, contains one, or is a function that does nothing yet.

    Example:
        >>> is_stub(...), is_stub([0.5, ...]), is_stub(0.5)
        (True, True, False)
    """
    if answer is Ellipsis:
        return True
    if isinstance(answer, dict):
        return _any_stub(answer.values())
    if isinstance(answer, list | tuple):
        return _any_stub(answer)
    code = _code_of(answer)
    return code is not None and _does_nothing(code)


def name_of(answer: Any) -> str:
    """Return what to call the student's function in a message."""
    return getattr(answer, "__name__", None) or type(answer).__name__


def raises_it_itself(answer: Any, error: Exception) -> bool:
    """Whether a `raise` of the student's own cell raised `error`, and not torch or NumPy.

    What a library written in C raises has the student's frame as its last one too, and no `raise`.
    """
    own, last = _code_of(answer), error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    if own is None or last is None or last.tb_frame.f_code.co_filename != own.co_filename:
        return False
    steps = dis.get_instructions(last.tb_frame.f_code)
    return any(step.offset == last.tb_lasti and step.opname == "RAISE_VARARGS" for step in steps)


def _any_stub(values: Iterable[Any]) -> bool:
    return any(value is Ellipsis for value in values)


def _code_of(answer: Any) -> Any:
    if not isinstance(answer, FunctionType):
        answer = getattr(answer, "forward", getattr(answer, "__func__", None))
        answer = getattr(answer, "__func__", answer)
    return getattr(answer, "__code__", None)


def _does_nothing(code: Any) -> bool:
    """Whether a body is only a docstring, `pass`, `...` or names set to `...`."""
    quiet = {"RESUME", "NOP", "POP_TOP", "LOAD_CONST", "RETURN_VALUE", "RETURN_CONST"}
    for step in dis.get_instructions(code):
        if step.opname not in quiet and not step.opname.startswith("STORE_FAST"):
            return False
        if "CONST" in step.opname and step.argval is not None and step.argval is not Ellipsis:
            return False
    return True


def _check_arguments(answer: Any, name: str, args: tuple[Any, ...]) -> None:
    try:
        signature = inspect.signature(answer)
    except (TypeError, ValueError):  # some builtins do not tell
        return
    try:
        signature.bind(*args)
    except TypeError:
        count = f"{len(args)} argument" + ("" if len(args) == 1 else "s")
        incorrect(f"`{name}{signature}` cannot be called with {count}: check its arguments.")
