"""What the package needs is declared, and what it ships is shipped."""

import ast
import re
import sys
import tomllib
from functools import cache
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

CHECKOUT = Path(__file__).parents[2]
PROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PROVIDERS = metadata.packages_distributions()


NOT_IMPORTED = {
    "ipykernel": "the kernel of the lessons",
    "jupyterlab": "make lab",
    "nbval": "a plugin of pytest",
    "tensorboard": "torch.utils.tensorboard imports it",
}
"""Dependencies that are used without an import, and by what."""


@cache
def imported(folder: str = "course_utils") -> dict[str, Path]:
    """Every module from elsewhere that the files of a folder import, with a file that does."""
    found: dict[str, Path] = {}
    for path in sorted((CHECKOUT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module]
            else:
                continue
            for name in names:
                top = name.partition(".")[0]
                if top != "course_utils" and top not in sys.stdlib_module_names:
                    found.setdefault(top, path.relative_to(CHECKOUT))
    return found


def names(requirements: list[str]) -> set[str]:
    return {str(canonicalize_name(Requirement(text).name)) for text in requirements}


def providers(module: str) -> set[str]:
    return {str(canonicalize_name(name)) for name in PROVIDERS.get(module, [])}


@pytest.mark.parametrize("module", sorted(imported()))
def test_every_imported_package_is_declared(module: str) -> None:
    path = imported()[module]
    # What only a cluster or an export needs is imported by the files that are called after it.
    extras = {"dask_worker": "cluster", "dask_executor": "cluster", "export": "export"}
    extra = PROJECT["optional-dependencies"].get(extras.get(path.stem, ""), [])
    assert providers(module) & names(PROJECT["dependencies"] + extra), (
        f"{path} imports {module}: add its package to pyproject.toml"
    )


def test_every_declared_package_is_imported() -> None:
    modules = {*imported(), *imported("notebooks"), *imported("data_scripts")}
    used = {name for module in modules for name in providers(module)}
    idle = names(PROJECT["dependencies"]) - used
    assert idle == NOT_IMPORTED.keys()


def test_the_makefile_resolves_torch_and_torchvision_together() -> None:
    assert re.search(r"pip install(?:[^\n]*\\\n)*[^\n]*\btorch torchvision\b",
                     (CHECKOUT / "Makefile").read_text())  # fmt: skip


def test_every_command_that_the_makefile_runs_exists() -> None:
    rules = (CHECKOUT / "Makefile").read_text()
    commands = set(re.findall(r"\$\(BIN\)/course (\w+)", rules))
    from course_utils.cli import app

    known = {command.callback.__name__ for command in app.registered_commands if command.callback}
    assert commands <= known | {group.name for group in app.registered_groups}
    scripts = set(re.findall(r"\$\(BIN\)/python (notebooks/\w+\.py)", rules))
    assert scripts
    assert all((CHECKOUT / script).is_file() for script in scripts)
