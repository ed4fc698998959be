"""Fetch a published data set: `python data_scripts/fetch.py NAME`, the same as `course data fetch`.

Run from the project's root; `--help` lists the options.
"""

import typer

from course_utils.cli.data import fetch

if __name__ == "__main__":
    typer.run(fetch)
