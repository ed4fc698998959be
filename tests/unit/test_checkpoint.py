"""The file of a checkpoint is whole, or it is refused."""

import errno
import io
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from torch import nn

from course_utils.training import Checkpoint, History


def example(step: int = 1) -> Checkpoint:
    torch.manual_seed(step)
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2))
    history = History([0.1 + 0.2] * step, [1e-2] * step, [{"step": step, "IoU": 1 / 3}])
    return Checkpoint(step, {"steps": 9}, model.state_dict(), {}, {}, {}, {}, history, {})


@pytest.fixture
def path(tmp_path) -> Path:
    """The file of the first example."""
    example().save(tmp_path / "run.pt")
    return tmp_path / "run.pt"


def test_what_was_saved_is_loaded(tmp_path):
    saved = example(3)
    saved.save(tmp_path / "run.pt")
    found = Checkpoint.load(tmp_path / "run.pt")
    assert (found.step, found.settings, found.history) == (3, {"steps": 9}, saved.history)
    assert found.model.keys() == saved.model.keys()
    assert all(torch.equal(found.model[name], saved.model[name]) for name in saved.model)
    assert os.listdir(tmp_path) == ["run.pt"]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(path, tmp_path, monkeypatch):

    def disk_full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", disk_full)
    with pytest.raises(OSError, match="No space left"):
        example(2).save(path)
    assert Checkpoint.load(path).step == 1
    assert os.listdir(tmp_path) == ["run.pt"]


FULL_DISK = """
import dataclasses, resource, signal, sys
import torch
from test_checkpoint import example

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
large = dataclasses.replace(example(2), model={"weight": torch.zeros(100_000)})
try:
    large.save(sys.argv[1])
except OSError as error:
    print("no room:", error.strerror)
"""


@pytest.mark.skipif(os.name == "nt", reason="this system cannot limit the size of files")
def test_a_file_that_cannot_grow_raises_an_error_of_the_system(path, tmp_path):
    call = [sys.executable, "-c", FULL_DISK, path]
    done = subprocess.run(call, cwd=Path(__file__).parent, capture_output=True, text=True)
    assert done.stdout == f"no room: {os.strerror(errno.EFBIG)}\n", done.stderr
    assert Checkpoint.load(path).step == 1
    assert os.listdir(tmp_path) == ["run.pt"]


class Unsafe:
    def __reduce__(self):
        return os.mkdir, ("unsafe",)


@pytest.mark.parametrize("share", [0, 0.3, 0.999])
def test_a_file_that_was_cut_short_is_refused(path, share):
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ValueError, match=r"cannot be read as a checkpoint.*delete it or choose"):
        Checkpoint.load(path)


def test_a_file_with_a_changed_weight_is_refused(path):
    whole = path.read_bytes()
    weight = example().model["0.weight"].numpy().tobytes()
    assert whole.count(weight) == 1
    path.write_bytes(whole.replace(weight, weight[::-1]))
    with pytest.raises(ValueError, match="cannot be read as a checkpoint"):
        Checkpoint.load(path)


def test_a_file_that_is_said_to_be_compressed_is_refused(path):
    whole = bytearray(path.read_bytes())
    for header, method in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        whole[whole.index(header) + method] = zipfile.ZIP_DEFLATED
    path.write_bytes(whole)
    with pytest.raises(ValueError, match="cannot be read as a checkpoint"):
        Checkpoint.load(path)


def test_a_file_that_cannot_be_opened_now_is_not_called_damaged(path, monkeypatch):

    def too_many_files(*_, **__):
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(io, "open", too_many_files)
    with pytest.raises(OSError, match=r"may be whole \(Too many open files\)") as error:
        Checkpoint.load(path)
    assert "delete" not in str(error.value)


@pytest.mark.parametrize(
    "content", [[1, 2], {"model": {}}, {"format": "course_utils checkpoint, version 3"}, Unsafe()]
)
def test_a_foreign_file_is_refused_and_not_run(tmp_path, monkeypatch, content):
    monkeypatch.chdir(tmp_path)
    torch.save(content, "run.pt")
    with pytest.raises(ValueError, match="cannot be read as a checkpoint"):
        Checkpoint.load("run.pt")
    assert os.listdir(tmp_path) == ["run.pt"]


def test_text_and_folders_are_refused(tmp_path):
    (tmp_path / "run.txt").write_text("epoch 3: fine")
    with pytest.raises(ValueError, match="cannot be read as a checkpoint"):
        Checkpoint.load(tmp_path / "run.txt")
    with pytest.raises(OSError, match="could not be read"):
        Checkpoint.load(tmp_path)
