"""Is this machine ready for the course? Each check says what it found, and what mends a problem."""

import platform
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from html import escape
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil
from packaging.requirements import Requirement
from packaging.version import Version
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from course_utils import config

MEMORY_WANTED = 4  # GiB free; a lesson at laptop profile holds about 2
DISK_WANTED = 2  # GiB free for outputs and checkpoints
HEADLINE = ("torch", "torchvision", "numpy", "opencv-python")
REINSTALL = "rm -rf .venv && make course"
CHECKOUT = Path(__file__).parents[1]
HERE = shlex.quote(sys.executable)  # a bare `pip` may belong to another Python


class Status(StrEnum):
    """What a check found."""

    OK = "ok"
    NOTE = "note"
    """Worth knowing; the course runs without it."""
    PROBLEM = "problem"


@dataclass(frozen=True)
class Check:
    """The answer of one check."""

    name: str
    status: Status
    found: str
    remedy: str = ""
    """A command, or one sentence; every problem has one."""


def doctor(*, data_root: str | Path | None = None, quick: bool = False) -> list[Check]:
    """Check Python, packages, device, memory, disk, data sets, weights and the kernel.

    A check that itself breaks is a problem, with the error as what was found.

    Args:
        data_root: the folder of the data sets, if not the usual one.
        quick: whether to leave out what takes seconds: all that loads torch or OpenCV, and the
            start of a kernel. Versions are compared all the same.

    Example:
        >>> doctor(quick=True)[0].name
        'Python'
    """
    checks: list[Callable[[], Check | list[Check]]] = [_python, _packages]
    if not quick:
        checks += [_torchvision, _opencv, _device]
    checks += [_profile, _memory, _disk, partial(_data_sets, data_root)]
    if not quick:
        checks += [_weights, _kernel]
    return [found for check in checks for found in _run(check)]


def show_doctor() -> "Checklist":
    """Return the checks as a table for a notebook, without the paths of this machine."""
    return Checklist(doctor(), show_paths=False)


class Checklist:
    """A list of checks that shows itself in a terminal and in a notebook."""

    def __init__(self, checks: Sequence[Check], *, show_paths: bool = True) -> None:
        self.checks = list(checks)
        self._show = (lambda text: text) if show_paths else _for_a_notebook

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        colors = {Status.OK: "green", Status.NOTE: "cyan", Status.PROBLEM: "bold red"}
        table = Table(box=None, pad_edge=False, show_header=False)
        table.add_column()
        table.add_column(style="bold", no_wrap=True)
        table.add_column(overflow="fold")
        for check in self.checks:
            text = Text(self._show(check.found))
            if check.remedy:
                text.append(f"\n→ {self._show(check.remedy)}", style=colors[check.status])
            table.add_row(Text(check.status, style=colors[check.status]), check.name, text)
        yield table
        yield Text(self.verdict, style="bold")

    @property
    def verdict(self) -> str:
        """One sentence about the whole list."""
        problems = sum(check.status is Status.PROBLEM for check in self.checks)
        if not problems:
            return "Nothing is wrong: the course can start."
        return f"{problems} problem{'s' if problems > 1 else ''}: the arrows say what mends them."

    def __repr__(self) -> str:
        lines = [
            f"{check.status:8} {check.name:16} {self._show(check.found)}"
            + (f"\n{'':26}→ {self._show(check.remedy)}" if check.remedy else "")
            for check in self.checks
        ]
        return "\n".join([*lines, self.verdict])

    def _repr_html_(self) -> str:
        signs = {Status.OK: ("✔", "#1a7f4b"), Status.NOTE: ("•", "#0b6e8a")}
        rows = []
        for check in self.checks:
            sign, color = signs.get(check.status, ("✘", "#b3261e"))
            mend = ""
            if check.remedy:
                tag = "code" if check.status is Status.PROBLEM else "span"
                text = escape(self._show(check.remedy))
                mend = f'<br><{tag} style="color:{color}">→ {text}</{tag}>'
            rows.append(
                f'<tr><td style="color:{color};text-align:left">{sign} {check.status}</td>'
                f'<td style="text-align:left"><b>{escape(check.name)}</b></td>'
                f'<td style="text-align:left">{escape(self._show(check.found))}{mend}</td></tr>'
            )
        return f"<table>{''.join(rows)}</table><p><b>{escape(self.verdict)}</b></p>"


