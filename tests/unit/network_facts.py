"""What the tests of several networks ask of a module."""

import torch
from torch import Tensor, nn


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def layers(block: nn.Module, kind: type = nn.Conv2d) -> list:
    return [module for module in block.modules() if isinstance(module, kind)]


def state(network: nn.Module) -> dict[str, Tensor]:
    return {name: values.clone() for name, values in network.state_dict().items()}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@torch.no_grad()
def unsettle(network: nn.Module) -> None:
    """Draw biases and statistics that are not 0 and 1, so that each one counts."""
    for name, values in [*network.named_parameters(), *network.named_buffers()]:
        if name.endswith("bias") or "running_mean" in name:
            values.normal_(std=0.3)
        elif "running_var" in name:
            values.uniform_(0.5, 2)
