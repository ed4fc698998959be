"""The 15x15 convolution, in the memory layout that suits it."""

from torch import Tensor, nn


class WideConvolution(nn.Conv2d):
    """`nn.Conv2d`, worked channels-first on a CPU even where the rest is channels-last.

    The training loop keeps images and weights channels-last, which is faster for small kernels.
    Large ones take up to 1.8 times as long that way on a CPU in float32; a copy of their weights
    takes next to nothing. Values, arguments and names are those of `nn.Conv2d`.

    Example:
        >>> import torch
        >>> layer = WideConvolution(2, 3, 15, padding=7).to(memory_format=torch.channels_last)
        >>> layer(torch.rand(1, 2, 20, 30)).shape
        torch.Size([1, 3, 20, 30])
    """

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type != "cpu":
            return super().forward(x)
        return self._conv_forward(x.contiguous(), self.weight.contiguous(), self.bias)
