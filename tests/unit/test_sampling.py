"""Sampling of good images: balance, even use, state, workers, several processes, resuming."""

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from stoppable_training import Noisy, Stopped, same, train
from torch.utils.data import DataLoader

from course_utils.data import FrequencyOfUseSampler
from course_utils.training import EpochLoader

LABELS = [0, 1, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]  # of 15 images, 3 are defective
MIXED = st.lists(st.integers(0, 2), min_size=2, max_size=30).filter(
    lambda labels: 0 in labels and any(labels)
)


@settings(deadline=None)
@given(labels=MIXED, seed=st.integers(0, 99), rule=st.sampled_from(["least_used", "uniform"]))
def test_a_pass_is_all_defective_images_and_as_many_good_ones_by_turns(labels, seed, rule):
    sampler = FrequencyOfUseSampler(labels, seed=seed, rule=rule)
    for _ in range(3):
        order = list(sampler)
        assert len(order) == len(sampler) == 2 * sum(label > 0 for label in labels)
        assert all(labels[index] == 0 for index in order[0::2])
        assert sorted(order[1::2]) == [i for i, label in enumerate(labels) if label > 0]
        uses = Counter(order[0::2])
        most, least = max(uses.values()), min(uses[i] for i in sampler.good)
        assert most - least <= 1, "none twice before all came once"


@settings(deadline=None)
@given(labels=MIXED, seed=st.integers(0, 99), passes=st.integers(1, 12))
def test_uses_of_the_least_used_rule_never_differ_by_more_than_1(labels, seed, passes):
    sampler = FrequencyOfUseSampler(labels, seed=seed)
    counted = Counter()
    for _ in range(passes):
        before = sampler.uses
        order = list(sampler)
        counted.update(order[0::2])
        assert sampler.uses.tolist() == [counted[index] for index in sampler.good]
        assert sampler.uses.max() - sampler.uses.min() <= 1
        used = (sampler.uses - before) > 0
        if not used.all():
            assert before[used].max() <= before[~used].min(), "least used first"


def test_at_the_papers_numbers_uses_are_7_or_8_and_uniformly_about_2_to_16():
    labels = [0] * 230 + [1] * 33
    for seed in range(5):
        uses = {}
        for rule in ("least_used", "uniform"):
            sampler = FrequencyOfUseSampler(labels, seed=seed, rule=rule)
            for _ in range(50):
                assert len(set(list(sampler)[0::2])) == 33
            uses[rule] = sampler.uses
        assert sorted(set(uses["least_used"].tolist())) == [7, 8]
        assert int((uses["least_used"] == 8).sum()) == 50 * 33 - 7 * 230
        uniform = uses["uniform"]
        assert uniform.min() <= 3
        assert uniform.max() >= 13
        # Binomial in each image: 50 passes, 33 of 230.
        share = 33 / 230
        wanted = np.sqrt(50 * share * (1 - share))
        assert float(uniform.double().std()) == pytest.approx(wanted, rel=0.2)


def test_orders_differ_from_pass_to_pass_and_ties_are_drawn_at_random():
    sampler = FrequencyOfUseSampler([0] * 40 + [1] * 8)
    passes = [list(sampler) for _ in range(5)]
    assert len({tuple(order[1::2]) for order in passes}) == 5
    assert sorted(index for order in passes for index in order[0::2]) == list(range(40))
    firsts = Counter()
    for seed in range(400):
        firsts.update(list(FrequencyOfUseSampler([0] * 4 + [1] * 2, seed=seed))[0::2])
    assert min(firsts.values()) > 150  # 200 +- 10 expected


def test_what_was_used_least_does_not_always_stand_first():
    """Of 3 good images and 2 used in each pass, the second pass has one that is certain."""
    places = Counter()
    for seed in range(200):
        sampler = FrequencyOfUseSampler([0, 0, 0, 1, 1], seed=seed)
        unused = ({0, 1, 2} - set(list(sampler)[0::2])).pop()
        places[list(sampler)[0::2].index(unused)] += 1
    assert min(places[0], places[1]) > 60


