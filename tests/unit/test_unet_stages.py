"""The sizes inside a U-Net are those of its maps."""

import pytest
import torch

from course_utils.models.unet import UNet
from course_utils.models.unet import feature_shapes


def sides(stages):
    return [stage.height for stage in stages]


def test_the_sizes_of_the_paper_are_found():
    # Figure 1 of Ronneberger et al. 2015, with a tenth of its channels.
    stages = feature_shapes(UNet(1, 2, width=6, padding="valid"), 572)
    assert sides(stages.down) == [568, 280, 136, 64, 28]
    assert sides(stages.upsampled) == [56, 104, 200, 392]
    assert sides(stages.up) == [52, 100, 196, 388]
    assert (stages.output.channels, stages.output.height) == (2, 388)


def test_channels_double_on_the_way_down_and_halve_on_the_way_up():
    stages = feature_shapes(UNet(3, 4, width=8, depth=3), 64, 32)
    assert [stage.channels for stage in stages.down] == [8, 16, 32, 64]
    assert [stage.channels for stage in stages.upsampled] == [32, 16, 8]
    assert [stage.channels for stage in stages.up] == [32, 16, 8]
    assert (stages.image.channels, stages.output.channels) == (3, 4)
    assert [(stage.height, stage.width) for stage in stages.down[:2]] == [(64, 32), (32, 16)]


def test_a_bottleneck_is_seen_in_the_last_stage():
    stages = feature_shapes(UNet(1, 1, width=4, depth=2, bottleneck=2), 16)
    assert stages.up[-1].channels == 2


@pytest.mark.parametrize("skips", [True, False])
def test_the_stages_tell_whether_there_are_skips(skips):
    assert feature_shapes(UNet(depth=1, width=2, skips=skips), 8).skips is skips


def test_the_network_is_left_as_it_was():
    model = UNet(width=2, depth=1)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    feature_shapes(model, 16)
    assert model.training
    assert model.state_dict().keys() == before.keys()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(module._forward_hooks for module in model.modules())


def test_sizes_that_the_network_refuses_are_refused():
    with pytest.raises(ValueError, match="multiples of 16"):
        feature_shapes(UNet(width=2), 100)
    with pytest.raises(ValueError, match="got 0"):
        feature_shapes(UNet(width=2), 64, 0)
