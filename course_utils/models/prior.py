"""Start a network from how rare defects are."""

import math

from torch import nn


def init_prior_bias(head: nn.Conv2d, prior: float) -> None:
    """Set the bias of a network's last layer so that it first gives defects probability `prior`.

    A network that starts undecided spends its first steps learning that nearly everything is
    background (Lin et al. 2017, section 4.1). With several classes, defects share `prior` in equal
    parts. The weights of the layer still spread the first answers around it.

    Raises:
        ValueError: unless `prior` lies strictly between 0 and 1.

    Example:
        >>> head = nn.Conv2d(8, 1, 1)
        >>> init_prior_bias(head, 0.01)
        >>> round(head.bias.sigmoid().item(), 4)
        0.01
    """
    if not 0 < prior < 1:
        raise ValueError(f"prior must lie strictly between 0 and 1, got {prior!r}")
    defects = head.out_channels - 1 or 1
    bias = head.weight.new_zeros(head.out_channels)
    bias[-defects:] = math.log(prior / (1 - prior) / defects)
    head.bias = nn.Parameter(bias)
