"""The pages of a batch's runs, written by a process of their own as the runs end.

What a student's notebook holds can take its renderer minutes or kill it. That costs its page then,
and never the batch.
"""

import contextlib
import faulthandler
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import IO, cast

from course_utils.runs.records import RunRecord

PAGES = "pages"
"""Folder of the pages of a batch, within its own."""
MODULE = "course_utils.runs.run_pages"
LONGEST = 60  # seconds that a page may take
LARGEST = 30_000_000  # bytes of a notebook that gets a page


def page_of(run: RunRecord) -> Path:
    """Return the place of a run's page, within the folder of its batch; it need not be there.

    Another attempt, or another content, has another page.
    """
    return Path(PAGES, f"{run.id}-{run.digest[:8]}.html")


class PageWriter:
    """Writes the pages of runs in the `folder` of a batch; to be entered, and left at the end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "PageWriter":
        return self

    def __exit__(self, *_: object) -> None:
        if self._process:
            self._process.kill()
            with contextlib.suppress(OSError), self._process:  # closes its pipes and waits
                pass
            self._process = None

    def write(self, run: RunRecord) -> None:
        """Write the page of a run that has ended, unless it is there.

        A notebook that is gone or too large, or that cannot be rendered, has none.
        """
        path = self.folder / page_of(run)
        if not run.notebook or path.exists():
            return
        for old in path.parent.glob(f"{run.id}-*.html"):
            old.unlink()
        with contextlib.suppress(OSError):
            if (self.folder / run.notebook).stat().st_size <= LARGEST:
                self._ask(run)

    def _ask(self, run: RunRecord) -> None:
        process = self._process or _start()
        self._process = process
        answer = b""
        with contextlib.suppress(OSError):
            pickle.dump((run, self.folder.absolute()), stdin := cast(IO[bytes], process.stdin))
            stdin.flush()
            answer = cast(IO[bytes], process.stdout).readline()
        if not answer:  # it has ended over this one: the next has a new process
            self.__exit__()


def _start() -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-P", "-m", MODULE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C is for the batch, which then closes our input
    )


def main() -> None:
    """Write the pages that are asked for; an empty line says that one is done, or cannot be."""
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # what libraries print is no answer
    from course_utils.runs.pages import write_run_page

    with contextlib.suppress(EOFError):
        while True:
            run, folder = pickle.load(sys.stdin.buffer)
            # A regular expression that takes hours lets no Python run, and so no timer of Python's.
            faulthandler.dump_traceback_later(LONGEST, exit=True)
            with contextlib.suppress(Exception):  # whatever a student's program wrote there
                write_run_page(run, folder)
            faulthandler.cancel_dump_traceback_later()
            answers.write(b"\n")


if __name__ == "__main__":
    main()