def test_an_order_depends_on_seed_pass_and_uses_alone():
    one, other = FrequencyOfUseSampler(LABELS, seed=4), FrequencyOfUseSampler(LABELS, seed=4)
    torch.manual_seed(1)
    wanted = [list(one) for _ in range(6)]
    torch.manual_seed(2)
    assert [list(other) for _ in range(6)] == wanted
    assert list(FrequencyOfUseSampler(LABELS, seed=5)) != wanted[0]
    later = FrequencyOfUseSampler(LABELS, seed=4)
    later.set_epoch(3)
    first = list(later)
    assert first != wanted[0], "another pass"
    later.set_epoch(3)
    assert list(later) != first, "other uses"


def test_a_state_is_a_copy_and_brings_back_all_that_follows():
    sampler = FrequencyOfUseSampler(LABELS, seed=1)
    for _ in range(3):
        list(sampler)
    state = sampler.state_dict()
    wanted = [list(sampler) for _ in range(4)]
    other = FrequencyOfUseSampler(LABELS, seed=1)
    other.load_state_dict(state)
    assert [list(other) for _ in range(4)] == wanted
    assert state["uses"].sum() == 3 * 3, "neither sampler has changed the state"
    sampler.load_state_dict(state)
    assert [list(sampler) for _ in range(4)] == wanted
    sampler.uses.zero_()
    assert sampler.uses.sum() == 3 * 7


def test_a_pass_that_was_started_counts_whole_and_one_that_was_not_counts_nothing():
    sampler = FrequencyOfUseSampler(LABELS)
    iter(sampler)
    assert sampler.uses.sum() == 0
    next(iter(sampler))
    assert sampler.uses.sum() == 3
    with pytest.raises(ValueError, match="of 1 good images, and there are 12: build the sampler"):
        sampler.load_state_dict(FrequencyOfUseSampler([0, 1]).state_dict())


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"labels": [0, 0]}, "labels must hold 0 .*got 2 good of 2 images"),
        ({"labels": [1, 2]}, "got 0 good of 2 images"),
        ({"labels": []}, "got 0 good of 0 images"),
        ({"labels": [[0, 1]]}, "labels must hold 0"),
        ({"labels": LABELS, "seed": -1}, "seed must be a whole number in 0..4294967295, got -1"),
        ({"labels": LABELS, "rule": "random"}, "rule must be one of .*got 'random'"),
    ],
)
def test_what_cannot_be_is_refused(settings, problem):
    with pytest.raises(ValueError, match=problem):
        FrequencyOfUseSampler(**settings)


def test_a_loader_without_batches_of_its_own_sees_the_order_itself():
    sampler, same_again = (FrequencyOfUseSampler(LABELS, seed=2) for _ in range(2))
    single = DataLoader(Noisy(), batch_size=None, sampler=sampler)
    assert [sample.name for sample in single] == list(map(str, same_again))


def batches(*, workers=0, **settings):
    sampler = FrequencyOfUseSampler(LABELS, seed=2)
    return DataLoader(Noisy(), 2, sampler=sampler, num_workers=workers, **settings)


def names(source, passes: int) -> list[tuple[str, ...]]:
    return [tuple(batch.name) for _ in range(passes) for batch in source]


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("persistent", [False, True])
def test_the_number_of_workers_changes_neither_order_nor_uses(persistent):
    alone, shared = batches(), batches(workers=2, persistent_workers=persistent)
    assert names(alone, 4) == names(shared, 4)
    assert torch.equal(alone.sampler.uses, shared.sampler.uses)
    assert alone.sampler.uses.sum() == 4 * 3


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize(
    ("rule", "workers"), [("least_used", 0), ("least_used", 2), ("uniform", 0)]
)
def test_a_stopped_training_goes_on_with_the_same_images_bit_for_bit(tmp_path, rule, workers):
    def make():
        sampler = FrequencyOfUseSampler(LABELS, seed=2, rule=rule)
        return EpochLoader(Noisy(), 2, sampler=sampler, workers=workers)

    path = tmp_path / "run.pt"
    wanted = train(make)
    # Three batches a pass: saved at the end of a pass and within one.
    for number, stop in enumerate((4, 5)):
        with pytest.raises(Stopped):
            train(make, seed=number, stop_after=stop, checkpoint=path, checkpoint_every=1)
    found = train(make, seed=99, checkpoint=path)
    assert same(found, wanted)
