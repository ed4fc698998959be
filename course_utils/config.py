"""Profile, device, data root and seeds: the only place that reads environment variables.

- `COURSE_PROFILE`: the profile of lessons that ask for `"auto"`; else `laptop`.
- `COURSE_DATA_ROOT`: the folder of the real data sets; else `data` beside the notebooks.
- `COURSE_CACHE`: the folder of what need not be computed twice; else the user's cache folder.
- `COURSE_DEVICE`: the device to train on, as `cpu` or `cuda:1`; else a GPU where there is one.
"""

import operator
import os
import random
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import torch

MAX_SEED = 2**32 - 1  # the largest that NumPy's legacy generator takes


class Profile(StrEnum):
    """How much work a lesson does."""

    SMOKE = "smoke"
    """Everything runs, within 60 seconds on two CPU cores: for tests."""
    LAPTOP = "laptop"
    """The effect that a lesson teaches is visible, within 10 minutes on four CPU cores."""
    FULL = "full"
    """The papers' settings: wants a GPU."""


def get_profile(name: str = "auto") -> Profile:
    """Return the profile called `name`; `"auto"` asks `COURSE_PROFILE`, else takes `laptop`.

    Raises:
        ValueError: for any other name.

    Example:
        >>> get_profile("smoke")
        <Profile.SMOKE: 'smoke'>
    """
    source = f"profile {name!r}"
    if name == "auto" and (chosen := os.environ.get("COURSE_PROFILE")):
        name, source = chosen, f"COURSE_PROFILE={chosen}"
    if name == "auto":
        name = Profile.LAPTOP
    try:
        return Profile(name)
    except ValueError:
        known = ", ".join(Profile)
        raise ValueError(f"{source} is not a profile: choose one of {known}, or auto") from None


def data_root(root: str | Path | None = None) -> Path:
    """Return the folder that holds the real data sets (it need not exist).

    `root` wins over `COURSE_DATA_ROOT`, which wins over the folder `data` beside the course's
    notebooks, which wins over `data` in the working directory.

    Example:
        >>> data_root("/srv/images").as_posix()
        '/srv/images'
    """
    chosen = root or os.environ.get("COURSE_DATA_ROOT")
    if chosen:
        return Path(chosen).expanduser().absolute()
    checkout = Path(__file__).parent.parent
    return (checkout if (checkout / "notebooks").is_dir() else Path.cwd()) / "data"


def cache_root() -> Path:
    """Return the folder of what need not be computed twice (it need not exist).

    `COURSE_CACHE` wins over `course_utils` in the cache folder of the user, such as `~/.cache`.
    It may be deleted at any time: what is missing is computed anew.

    Example:
        >>> cache_root().is_absolute()
        True
    """
    chosen = os.environ.get("COURSE_CACHE")
    if chosen:
        return Path(chosen).expanduser().absolute()
    from platformdirs import user_cache_path

    return user_cache_path("course_utils", appauthor=False)


def pick_device(name: str = "auto") -> "torch.device":
    """Return the device called `name`; `"auto"` asks `COURSE_DEVICE`, else takes a GPU if any.

    Raises:
        ValueError: when the device is unknown to torch or absent from this machine.

    Example:
        >>> pick_device("cpu")
        device(type='cpu')
    """
    source = f"device {name!r}"
    if name == "auto" and (chosen := os.environ.get("COURSE_DEVICE")):
        name, source = chosen, f"COURSE_DEVICE={chosen}"
    if name == "auto":
        name = _best_device()
    import torch

    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, ModuleNotFoundError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"{source} cannot be used here ({reason}): try cpu") from error
    return device


def visible_gpus() -> list[str]:
    """Return the GPUs that this process may use, by the names that `CUDA_VISIBLE_DEVICES` takes.

    Example:
        >>> all(isinstance(name, str) for name in visible_gpus())
        True
    """
    import torch

    if not torch.cuda.is_available():
        return []
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    count = torch.cuda.device_count()
    names = chosen.split(",") if chosen else map(str, range(count))
    return [name.strip() for name in names if name.strip()][:count]


def python_path() -> list[str]:
    """Return the folders of `PYTHONPATH`.

    Example:
        >>> all(python_path())
        True
    """
    return [folder for folder in os.environ.get("PYTHONPATH", "").split(os.pathsep) if folder]


PRECISION_NAMES = {"bf16-mixed": "bfloat16", "32-true": "float32"}
"""What people call the precisions of Fabric."""


def pick_precision(device: "torch.device") -> str:
    """Return the fastest safe Fabric precision of `device`: `"bf16-mixed"` or `"32-true"`.

    bf16 keeps float32's range, so losses need no scaling. On CPUs without bf16 instructions it
    is emulated and slower than float32, hence the look at the processor.

    Example:
        >>> pick_precision(pick_device("cpu")) in ("bf16-mixed", "32-true")
        True
    """
    import torch

    if device.type == "cuda":
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        fast = device.type == "cpu" and _cpu_has_bf16()
    return "bf16-mixed" if fast else "32-true"


def chosen_threads() -> int | None:
    """Return how many threads `OMP_NUM_THREADS` asks for, or None.

    Example:
        >>> chosen_threads() is None or chosen_threads() >= 0
        True
    """
    given = os.environ.get("OMP_NUM_THREADS", "")
    return int(given) if given.isdecimal() else None


def check_seed(seed: Any) -> int:
    """Return `seed` as an int.

    Raises:
        ValueError: unless it is a whole number in 0 .. 2**32 - 1.

    Example:
        >>> check_seed(-1)
        Traceback (most recent call last):
            ...
        ValueError: seed must be a whole number in 0..4294967295, got -1
    """
    try:
        number = -1 if isinstance(seed, bool) else operator.index(seed)
    except TypeError:
        number = -1
    if not 0 <= number <= MAX_SEED:
        raise ValueError(f"seed must be a whole number in 0..{MAX_SEED}, got {seed!r}")
    return number


def seed_everything(seed: int) -> "np.random.Generator":
    """Seed Python, NumPy and torch, and return a NumPy generator of the same seed.

    Raises:
        ValueError: unless `seed` is a whole number in 0 .. 2**32 - 1.

    Example:
        >>> int(seed_everything(7).integers(100)) == int(seed_everything(7).integers(100))
        True
    """
    import numpy as np
    import torch

    seed = check_seed(seed)
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002  imgaug and torchvision still ask it
    torch.manual_seed(seed)
    return np.random.default_rng(seed)


def _best_device() -> str:
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _cpu_has_bf16() -> bool:
    import torch

    supports = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return bool(supports and supports())
