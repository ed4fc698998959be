"""How fast the command line starts: CPU seconds and peak memory of commands that compute nothing.

    python benchmarks/bench_start.py

Each command is run a few times; the least CPU time and the highest memory count. They are compared
with `python -c "import torch"` in the same run: what a command pays that loads torch too early.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

COMMANDS = {
    "course --help": ["--help"],
    "course doctor --quick": ["doctor", "--quick"],
    "course data list": ["data", "list"],
    "course batch status": ["batch", "status", "{batch}"],
    "course train unet --help": ["train", "unet", "--help"],
}
PLAN = """\
profile: smoke
seeds: [0]
runs: [{lesson: "00"}]
"""
CPU_LIMIT, MEMORY_LIMIT = 1.5, 200  # seconds, MB: the aims


def measure(command: list[str]) -> tuple[float, float]:
    """Run a command; return its CPU seconds, children included, and its peak memory in MB."""
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(child.pid, 0)
    if os.waitstatus_to_exitcode(status) not in (0, 1):  # 1: the doctor has found something
        raise RuntimeError(f"{' '.join(command)} ended with status {status}")
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def best(command: list[str], rounds: int) -> tuple[float, float]:
    """Return the least CPU seconds and the highest memory in MB of some runs."""
    seconds, memory = zip(*(measure(command) for _ in range(rounds)), strict=True)
    return min(seconds), max(memory)


def main() -> None:
    """Measure all commands and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    course = str(Path(sys.executable).with_name("course"))
    with tempfile.TemporaryDirectory() as folder:
        plan = Path(folder, "plan.yml")
        plan.write_text(PLAN, encoding="utf-8")
        batch = Path(folder, "batch")
        subprocess.run([course, "batch", str(plan), "--out", str(batch)], check=True,
                       stdout=subprocess.DEVNULL)  # fmt: skip
        plain, memory = best([sys.executable, "-c", "import torch"], rounds)
        print(f"{'python -c import torch':28} {plain:5.2f} s {memory:5.0f} MB")
        for name, words in COMMANDS.items():
            command = [course, *(word.format(batch=batch) for word in words)]
            seconds, memory = best(command, rounds)
            verdict = "ok" if seconds <= CPU_LIMIT and memory <= MEMORY_LIMIT else "over the limit"
            print(f"{name:28} {seconds:5.2f} s {memory:5.0f} MB   "
                  f"{seconds / plain:4.2f} of importing torch   {verdict}")  # fmt: skip


if __name__ == "__main__":
    main()
