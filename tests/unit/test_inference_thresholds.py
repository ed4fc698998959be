"""The threshold of an image, and what it is said to cost."""

import numpy as np
import pytest

from course_utils.inference import choose_image_threshold, error_rate

LETTERS = [chr(97 + number) for number in range(26)]


def test_with_both_kinds_it_lies_in_the_middle_of_the_gap():
    chosen = choose_image_threshold([0.1, 0.3, 0.7, 0.9], [0, 0, 1, 1], LETTERS[:4])
    assert chosen.value == 0.5
    assert (chosen.false_alarms.count, chosen.false_alarms.total) == (0, 2)
    assert (chosen.misses.count, chosen.misses.total) == (0, 2)
    assert "2 good and 2 defective" in chosen.source


def test_where_they_overlap_both_errors_are_counted():
    chosen = choose_image_threshold([0.1, 0.6, 0.4, 0.9, 0.8], [0, 0, 1, 1, 1], LETTERS[:5])
    assert (chosen.false_alarms.count, chosen.misses.count) in {(0, 1), (1, 0)}


def test_of_good_images_alone_none_is_a_false_alarm_and_the_next_higher_score_is():
    scores = np.random.default_rng(0).random(42)
    chosen = choose_image_threshold(scores, np.zeros(42), np.arange(42).astype(str))
    of_pairs = choose_image_threshold(scores, np.zeros(42), np.arange(42) // 2)
    assert "of 21 groups: of good groups like these, about one in 22" in of_pairs.source
    assert not (scores >= chosen.value).any()
    assert scores.max() == pytest.approx(chosen.value, rel=2e-4)
    assert chosen.misses is None
    assert "one in 43" in chosen.source
    # 42 images without an alarm: at most 6.9 % with 95 % confidence (Clopper and Pearson)
    assert chosen.false_alarms.high == pytest.approx(1 - 0.05 ** (1 / 42))


def test_one_in_n_plus_one_is_what_comes_of_it():
    rng = np.random.default_rng(1)
    alarms = [
        rng.random() >= choose_image_threshold(rng.random(19), np.zeros(19), LETTERS[:19]).value
        for _ in range(4000)
    ]
    assert np.mean(alarms) == pytest.approx(1 / 20, abs=0.012)


def test_simulated_anomalies_count_misses_where_no_image_has_a_defect():
    chosen = choose_image_threshold([0.1, 0.5], [0, 0], ["a", "b"], simulated=[0.4, 0.6, 0.7])
    assert (chosen.misses.count, chosen.misses.total) == (1, 3)
    assert "simulated" in chosen.source


def test_of_defects_alone_false_alarms_are_unknown_and_said_to_be():
    chosen = choose_image_threshold([0.4, 0.8], [1, 2], ["a", "b"])
    assert chosen.value == 0.4
    assert chosen.false_alarms is None
    assert "not known" in chosen.source


def test_no_image_is_refused():
    with pytest.raises(ValueError, match="at least one image"):
        choose_image_threshold([], [], [])


def test_images_of_one_group_do_not_make_the_interval_narrower():
    wrong = np.array([True, False] * 20)
    apart = error_rate(wrong, np.arange(40))
    # Twenty copies of two images: no more is known than of two.
    together = error_rate(np.repeat([True, False], 20), np.repeat(["a", "b"], 20))
    assert apart.count == together.count == 20
    assert 0.3 < apart.low < 0.5 < apart.high < 0.7
    assert (together.low, together.high) == (0.0, 1.0)


def test_the_interval_holds_what_it_promises():
    rng = np.random.default_rng(2)
    inside = 0
    for trial in range(200):
        rate = error_rate(rng.random(60) < 0.2, np.arange(60), seed=trial)
        inside += rate.low <= 0.2 <= rate.high
    assert inside >= 178  # 95 % of 200, less three standard deviations and the bootstrap's bias


def test_all_wrong_and_none_wrong_have_the_same_interval_mirrored():
    none, every = (error_rate(np.full(9, value), np.arange(9)) for value in (False, True))
    assert (none.low, every.high) == (0, 1)
    assert none.high == pytest.approx(1 - every.low)
    assert error_rate(np.array([], bool), []) is None
