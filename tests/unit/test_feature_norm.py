"""Feature normalization against a loop written from its formula."""

import pytest
import torch
from torch import Tensor

from course_utils.models import FeatureNorm

BOTH_KINDS = pytest.mark.parametrize("kind", ["std", "published"])


def normalized(x: Tensor, kind: str) -> Tensor:
    """A slow loop from the formula, one channel of one image at a time."""
    out = torch.empty_like(x)
    for n in range(x.shape[0]):
        for c in range(x.shape[1]):
            cells = x[n, c].flatten()
            mean = cells.sum() / len(cells)
            squares = ((cells - mean) ** 2).sum()
            if kind == "std":
                divisor = (squares / len(cells) + 1e-5).sqrt()
            else:
                divisor = ((squares / (len(cells) - 1)).sqrt() + 1e-3).sqrt()
            out[n, c] = (x[n, c] - mean) / divisor
    return out


@BOTH_KINDS
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_normalization_equals_a_loop_over_channels(kind, count, layout):
    torch.manual_seed(0)
    norm = FeatureNorm(5, kind=kind)
    x = torch.randn(count, 5, 6, 7) * torch.tensor([100, 10, 1, 0.1, 0.01]).view(1, 5, 1, 1) + 2
    found = norm(x.contiguous(memory_format=layout))
    torch.testing.assert_close(found, normalized(x.double(), kind).float(), rtol=1e-3, atol=1e-3)


@BOTH_KINDS
@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("bias", [True, False])
def test_gradients_of_the_normalization_are_right(kind, count, bias):
    torch.manual_seed(0)
    norm = FeatureNorm(2, kind=kind, bias=bias).double()
    x = torch.randn(count, 2, 3, 4, dtype=torch.float64, requires_grad=True)

    def apply(x: Tensor, *values: Tensor) -> Tensor:
        named = dict(zip(["weight", "bias"], values, strict=False))
        return torch.func.functional_call(norm, named, x)

    assert torch.autograd.gradcheck(apply, (x, *norm.parameters()))


@BOTH_KINDS
@pytest.mark.parametrize("count", [1, 2])
def test_a_constant_map_becomes_zero_with_finite_gradients(kind, count):
    x = torch.full((count, 1, 4, 4), 0.25, requires_grad=True)
    out = FeatureNorm(1, kind=kind)(x)
    assert not out.any()
    out.sum().backward()
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("shape", [(1, 3, 1, 1), (2, 4, 5, 5), (3, 5, 5), (2, 3, 0, 4)])
def test_maps_and_settings_that_cannot_work_are_refused(shape):
    with pytest.raises(ValueError, match=r"x must be \(N, 3, H, W\) with at least 2 cells"):
        FeatureNorm(3)(torch.rand(shape))
    with pytest.raises(ValueError, match="channels must be at least 1, got 0"):
        FeatureNorm(0)
    with pytest.raises(ValueError, match="kind must be"):
        FeatureNorm(2, kind="batch")
