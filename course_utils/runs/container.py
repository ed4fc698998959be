"""A container of Docker or Podman, in which one notebook is executed without a network."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

ENGINES = ("docker", "podman")
PATIENCE = 60  # seconds that an engine may take to answer
MOST_PROCESSES = 512


@dataclass(frozen=True)
class Container:
    """How to start what a notebook runs in; see `find_container`."""

    engine: str
    """The command, with its path."""
    image: str
    """In it `python -m course_utils.worker` runs: the course is installed there."""

    def command(
        self,
        name: str,
        words: tuple[str, ...],
        folder: Path,
        environment: Mapping[str, str],
        *,
        memory: float,
        readable: Path,
    ) -> list[str]:
        """Return the command that runs Python with `words` in a new container.

        It sees `folder`, which it may change, and `readable`, which it may not, under their paths
        here, and nothing else of this machine. It has `memory` bytes, and no network.
        """
        user = ["--user", f"{os.getuid()}:{os.getgid()}"] if hasattr(os, "getuid") else []
        if Path(self.engine).stem == "podman":
            user = ["--userns", "keep-id"]
        limits = [f"--memory={memory:.0f}b"] if isfinite(memory) else []
        data = [f"--volume={readable}:{readable}:ro"] if readable.is_dir() else []
        given = {**environment, "HOME": str(folder)}
        return [
            *(self.engine, "run", "--rm", "--interactive", "--pull=never", f"--name={name}"),
            *("--network=none", "--cap-drop=ALL", "--security-opt=no-new-privileges"),
            *(f"--pids-limit={MOST_PROCESSES}", *limits, *user),
            *(f"--volume={folder}:{folder}", *data, f"--workdir={folder}"),
            *(f"--env={key}={value}" for key, value in given.items()),
            *(self.image, "python", *words),
        ]

    def kill(self, name: str) -> None:
        """End a container and all that runs in it, if it is there."""
        subprocess.run(
            [self.engine, "kill", name], capture_output=True, check=False, timeout=PATIENCE
        )


def find_container(image: str) -> Container:
    """Return how to run notebooks in `image` on this machine.

    Raises:
        FileNotFoundError: where there is neither Docker nor Podman, or no such image.
    """
    engine = next(filter(None, map(shutil.which, ENGINES)), None)
    if engine is None:
        raise FileNotFoundError("a container needs Docker or Podman: install one of them")
    asked = subprocess.run(
        [engine, "image", "inspect", image],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    if asked.returncode:
        why = (asked.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise FileNotFoundError(f"{Path(engine).name} has no image {image!r} ({why}): build it")
    return Container(engine, image)
