"""Optimal interpolation over a window of frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from co2net import models
from co2net.background import Background
from co2net.errors import UserError
from co2net.grid import LatLonGrid
from co2net.models.interpolation import StatisticalReconstructor, fit_statistical
from co2net.models.interpolation_window import WindowInterpolation
from co2net.source import StationNetwork
from tests.synthetic import SyntheticSource

GRID = LatLonGrid.regular(10, 16)
TRAIN = np.arange(2920)
UNSEEN = np.arange(2920 + 7, 2 * 2920, 61)


class Drifting(SyntheticSource):
    """Waves that drift east round the globe in a day and a half, and die away as fast."""

    def __init__(self, sites: int = 9, **kwargs: object) -> None:
        super().__init__(GRID, "2001-01-01", "2002-12-31", sites=sites, **kwargs)  # type: ignore[arg-type]
        rng = np.random.default_rng(5)
        shocks = rng.standard_normal((self.time.size, 3, 2)) @ np.array([1, 1j])
        turn = 0.92 * np.exp(-2j * np.pi * np.arange(1, 4) / 12)
        self._amount = np.empty_like(shocks)
        now = shocks[0]
        for n, shock in enumerate(shocks):
            self._amount[n] = now = turn * now + 0.5 * shock
        self._noise = 0.1 * rng.standard_normal((self.time.size, sites))

    def read(self, names: object, index: NDArray[np.int64]) -> NDArray[np.float32]:
        lon, lat = np.radians(GRID.lon), np.radians(GRID.lat)
        waves = np.exp(1j * np.arange(1, 4)[:, None] * lon)
        fields = (self._amount[index] @ waves).real[:, None, :] * np.cos(lat)[:, None]
        return (380 + fields)[None].astype(np.float32)

    def observations(self, index: NDArray[np.int64]) -> NDArray[np.float32]:
        return super().observations(index) + self._noise[index].astype(np.float32)


@pytest.fixture(scope="module")
def source() -> Drifting:
    return Drifting()


@pytest.fixture(scope="module")
def background(source: SyntheticSource) -> Background:
    return Background.fit(source, TRAIN)


@pytest.fixture(scope="module")
def fitted(source: SyntheticSource, background: Background) -> WindowInterpolation:
    return WindowInterpolation.fit(source, TRAIN, background, frames=4)


def windows(source: SyntheticSource, index: NDArray[np.int64], frames: int) -> NDArray[np.float32]:
    wanted = index[:, None] + np.arange(1 - frames, 1)
    return source.observations(wanted.ravel()).reshape(*wanted.shape, -1)


def rmse(field: NDArray[np.float32], truth: NDArray[np.float32]) -> float:
    return float(np.sqrt(np.mean((field - truth) ** 2 * GRID.weights)))


def by_hand(
    background: Background, deviation: float = 2.0, ridge: float = 0.0, frames: int = 1
) -> WindowInterpolation:
    """Stations that know nothing of one another, patterns that are the stations' own departures."""
    sites, slots = len(background.stations), background.slots.size
    cross = np.zeros((slots, frames, 1 + background.patterns.shape[0], sites), dtype=np.float32)
    correlation = np.zeros((slots, frames, sites, sites), dtype=np.float32)
    correlation[:, 0] = np.eye(sites)
    return WindowInterpolation(
        background,
        10800,
        cross,
        np.full((slots, sites), deviation, dtype=np.float32),
        correlation,
        ridge,
        {},
    )


def test_it_is_better_than_the_interpolation_of_one_frame_on_a_year_it_has_not_seen(
    source: SyntheticSource, background: Background, fitted: WindowInterpolation
) -> None:
    # Where the waves were hours ago tells of cells between the stations.
    truth, times = source.read(["co2"], UNSEEN)[0], source.time[UNSEEN]
    one = rmse(background.interpolate(times, source.observations(UNSEEN)), truth)
    window = rmse(fitted.estimate(times, windows(source, UNSEEN, 4)), truth)
    nothing = rmse(background.field(times, source.observations(UNSEEN)), truth)
    assert window < 0.9 * one < 0.4 * nothing


