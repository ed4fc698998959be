"""Each published set, from a stand-in of its archive on a local server to an open data set."""

import dataclasses
import re
from pathlib import Path

import pytest
from local_server import LocalServer
from stand_ins import StandIn, dagm_competition, stand_in

from course_utils.data import DATASETS, find_datasets, open_dataset
from course_utils.fetching import PUBLISHED, choose_parts, install, match_archives, verify
from course_utils.fetching.published import PublishedSet


def fetched(kind: StandIn, root: Path, *texts: str, wanted: str = "") -> list[str]:
    published = kind.published
    given = match_archives(published, texts)
    parts = [part for part in published.parts if wanted in ("", part.name)]
    install(published, choose_parts(published, parts, given), root, given=given)
    return [part.name for part in published.parts if part.is_here(published.info.folder(root))]


def test_every_set_on_disk_can_be_fetched_or_says_how_to_get_it():
    assert set(PUBLISHED) == {name for name, info in DATASETS.items() if info.needs_files}
    for archive in (archive for published in PUBLISHED.values() for archive in published.archives):
        assert archive.urls or archive.by_hand
        assert all(url.startswith(("https://", "http://")) for url in archive.urls)
        assert re.fullmatch("(sha256:[0-9a-f]{64}|md5:[0-9a-f]{32})?", archive.digest)


@pytest.mark.parametrize("name", [n for n, p in PUBLISHED.items() if any(map(p.is_open, p.parts))])
def test_a_set_is_fetched_verified_and_opened(name: str, tmp_path: Path):
    files: dict[str, bytes] = {}
    with LocalServer(files) as server:
        kind = stand_in(name, server.url("").rstrip("/"))
        files.update(kind.files)
        fetched(kind, tmp_path)
    published = kind.published
    for part in published.parts:
        findings = verify(published, part, tmp_path)
        assert not findings.faults
        assert findings.images
        dataset = open_dataset(part.opens, "all", root=tmp_path, size=16, **part.options)
        assert len(dataset) == findings.images
        assert dataset[0].image.shape == (dataset.channels, 16, 16)
    assert {key.partition("/")[0] for key, found in find_datasets(tmp_path).items() if found.images}
    left = [path.name for path in (tmp_path / ".fetching" / name).iterdir()]
    assert left == ["lock"]


def test_severstal_comes_from_a_file_of_the_user(tmp_path: Path):
    kind = stand_in("severstal")
    with pytest.raises(ValueError, match="accepted the rules"):
        choose_parts(kind.published, kind.published.parts, {})
    (name,) = kind.files
    (tmp_path / "mine.zip").write_bytes(kind.files[name])
    fetched(kind, tmp_path, str(tmp_path / "mine.zip"))
    assert not verify(kind.published, kind.published.parts[0], tmp_path).faults
    labels = [open_dataset("severstal", "all", root=tmp_path, size=8)[i].label for i in range(6)]
    assert sorted(labels) == [0, 0, 0, 0, 1, 4]
    assert (tmp_path / "mine.zip").exists()


def test_dagm_takes_the_competition_archive_of_the_user_by_what_it_holds(tmp_path: Path):
    (tmp_path / "dagm.zip").write_bytes(dagm_competition())
    published = with_counts_of(PUBLISHED["dagm"], {"1": 6, "10": 6})
    given = match_archives(published, [str(tmp_path / "dagm.zip")])
    assert list(given) == ["DAGM competition archive"]
    parts = [part for part in published.parts if part.name in ("1", "10")]
    came = install(published, choose_parts(published, parts, given), tmp_path, given=given)
    assert [part.name for part in came] == ["1", "10"]
    assert len(open_dataset("dagm/10", "test", root=tmp_path, size=8)) == 3
    with pytest.raises(FileExistsError, match="Class1"):  # the development layout beside it
        install(published, [p for p in published.parts if p.name == "1"][:1], tmp_path)


def with_counts_of(published: PublishedSet, images: dict[str, int]) -> PublishedSet:
    """Return `published` with competition classes of so many images, one in three defective."""

    def tiny(part):
        if part.name not in images or len(part.archives) > 1:
            return part
        half = images[part.name] // 2
        counts = {p: 2 if "Label" in p else half for p in part.files}
        return dataclasses.replace(part, files=counts, counts={"train": half, "test defective": 1})

    return dataclasses.replace(published, parts=tuple(map(tiny, published.parts)))


def test_published_counts_add_up_to_the_published_totals():
    def total(name: str, *kinds: str) -> int:
        parts = [
            part for part in PUBLISHED[name].parts if name != "dagm" or len(part.archives) == 1
        ]
        return sum(part.counts[kind] for part in parts for kind in kinds or part.counts)

    assert total("mvtec_ad", "train good") == 3629
    assert total("mvtec_ad", "test good") == 467
    assert total("mvtec_ad", "test defective") == 1258
    assert sum(PUBLISHED["kolektor_sdd"].parts[0].counts.values()) == 399
    for name, images in (
        ("magnetic_tile", 1344),
        ("kolektor_sdd2", 3335),
        ("severstal", 12568),
        ("dtd", 5640),
    ):
        assert total(name) == images
    assert total("dagm", "train") == 8050
    assert total("dagm", "train", "test") == 16100
    assert total("dagm", "train defective", "test defective") == 6 * 150 + 4 * 300
