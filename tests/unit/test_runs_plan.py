"""A plan file becomes tasks, or one error that names all that is wrong in it, line by line."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import nbformat
import pytest
from few_images import write_images
from nbformat.v4 import new_code_cell, new_markdown_cell
from tiny_notebooks import write_lesson

from course_utils.data import DATASETS, data_fingerprint
from course_utils.runs import Limits, Task, plan_file
from course_utils.runs.fingerprints import (
    fingerprint_sources,
    notebook_fingerprint,
    package_fingerprint,
)
from course_utils.runs.plan import Plan, estimate, read_plan
from course_utils.runs.plan_fields import MAX_RUNS, ExecutorFields
from course_utils.runs.plan_file import PlanFile

Read = Callable[[str], Plan]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three lessons in `notebooks`, no data set in `data`."""
    monkeypatch.delenv("COURSE_PROFILE", raising=False)
    monkeypatch.setenv("COURSE_DATA_ROOT", str(tmp_path / "data"))
    notebooks = tmp_path / "notebooks"
    write_lesson(notebooks, "01_first", "print(seed)")
    write_lesson(notebooks, "02_second", "print(gamma)")
    path = write_lesson(notebooks, "03_fixed", "print(1)")
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[1].source = "steps = 3\nfast = True\nsides = [8, 16]\nanything = None"
    nbformat.write(notebook, path)
    return tmp_path


@pytest.fixture
def read(place: Path) -> Read:
    def read(text: str) -> Plan:
        path = place / "plan.yml"
        path.write_text(dedent(text), encoding="utf-8")
        return read_plan(path, notebooks=place / "notebooks")

    return read


@pytest.fixture
def errors(read: Read, place: Path) -> Callable[[str], list[str]]:
    """The lines of the error on a plan, without the folder of the file."""

    def errors(text: str) -> list[str]:
        with pytest.raises(ValueError, match=r"plan\.yml") as caught:
            read(text)
        return re.split(r"\n  (?! )", str(caught.value).replace(f"{place}{os.sep}", ""))

    return errors


def parameters(plan: Plan) -> list[dict]:
    return [dict(task.parameters) for task in plan.tasks]


def test_each_list_is_crossed_with_the_others_and_with_the_seeds(read: Read) -> None:
    plan = read("""
        profile: smoke
        seeds: [0, 1]
        runs:
          - lessons: ["01", 02_second]
            parameters: {gamma: [1.0, 2], dataset: synthetic}
    """)
    wanted = [
        ("0" + n, {"profile": "smoke", "dataset": "synthetic", "seed": seed, "gamma": gamma})
        for n in "12"
        for gamma in (1.0, 2.0)
        for seed in (0, 1)
    ]
    assert [(task.lesson[:2], task.parameters) for task in plan.tasks] == wanted
    assert all(type(one["gamma"]) is float for one in parameters(plan))
    assert len({task.id for task in plan.tasks}) == 8
    assert plan.notes == ()


