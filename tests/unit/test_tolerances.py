"""The record that `notebooks/tolerances.py` leaves: what was run, and on which source."""

import hashlib
import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest
from tiny_notebooks import write_lesson


@pytest.fixture
def tolerances(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The tool, on a folder with one lesson whose metric is its seed."""
    path = Path(__file__).parents[2] / "notebooks" / "tolerances.py"
    spec = importlib.util.spec_from_file_location("tolerances", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    write_lesson(tmp_path, "90_one")
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "90_one.py").write_text("# the source")
    monkeypatch.setattr(module, "FOLDER", tmp_path)
    monkeypatch.setattr(
        module, "measure", lambda path, seeds, profile: {"iou": [float(seed) for seed in seeds]}
    )
    return module


def test_the_record_names_the_whole_command_and_the_source(
    tolerances: ModuleType, tmp_path: Path
) -> None:
    assert tolerances.main(["90", "--seeds", "11", "--profile", "laptop"]) == 0
    record = json.loads((tmp_path / "tolerances" / "90_one.json").read_text(encoding="utf-8"))
    assert record["command"] == "python notebooks/tolerances.py 90 --seeds 11 --profile laptop"
    assert record["source_sha256"] == hashlib.sha256(b"# the source").hexdigest()
    assert record["metrics"]["iou"]["values"] == [float(seed) for seed in range(11)]
