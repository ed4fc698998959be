"""Starts the worker with less than it could load."""

import os
import sys

UNNEEDED = ("rfc3987_syntax", "rfc3986_validator", "isoduration", "pyarrow")
"""What others load if it is there, and a notebook never needs: checks of addresses and dates (the
first takes longer than all the rest, 1.4 s), and remote disks."""

if __name__ == "__main__":
    sys.modules.update(dict.fromkeys(UNNEEDED))  # type: ignore[arg-type]  # None: it is not there

    from course_utils.worker.main import main

    status = main()
    sys.stderr.flush()
    os._exit(status)  # all is written and reported; tidying up takes a tenth of a second
