"""`course data` as people call it."""

import os
import shutil
from pathlib import Path
from unittest.mock import Mock

import annotated
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
    code, told = course("fetch", "kolektor_sdd", "--force", answer="n\n")
    assert code == 1
    assert "REPLACED, with all that lies in it: kos01, kos02, kos03, boxes, split.pyb" in told
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


def test_what_is_here_is_not_asked_about_and_without_a_hash_its_own_is_told(served):
    code, told = course("fetch", "sd_saliency_900", "--yes")
    assert code == 0
    assert "no hash of MCITF.zip is published; what came has sha256" in told
    asked = len(served.requests)
    code, told = course("fetch", "sd_saliency_900")
    assert (code, len(served.requests)) == (0, asked)
    assert "already in" in told


def test_damage_is_found_named_and_counted(served, tmp_path: Path):
    course("fetch", "mvtec_ad/grid", "--yes")
    place = tmp_path / "root" / "mvtec_ad" / "grid"
    cut = place / "train" / "good" / "001.png"
    cut.write_bytes(cut.read_bytes()[:40])
    mask = place / "ground_truth" / "bent" / "000_mask.png"
    cv2.imencode(".png", np.full((16, 12), 7, np.uint8))[1].tofile(mask)
    (place / "test" / "good" / "000.png").unlink()
    code, told = course("verify")
    assert code == 1
    for fact in ("wrong mvtec_ad/grid", "001.png cannot be read", "holds the value 7"):
        assert fact in told
    assert "0 images test good, published are 1" in told
    cv2.imencode(".png", np.full((9, 9), 255, np.uint8))[1].tofile(mask)
    assert "but its image 000.png is 12 x 16" in course("verify")[1]
    shutil.rmtree(mask.parent)
    code, told = course("verify", "mvtec_ad/grid")
    assert code == 1
    assert "is missing" in told


def test_questions_that_cannot_be_answered(served, tmp_path: Path):
    for words, told in (
        (("fetch", "imagenet"), "unknown: choose one of magnetic_tile"),
        (("fetch", "synthetic"), "The synthetic sets need no files"),
        (("fetch", "mvtec_ad/car"), "has no part 'car'"),
        (("fetch", "magnetic_tile/x"), "it has none"),
        (("fetch", "severstal"), "accepted the rules"),
        (("fetch", "dagm/10"), "want an account"),
        (("fetch", "dtd", "mvtec_ad", "--archive", "x.zip"), "one NAME"),
        (("fetch", "dtd", "--archive", "nowhere.zip"), "there is no file nowhere.zip"),
        (("fetch", "dtd", "--archive", str(tmp_path)), "the archive itself is wanted"),
        (("fetch", "sd_saliency_900", "severstal", "--yes"), "accepted the rules"),
        (("verify",), "no data set is in"),
        (("verify", "dtd"), "course data fetch dtd"),
    ):
        code, said = course(*words)
        assert code == 2, words
        assert told in " ".join(said.split()), words
        assert "Traceback" not in said
    assert not served.requests


def test_all_addresses_failing_is_one_clear_error(served):
    served.statuses["*"] = 404
    code, told = course("fetch", "sd_saliency_900", "--yes")
    assert code == 2
    assert "404" in told
    assert "--archive FILE" in told


def test_parts_of_one_archive_are_fetched_in_one_go(served, tmp_path: Path):
    code, told = course("fetch", "mvtec_ad/grid", "mvtec_ad/tile", "mvtec_ad/grid", "--yes")
    assert code == 0
    assert len(served.requests) == 1
    assert sorted(os.listdir(tmp_path / "root" / "mvtec_ad")) == ["grid", "tile"]
    assert "holds 13 more parts: --keep" in told
    assert "verify mvtec_ad/grid mvtec_ad/tile" in told
    code, told = course("verify", "mvtec_ad")
    assert (code, told.count("good mvtec_ad/")) == (0, 2)
    assert "more parts" not in course("fetch", "mvtec_ad", "--yes")[1]  # these are all of them


def test_a_part_that_lost_a_folder_is_not_passed_over(served, tmp_path: Path):
    course("fetch", "mvtec_ad/grid", "mvtec_ad/tile", "--yes")
    shutil.rmtree(tmp_path / "root" / "mvtec_ad" / "grid" / "test")
    code, told = course("verify")
    assert code == 1
    assert "wrong mvtec_ad/grid" in told
    assert "good mvtec_ad/tile" in told
    told = " ".join(course("list")[1].split())
    assert "7 images (tile)" in told
    assert "not whole: grid" in told