def test_what_a_plan_leaves_out_has_defaults(read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = read("runs: [{lesson: 1}]")
    (task,) = plan.tasks
    assert (plan.name, plan.profile, plan.retries) == ("plan", "laptop", 0)
    assert plan.executor == ExecutorFields()
    assert task.parameters == {"profile": "laptop", "dataset": "synthetic", "seed": 0}
    assert (task.limits, task.attempt) == (Limits(), 1)
    monkeypatch.setenv("COURSE_PROFILE", "smoke")
    assert parameters(read("runs: [{lesson: 1}]"))[0]["profile"] == "smoke"


@pytest.mark.parametrize("name", ["1", "01_first.ipynb", '"01"'])
def test_a_lesson_goes_by_number_name_or_file(read: Read, name: str) -> None:
    assert [task.lesson for task in read(f"runs: [{{lesson: {name}}}]").tasks] == ["01_first"]


def test_the_rest_of_a_plan_is_read(read: Read) -> None:
    plan = read("""
        name: unet and memseg
        runs: [{lesson: 1, seeds: 3-5}]
        retries: 1
        executor: {kind: dask, scheduler: "tcp://10.0.0.1:8786"}
    """)
    assert (plan.name, plan.retries) == ("unet and memseg", 1)
    assert plan.executor == ExecutorFields(kind="dask", scheduler="tcp://10.0.0.1:8786")
    assert [one["seed"] for one in parameters(plan)] == [3, 4, 5]


def test_limits_of_a_run_replace_those_of_the_plan_one_by_one(read: Read) -> None:
    plan = read("""
        limits: {seconds: 600, memory_gb: 4, written_gb: 2, cell_seconds: 60}
        runs:
          - lesson: 1
          - lesson: 2
            limits: {seconds: 300, written_gb: null, cell_seconds: 9.5}
    """)
    assert [t.limits for t in plan.tasks] == [
        Limits(600, 4, 2, 60),
        Limits(300, 4, None, 9.5),
    ]


def test_a_notebook_without_a_seed_is_run_once_and_told(read: Read) -> None:
    plan = read("seeds: 0-4\nprofile: smoke\nruns: [{lesson: 3}]")
    assert parameters(plan) == [{}]
    assert plan.notes == (
        "03_fixed has no parameter seed: run once, not for each seed",
        "03_fixed has no parameter profile: run as it is",
    )
    assert read("runs: [{lesson: 3}]").notes == ()  # nothing was asked that it cannot do


def test_a_task_that_stands_twice_is_made_once_and_told(read: Read) -> None:
    plan = read("""\
        runs:
          - lesson: 1
            seeds: 0-2
          - lesson: 1
            seeds: [2, 3]
            parameters: {gamma: 2.0, dataset: synthetic}  # the notebook's own
            limits: {seconds: 1}
    """)
    assert [one["seed"] for one in parameters(plan)] == [0, 1, 2, 3]
    assert {task.limits.seconds for task in plan.tasks[:3]} == {3600}
    assert plan.notes == (
        "line 4, runs[1]: 1 of its runs is there already, from runs[0] in line 2: made once, as "
        "they stand there",
    )


def test_all_mistakes_of_a_file_are_told_at_once_with_line_and_field(errors) -> None:
    assert errors("""\
        profile: tiny
        sedes: [1]
        runs:
          - lesson: "09"
          - lessons: ["01"]
            parameters:
              gamma: [1.0, "3", fast]
              gama: 3
          - lesson: 1
            parameters: {seed: [1]}
          - lesson: 3
            parameters: {fast: yes, steps: 2.5, sides: [8, 16]}
          - lesson: 1
            parameters:
              dataset:
                - synthetic
                - magnetic_tiles
          - seeds: []
            lesson: 1
          - 3
        limits:
          seconds: 0
        retries: true
    """) == [
        "plan.yml has 16 mistakes:",
        "plan.yml:1: profile: got \"tiny\", wanted 'auto', 'smoke', 'laptop' or 'full'",
        "plan.yml:2: sedes: unknown field (did you mean seeds?): there can be name, profile, "
        "seeds, runs, limits, retries, executor",
        "plan.yml:4: runs[0].lesson: unknown lesson '09': the lessons are 01_first, 02_second, "
        "03_fixed",
        'plan.yml:7: runs[1].parameters.gamma[1]: got "3", wanted a number such as 2.0 of '
        "01_first: without quotes, in decimals",
        'plan.yml:7: runs[1].parameters.gamma[2]: got "fast", wanted a number such as 2.0 of '
        "01_first: without quotes, in decimals",
        "plan.yml:8: runs[1].parameters.gama: 01_first has no such parameter: it has profile, "
        "dataset, seed, gamma",
        "plan.yml:10: runs[2].parameters: got a mapping, wanted seeds: beside parameters:, so that "
        "results are gathered over them",
        'plan.yml:12: runs[3].parameters.fast: got "yes", wanted true or false such as true of '
        "03_fixed",
        "plan.yml:12: runs[3].parameters.sides[0]: got 8, wanted a list such as [8, 16] of "
        "03_fixed: write it in the list of its values",
        "plan.yml:12: runs[3].parameters.sides[1]: got 16, wanted a list such as [8, 16] of "
        "03_fixed: write it in the list of its values",
        "plan.yml:12: runs[3].parameters.steps: got 2.5, wanted a whole number such as 3 of "
        "03_fixed",
        'plan.yml:17: runs[4].parameters.dataset[1]: got "magnetic_tiles": '
        "data set 'magnetic_tiles' is unknown: choose one of "
        f"{', '.join(DATASETS)}, or folder:<path>. Did you mean magnetic_tile?",
        "plan.yml:18: runs[5].seeds: got [], wanted a list with at least one thing in it",
        "plan.yml:20: runs[6]: got 3, wanted a mapping",
        "plan.yml:22: limits.seconds: got 0, wanted greater than 0",
        "plan.yml:23: retries: got true, wanted a whole number",
    ]


@pytest.mark.parametrize(
    ("text", "line", "wanted"),
    [
        ("runs: []", 1, "runs: got [], wanted a list with at least one thing in it"),
        ("name: x", 1, "runs: is missing"),
        ("runs:", 1, "runs: got nothing, wanted a list"),
        ("- 1", 1, "got [1], wanted a mapping"),
        ("just words", 1, 'got "just words", wanted a mapping'),
        ("runs: [{lesson: 1}]\nname: ../x", 2, 'name: got "../x", wanted 1 to 100 letters'),
        ("runs: [{lesson: 1}]\nname: 7", 2, "name: got 7, wanted text: put it in quotes"),
        ("runs: [{lesson: 1}]\nseeds: 3", 2, "seeds: got 3, wanted a list such as [3], or"),
        ("runs: [{lesson: 1}]\nseeds: 4-2", 2, 'seeds: got "4-2", wanted a range of rising'),
        ("runs: [{lesson: 1}]\nseeds: [0,\n  -1]", 3, "seeds[1]: got -1, wanted greater than"),
        ("runs: [{lesson: 1}]\nseeds: ['1']", 2, 'seeds[0]: got "1", wanted a whole number'),
        ("runs: [{lesson: 1}]\nseeds: [1.0]", 2, "seeds[0]: got 1.0, wanted a whole number"),
        ("runs: [{lesson: 1}]\nseeds: 0-99999", 2, f"at most {MAX_RUNS} seeds"),
        ("runs: [{}]", 1, "runs[0]: got a mapping, wanted either lesson or lessons"),
        ("runs:\n- lesson: 1\n  lessons: [2]", 2, "runs[0]: got a mapping, wanted either lesson"),
        ("runs:\n- lesson: 1.5", 2, "runs[0].lesson: got 1.5, wanted text"),
        ("runs:\n- lesson: 1\n  parameters: [gamma]", 3, 'got ["gamma"], wanted a mapping'),
        ("runs:\n- lesson: 1\n  parameters: {gamma: []}", 3, "wanted at least one value of gamma"),
        ("runs:\n- lesson: 1\n  limits: {mem: 1}", 3, "runs[0].limits.mem: unknown field: there"),
        ("runs:\n- lesson: 1\n  parameters: {profile: [smoke, tiny]}", 3, "profile 'tiny' is not"),
        ("runs:\n- lesson: 1\n  parameters: {dataset: 1}", 3, "got 1, wanted text such as"),
        ("runs:\n- lesson: 3\n  parameters: {steps: true}", 3, "got true, wanted a whole number"),
        ("runs:\n- lesson: 1\n  parameters: {gamma: true}", 3, "got true, wanted a number"),
        ("runs:\n- lesson: 1\n  parameters: {gamma: 1e999}", 3, 'got "1e999", wanted a number'),
        ("runs: [{lesson: 1}]\nlimits: {seconds: .inf}", 2, 'seconds: got ".inf", wanted a number'),
        ("runs: [{lesson: 1}]\nexecutor: {workers: 2}", 2, "executor: got a mapping, wanted kind"),
        ("runs: [{lesson: 1}]\nexecutor: dask", 2, 'executor: got "dask", wanted a mapping'),
        ("runs: [{lesson: 1}]\nexecutor: {kind: slurm}", 2, 'executor.kind: got "slurm", wanted'),
        ("runs: [{lesson: 1}]\nexecutor: {kind: dask, scheduler: here}", 2, "an address such as"),
    ],
)  # fmt: skip
def test_each_mistake_is_told_with_what_was_given_and_what_is_wanted(
    errors, text: str, line: int, wanted: str
) -> None:
    _, row = errors(text)
    assert row.startswith(f"plan.yml:{line}: ")
    assert wanted in row


def test_a_plan_of_too_many_runs_is_refused_before_they_are_made(errors) -> None:
    _, row = errors("""
        runs:
          - lesson: 1
            seeds: 0-999
            parameters: {gamma: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]}
    """)
    assert row == "plan.yml:3: runs[0]: makes the plan larger than 10000 runs: split it"


def test_a_combination_that_a_lesson_refuses_is_told_at_its_parameter(tmp_path: Path) -> None:
    path = tmp_path / "plan.yml"
    path.write_text(
        "runs:\n- lesson: 7\n  parameters:\n    dataset: [synthetic, bottles]\n    fold: [0, 1]\n"
    )
    with pytest.raises(ValueError, match="mistakes") as caught:
        read_plan(path)
    assert str(caught.value).replace(str(path), "plan.yml").split("\n  ")[1:] == [
        'plan.yml:4: runs[0].parameters.dataset[1]: got "bottles", wanted synthetic or '
        "kolektor_sdd or dagm/<name> or severstal or magnetic_tile or folder:<path>",
        "plan.yml:5: runs[0].parameters.fold[1]: got 1, wanted 0: only kolektor_sdd has folds, and "
        "the data set is synthetic",
    ]


def test_the_lessons_of_the_course_make_tasks(tmp_path: Path) -> None:
    path = tmp_path / "plan.yml"
    path.write_text(
        "profile: smoke\nseeds: 0-2\nruns: [{lessons: [3, '06', 07_two_stage_training]}]"
    )
    tasks = read_plan(path).tasks
    assert [task.lesson[:2] for task in tasks] == ["03"] * 3 + ["06"] * 3 + ["07"] * 3
    assert len({task.id for task in tasks}) == 9
    for task in tasks:
        notebook = nbformat.reads(task.notebook, as_version=4)
        assert not any(cell.get("outputs") for cell in notebook.cells)
        assert len(task.notebook) < 200_000


def test_a_set_that_is_not_on_disk_is_a_mistake_with_the_command_that_fetches_it(
    errors, place: Path
) -> None:
    (place / "data" / "mvtec_ad" / "bottle" / "train").mkdir(parents=True)
    _, tile, bottle, folder = errors("""\
        runs:
          - lesson: 1
            parameters:
              dataset: magnetic_tile
          - lesson: 1
            parameters: {dataset: mvtec_ad/nut}
          - lesson: 1
            parameters: {dataset: "folder:mine"}
    """)
    assert tile.startswith('plan.yml:4: runs[0].parameters.dataset: got "magnetic_tile": ')
    assert "course data fetch magnetic_tile" in tile
    assert bottle.startswith("plan.yml:6: ")
    assert "course data fetch mvtec_ad/nut" in bottle
    assert folder.startswith("plan.yml:8: ")
    assert "mine does not exist" in folder


def test_a_folder_of_images_starts_at_the_plan(read: Read, place: Path) -> None:
    write_images(place / "mine", count=2)
    (task,) = read("runs: [{lesson: 1, parameters: {dataset: 'folder:mine'}}]").tasks
    assert task.parameters["dataset"] == f"folder:{place / 'mine'}"


@pytest.mark.parametrize("content", ["garbage", "[]", "{}", "3", '{"cells": 3, "nbformat": 4}'])
def test_a_corrupt_notebook_is_a_mistake_of_the_run_that_names_it(
    place: Path, errors, content: str
) -> None:
    (place / "notebooks" / "04_corrupt.ipynb").write_text(content)
    _, row = errors("runs:\n- lesson: 1\n- lesson: 4")
    assert row.startswith("plan.yml:3: runs[1].lesson: ")
    assert "read as a notebook" in row


# What a task is named by


def test_ids_change_with_parameters_seed_code_and_data_and_with_nothing_else(
    read: Read, place: Path
) -> None:
    write_images(place / "mine", count=2)
    text = "runs: [{lesson: 1, seeds: [0, 1], parameters: {dataset: ['folder:mine', synthetic]}}]"
    first = [task.id for task in read(text).tasks]
    assert len(set(first)) == 4
    assert [task.id for task in read(f"# moved\nretries: 3\n{text}").tasks] == first

    mask = next((place / "mine" / "masks").iterdir())
    os.utime(mask, ns=(1, 1))
    second = [task.id for task in read(text).tasks]
    assert set(second[:2]).isdisjoint(first)
    assert second[2:] == first[2:]

    write_lesson(place / "notebooks", "01_first", "print(seed + 1)")
    assert set(task.id for task in read(text).tasks).isdisjoint(second)


def test_a_value_that_is_the_notebooks_own_makes_the_same_work_as_none(read: Read) -> None:
    (left_out,) = read("runs: [{lesson: 1}]").tasks
    (given,) = read("runs: [{lesson: 1, parameters: {gamma: 2}}]").tasks
    (other,) = read("runs: [{lesson: 1, parameters: {gamma: 3}}]").tasks
    assert left_out.id == given.id != other.id


def test_the_code_of_a_notebook_is_its_code_cells_without_outputs_and_prose(place: Path) -> None:
    path = place / "notebooks" / "01_first.ipynb"
    notebook = nbformat.read(path, as_version=4)

    def name() -> str:
        return notebook_fingerprint(nbformat.writes(notebook))

    names = [name()]
    notebook.cells[2].outputs = [nbformat.v4.new_output("stream", text="7\n")]
    notebook.cells[2].execution_count = 3
    notebook.cells[2].metadata.tags = ["nbval-check-output"]
    notebook.cells[0].source = "# Another title"
    notebook.cells.append(new_markdown_cell("More."))
    assert name() == names[0]
    notebook.cells[2].metadata.tags = ["raises-exception"]
    names.append(name())
    for source in ("a\nb", "a", "b"):
        notebook.cells[2].source = source
        names.append(name())
    notebook.cells.append(new_code_cell("a"))
    names.append(name())
    assert len(set(names)) == 6


def test_the_package_is_its_sources_and_weights(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    files = [tmp_path / "a.py", tmp_path / "inner" / "b.py", tmp_path / "inner" / "c.safetensors"]
    names = []
    for file in files:
        file.write_bytes(b"1")
        names.append(fingerprint_sources(tmp_path))
    files[2].write_bytes(b"2")
    names.append(fingerprint_sources(tmp_path))
    files[1].rename(tmp_path / "inner" / "d.py")
    names.append(fingerprint_sources(tmp_path))
    assert len(set(names)) == 5
    (tmp_path / "inner" / "b.pyc").write_bytes(b"1")
    assert fingerprint_sources(tmp_path) == names[-1]
    assert package_fingerprint() == package_fingerprint() != names[-1]


def test_a_data_set_is_the_files_of_its_folder_wherever_that_lies(tmp_path: Path) -> None:
    name = write_images(tmp_path / "mine", count=2)
    first = data_fingerprint(name)
    (tmp_path / "mine").rename(tmp_path / "moved")
    moved = f"folder:{tmp_path / 'moved'}"
    (tmp_path / "moved" / ".DS_Store").touch()
    assert data_fingerprint(moved) == first
    (tmp_path / "moved" / "classes.txt").write_text("crack\n")
    assert data_fingerprint(moved) != first


def test_what_lies_beside_the_images_of_a_set_belongs_to_it(tmp_path: Path) -> None:
    folder = tmp_path / "kolektor_sdd"
    (folder / "kos01").mkdir(parents=True)
    for file in ("Part0.jpg", "Part0_label.bmp"):
        (folder / "kos01" / file).touch()
    first = data_fingerprint("kolektor_sdd", tmp_path)
    (folder / "split.pyb").touch()
    second = data_fingerprint("kolektor_sdd", tmp_path)
    (folder / "kos01" / "Part0.jpg").write_bytes(b"1")
    assert len({first, second, data_fingerprint("kolektor_sdd", tmp_path)}) == 3
    with pytest.raises(ValueError, match="unknown"):
        data_fingerprint("kolektor_sdd/kos01", tmp_path)
    with pytest.raises(FileNotFoundError, match="course data fetch mvtec_ad"):
        data_fingerprint("mvtec_ad/bottle", tmp_path)


# The file itself


def load(folder: Path, text: str | bytes) -> PlanFile:
    path = folder / "plan.yml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return PlanFile(path)


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("yes", "yes"), ("no", "no"), ("on", "on"), ("010", 10), ("1:30", "1:30"), ("1e-3", 1e-3),
        ("2026-11-21", "2026-11-21"), ("true", True), ("False", False), ("null", None), ("~", None),
        ("", None), ("'3'", "3"), ("-3", -3), ("1.", 1.0), (".5", 0.5), ("!!str 3", "3"),
        (".nan", ".nan"), ("1e999", "1e999"), ("9" * 5000, "9" * 5000), ("!!int three", "three"),
        ("[1, [a]]", [1, ["a"]]), ("{on: 1}", {"on": 1}),
    ],
)  # fmt: skip
def test_scalars_are_plain_ones_of_yaml_1_2(tmp_path: Path, written: str, value: object) -> None:
    got = load(tmp_path, f"a: {written}").values["a"]
    assert got == value
    assert type(got) is type(value)


