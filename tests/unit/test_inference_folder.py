"""A folder of photographs: every file has a row, a stop loses nothing, a page that can be read."""

import csv
import os
import re
import weakref
from urllib.parse import unquote

import numpy as np
import pytest
from few_images import write_image
from tiny_detectors import tiny_detector
from typer.testing import CliRunner

from course_utils.cli import app
from course_utils.inference import find_photographs, folder, load_detector, predict_folder

NAMES = ("a.png", "sub folder/b #1.png", "sub folder/ä%20.JPG", "z.webp")


@pytest.fixture
def photographs(tmp_path):
    rng = np.random.default_rng(0)
    for name in NAMES:
        pixels = rng.integers(0, 256, (40 + len(name), 70, 3), dtype=np.uint8)
        write_image(tmp_path / "photographs" / name, pixels)
    (tmp_path / "photographs" / "broken.jpg").write_bytes(b"no picture")
    (tmp_path / "photographs" / "notes.txt").write_text("nothing to see")
    (tmp_path / "photographs" / ".hidden.png").write_bytes(b"")
    write_image(tmp_path / "photographs" / "@eaDir" / "thumbnail.png", pixels)
    return tmp_path / "photographs"


@pytest.fixture
def run(tmp_path):
    (tmp_path / "run").mkdir()
    tiny_detector("unet").save(tmp_path / "run")
    return tmp_path / "run"


def answer(run, photographs, out, **options):
    files = find_photographs(photographs)
    detector = load_detector(run, device="cpu")
    return predict_folder(detector, files, out, root=photographs, **options)


