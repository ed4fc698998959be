"""Killed with SIGKILL at ten random moments, a training ends as if nothing had happened."""

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from course_utils.training import Checkpoint

KILLS = 10
STEPS = 200
NEVER = 0

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")


class Trainer:
    """Starts one training after the other, and kills them."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, Path(__file__).with_name("killable_training.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            text=True,
            bufsize=1,
        )
        self.wait_for("ready")

    def start(self, path: Path, *, seed: int, last_step: int, stopped_save: int) -> int:
        """Start a training and return its process id."""
        assert self._process.stdin
        order = map(str, (path, STEPS, seed, last_step, stopped_save))
        self._process.stdin.write("\t".join(order) + "\n")
        return int(self.wait_for("started"))

    def wait_for(self, word: str, times: int = 1) -> str:
        """Read until `word` was told so many times; returns what followed it."""
        assert self._process.stdout
        rest = ""
        while times:
            line = self._process.stdout.readline()
            assert line, f"the trainer ended before it said {word!r}"
            said, _, rest = line.rstrip("\n").partition(" ")
            assert word == "ended" or said != "ended", f"ended ({rest}) before it said {word!r}"
            times -= said == word
        return rest

    def kill(self, child: int) -> None:
        os.kill(child, signal.SIGKILL)
        assert self.wait_for("ended") == str(-signal.SIGKILL)

    def finish(self, path: Path, *, seed: int) -> str:
        """Train to the end; returns the digest of weights and history."""
        self.start(path, seed=seed, last_step=NEVER, stopped_save=NEVER)
        digest = self.wait_for("done")
        assert self.wait_for("ended") == "0"
        return digest

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.fixture(scope="module")
def trainer() -> Iterator[Trainer]:
    trainer = Trainer()
    yield trainer
    trainer.close()


def test_ten_kills_at_random_moments_change_nothing(trainer: Trainer, tmp_path: Path) -> None:
    wanted = trainer.finish(tmp_path / "undisturbed.pt", seed=0)
    path = tmp_path / "killed.pt"
    rng = random.Random(2024)
    reached = []
    for number in range(KILLS):
        seed = number and 1000 + number  # only the first start may matter
        if number % 4 == 3:
            child = trainer.start(path, seed=seed, last_step=NEVER, stopped_save=2)
            trainer.wait_for("writing")
            trainer.kill(child)
            assert list(tmp_path.glob(".killed.pt.*.part")), "killed in the middle of writing"
        else:
            # The kill comes some time after this step, and two steps later at the latest.
            after = rng.randint(1, 18)
            child = trainer.start(path, seed=seed, last_step=after + 2, stopped_save=NEVER)
            trainer.wait_for("step", after)
            trainer.kill(child)
        reached.append(Checkpoint.load(path).step if path.exists() else 0)
    assert reached == sorted(reached)
    assert 0 < reached[-1] < STEPS, f"killed after the steps {reached}"
    assert trainer.finish(path, seed=77) == wanted
    assert sorted(os.listdir(tmp_path)) == ["killed.pt", "undisturbed.pt"]


def test_the_digest_tells_trainings_apart(trainer: Trainer, tmp_path: Path) -> None:
    found = {trainer.finish(tmp_path / f"{seed}.pt", seed=seed) for seed in (0, 1)}
    assert len(found) == 2
