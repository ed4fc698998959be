"""A detector as an ONNX file gives the answers of the detector."""

import json
import sys

import numpy as np
import pytest
from onnxruntime import InferenceSession
from tiny_detectors import HEIGHT, WIDTH, tiny_detector
from typer.testing import CliRunner

from course_utils.cli import app
from course_utils.inference import export, export_onnx


@pytest.mark.parametrize("kind", ["classes", "two-stage"])
def test_the_file_answers_as_the_detector_for_any_batch(kind, tmp_path):
    detector = tiny_detector(kind)
    assert export_onnx(detector, tmp_path / "detector.onnx") < 1e-4
    session = InferenceSession(tmp_path / "detector.onnx", providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(3)
    photographs = rng.integers(0, 256, (5, HEIGHT, WIDTH, detector.settings.channels), np.uint8)
    scores, maps, masks = session.run(None, {"photographs": photographs})
    for number, answer in enumerate(detector.predict(photographs)):
        assert scores[number] == pytest.approx(answer.score, rel=1e-4, abs=1e-5)
        np.testing.assert_allclose(maps[number], answer.small_map, atol=1e-4)
        if kind == "classes":
            assert (masks[number] == answer.mask).mean() > 0.999
    facts = json.loads((tmp_path / "detector.onnx.json").read_text())
    assert (facts["height"], facts["width"]) == (HEIGHT, WIDTH)
    assert facts["threshold"]["value"] == detector.settings.threshold.value


def test_a_file_that_does_not_agree_with_torch_is_not_written(tmp_path, monkeypatch):
    monkeypatch.setattr(export, "TOLERANCE", -1.0)
    with pytest.raises(ValueError, match="was not written"):
        export_onnx(tiny_detector("classes"), tmp_path / "detector.onnx")
    assert not list(tmp_path.iterdir())


def test_tiles_cannot_be_exported(tmp_path):
    detector = tiny_detector("classes")
    detector.settings = detector.settings.model_copy(update={"tile": 64})
    with pytest.raises(ValueError, match="in tiles"):
        export_onnx(detector, tmp_path / "detector.onnx")


def test_what_is_missing_or_in_the_way_is_told(tmp_path, monkeypatch):
    (tmp_path / "run").mkdir()
    tiny_detector("classes").save(tmp_path / "run")
    (tmp_path / "mine.onnx").write_text("mine")

    def call(out):
        return CliRunner().invoke(
            app, ["export", str(tmp_path / "run"), "--out", str(out)], env={"COLUMNS": "300"}
        )

    assert "is there already" in call(tmp_path / "mine.onnx").output
    assert (tmp_path / "mine.onnx").read_text() == "mine"
    assert "ends in .onnx" in call(tmp_path / "detector.pt").output
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    missing = call(tmp_path / "detector.onnx")
    assert missing.exit_code == 2
    assert "pip install 'course-utils[export]'" in missing.output
    assert "Traceback" not in missing.output