def table(out):
    with (out / "scores.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_every_photograph_has_a_row_the_unreadable_first_then_the_worst(run, photographs, tmp_path):
    rows = answer(run, photographs, tmp_path / "out")
    assert {row.file for row in rows} == {*NAMES, "broken.jpg"}
    assert (rows[0].decision, "broken.jpg" in rows[0].reason) == ("unreadable", True)
    scores = [row.score for row in rows[1:]]
    assert scores == sorted(scores, reverse=True)
    assert [row["file"] for row in table(tmp_path / "out")] == [row.file for row in rows]
    detector = load_detector(run, device="cpu")
    for row in rows[1:]:
        alone = detector.predict(photographs / row.file)
        assert row.score == pytest.approx(alone.score, rel=1e-5)
        assert row.decision == ("defective" if alone.is_defective else "good")
        assert row.regions == len(alone.regions)


def test_the_page_shows_every_picture_that_it_names(run, photographs, tmp_path):
    answer(run, photographs, tmp_path / "out")
    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    links = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert len(links) == 3 * len(NAMES)
    assert all((tmp_path / "out" / unquote(link)).is_file() for link in links)
    assert "broken.jpg" in page
    assert not re.search(r'(?:src|href)="(?:https?:|//)', page), "nothing is fetched"


def test_a_task_that_was_stopped_goes_on_and_ends_as_if_it_never_had(
    run, photographs, tmp_path, monkeypatch
):
    wanted = answer(run, photographs, tmp_path / "whole")
    out, seen = tmp_path / "out", []

    def stop_at_third(path, content, write=folder.write_atomic):
        if path.name.endswith(".found.jpg"):
            seen.append(path.name)
            if len(seen) == 3:
                raise KeyboardInterrupt
        write(path, content)

    monkeypatch.setattr(folder, "write_atomic", stop_at_third)
    with pytest.raises(KeyboardInterrupt):
        answer(run, photographs, out, batch_size=1)
    monkeypatch.undo()
    with (out / "answers.jsonl").open("a") as file:
        file.write('{"stamp": [1, 2], "row": {"fi')  # the power went off within a line
    done = len((out / "answers.jsonl").read_text().splitlines()) - 1
    begun = []
    detector = load_detector(run, device="cpu")
    each = detector.predict_each
    detector.predict_each = lambda left, **rest: each(begun.extend(left) or left, **rest)
    rows = predict_folder(detector, find_photographs(photographs), out, root=photographs)
    assert done >= 2
    assert len(begun) == len(wanted) - done
    assert [row.file for row in rows] == [row.file for row in wanted]
    assert [row.score for row in rows] == [pytest.approx(row.score) for row in wanted]
    assert answer(run, photographs, out) == rows, "a third call begins nothing"


def test_names_of_any_bytes_and_kinds_that_are_not_read_have_their_row(run, tmp_path):
    folder = tmp_path / "photographs"
    write_image(folder / "a.png", np.zeros((40, 40), np.uint8))
    (folder / "scan.TIF").write_bytes(b"II*")
    if os.name == "posix":
        os.rename(os.fsencode(folder / "a.png"), os.fsencode(folder) + b"/\xe4.png")
    rows = answer(run, folder, tmp_path / "out")
    assert [row.decision == "unreadable" for row in rows] == [True, False]
    assert "convert it" in rows[0].reason
    assert len(list((tmp_path / "out" / "thumbnails").iterdir())) == 2


def test_a_changed_photograph_is_looked_at_again(run, photographs, tmp_path):
    before = {row.file: row for row in answer(run, photographs, tmp_path / "out")}
    write_image(photographs / "a.png", np.zeros((60, 60), np.uint8))
    os.utime(photographs / "a.png", ns=(1, 1))
    after = {row.file: row for row in answer(run, photographs, tmp_path / "out")}
    assert before.keys() == after.keys()
    assert [name for name in before if before[name] != after[name]] == ["a.png"]
    (photographs / "a.png").unlink()
    assert "a.png" not in {row.file for row in answer(run, photographs, tmp_path / "out")}


def test_answers_of_another_detector_and_files_of_the_person_are_not_touched(
    run, photographs, tmp_path
):
    answer(run, photographs, tmp_path / "out")
    other = load_detector(run, device="cpu")
    next(other.network.parameters()).data += 1
    with pytest.raises(FileExistsError, match="another detector"):
        predict_folder(other, [photographs / "a.png"], tmp_path / "out", root=photographs)
    with pytest.raises(ValueError, match="among the photographs"):
        answer(run, photographs, photographs / "answers")
    write_image(tmp_path / "mine" / "a.png", np.zeros((4, 4), np.uint8))
    with pytest.raises(FileExistsError, match="no answers of a detector"):
        answer(run, photographs, tmp_path / "mine")
    with pytest.raises(FileExistsError, match="is a file"):
        answer(run, photographs, tmp_path / "mine" / "a.png")


def test_only_defective_photographs_are_kept_at_their_own_size(run, photographs, tmp_path):
    rows = answer(run, photographs, tmp_path / "out")
    kept = {path.name for path in (tmp_path / "out" / "overlays").rglob("*.jpg")}
    assert kept == {f"{row.file.split('/')[-1]}.jpg" for row in rows if row.decision == "defective"}


def call(*arguments):
    return CliRunner().invoke(app, [*map(str, arguments)], env={"COLUMNS": "200"})


def test_the_command_says_what_it_found_and_names_what_it_could_not_read(
    run, photographs, tmp_path
):
    result = call("predict", run, photographs, "--out", tmp_path / "out", "-q")
    assert result.exit_code == 1, "a photograph was not read"
    assert "of 5" in result.output
    assert "broken.jpg" in result.output
    (photographs / "broken.jpg").unlink()
    assert call("predict", run, photographs, "--out", tmp_path / "out", "-q").exit_code == 0
    alone = call("predict", run, photographs / "a.png", "--out", tmp_path / "one", "-q")
    assert alone.exit_code == 0, alone.output
    assert [row["file"] for row in table(tmp_path / "one")] == ["a.png"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nowhere", "{photographs}"), "there is no folder nowhere"),
        (("{run}", "nowhere"), "there is no file or folder nowhere"),
        (("{run}", "{run}"), "holds no image"),
    ],
)
def test_wrong_folders_are_told_in_a_line(arguments, message, run, photographs, tmp_path):
    given = [one.format(run=run, photographs=photographs) for one in arguments]
    result = call("predict", *given, "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert message in result.output
    assert not (tmp_path / "out").exists()


def test_memory_does_not_grow_with_the_number_of_photographs():
    references = []

    class Watched(np.ndarray):
        """An array that a weak reference can be made of."""

    def many():
        for seed in range(40):
            pixels = np.random.default_rng(seed).integers(0, 256, (70, 90), dtype=np.uint8)
            references.append(weakref.ref(watched := pixels.view(Watched)))
            yield watched

    held = []
    for _ in tiny_detector("unet").predict_each(many(), batch_size=4):
        held.append(sum(reference() is not None for reference in references))
    assert len(held) == 40
    assert 0 < max(held) <= 9, "a batch, the one before, and the next photograph"


def test_masks_are_no_photographs(tmp_path):
    pixels = np.zeros((40, 40), np.uint8)
    for name in ("images/a.png", "masks/a.png", "more/masks/b.png", "test/bad/c.png"):
        write_image(tmp_path / name, pixels)
    write_image(tmp_path / "ground_truth" / "bad" / "c_mask.png", pixels)
    found = [path.relative_to(tmp_path).as_posix() for path in find_photographs(tmp_path)]
    assert found == ["images/a.png", "more/masks/b.png", "test/bad/c.png"]
