"""One notebook in a process of its own: the verdict, the limits, what is left behind."""

import sys
import time
from pathlib import Path

import nbformat
import psutil
import pytest
from tiny_notebooks import write_lesson

from course_utils.runs import Outcome, RunResult, run_notebook


def run(folder: Path, *code: str, timeout: float = 60, **parameters: object) -> RunResult:
    source = write_lesson(folder / "lessons", "90_tiny", *code)
    return run_notebook(
        source, folder / "done.ipynb", parameters, workdir=folder / "work", timeout=timeout
    )


def printed(result: RunResult) -> str:
    notebook = nbformat.read(result.notebook, as_version=4)
    return "".join(
        output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", [])
    )


def gone(pid: int) -> bool:
    """Tell whether a process has ended, or ends within seconds of having been told to."""
    try:
        psutil.Process(pid).wait(timeout=10)
    except psutil.NoSuchProcess:
        return True
    except psutil.TimeoutExpired:
        return False
    return True


def test_a_run_has_its_own_parameters_directory_and_environment(tmp_path: Path) -> None:
    here = Path.cwd()
    seen: list[tuple[int, int]] = []
    code = "import os, sys; print(seed, os.getcwd(), sys.prefix, os.environ['COURSE_PROFILE'])"
    source = write_lesson(tmp_path, "90_tiny", code)
    result = run_notebook(
        source,
        tmp_path / "done.ipynb",
        {"seed": 7},
        workdir=tmp_path / "work",
        environment={"COURSE_PROFILE": "smoke"},
        on_cell=lambda cell, cells: seen.append((cell, cells)),
    )
    assert result.outcome == Outcome.OK
    assert result.message == ""
    assert printed(result).split() == ["7", str(tmp_path / "work"), sys.prefix, "smoke"]
    assert seen == [(1, 3), (2, 3), (3, 3)]  # parameters, injected parameters, the code
    assert Path.cwd() == here


def test_a_relative_data_root_is_meant_from_where_the_run_was_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COURSE_DATA_ROOT", "sets")
    result = run(tmp_path, "import os; print(os.environ['COURSE_DATA_ROOT'])")
    assert printed(result).strip() == str(tmp_path / "sets")


def test_an_error_is_told_with_its_cell_and_the_end_of_its_traceback(tmp_path: Path) -> None:
    result = run(tmp_path, "def share(n):\n    return 1 / n", "share(0)", "print('never')")
    assert result.outcome == Outcome.ERROR
    assert result.failure is not None
    assert result.failure.source == "share(0)"
    assert result.failure.error == "ZeroDivisionError: division by zero"
    assert "return 1 / n" in result.failure.excerpt
    assert "\x1b" not in result.failure.excerpt
    assert "never" not in printed(result)


def test_a_notebook_that_leaves_early_is_no_success(tmp_path: Path) -> None:
    """papermill takes `sys.exit(0)` for a good end and skips the rest."""
    result = run(tmp_path, "import sys; sys.exit(0)", "print('never')")
    assert result.outcome == Outcome.ERROR
    assert "never executed" in result.message


def test_the_wall_clock_limit_ends_everything_that_was_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_lesson(
        tmp_path / "lessons",
        "90_tiny",
        "import os, subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', 'input()'], stdin=subprocess.PIPE)\n"
        f"open({str(tmp_path / 'pids')!r}, 'w').write(f'{{os.getpid()}} {{child.pid}}')\n"
        "print('begun')",
        "while True: pass",
    )
    clock, passed = time.monotonic, [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock() + passed[0])

    def an_hour_later(cell: int, cells: int) -> None:
        passed[0] = 3600 if cell == cells else 0

    result = run_notebook(
        source,
        tmp_path / "done.ipynb",
        workdir=tmp_path / "work",
        timeout=600,
        on_cell=an_hour_later,
    )
    assert result.outcome == Outcome.TIMEOUT
    assert "limit of 600 s, in cell 3 of 3" in result.message
    assert printed(result) == "begun\n"
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    assert len(pids) == 2
    assert all(gone(pid) for pid in pids)


def test_a_dead_kernel_is_told(tmp_path: Path) -> None:
    result = run(tmp_path, "import os; os._exit(3)")
    assert result.outcome == Outcome.KILLED
    assert "the kernel died in cell 2 of 2" in result.message


def test_a_killed_worker_is_told_and_takes_its_kernel_along(tmp_path: Path) -> None:
    result = run(
        tmp_path,
        f"import os, signal; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))\n"
        "os.kill(os.getppid(), signal.SIGKILL)\n"
        "while True: pass",
    )
    assert result.outcome == Outcome.KILLED
    assert "status -9" in result.message
    assert gone(int((tmp_path / "pid").read_text()))


def test_ctrl_c_ends_the_kernel_and_passes_through(tmp_path: Path) -> None:
    source = write_lesson(
        tmp_path / "lessons",
        "90_tiny",
        f"import os; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))",
        "while True: pass",
    )

    def interrupt(cell: int, cells: int) -> None:
        if cell == cells:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_notebook(source, tmp_path / "done.ipynb", workdir=tmp_path / "work", on_cell=interrupt)
    assert gone(int((tmp_path / "pid").read_text()))
    assert not (tmp_path / "done.ipynb").exists()


@pytest.mark.parametrize("timeout", [-1, 0, float("nan")])
def test_a_limit_that_is_not_above_zero_is_refused(tmp_path: Path, timeout: float) -> None:
    with pytest.raises(ValueError, match="timeout must be a number of seconds above 0"):
        run(tmp_path, timeout=timeout)
