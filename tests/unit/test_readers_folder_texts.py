"""classes.txt and groups.csv as people's editors and spreadsheets write them."""

import codecs
import unicodedata

import numpy as np
import pytest
from folder_cases import mark, masks_of, names_of, opened, save, surface, write_case


def write_two_classes(folder):
    return write_case(
        folder, write_mask=lambda mask, path: save(mask * np.uint8(1 + int(path.stem) % 2), path)
    )


def class_names(folder, content):
    (folder / "classes.txt").write_bytes(content)
    dataset = opened(folder)
    assert dataset.class_names[0] == "background"
    return dataset.class_names[1:], dataset.split_note


ENCODED = {
    "UTF-8": (["Riß", "Größe"], "utf-8", b""),
    "UTF-8 with a mark": (["Riß", "Größe"], "utf-8", codecs.BOM_UTF8),
    "UTF-16 with a mark": (["scratch", "dent"], "utf-16", b""),
    "UTF-16, big end first": (["scratch", "Riß"], "utf-16-be", codecs.BOM_UTF16_BE),
    "UTF-16 without a mark": (["scratch", "Riß"], "utf-16-le", b""),
    "UTF-16, big end first, without": (["scratch", "dent"], "utf-16-be", b""),
    "UTF-16 Chinese with a mark": (["划痕", "凹坑"], "utf-16", b""),
    "UTF-8 Chinese": (["划痕", "凹坑"], "utf-8", b""),
    "Latin-1": (["Riß", "Kratzer über Kante"], "latin-1", b""),
    "Windows-1252": (["Größe", "Écaille \u2013 fine"], "cp1252", b""),
    "French": (["piqûre", "éraflure légère"], "latin-1", b""),
    "GBK": (["划痕", "凹坑"], "gbk", b""),
    "GBK with ASCII": (["scratch划痕", "dent"], "gbk", b""),
}


@pytest.mark.parametrize(("names", "encoding", "start"), ENCODED.values(), ids=ENCODED)
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_names_are_read_in_every_usual_encoding(tmp_path, names, encoding, start, line_end):
    write_two_classes(tmp_path)
    text = line_end.join([*names, "", ""])
    found, note = class_names(tmp_path, start + text.encode(encoding))
    assert list(found) == names
    guessed = encoding in ("latin-1", "cp1252", "gbk")
    assert ("classes.txt is not UTF-8 and was read as" in note) == guessed
    assert not guessed or f"{', '.join(names)}. If that looks wrong, save it as UTF-8." in note


@pytest.mark.parametrize("content", [b"dent\n\x81\n", b"dent\n\x8d\xff", codecs.BOM_UTF8 + b"\xff"])
def test_bytes_in_no_known_encoding_name_the_file_and_the_cure(tmp_path, content):
    write_two_classes(tmp_path)
    with pytest.raises(
        ValueError, match=r"classes\.txt is no text that can be read: save it as UTF"
    ):
        class_names(tmp_path, content)


def test_names_of_macos_come_composed(tmp_path):
    write_two_classes(tmp_path)
    content = unicodedata.normalize("NFD", "Größe\ndent").encode()
    assert class_names(tmp_path, content)[0] == ("Größe", "dent")


@pytest.mark.parametrize(
    ("first", "said"),
    [
        (["__ignore__", "_background_"], "begins with __ignore__ and _background_, no class"),
        (["_background_"], "begins with _background_, no class"),
        (["background"], "begins with background, no class"),
        (["BACKGROUND"], "begins with BACKGROUND, no class"),
        (["__background__"], "begins with __background__, no class"),
        (["__ignore__"], "begins with __ignore__, no class"),
        (["__IGNORE__", "Background"], "begins with __IGNORE__ and Background, no class"),
    ],
)
def test_what_labelme_puts_first_is_dropped_and_said(tmp_path, first, said):
    write_two_classes(tmp_path)
    found, note = class_names(tmp_path, "\n".join([*first, "scratch", "dent"]).encode())
    assert found == ("scratch", "dent")
    assert f"{said} of defect: value 1 of a mask is scratch." in note


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("_background_\n__ignore__\npit", "names __ignore__ after a class"),
        ("pit\n_background_", "names _background_ after a class"),
        ("__ignore__\n_background_\n", "must hold 1 to 254 different names"),
        ("", "must hold 1 to 255 different names"),
        ("pit\n\ndent", "no empty line"),
        ("pit\npit", "different names"),
    ],
)
def test_faulty_lists_of_classes_are_refused(tmp_path, content, message):
    write_case(tmp_path)
    with pytest.raises(ValueError, match=message):
        class_names(tmp_path, content.encode())