def without_paths(text: str) -> str:
    """Replace absolute paths by their last part, so that a notebook names no person's folders.

    Example:
        >>> without_paths("3 sets in /home/ada/data")
        '3 sets in …/data'
    """
    return re.sub(r"(?<![\w.])(?:~|[A-Za-z]:)?[/\\](?:[^\s/\\:]+[/\\])+([^\s/\\:]+)", r"…/\1", text)


def _for_a_notebook(text: str) -> str:
    return REINSTALL if text.startswith(f"{HERE} -m ") else without_paths(text)


def _run(check: Callable[[], Check | list[Check]]) -> list[Check]:
    try:
        found = check()
    except Exception as error:
        name = getattr(check, "__name__", "data sets").strip("_")
        return [Check(name, Status.PROBLEM, f"{type(error).__name__}: {error}", REINSTALL)]
    return [found] if isinstance(found, Check) else found


def _python() -> Check:
    found = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    return Check("Python", Status.OK, found)


def _packages() -> Check:
    wrong, shown = [], {}
    for requirement in map(Requirement, metadata.requires("course-utils") or []):
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            version = shown[requirement.name] = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            wrong.append(f"{requirement} is missing")
            continue
        if not requirement.specifier.contains(Version(version).public, prereleases=True):
            wrong.append(f"{requirement.name} {version} is too old, wanted {requirement.specifier}")
    if wrong:
        mend = f"{HERE} -m pip install --upgrade -e {shlex.quote(str(CHECKOUT))}"
        return Check("packages", Status.PROBLEM, "; ".join(wrong), mend)
    named = ", ".join(f"{name} {shown[name]}" for name in HEADLINE if name in shown)
    return Check("packages", Status.OK, f"all {len(shown)} are there: {named} …")


def _torchvision() -> Check:
    import torch

    try:
        import torchvision

        boxes = torch.tensor([[0.0, 0.0, 2.0, 2.0], [0.0, 0.0, 2.0, 2.0]])
        if torchvision.ops.nms(boxes, torch.tensor([0.9, 0.8]), 0.5).tolist() != [0]:
            raise RuntimeError("its operators give wrong results")
    except (ImportError, RuntimeError) as error:
        return Check(
            "torchvision",
            Status.PROBLEM,
            f"does not fit torch {torch.__version__}: {str(error).splitlines()[0]}",
            f"{HERE} -m pip install --upgrade --force-reinstall torch torchvision",
        )
    found = f"{torchvision.__version__} fits torch {torch.__version__}"
    return Check("torchvision", Status.OK, found)


def _opencv() -> Check:
    try:
        import cv2
    except ImportError as error:
        mend = "sudo apt-get install libgl1 libglib2.0-0"
        return Check("OpenCV", Status.PROBLEM, str(error), mend)
    return Check("OpenCV", Status.OK, f"{cv2.__version__} loads")


def _device() -> Check:
    import torch

    try:
        device = config.pick_device()
    except ValueError as error:
        chosen = str(error).startswith("COURSE_DEVICE=")
        mend = "unset COURSE_DEVICE" if chosen else "export COURSE_DEVICE=cpu"
        return Check("device", Status.PROBLEM, str(error), mend)
    precision = config.PRECISION_NAMES[config.pick_precision(device)]
    if device.type == "cuda":
        about = torch.cuda.get_device_properties(device)
        size = about.total_memory / 2**30
        return Check("device", Status.OK, f"{about.name}, {size:.0f} GiB, {precision}")
    if device.type == "cpu":
        found = f"CPU with {psutil.cpu_count()} threads, {precision}; no GPU"
        return Check("device", Status.NOTE, found, "profiles smoke and laptop are made for this")
    return Check("device", Status.OK, f"{device.type}, {precision}")


