"""Climatology, level and optimal interpolation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from co2net.background import Background, gaspari_cohn, kriging
from co2net.errors import UserError
from co2net.grid import LatLonGrid
from tests.synthetic import SyntheticSource

GRID = LatLonGrid.regular(12, 18)


@pytest.fixture(scope="module")
def source() -> SyntheticSource:
    return SyntheticSource(GRID, "2001-01-01", "2003-12-31", sites=14)


@pytest.fixture(scope="module")
def fitted(source: SyntheticSource) -> Background:
    return Background.fit(source, np.arange(2 * 2920))


def rmse(field: NDArray[np.float32], truth: NDArray[np.float32]) -> float:
    return float(np.sqrt(np.mean((field - truth) ** 2 * GRID.weights)))


def test_the_climatology_and_the_level_take_the_smooth_part_apart(
    source: SyntheticSource, fitted: Background
) -> None:
    # The formula: season 4 sin(lat) cos(year), daily 2 cos(lat) cos(day + lon), level 370 + 2/year;
    # what is left are waves of amplitude 3 cos2(lat), which know neither season nor hour.
    index = np.arange(2 * 2920, 3 * 2920, 29)
    times = source.time[index]
    lat, lon = np.radians(GRID.lat)[:, None], np.radians(GRID.lon)[None, :]
    days = times.astype(np.float64)[:, None, None] / 86400
    expected = 4 * np.sin(lat) * np.cos(2 * np.pi * days / 365.25)
    expected = expected + 2 * np.cos(lat) * np.cos(2 * np.pi * days + lon)
    found = fitted.climatology(times)
    assert np.abs(found - found.mean(axis=0) - (expected - expected.mean(axis=0))).max() < 0.25
    level = fitted.level(times, source.observations(index))
    years = days[:, 0, 0] / 365.25 - 30
    assert np.abs(level - (370 + 2 * years)).mean() < 1.0


def test_interpolation_beats_the_background_on_a_year_it_has_not_seen(
    source: SyntheticSource, fitted: Background
) -> None:
    index = np.arange(2 * 2920, 3 * 2920, 29)
    truth, observed = source.read(["co2"], index)[0], source.observations(index)
    background = rmse(fitted.field(source.time[index], observed), truth)
    assert background > 2  # the waves
    assert rmse(fitted.interpolate(source.time[index], observed), truth) < 0.1 * background


def test_one_station_gives_the_textbook_answer() -> None:
    # With two stations A and B of variances 4 and 1 and covariance 0: weights 1/5 and 4/5;
    # gain of a cell with covariances 2 and 0: 2 / 4 and 0.
    weights, gain = kriging(np.diag([4.0, 1.0]), np.array([[2.0, 0.0]]))
    np.testing.assert_allclose(weights, [0.2, 0.8])
    np.testing.assert_allclose(gain, [[0.5, 0.0]])


def test_the_taper_has_its_published_values() -> None:
    # Gaspari and Cohn (1999), eq. 4.10: C(0) = 1, C(c) = 5/24, C(2c) = 0; and it is smooth.
    found = gaspari_cohn(np.array([0.0, 500.0, 1000.0, 1500.0, 2000.0, 9000.0]), 1000.0)
    half = -1 / 128 + 1 / 32 + 5 / 64 - 5 / 12 + 1
    later = (1.5**5) / 12 - 1.5**4 / 2 + 5 * 1.5**3 / 8 + 5 * 1.5**2 / 3 - 7.5 + 4 - 2 / 4.5
    np.testing.assert_allclose(found, [1, half, 5 / 24, later, 0, 0], atol=1e-6)
    np.testing.assert_array_equal(gaspari_cohn(np.array([0.0, 9e3]), np.inf), [1, 1])


def test_one_reporting_station_shifts_the_whole_climatology(
    source: SyntheticSource, fitted: Background
) -> None:
    # Alone it is the level, and its departure from its own level is zero.
    times = source.time[7000:7003]
    observed = np.full((3, 14), np.nan, dtype=np.float32)
    observed[:, 5] = [400.0, 410.0, 420.0]
    row, column = source.stations.cells(GRID)
    climatology = fitted.climatology(times)
    expected = observed[:, 5] - climatology[:, row[5], column[5]]
    np.testing.assert_allclose(fitted.level(times, observed), expected, atol=1e-3)
    np.testing.assert_allclose(
        fitted.interpolate(times, observed), climatology + expected[:, None, None], atol=1e-3
    )


def test_a_known_covariance_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("co2net.background._TAPER_KM", (np.inf,))

    class Noise(SyntheticSource):
        """Two modes of variances 4 and 1, and a level that swings, which is no covariance."""

        def read(self, names: object, index: NDArray[np.int64]) -> NDArray[np.float32]:
            rng = np.random.default_rng(3)
            amount = rng.standard_normal((self.time.size, 2)) * [2.0, 1.0]
            modes = np.zeros((2, *GRID.shape))
            modes[0, 3:6, :9], modes[0, 3:6, 9:] = 1, -1  # of area mean zero each
            modes[1, 6:9, ::2], modes[1, 6:9, 1::2] = 1, -1
            level = 380 + 5 * rng.standard_normal(self.time.size)
            fields = level[index, None, None] + np.einsum("tk,khw->thw", amount[index], modes)
            return fields[None].astype(np.float32)

    noise = Noise(GRID, "2001-01-01", "2002-12-31", sites=14)
    fitted = Background.fit(noise, np.arange(noise.time.size))
    row, column = noise.stations.cells(GRID)
    modes = np.zeros((2, 14))
    modes[0] = np.where((row >= 3) & (row < 6), np.where(column < 9, 1, -1), 0)
    modes[1] = np.where((row >= 6) & (row < 9), np.where(column % 2 == 0, 1, -1), 0)
    assert modes.any(axis=1).all()
    expected = 4 * np.outer(modes[0], modes[0]) + np.outer(modes[1], modes[1])
    found = fitted.covariance.mean(axis=(0, 1))
    ridge = fitted.notes["ridge"] * np.trace(expected) / 14
    np.testing.assert_allclose(found, expected + ridge * np.eye(14), atol=0.25)
    cross = np.einsum("eqps,pn->eqns", fitted.cross, fitted.patterns).mean(axis=(0, 1))
    np.testing.assert_allclose(cross[row * 18 + column], expected, atol=0.25)
    share = GRID.area.sum(axis=1) / GRID.area.sum()
    spread = np.sqrt(4 * share[3:6].sum() + share[6:9].sum())
    assert fitted.notes["held_out_rmse_ppm"]["without_stations"] == pytest.approx(spread, rel=0.03)
    assert fitted.notes["held_out_rmse_ppm"]["interpolation"] < 0.1 * spread


def test_a_silent_station_is_a_station_that_was_never_there(
    source: SyntheticSource, fitted: Background
) -> None:
    index = np.array([6000, 6100])
    observed = source.observations(index)
    observed[:, [2, 9]] = np.nan
    times = source.time[index]
    found = fitted.interpolate(times, observed)
    # What is silent must not matter, whatever it would have said ...
    keep = np.setdiff1d(np.arange(14), [2, 9])
    reduced = Background.from_tensors(
        {
            name: values[keep] if name.startswith("station_") else values
            for name, values in {
                **fitted.to_tensors(),
                "cross": fitted.cross[..., keep],
                "covariance": fitted.covariance[..., keep, :][..., keep][..., *np.triu_indices(12)],
            }.items()
        },
        {
            **fitted.to_dict(),
            "code": [f"{k}" for k in keep],
            "name": [f"{k}" for k in keep],
        },
    )
    np.testing.assert_allclose(found, reduced.interpolate(times, observed[:, keep]), atol=1e-3)
    # ... and what the others say does.
    assert np.abs(found - fitted.interpolate(times, source.observations(index))).max() > 1e-2


def test_the_order_of_the_stations_does_not_matter(
    source: SyntheticSource, fitted: Background
) -> None:
    other = SyntheticSource(GRID, "2001-01-01", "2003-12-31", sites=14)
    stations, order = other.stations, np.random.default_rng(1).permutation(14)
    other.stations = type(stations)(
        tuple(stations.code[k] for k in order),
        tuple(stations.name[k] for k in order),
        stations.lat[order],
        stations.lon[order],
        stations.altitude[order],
        stations.network,
    )
    index = np.array([6000, 7000, 8000])
    np.testing.assert_array_equal(other.observations(index), source.observations(index)[:, order])
    again = Background.fit(other, np.arange(2 * 2920))
    np.testing.assert_allclose(
        again.interpolate(source.time[index], other.observations(index)),
        fitted.interpolate(source.time[index], source.observations(index)),
        atol=0.05,
    )


def test_no_station_at_all_leaves_the_last_known_level(fitted: Background) -> None:
    times = np.array(["2002-12-31T22:30", "2009-12-31T22:30"], dtype="datetime64[s]")
    nothing = np.full((2, 14), np.nan, dtype=np.float32)
    level = fitted.level(times, nothing)
    assert level[0] == level[1]  # held after the training years, never extrapolated
    np.testing.assert_allclose(
        fitted.interpolate(times, nothing), fitted.field(times, nothing), atol=1e-3
    )


def test_only_training_frames_are_read(source: SyntheticSource) -> None:
    class Guarded(SyntheticSource):
        def read(self, names: object, index: NDArray[np.int64]) -> NDArray[np.float32]:
            assert np.asarray(index).max() < 400, "read a frame that is not for training"
            return super().read(names, index)  # type: ignore[arg-type]

    Background.fit(Guarded(GRID, "2001-01-01", "2001-12-31", sites=6), np.arange(400))


def test_saved_and_loaded_it_is_the_same(
    source: SyntheticSource, fitted: Background, tmp_path: Path
) -> None:
    folder = tmp_path / "background"
    fitted.save(folder)
    loaded = Background.load(folder)
    assert loaded.digest == fitted.digest
    times, observed = source.time[6000:6004], source.observations(np.arange(6000, 6004))
    np.testing.assert_allclose(
        loaded.interpolate(times, observed), fitted.interpolate(times, observed), atol=2e-4
    )
    (folder / "background.json").write_text("{}", encoding="utf-8")
    with pytest.raises(UserError, match="damaged"):
        Background.load(folder)


def test_other_stations_are_refused(source: SyntheticSource, fitted: Background) -> None:
    with pytest.raises(UserError, match="14 stations"):
        fitted.field(source.time[:2], np.zeros((2, 13), dtype=np.float32))