def group_names(folder):
    dataset = opened(folder)
    return dict(zip(names_of(dataset), dataset.groups, strict=True)), dataset.split_note


STATED = [f"images/{number}.png" for number in range(6)] + [
    f"good/{number}.png" for number in range(3)
]


def table(separator=",", header="file,group", name=lambda name: name, group=lambda i: i // 3):
    lines = [header, *(f"{name(one)},{group(i)}" for i, one in enumerate(STATED))]
    return "\n".join(lines).replace(",", separator)


@pytest.mark.parametrize(
    "content",
    [
        table().encode(),
        table(";").encode("utf-8-sig"),
        table("\t").encode("utf-16"),
        ("sep=;\n" + table(";")).encode(),
        table(header="File, Group").encode(),
        table().replace("\n", "\r\n").encode("cp1252") + b"\r\n,\r\n\r\n",
        table(name=lambda name: name.replace("/", "\\")).encode(),
        table(name=lambda name: "./" + name.upper()).encode(),
        table(name=lambda name: name.removesuffix(".png")).encode(),
        table(header="number;file;group", name=lambda n: f"1;{n}").replace(",", ";").encode(),
        table(group=lambda i: f'"part {i // 3}, ""left"""').encode(),
    ],
)
def test_stated_groups_replace_looks(tmp_path, content):
    write_case(tmp_path)
    save(surface(0), tmp_path / "images" / "5.png")  # looks like 0.png, and stated as another
    (tmp_path / "groups.csv").write_bytes(content)
    groups, note = group_names(tmp_path)
    assert [groups[name] for name in STATED] == [STATED[3 * (i // 3)] for i in range(9)]
    assert (
        "9 images in 3 groups (groups.csv) were split 60/20/20"
        in opened(tmp_path, "val").split_note
    )
    assert "fixed camera" not in note


def test_a_bare_name_will_do_where_it_fits_one_image(tmp_path):
    write_case(tmp_path, good=0)
    (tmp_path / "groups.csv").write_text(
        "file,group\n" + "\n".join(f"{number}.png,{number % 2}" for number in range(6))
    )
    assert len(set(group_names(tmp_path)[0].values())) == 2
    with pytest.raises(ValueError, match=r"2 groups cannot fill 3 parts .* state yourself"):
        opened(tmp_path, "train")


def test_lines_on_images_that_are_not_there_are_counted(tmp_path):
    write_case(tmp_path)
    content = table() + "\nimages/77.png,1\nimages/78.png,1"
    (tmp_path / "groups.csv").write_text(content)
    note = group_names(tmp_path)[1]
    assert "groups.csv names 2 files that are not here, such as images/77.png." in note


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"groups\.csv begins with '': want a first line with the columns file,group"),
        ("images/0.png,1\nimages/1.png,1", "want a first line with the columns file,group"),
        (table(header="file,item"), "want a first line with the columns"),
        (table().replace("good/2.png,2", "good/9.png,2"), r"names no group for good/2\.png: add"),
        (table().replace("good/2.png,2", "good/2.png,"), r"line 10 gives good/2\.png no group"),
        (table() + "\ngood/2.png,1", r"line 11: good/2\.png is in group 2 already"),
        (table() + "\n1.png,1", r"line 11: 1\.png is the name of several images, write images/1"),
        ("sep=,\n" + table() + "\ngood/2.png,1", "line 12: good"),
    ],
)
def test_a_faulty_table_of_groups_is_refused_line_by_line(tmp_path, content, message):
    write_case(tmp_path)
    (tmp_path / "groups.csv").write_text(content)
    with pytest.raises(ValueError, match=message):
        opened(tmp_path)


def test_stated_groups_that_stated_parts_cut_are_said(tmp_path):
    for number, part in enumerate(("train", "val", "test")):
        for index in range(3):
            save(surface(10 * number + index), tmp_path / part / "good" / f"{part}{index}.png")
    lines = [
        f"{part}{index}.png,{index}" for part in ("train", "val", "test") for index in range(3)
    ]
    (tmp_path / "groups.csv").write_text("\n".join(["file,group", *lines]))
    note = opened(tmp_path, "val").split_note
    assert "3 images of val, such as val/good/val0.png, share a group (groups.csv) with" in note
    assert "3 images of test" in note


def test_masks_are_still_those_of_their_images(tmp_path):
    write_two_classes(tmp_path)
    class_names(tmp_path, "Riß\r\ndent".encode("utf-16"))
    for number, mask in enumerate(masks_of(opened(tmp_path))):
        assert np.array_equal(mask, mark(number) * (1 + number % 2))
