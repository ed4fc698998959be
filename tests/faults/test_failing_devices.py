"""One of several processes fails or is interrupted: all end, and the caller sees the error."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
from course_utils.training import launch


def fails_in_the_second(fabric, step):
    if fabric.global_rank == 1:
        raise FloatingPointError(f"the loss is not finite at step {step} of 5")
    fabric.barrier()


if __name__ == "__main__":
    try:
        launch(fails_in_the_second, 3, devices=2, device="cpu")
    except FloatingPointError as error:
        print("stopped:", error)
"""


def test_the_first_error_of_a_script_on_two_devices_reaches_its_caller(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "stopped: the loss is not finite at step 3 of 5\n"


ODD_ERRORS = """
from course_utils.training import launch


class TwoArguments(Exception):
    def __init__(self, name, value):
        super().__init__(f"{name} is {value}")


def fails(fabric):
    class Local(Exception):
        pass

    raise TwoArguments("the loss", 3) if fabric.global_rank else Local("the loss is 3")


if __name__ == "__main__":
    try:
        launch(fails, devices=2, device="cpu")
    except RuntimeError as error:
        print("stopped:", error)
"""


def test_an_error_that_cannot_be_pickled_is_told_with_its_name(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(ODD_ERRORS)
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    # Whichever process was the first one.
    assert done.stdout in (
        "stopped: TwoArguments: the loss is 3\n",
        "stopped: Local: the loss is 3\n",
    )


WAITING = """
import os
import signal
from course_utils.training import launch


def waits(fabric):
    fabric.barrier()
    os.write(1, f"{os.getpid()}\\n".encode())
    signal.pause()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    launch(waits, devices=2, device="cpu")
"""


@pytest.mark.skipif(not hasattr(signal, "pause"), reason="this system has no signal.pause")
def test_ctrl_c_that_reaches_only_the_caller_ends_all_processes(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(WAITING)
    with subprocess.Popen(
        [sys.executable, script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as caller:
        assert caller.stdout
        children = [int(caller.stdout.readline()) for _ in range(2)]
        caller.send_signal(signal.SIGINT)
        _, said = caller.communicate(timeout=60)
    assert "KeyboardInterrupt" in said
    for child in children:
        with pytest.raises(ProcessLookupError):
            os.kill(child, 0)