def test_a_narrow_list_cuts_no_name_and_tells_which_kinds_of_masks_are_here(served):
    course("fetch", "kolektor_sdd/fine", "--yes")
    assert "6 images (fine)" in course("list")[1]
    told = run.invoke(app, ["data", "list"], env={"COLUMNS": "80"}).output
    assert all(name in told for name in PUBLISHED)


def test_a_replacement_that_was_killed_is_completed_before_the_set_counts_as_here(
    served, tmp_path: Path
):
    course("fetch", "kolektor_sdd", "--yes")
    folder, work = tmp_path / "root" / "kolektor_sdd", tmp_path / "root" / ".fetching"
    ready = work / "kolektor_sdd" / "ready_to_replace"  # as a death between two moves leaves it
    shutil.copytree(folder / "kos03", ready / "kos03")
    (work / "kolektor_sdd" / "unpacked").mkdir()
    (folder / "kos03" / "Part0.jpg").write_bytes(b"old")
    code, told = course("fetch", "kolektor_sdd")
    assert (code, "already in" in told) == (0, True)
    assert (folder / "kos03" / "Part0.jpg").read_bytes() != b"old"
    assert os.listdir(work / "kolektor_sdd") == ["lock"]


def test_a_folder_without_a_picture_of_the_set_is_not_the_set(tmp_path: Path):
    mine = tmp_path / "dtd" / "images" / "mine.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    code, told = course("fetch", "dtd", "--yes", "--root", str(tmp_path))
    assert code == 2
    assert "give --force to replace" in told
    assert mine.exists()


def test_what_a_log_in_hides_is_told_with_what_is_open(monkeypatch, tmp_path: Path):
    code, told = course("fetch", "dagm", "--root", str(tmp_path), answer="n\n")
    assert code == 1
    assert "behind a log-in, so not among them: 7, 8, 9, 10" in told


def test_a_class_in_the_layout_of_the_competition_is_here_too(tmp_path: Path):
    part = next(part for part in PUBLISHED["dagm"].parts if len(part.archives) == 1)
    assert part.name == "1"
    picture = cv2.imencode(".png", np.full((8, 8), 255, np.uint8))[1]
    for place, name in (("Train", "1"), ("Test", "2")):
        folder = tmp_path / "dagm" / "Class1" / place
        (folder / "Label").mkdir(parents=True)
        picture.tofile(folder / f"{name}.PNG")
        picture.tofile(folder / "Label" / f"{name}_label.PNG")
    code, told = course("fetch", "dagm/1", "--root", str(tmp_path))
    assert code == 0
    assert "already in" in told
    code, told = course("verify", "dagm/1", "--root", str(tmp_path))
    assert code == 1
    assert "images train, published are 575" in told  # the counts of this layout


def test_ctrl_c_while_verifying_speaks_of_no_fetch(served, monkeypatch):
    course("fetch", "kolektor_sdd", "--yes")
    monkeypatch.setattr("course_utils.fetching.verify", Mock(side_effect=KeyboardInterrupt))
    code, told = course("verify")
    assert code == 130
    assert "stopped." in told
    assert "fetched" not in told


def test_annotations_are_imported_counted_and_the_next_command_is_told(tmp_path: Path):
    square = [[10, 5], [40, 5], [40, 25], [10, 25]]
    for name, kind in (("a", "polygon"), ("b", "rectangle")):
        points = square if kind == "polygon" else square[::2]
        one = annotated.shape("dent", points, kind)
        annotated.labelme(tmp_path / "in" / f"{name}.json", [one], annotated.photograph(1))
    words = ("import", "--from", "labelme", str(tmp_path / "in"), str(tmp_path / "my parts"))
    code, told = course(*words)
    assert code == 0
    assert "2 images with masks, 0 good" in told
    assert "dent: 2 regions on 2 images" in told
    assert "1 of 2 regions are boxes" in told
    assert f"next: course data check '{tmp_path / 'my parts'}'" in told
    code, told = course(*words)
    assert code == 2
    assert "nothing is overwritten" in " ".join(told.split())