def test_an_anchor_stands_for_its_value_wherever_it_is_named(read: Read) -> None:
    plan = read("""
        runs:
          - {lesson: 1, parameters: &grid {gamma: [1.5]}}
          - {lesson: 2, parameters: *grid}
    """)
    assert [one["gamma"] for one in parameters(plan)] == [1.5, 1.5]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r" is empty"),
        ("# only this\n", r" is empty"),
        ("a: 1\nb:\n\t- 2", r":3: this is no YAML: .*not with tabs"),
        ("a: [1", r":1: this is no YAML: "),
        ("a: 1\n---\nb: 2", r":2: this is no YAML: .*single document"),
        ("a: *b", r":1: this is no YAML: .*undefined alias"),
        (b"a: 1\n\x89PNG\xff", r":2: not UTF-8"),
        (b"a: 1\nb: \x00", r":2: a character is not allowed in YAML: .*#x0000"),
        ("[" * 1500, r":1: this is nested too deeply"),
        ("a: " + "1" * 1_000_001, r" is larger than 1 MB"),
        ("a: 1\nb: 2\na: 3", r':3: this is no YAML: found duplicate key "a" .*original value: "1"'),
        ("a:\n  - b: 1\n    b: 2", r':3: this is no YAML: found duplicate key "b"'),
        ("x: &x {a: 1}\ny:\n  <<: *x", r":3: YAML 1\.2 has no merge keys"),
        ("a: !!python/object/apply:os.getcwd []", ":1: the tag .* is not allowed"),
        ("a: !!binary aGk=", ":1: the tag .* is not allowed"),
        ("a: !!set {b}", ":1: the tag .* is not allowed"),
        ("a: !!map [1]", ":1: expected a mapping"),
        ("a: &a\n  - *a", ":1: an alias of what it stands in"),
        ("a: 1\n3: 4", ":2: the name 3 of a field must be text: put it in quotes"),
        ("[1]: 4", ":1: the name of a field must be text"),
        ('a: "\\ud800"', ":1: half of a surrogate pair"),
    ],
)
def test_what_a_plan_has_no_use_for_is_refused_with_its_line(
    tmp_path: Path, text: str | bytes, message: str
) -> None:
    with pytest.raises(ValueError, match=rf"plan\.yml{message}"):
        load(tmp_path, text)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"there is no file .*nowhere\.yml"):
        read_plan(tmp_path / "nowhere.yml", notebooks=tmp_path)