def _profile() -> Check:
    try:
        profile = config.get_profile()
    except ValueError as error:
        return Check("profile", Status.PROBLEM, str(error), "unset COURSE_PROFILE")
    return Check("profile", Status.OK, f"{profile}, where none is asked for")


def _memory() -> Check:
    memory = psutil.virtual_memory()
    free, total = memory.available / 2**30, memory.total / 2**30
    found = f"{free:.0f} of {total:.0f} GiB are free"
    if free < MEMORY_WANTED:
        return Check("memory", Status.NOTE, found, "close other programs before the longer lessons")
    return Check("memory", Status.OK, found)


def _disk() -> Check:
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    if free < DISK_WANTED:
        mend = f"free {DISK_WANTED} GiB or more; old downloads go with: pip cache purge"
        return Check("disk", Status.PROBLEM, f"only {free:.1f} GiB are free", mend)
    return Check("disk", Status.OK, f"{free:.0f} GiB are free")


def _data_sets(root: str | Path | None) -> list[Check]:
    from course_utils.data import find_datasets

    folder = config.data_root(root)
    found = find_datasets(folder)
    if here := [f"{name} ({entry.images} images)" for name, entry in found.items() if entry.images]:
        checks = [Check("data sets", Status.OK, f"{', '.join(here)} in {folder}")]
    else:
        what = f"no real images in {folder}: lessons use the synthetic set, which needs no files"
        mend = "export COURSE_DATA_ROOT=<the folder of your data sets>, if you have some"
        checks = [Check("data sets", Status.NOTE, what, mend)]
    for name, entry in found.items():
        if not entry.images and entry.folder.is_dir():
            checks.append(Check(name, Status.NOTE, "cannot be read", entry.problem))
    if absent := [name for name, entry in found.items() if not entry.folder.is_dir()]:
        mend = f"course data fetch {absent[0]}, and so on; course data list tells more"
        checks.append(Check("more data sets", Status.NOTE, f"not here: {', '.join(absent)}", mend))
    return checks


def _weights() -> Check:
    from course_utils.models.encoders import ENCODERS

    states = [encoder("offline").state_dict() for encoder in ENCODERS.values()]
    count = sum(tensor.numel() for state in states for tensor in state.values())
    found = (
        f"the {len(states)} encoders that come with the package ({count / 1e6:.1f} million "
        "numbers) can be read"
    )
    return Check("weights", Status.OK, found)


def _kernel() -> Check:
    from jupyter_client.manager import start_new_kernel

    mend = f"{HERE} -m ipykernel install --sys-prefix"
    try:
        manager, client = start_new_kernel(
            kernel_name="python3", startup_timeout=60, stderr=subprocess.DEVNULL
        )
    except Exception as error:  # whatever keeps a kernel from starting is the finding
        return Check("kernel", Status.PROBLEM, f"does not start: {error}", mend)
    answers: list[str] = []

    def listen(message: dict[str, Any]) -> None:
        if message["msg_type"] == "stream":
            answers.append(message["content"]["text"])

    try:
        code = "import sys; print(1 + 1, sys.prefix)"
        client.execute_interactive(code, timeout=60, output_hook=listen)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    result, _, prefix = "".join(answers).strip().partition(" ")
    if result != "2":
        return Check("kernel", Status.PROBLEM, f"1 + 1 gave {result!r}", mend)
    if Path(prefix) != Path(sys.prefix):
        return Check("kernel", Status.PROBLEM, f"python3 runs in {prefix}, not here", mend)
    return Check("kernel", Status.OK, "python3 of this environment starts and counts")
