"""One nbval session with the guard, in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
CELL_TIMEOUT = 300  # seconds
SESSION_TIMEOUT = 900


def run_nbval(*notebooks: Path, options: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """Run nbval over notebooks at smoke profile; the result holds the report of both."""
    command = [
        *(sys.executable, "-m", "pytest", "-p", "nbval_guard", "-p", "no:cacheprovider"),
        *("--nbval-lax", "--nbval-current-env", f"--nbval-cell-timeout={CELL_TIMEOUT}"),
        *("--color=no", "-o", "addopts=", f"--rootdir={notebooks[0].parent}", "-q", "-ra"),
        *options,
        *map(str, notebooks),
    ]
    environment = {
        **os.environ,
        "COURSE_PROFILE": "smoke",
        "PYTHONPATH": os.pathsep.join(filter(None, [str(HERE), os.environ.get("PYTHONPATH")])),
    }
    return subprocess.run(
        command,
        cwd=notebooks[0].parent,
        env=environment,
        capture_output=True,
        text=True,
        timeout=SESSION_TIMEOUT,
        check=False,
    )