def test_two_stations_by_hand() -> None:
    # One cell pattern p, one slot. Departures (now, a step before) of stations A and B; variances
    # 4, correlation of A with its own past 1/2, B alone. C = 4 [A0 B0 A1 B1]:
    #   [[1, 0, .5, 0], [0, 1, 0, 0], [.5, 0, 1, 0], [0, 0, 0, 1]],
    # C^-1 1 is (2/3, 1, 2/3, 1) / 4, so the level's weights are (.2, .3, .2, .3).
    # The pattern goes with A's past alone, covariance 2: gain 2 C^-1 e = (-1/3, 0, 2/3, 0).
    grid = LatLonGrid.regular(4, 8)
    source = SyntheticSource(grid, "2001-01-01", "2001-01-31", sites=2)
    once = Background.fit(source, np.arange(source.time.size))
    made = by_hand(once, frames=2)
    made.correlation[:, 1] = [[0.5, 0.0], [0.0, 0.0]]
    made.cross[:, 1, 1, 0] = 2.0  # 0 is the constant
    times = source.time[100:101]
    usual = once.climatology(times)
    row, column = np.unravel_index(once.cells, grid.shape)
    departures = np.array([[8.0, 3.0], [5.0, 1.0]])  # earlier, then last
    before = once.climatology(times - np.timedelta64(10800, "s"))
    observed = np.stack([before[0, row, column], usual[0, row, column]]) + departures
    level = 0.2 * 5 + 0.3 * 1 + 0.2 * 8 + 0.3 * 3
    amount = -(5 - level) / 3 + 2 * (8 - level) / 3
    expected = usual + level + amount * once.patterns[0].reshape(1, *grid.shape)
    found = made.estimate(times, observed[None].astype(np.float32))
    np.testing.assert_allclose(found, expected, atol=2e-4)


def test_at_a_station_without_noise_it_is_the_observation(background: Background) -> None:
    # Pattern s is 1 at station s's cell, and its covariances are those of the station.
    sites = len(background.stations)
    patterns = np.zeros((sites, GRID.weights.size), dtype=np.float32)
    patterns[np.arange(sites), background.cells] = 1.0
    plain = Background(**{**_fields(background), "patterns": patterns})
    made = by_hand(plain)
    rng = np.random.default_rng(0)
    mixed = np.corrcoef(rng.standard_normal((sites, 3 * sites))).astype(np.float32)
    made.correlation[:] = mixed
    made.cross[:, :, 1:] = 4 * mixed
    times = np.array(["2002-05-05T10:30"], dtype="datetime64[s]")
    observed = (390 + 5 * rng.standard_normal((1, 1, sites))).astype(np.float32)
    field = made.estimate(times, observed)[0].ravel()
    np.testing.assert_allclose(field[background.cells], observed[0, 0], atol=2e-3)
    far = np.setdiff1d(np.arange(field.size), background.cells)
    level = field[far] - plain.climatology(times).ravel()[far]
    np.testing.assert_allclose(level, level[0], atol=1e-3)  # the background


def _fields(background: Background) -> dict[str, object]:
    names = background.__dataclass_fields__
    return {name: getattr(background, name) for name in names if not name.startswith("_")}


def test_covariances_are_symmetric_and_positive_definite(fitted: WindowInterpolation) -> None:
    for slot in range(8):
        covariance = fitted.covariance(slot)
        np.testing.assert_array_equal(covariance, covariance.T)
        variance = np.diag(covariance)
        scaled = covariance / np.sqrt(np.outer(variance, variance))
        assert np.linalg.eigvalsh(scaled).min() > 0.3 * fitted.ridge


