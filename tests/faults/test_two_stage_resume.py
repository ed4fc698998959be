"""A stopped two-stage training ends in the same bits. Run alone: beside a second test process, a
training of this network is now and then a last bit off on some machines, stopped or not."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "unit"))
from stoppable_training import Stopped
from two_stage_training import STEPS, equal, train


@pytest.fixture(scope="module")
def undisturbed():
    return train()[0]


@pytest.mark.parametrize("stop", [2, 3, 4, 6, 7])  # within a pass, and at the end of one
def test_stopped_at_any_step_it_ends_in_the_same_bits(undisturbed, stop, tmp_path):
    with pytest.raises(Stopped):
        train(tmp_path / "run.pt", stop=stop)
    found, _ = train(tmp_path / "run.pt", seed=99)
    assert equal(found, undisturbed)
    assert found[3] == STEPS


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_two_workers_change_nothing_and_go_on_as_well(undisturbed, tmp_path):
    for number, stop in enumerate((4, 6)):
        with pytest.raises(Stopped):
            train(tmp_path / "run.pt", stop=stop, seed=number, workers=2)
    assert equal(train(tmp_path / "run.pt", seed=99, workers=2)[0], undisturbed)
