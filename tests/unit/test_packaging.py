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


@cache
def imported() -> dict[str, Path]:
    """Every module from elsewhere that the package imports, with a file that does."""
    found: dict[str, Path] = {}
    for path in sorted((CHECKOUT / "course_utils").rglob("*.py")):
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


CLUSTER = [Path(f"course_utils/runs/dask_{name}.py") for name in ("executor", "worker")]
"""Imports what only a cluster needs, and says how to install it."""


def declared(where: Path) -> set[str]:
    extra = PROJECT["optional-dependencies"]["cluster"] if where in CLUSTER else []
    return {
        str(canonicalize_name(Requirement(text).name)) for text in PROJECT["dependencies"] + extra
    }


@pytest.mark.parametrize("module", sorted(imported()))
def test_every_imported_package_is_declared(module: str) -> None:
    providers = {str(canonicalize_name(name)) for name in PROVIDERS.get(module, [])}
    assert providers & declared(imported()[module]), (
        f"{imported()[module]} imports {module}: add its package to pyproject.toml"
    )


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


def test_the_templates_of_the_pages_are_inside_the_package() -> None:
    templates = CHECKOUT / "course_utils" / "runs" / "templates"
    wanted = ["course/conf.json", "course/index.html.j2", "course/page.css", "index_page.html.j2"]
    assert all((templates / name).is_file() for name in wanted)