@settings(max_examples=15, deadline=None)
@given(silent=st.sets(st.integers(0, 35), max_size=35), window=st.integers(3000, 5000))
def test_silent_stations_are_stations_that_were_never_there(
    source: SyntheticSource, fitted: WindowInterpolation, silent: set[int], window: int
) -> None:
    # Any value of any frame: the rest is conditioned on exactly. Against the formula in full.
    index = np.array([window])
    observed = windows(source, index, 4)
    observed[0].ravel()[sorted(silent)] = np.nan
    times = source.time[index]
    found = fitted.estimate(times, observed)[0]
    slot = int(fitted.background.slot(times)[0])
    steps = np.arange(-3, 1) * np.timedelta64(10800, "s")
    departure = fitted.background.departures(times + steps, observed[0])[::-1].ravel()
    there = np.isfinite(departure)
    inverse = np.linalg.inv(fitted.covariance(slot)[np.ix_(there, there)])
    level = inverse.sum(axis=0) @ departure[there] / inverse.sum()
    cross = np.concatenate(list(fitted.cross[slot]), axis=1)[:, there]
    patterns = np.concatenate([np.ones((1, GRID.weights.size)), fitted.background.patterns])
    anomaly = (cross @ inverse @ (departure[there] - level)) @ patterns
    expected = fitted.background.climatology(times)[0] + level + anomaly.reshape(GRID.shape)
    np.testing.assert_allclose(found, expected, atol=5e-3)


def test_no_station_in_the_whole_window_leaves_the_trend(
    source: SyntheticSource, background: Background, fitted: WindowInterpolation
) -> None:
    times = source.time[3000:3001]
    nothing = np.full((1, 4, 9), np.nan, dtype=np.float32)
    np.testing.assert_allclose(
        fitted.estimate(times, nothing), background.field(times, nothing[:, 0]), atol=1e-4
    )
    early = nothing.copy()
    early[0, 0, 2] = 400.0  # a report of nine hours ago still counts
    assert np.abs(fitted.estimate(times, early) - fitted.estimate(times, nothing)).max() > 1


def test_a_shift_of_all_stations_shifts_the_field(
    source: SyntheticSource, fitted: WindowInterpolation
) -> None:
    observed, times = windows(source, UNSEEN[:3], 4), source.time[UNSEEN[:3]]
    np.testing.assert_allclose(
        fitted.estimate(times, observed + 25), fitted.estimate(times, observed) + 25, atol=2e-3
    )


def test_of_one_frame_repeated_it_makes_the_same_whatever_the_others_in_the_call(
    source: SyntheticSource, fitted: WindowInterpolation
) -> None:
    index = np.array([3100, 3200, 3100])
    found = fitted.estimate(source.time[index], windows(source, index, 4))
    np.testing.assert_array_equal(found[0], found[2])
    alone = fitted.estimate(source.time[index[1:2]], windows(source, index[1:2], 4))
    np.testing.assert_allclose(found[1], alone[0], atol=1e-3)


def test_the_order_of_the_stations_does_not_matter(
    source: SyntheticSource, background: Background, fitted: WindowInterpolation
) -> None:
    order = np.random.default_rng(1).permutation(9)
    sites = source.stations
    other = Background(
        **{
            **_fields(background),
            "stations": StationNetwork(
                tuple(sites.code[k] for k in order),
                tuple(sites.name[k] for k in order),
                sites.lat[order],
                sites.lon[order],
                sites.altitude[order],
                sites.network,
            ),
        }
    )
    shuffled = WindowInterpolation(
        other,
        fitted.step,
        fitted.cross[..., order],
        fitted.deviation[:, order],
        fitted.correlation[..., order, :][..., order],
        fitted.ridge,
        fitted.notes,
    )
    observed, times = windows(source, UNSEEN[:4], 4), source.time[UNSEEN[:4]]
    np.testing.assert_allclose(
        shuffled.estimate(times, observed[..., order]), fitted.estimate(times, observed), atol=2e-3
    )


def test_nothing_but_training_frames_is_learned_from(
    source: SyntheticSource, background: Background
) -> None:
    class Changed(Drifting):
        """The same training frames; all others are another world."""

        def read(self, names: object, index: NDArray[np.int64]) -> NDArray[np.float32]:
            values = super().read(names, index)  # type: ignore[arg-type]
            return values + np.float32(50) * (np.asarray(index) >= 400)[:, None, None]

    index = np.arange(400)
    fits = [
        WindowInterpolation.fit(world, index, background, frames=3) for world in (source, Changed())
    ]
    assert fits[0].digest == fits[1].digest


