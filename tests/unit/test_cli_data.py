"""`course data` as people call it."""

import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from local_server import LocalServer
from stand_ins import stand_in
from typer.testing import CliRunner

from course_utils.cli import app
from course_utils.fetching import PUBLISHED

run = CliRunner()


def course(*words: str, answer: str = "") -> tuple[int, str]:
    result = run.invoke(app, ["data", *words], input=answer, env={"COLUMNS": "200"})
    return result.exit_code, result.output


@pytest.fixture
def served(monkeypatch, tmp_path: Path):
    """Every set comes from a stand-in on a local server."""
    files: dict[str, bytes] = {}
    with LocalServer(files) as server:
        for name in ("kolektor_sdd", "mvtec_ad", "sd_saliency_900"):
            kind = stand_in(name, server.url("").rstrip("/"))
            files.update(kind.files)
            monkeypatch.setitem(PUBLISHED, name, kind.published)
        monkeypatch.setenv("COURSE_DATA_ROOT", str(tmp_path / "root"))
        yield server


def test_a_set_is_asked_for_fetched_listed_and_verified(served, tmp_path: Path):
    code, told = course("fetch", "kolektor_sdd", answer="y\n")
    assert code == 0
    for fact in ("CC BY-NC-SA 4.0", "KolektorSDD-boxes.zip", str(tmp_path / "root"), "Go on?"):
        assert fact in told
    assert "6 images" in course("list")[1]
    code, told = course("verify")
    assert code == 0
    assert "good kolektor_sdd/fine: 6 images" in told
    assert "good kolektor_sdd/boxes: 6 images" in told


def test_no_is_no(served, tmp_path: Path):
    for answer in ("n\n", "\n", ""):
        code, _ = course("fetch", "kolektor_sdd", answer=answer)
        assert code == 1
    assert not served.requests
    assert not (tmp_path / "root" / "kolektor_sdd").exists()


def test_what_is_here_is_not_asked_about(served):
    assert course("fetch", "sd_saliency_900", "--yes")[0] == 0
    asked = len(served.requests)
    code, told = course("fetch", "sd_saliency_900")
    assert (code, len(served.requests)) == (0, asked)
    assert "already in" in told


def test_an_archive_without_a_published_hash_is_told_by_its_own(served):
    _, told = course("fetch", "sd_saliency_900", "--yes")
    assert "no hash of MCITF.zip is published; what came has sha256" in told


def test_one_category_out_of_many(served, tmp_path: Path):
    assert course("fetch", "mvtec_ad/grid", "mvtec_ad/tile", "--yes")[0] == 0
    here = sorted(os.listdir(tmp_path / "root" / "mvtec_ad"))
    assert here == ["grid", "tile"]
    code, told = course("verify", "mvtec_ad")
    assert code == 0
    assert told.count("good mvtec_ad/") == 2


def test_damage_is_found_named_and_counted(served, tmp_path: Path):
    course("fetch", "mvtec_ad/grid", "--yes")
    place = tmp_path / "root" / "mvtec_ad" / "grid"
    cut = place / "train" / "good" / "001.png"
    cut.write_bytes(cut.read_bytes()[:40])
    gray = np.full((16, 12), 7, np.uint8)
    cv2.imencode(".png", gray)[1].tofile(place / "ground_truth" / "bent" / "000_mask.png")
    (place / "test" / "good" / "000.png").unlink()
    code, told = course("verify")
    assert code == 1
    for fact in ("wrong mvtec_ad/grid", "001.png cannot be read", "holds the value 7"):
        assert fact in told
    assert "0 images test good, published are 1" in told


def test_a_mask_of_another_size_and_one_that_is_missing(served, tmp_path: Path):
    course("fetch", "mvtec_ad/grid", "--yes")
    masks = tmp_path / "root" / "mvtec_ad" / "grid" / "ground_truth" / "bent"
    cv2.imencode(".png", np.full((9, 9), 255, np.uint8))[1].tofile(masks / "000_mask.png")
    assert "but its image 000.png is 12 x 16" in course("verify")[1]
    shutil.rmtree(masks)
    code, told = course("verify", "mvtec_ad/grid")
    assert code == 1
    assert "is missing" in told


def test_questions_that_cannot_be_answered(served, tmp_path: Path):
    for words, told in (
        (("fetch", "imagenet"), "unknown: choose one of magnetic_tile"),
        (("fetch", "synthetic"), "The synthetic set needs no files"),
        (("fetch", "mvtec_ad/car"), "has no part 'car'"),
        (("fetch", "magnetic_tile/x"), "it has none"),
        (("fetch", "severstal"), "accepted the rules"),
        (("fetch", "dagm/10"), "want an account"),
        (("fetch", "dtd", "mvtec_ad", "--archive", "x.zip"), "one NAME"),
        (("fetch", "dtd", "--archive", "nowhere.zip"), "there is no file nowhere.zip"),
        (("verify",), "no data set is in"),
        (("verify", "dtd"), "course data fetch dtd"),
    ):
        code, said = course(*words)
        assert code == 2, words
        assert told in " ".join(said.split()), words
        assert "Traceback" not in said


def test_all_addresses_failing_is_one_clear_error(served):
    served.statuses["*"] = 404
    code, told = course("fetch", "sd_saliency_900", "--yes")
    assert code == 2
    assert "404" in told
    assert "--archive FILE" in told
