"""The states of all random generators that a training run draws from."""

import random
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch

Generator = torch.Generator | np.random.Generator | random.Random


def random_states(
    device: torch.device | str = "cpu", generators: Sequence[Generator] = ()
) -> dict[str, Any]:
    """Return the states of Python's, NumPy's and torch's global generators, and of `generators`.

    Of the global generators of GPUs, that of `device` is looked at. The result is made of tensors
    and plain containers, which `torch.load` reads without running code.

    Example:
        >>> states = random_states()
        >>> first = torch.rand(1)
        >>> set_random_states(states)
        >>> bool(torch.rand(1) == first)
        True
    """
    device = torch.device(device)
    states: dict[str, Any] = {
        "python": random.getstate(),
        "numpy": _plain(np.random.get_state(legacy=False)),  # noqa: NPY002  imgaug draws from it
        "torch": torch.get_rng_state(),
        "generators": [_get(generator) for generator in generators],
    }
    if device.type == "cuda":
        states["device"] = torch.cuda.get_rng_state(device)
    elif device.type == "mps":
        states["device"] = torch.mps.get_rng_state()
    return states


def set_random_states(
    states: dict[str, Any],
    device: torch.device | str = "cpu",
    generators: Sequence[Generator] = (),
) -> None:
    """Put all generators back to where they were at `random_states(device, generators)`.

    Raises:
        ValueError: when the number or the kinds of `generators` are others than then.
    """
    device = torch.device(device)
    random.setstate(states["python"])
    np.random.set_state(states["numpy"])  # noqa: NPY002  imgaug draws from it
    torch.set_rng_state(states["torch"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(states["device"], device)
    elif device.type == "mps":
        torch.mps.set_rng_state(states["device"])
    kinds = [_kind(generator) for generator in generators]
    known = [kind for kind, _ in states["generators"]]
    if kinds != known:
        raise ValueError(
            f"the batches had the random generators {known} and now have {kinds}: "
            "build the data loader as before"
        )
    for generator, (_, state) in zip(generators, states["generators"], strict=True):
        _set(generator, state)


def generators_of(parts: Iterable[object]) -> list[Generator]:
    """Return the random generators that are attributes of `parts`, each once.

    An attribute may also be a list, tuple or dict of generators.

    Example:
        >>> from types import SimpleNamespace
        >>> loader = SimpleNamespace(generator=torch.Generator(), other=random.Random(0))
        >>> sampler = SimpleNamespace(generator=loader.generator)
        >>> len(generators_of([loader, sampler]))
        2
    """
    found: dict[int, Generator] = {}
    for part in parts:
        for value in getattr(part, "__dict__", {}).values():
            entries = value.values() if isinstance(value, dict) else value
            several = isinstance(value, list | tuple | dict)
            for one in entries if several else (value,):
                # A data set's list of samples may be long.
                if not isinstance(one, Generator):
                    break
                found.setdefault(id(one), one)
    return list(found.values())


def seed_generators(generators: Sequence[Generator], seed: int) -> None:
    """Start each of `generators` anew, from numbers of its own that follow from `seed`.

    Example:
        >>> one, other = random.Random(0), random.Random(0)
        >>> seed_generators([one, other], seed=1)
        >>> one.random() == other.random()
        False
    """
    for number, generator in enumerate(generators):
        own = np.random.SeedSequence([seed, number])
        if isinstance(generator, np.random.Generator):
            generator.bit_generator.state = type(generator.bit_generator)(own).state
        elif isinstance(generator, torch.Generator):
            generator.manual_seed(int(own.generate_state(1)[0]))
        else:
            generator.seed(int(own.generate_state(1)[0]))


def _kind(generator: Generator) -> str:
    if isinstance(generator, np.random.Generator):
        return type(generator.bit_generator).__name__
    return "torch" if isinstance(generator, torch.Generator) else "python"


def _get(generator: Generator) -> list[Any]:
    if isinstance(generator, np.random.Generator):
        return [_kind(generator), _plain(generator.bit_generator.state)]
    if isinstance(generator, torch.Generator):
        return [_kind(generator), generator.get_state()]
    return [_kind(generator), generator.getstate()]


def _set(generator: Generator, state: Any) -> None:
    if isinstance(generator, np.random.Generator):
        generator.bit_generator.state = state
    elif isinstance(generator, torch.Generator):
        generator.set_state(state)
    else:
        generator.setstate(state)


def _plain(state: Any) -> Any:
    """Arrays as lists of integers, which NumPy takes back."""
    if isinstance(state, dict):
        return {name: _plain(value) for name, value in state.items()}
    return state.tolist() if isinstance(state, np.ndarray) else state
