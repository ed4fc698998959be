"""One of several processes fails: the others end, and the caller sees its error."""

import subprocess
import sys
from pathlib import Path

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