def test_a_bomb_of_aliases_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan_file, "MAX_VALUES", 1000)
    levels = [f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 9)}]" for i in range(1, 9)]
    with pytest.raises(ValueError, match="more than 1000 values, with what its aliases repeat"):
        load(tmp_path, "\n".join(["l0: &l0 lol", *levels]))


# The estimate


def some_tasks(*pairs: tuple[str, str]) -> list[Task]:
    return [Task(str(i), lesson, "", {"dataset": data}) for i, (lesson, data) in enumerate(pairs)]


def test_workers_take_the_tasks_in_their_order() -> None:
    tasks = some_tasks(("a", "x"), ("b", "x"), ("a", "x"), ("c", "x"))
    lengths = {("a", "x"): 10.0, ("b", "x"): 25.0, ("c", "x"): 1.0}
    got = estimate(tasks, lengths, workers=2)  # 10 + 10 + 1 beside 25
    assert (got.work, got.wall_clock, got.known, got.unknown) == (46.0, 25.0, 4, 0)
    assert estimate(tasks, lengths, workers=1).wall_clock == 46.0
    assert estimate(tasks, lengths, workers=100).wall_clock == 25.0


def test_a_lesson_stands_in_for_a_data_set_that_was_never_run() -> None:
    tasks = some_tasks(("a", "new"), ("b", "new"), ("c", "new"))
    lengths = {("a", "x"): 10.0, ("a", "y"): 20.0, ("b", ""): 7.0, ("b", "x"): 99.0}
    got = estimate(tasks, lengths, workers=1)
    assert (got.work, got.known, got.unknown) == (22.0, 2, 1)
    assert estimate(tasks[2:], lengths, workers=3).wall_clock == 0.0
    with pytest.raises(ValueError, match="at least 1"):
        estimate(tasks, lengths, workers=0)
