"""`constraints.txt` and `environment.yml` say the same as the one list in `pyproject.toml`."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version
from ruamel.yaml import YAML

CHECKOUT = Path(__file__).parents[2]
PROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
ENVIRONMENT = YAML(typ="safe", pure=True).load(CHECKOUT / "environment.yml")
INSTALLED = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["dev"]]
OTHER_EXTRAS = [
    requirement
    for extra, requirements in PROJECT["optional-dependencies"].items()
    if extra != "dev"
    for requirement in requirements
]
LINES = [
    line
    for line in (CHECKOUT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
]
VERSIONS = {
    canonicalize_name(name): version for name, _, version in (x.partition("==") for x in LINES)
}


@pytest.mark.parametrize("requirement", INSTALLED)
def test_every_direct_dependency_has_a_tested_version_within_its_bounds(requirement):
    wanted = Requirement(requirement)
    version = VERSIONS.get(canonicalize_name(wanted.name))
    assert version is not None, f"{wanted.name} is missing: make constraints.txt anew"
    assert wanted.specifier.contains(version, prereleases=True), f"{version} is not {wanted}"


def test_what_other_extras_share_with_the_tested_set_is_within_their_bounds():
    for requirement in OTHER_EXTRAS:
        wanted = Requirement(requirement)
        version = VERSIONS.get(canonicalize_name(wanted.name))
        assert version is None or wanted.specifier.contains(version, prereleases=True), requirement


def test_every_line_is_one_public_version_and_none_is_there_twice():
    for line in LINES:
        assert re.fullmatch(r"[A-Za-z0-9][\w.-]*==[\w.!]+", line), (
            line
        )  # no path, no +cpu, no range
        assert Version(line.partition("==")[2])
    assert len(VERSIONS) == len(LINES)


def test_the_project_and_what_only_one_kind_of_machine_has_are_left_out():
    unwanted = ("course-utils", "nvidia", "cuda", "triton")
    assert [name for name in VERSIONS if name.startswith(unwanted)] == []


def test_dependencies_have_a_lower_bound_and_no_pin():
    for requirement in PROJECT["dependencies"]:
        operators = {clause.operator for clause in Requirement(requirement).specifier}
        assert operators == {">="}, requirement


def test_conda_adds_only_python_and_tools_and_leaves_the_rest_to_pyproject():
    assert ENVIRONMENT["channels"] == ["conda-forge"]
    *tools, pip = ENVIRONMENT["dependencies"]
    assert pip == {"pip": ["-e .[dev]"]}
    names = [re.match(r"[a-z-]+", tool).group() for tool in tools]
    assert names == ["python", "pip", "c-compiler", "make"]


def test_conda_takes_a_python_that_pyproject_allows():
    (python,) = [tool for tool in ENVIRONMENT["dependencies"] if str(tool).startswith("python")]
    offered = SpecifierSet(python.removeprefix("python "))
    allowed = SpecifierSet(PROJECT["requires-python"])
    versions = [f"3.{minor}.0" for minor in range(30)]
    assert [v for v in versions if v in offered]
    assert all(v in allowed for v in versions if v in offered)
    first = next(v for v in versions if v in allowed)
    assert first in offered, "the lowest Python of pyproject.toml is offered too"