def test_windows_do_not_reach_over_gaps(source: SyntheticSource, background: Background) -> None:
    # Every second day is missing: windows of a day hold one end a day, of the last hour.
    day = np.arange(2920) // 8
    few = np.flatnonzero(day % 2 == 0)
    with pytest.raises(UserError, match="no whole window that ends at 01:30"):
        WindowInterpolation.fit(source, few, background, frames=8)
    with pytest.raises(UserError, match="3 whole windows"):
        WindowInterpolation.fit(source, np.arange(10), background, frames=8)


def test_ten_days_are_enough_for_a_covariance_that_can_be_inverted(source: Drifting) -> None:
    # 36 predictors and some ten windows an hour: the ridge has to make up for it.
    few = np.arange(80)
    short = Background.fit(source, few)
    made = WindowInterpolation.fit(source, few, short, frames=4)
    assert min(np.linalg.eigvalsh(made.covariance(slot))[0] for slot in range(8)) > 0
    index = np.arange(100, 160, 7)
    truth, times = source.read(["co2"], index)[0], source.time[index]
    window = rmse(made.estimate(times, windows(source, index, 4)), truth)
    assert window < rmse(short.field(times, source.observations(index)), truth)


def test_saved_and_loaded_it_is_the_same(
    source: SyntheticSource, background: Background, fitted: WindowInterpolation, tmp_path: Path
) -> None:
    fitted.save(tmp_path)
    loaded = WindowInterpolation.load(tmp_path, background)
    assert loaded.digest == fitted.digest
    observed, times = windows(source, UNSEEN[:2], 4), source.time[UNSEEN[:2]]
    np.testing.assert_array_equal(
        loaded.estimate(times, observed), fitted.estimate(times, observed)
    )
    shifted = Background(**{**_fields(background), "trend": background.trend + 1})
    with pytest.raises(UserError, match="does not belong"):
        WindowInterpolation.load(tmp_path, shifted)
    (tmp_path / "interpolation-window.json").write_text("{}", encoding="utf-8")
    with pytest.raises(UserError, match="damaged"):
        WindowInterpolation.load(tmp_path, background)
    with pytest.raises(UserError, match="co2net train --model interpolation-window"):
        WindowInterpolation.load(tmp_path / "nowhere", background)


def test_a_fitted_run_is_a_model(
    source: SyntheticSource, background: Background, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    made = fit_statistical(
        "interpolation-window", source, TRAIN[:800], run, frames=3, background=background
    )
    model = models.load(run)
    assert model.info == made.info
    assert model.info.name == "interpolation-window"
    assert model.frames == 3
    assert model.info.parameters > 3 * 9 * 9 * 8
    index = np.array([3000, 3001, 3500])
    expected = made.method.estimate(source.time[index], windows(source, index, 3))
    np.testing.assert_allclose(model.reconstruct(source, index), expected, atol=1e-3)
    with pytest.raises(UserError, match="not complete"):
        model.reconstruct(source, np.array([1]))
    source.available[2998] = False
    try:
        with pytest.raises(UserError, match="not complete"):
            model.reconstruct(source, index)
    finally:
        source.available[2998] = True
    with pytest.raises(UserError, match="holds a run already"):
        fit_statistical("kriging", source, TRAIN[:800], run, background=background)


def test_other_steps_and_stations_are_refused(
    source: SyntheticSource, background: Background, fitted: WindowInterpolation
) -> None:
    model = StatisticalReconstructor("interpolation-window", background, fitted)
    other = SyntheticSource(GRID, "2001-01-01", "2001-01-09", sites=9)
    other.step = np.timedelta64(6 * 3600, "s")
    with pytest.raises(UserError, match="fitted for frames 3 h apart"):
        model.reconstruct(other, np.array([9]))
    with pytest.raises(UserError, match="--model interpolation-window"):
        model.reconstruct(SyntheticSource(GRID, sites=8), np.array([9]))
    with pytest.raises(UserError, match="windows of 4 frames and 9 stations"):
        fitted.estimate(source.time[:2], np.zeros((2, 3, 9), dtype=np.float32))
