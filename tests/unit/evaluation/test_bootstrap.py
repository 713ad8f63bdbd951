"""Intervals hold the truth as often as they say."""

from __future__ import annotations

import numpy as np

from co2net.evaluation import bootstrap


def test_draws_count_whole_weeks_and_repeat_with_their_seed() -> None:
    drawn = bootstrap.draws(53, count=200, seed=3)
    assert (drawn.sum(axis=1) == 53).all()
    assert drawn.min() == 0
    np.testing.assert_array_equal(drawn, bootstrap.draws(53, count=200, seed=3))
    assert not np.array_equal(drawn, bootstrap.draws(53, count=200, seed=4))


def test_weeks_have_seven_days_and_no_gaps() -> None:
    time = np.arange("2020-01-01", "2021-01-01", dtype="datetime64[D]").astype("datetime64[s]")
    week, count = bootstrap.weeks(time)
    assert count == 53
    assert np.bincount(week).max() == 7
    assert np.bincount(week).min() >= 1
    assert bootstrap.weeks(time[[0, 200]])[0].tolist() == [0, 1]


def test_intervals_of_noise_that_lasts_for_days_cover_the_mean() -> None:
    """Errors with a memory of two days: 95 % intervals must not be those of independent frames."""
    frames, trials, memory = 52 * 7 * 8, 400, np.exp(-1 / 16)
    time = np.datetime64("2020-01-02") + np.arange(frames) * np.timedelta64(3 * 3600, "s")
    week, count = bootstrap.weeks(time)
    member = np.zeros((frames, count))
    member[np.arange(frames), week] = 1
    noise = np.random.default_rng(0).normal(0, 1, (frames, trials))
    for t in range(1, frames):
        noise[t] = memory * noise[t - 1] + np.sqrt(1 - memory**2) * noise[t]
    drawn = bootstrap.draws(count)
    means = drawn @ (member.T @ noise) / (drawn @ member.sum(axis=0))[:, None]
    low, high = bootstrap.interval(means)
    inside = np.count_nonzero((low < 0) & (high > 0))
    width = 1.96 * noise.std(axis=0) / np.sqrt(frames)
    naive = np.count_nonzero(np.abs(noise.mean(axis=0)) < width)
    assert 0.88 <= inside / trials <= 0.98
    assert naive / trials < 0.6  # what ignoring the memory would give
