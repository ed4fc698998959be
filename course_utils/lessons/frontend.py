"""The notebook that a cell runs in: does a person watch, which execution is it, show this."""

from collections.abc import Mapping
from typing import Any

from IPython.core.getipython import get_ipython
from IPython.core.interactiveshell import InteractiveShell
from IPython.display import display


def is_interactive() -> bool:
    """Return whether the running cell was started by somebody who can answer.

    JupyterLab, Notebook and VS Code offer to pass on keyboard input with each cell. papermill,
    nbclient, nbconvert and nbval do not, and outside a notebook there is no such request.

    Example:
        >>> is_interactive()
        False
    """
    return bool(_request().get("content", {}).get("allow_stdin", False))


def execution_id() -> str | None:
    """Return what identifies this one execution of a cell; `None` outside a kernel."""
    return _request().get("header", {}).get("msg_id")


def show_bundle(bundle: Mapping[str, object]) -> None:
    """Display a MIME bundle; outside IPython print its `text/plain`.

    Example:
        >>> show_bundle({"text/plain": "hello"})
        hello
    """
    if InteractiveShell.initialized():
        display(dict(bundle), raw=True)
    else:
        print(bundle["text/plain"])


def _request() -> Mapping[str, Any]:
    kernel = getattr(get_ipython(), "kernel", None)
    return {} if kernel is None else kernel.get_parent("shell")
