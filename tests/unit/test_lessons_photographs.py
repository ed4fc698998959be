"""Real photographs are shown where they are, and a lesson goes on where they are not."""

import numpy as np
import pytest
from PIL import Image

from course_utils.lessons import photographs, show_real_photographs


@pytest.fixture
def root(monkeypatch, tmp_path):
    monkeypatch.setenv("COURSE_DATA_ROOT", str(tmp_path))
    return tmp_path


def test_one_photograph_of_each_class_comes_before_the_second_of_any(root, monkeypatch):
    rng = np.random.default_rng(0)
    for name in [f"{kind}_{i}" for kind in ("In", "Pa", "Sc") for i in range(1, 9)]:
        mask = np.zeros((20, 20), np.uint8)
        mask[5:9, 5:9] = 255
        for folder, pixels in (
            ("images", rng.integers(0, 255, (20, 20), np.uint8)),
            ("masks", mask),
        ):
            path = root / "sd_saliency_900" / folder / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)
    shown = []
    monkeypatch.setattr(photographs.plots, "show", lambda figure, alt: shown.append(alt))
    monkeypatch.setattr(
        photographs.plots,
        "samples",
        lambda images, chosen, title: shown.extend(images.entries[i].label for i in chosen),
    )
    show_real_photographs("sd_saliency_900")
    assert sorted(shown[:3]) == [1, 2, 3]
    assert len(shown) == 5
    assert "sd_saliency_900" in shown[4]


def test_good_photographs_are_shown_where_the_training_part_has_no_other(root, monkeypatch):
    for name in [f"train/good/{i:03d}" for i in range(8)] + ["test/good/000", "test/hole/000"]:
        path = root / "mvtec_ad" / "bottle" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((20, 20, 3), 99, np.uint8)).save(path)
    mask = root / "mvtec_ad" / "bottle" / "ground_truth" / "hole" / "000_mask.png"
    mask.parent.mkdir(parents=True)
    Image.fromarray(np.full((20, 20), 255, np.uint8)).save(mask)
    shown = []
    monkeypatch.setattr(photographs.plots, "show", lambda figure, alt: shown.append(alt))
    show_real_photographs("mvtec_ad/bottle")
    assert len(shown) == 1


def test_of_an_absent_set_the_way_to_get_it_is_told(root, capsys):
    show_real_photographs("magnetic_tile", "sd_saliency_900")
    said = capsys.readouterr().out
    assert "course data fetch magnetic_tile" in said
    assert "course data fetch sd_saliency_900" in said


def test_drawn_surfaces_are_no_photographs():
    with pytest.raises(ValueError, match="drawn by the course"):
        show_real_photographs("synthetic")
