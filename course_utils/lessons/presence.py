"""Who runs this cell: a person in front of a notebook, or a machine?"""

from collections.abc import Mapping
from typing import Any

from IPython.core.getipython import get_ipython


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
    """Return what identifies this one execution of a cell; `None` outside a kernel.

    Example:
        >>> execution_id() is None
        True
    """
    return _request().get("header", {}).get("msg_id")


def _request() -> Mapping[str, Any]:
    kernel = getattr(get_ipython(), "kernel", None)
    return {} if kernel is None else kernel.get_parent("shell")
