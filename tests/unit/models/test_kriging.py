"""Kriging with an exponential covariance on the sphere."""

from __future__ import annotations

import json
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
from co2net.models.interpolation import fit_statistical
from co2net.models.kriging import Kriging, arcs, exponential, fit_exponential
from tests.synthetic import SyntheticSource

GRID = LatLonGrid.regular(12, 18)
TRAIN = np.arange(800)


@pytest.fixture(scope="module")
def source() -> SyntheticSource:
    return SyntheticSource(GRID, "2001-01-01", "2001-12-31", sites=14)


@pytest.fixture(scope="module")
def background(source: SyntheticSource) -> Background:
    return Background.fit(source, TRAIN)


def with_length(background: Background, length: float, nugget: float = 0.0) -> Kriging:
    slots = background.slots.size
    return Kriging(
        background, np.full(slots, 9.0), np.full(slots, length), np.full(slots, nugget), {}
    )


def test_two_stations_by_hand() -> None:
    # Sill 4, nugget 1, 1000 km apart with length 1000 / log 2 km: covariance of the two 2.
    # Equal variances: the level is the mean. A cell half-way has covariance 4 / sqrt 2 with both,
    # so its anomaly is c (dA + dB - 2 level) / (5 + 2) = 0, the level itself.
    # At A the covariances are 4 and 2: gain (4, 2) [[5, 2], [2, 5]]^-1 = (16, 2) / 21.
    length = 1000 / np.log(2)
    between = exponential(np.array([[0.0, 1000.0], [1000.0, 0.0]]), 4.0, length)
    np.testing.assert_allclose(between, [[4, 2], [2, 4]])
    grid = LatLonGrid.regular(12, 18)
    source = SyntheticSource(grid, "2001-01-01", "2001-01-31", sites=2)
    once = Background.fit(source, np.arange(source.time.size))
    arc = arcs(once)[once.cells]
    length = arc[0, 1] / np.log(2)
    slots = once.slots.size
    made = Kriging(once, np.full(slots, 4.0), np.full(slots, length), np.ones(slots), {})
    times = source.time[50:51]
    usual = once.climatology(times).reshape(-1)
    departures = np.array([7.0, 1.0])
    found = made.estimate(times, (usual[once.cells] + departures)[None].astype(np.float32))
    expected = 4 + np.array([16 * 3 - 2 * 3, 2 * 3 - 16 * 3]) / 21
    np.testing.assert_allclose(found.ravel()[once.cells] - usual[once.cells], expected, atol=1e-3)


def test_distances_are_along_great_circles() -> None:
    source = SyntheticSource(GRID, "2001-01-01", "2001-01-31", sites=3)
    once = Background.fit(source, np.arange(source.time.size))
    lat, lon = np.radians(source.stations.lat), np.radians(source.stations.lon)
    angle = np.sin(lat[0]) * np.sin(lat[1]) + np.cos(lat[0]) * np.cos(lat[1]) * np.cos(
        lon[0] - lon[1]
    )
    found = arcs(once)[once.cells]
    assert found[0, 1] == pytest.approx(6371 * np.arccos(angle), rel=1e-3)
    assert arcs(once).max() <= np.pi * 6372


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    count=st.integers(2, 60),
    length=st.floats(30.0, 50_000.0),
)
def test_the_covariance_is_positive_definite_anywhere_on_the_sphere(
    seed: int, count: int, length: float
) -> None:
    points = np.random.default_rng(seed).standard_normal((count, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    arc = 6371 * np.arccos(np.clip(points @ points.T, -1, 1))
    np.fill_diagonal(arc, 0.0)
    covariance = exponential(arc, 1.0, length)
    np.testing.assert_allclose(covariance, covariance.T)
    assert np.linalg.eigvalsh(covariance).min() > -1e-9 * count


def test_without_a_nugget_it_is_the_observation_at_a_station(
    source: SyntheticSource, background: Background
) -> None:
    index = np.array([900, 1000])
    observed = source.observations(index)
    found = with_length(background, 900.0).estimate(source.time[index], observed)
    np.testing.assert_allclose(found.reshape(2, -1)[:, background.cells], observed, atol=2e-3)


def test_far_from_any_station_it_is_the_background(
    source: SyntheticSource, background: Background
) -> None:
    made = with_length(background, 60.0, nugget=1.0)
    index = np.array([900])
    anomaly = made.estimate(source.time[index], source.observations(index))
    anomaly = anomaly - background.climatology(source.time[index])
    far = arcs(background).min(axis=1) > 60 * 15
    assert far.any()
    level = anomaly.reshape(-1)[far]
    np.testing.assert_allclose(level, level[0], atol=1e-3)
    # Stations that know nothing of one another weigh the same: the level is their mean.
    mean = background.departures(source.time[index], source.observations(index)).mean()
    assert level[0] == pytest.approx(mean, abs=0.02)


def test_the_parameters_of_a_known_field_are_found() -> None:
    rng = np.random.default_rng(2)
    points = rng.standard_normal((60, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    arc = 6371 * np.arccos(np.clip(points @ points.T, -1, 1))
    np.fill_diagonal(arc, 0.0)
    root = np.linalg.cholesky(exponential(arc, 6.0, 2500.0) + 0.8 * np.eye(60))
    draws = rng.standard_normal((3000, 60)) @ root.T + 5 * rng.standard_normal((3000, 1))  # levels
    (sill, length, nugget), _ = fit_exponential(draws.T @ draws / 3000, arc)
    assert sill == pytest.approx(6.0, rel=0.1)
    assert length == pytest.approx(2500.0, rel=0.1)
    assert nugget == pytest.approx(0.8, rel=0.1)


@settings(max_examples=15, deadline=None)
@given(silent=st.sets(st.integers(0, 13), max_size=13), order=st.permutations(range(14)))
def test_silent_stations_and_the_order_of_the_others(
    source: SyntheticSource, background: Background, silent: set[int], order: list[int]
) -> None:
    # Against the formula in full over those that report, taken in another order.
    made = with_length(background, 1500.0, nugget=0.5)
    index = np.array([900])
    observed = source.observations(index)
    observed[:, sorted(silent)] = np.nan
    times = source.time[index]
    departure = background.departures(times, observed)[0]
    keep = [k for k in order if k not in silent]
    arc = arcs(background)
    covariance = exponential(arc[background.cells][np.ix_(keep, keep)], 9.0, 1500.0)
    inverse = np.linalg.inv(covariance + 0.5 * np.eye(len(keep)))
    level = inverse.sum(axis=0) @ departure[keep] / inverse.sum()
    anomaly = exponential(arc[:, keep], 9.0, 1500.0) @ inverse @ (departure[keep] - level)
    expected = background.climatology(times)[0] + level + anomaly.reshape(GRID.shape)
    np.testing.assert_allclose(made.estimate(times, observed)[0], expected, atol=2e-3)


def test_no_station_at_all_leaves_the_trend(background: Background) -> None:
    times = np.array(["2001-12-31T22:30", "2009-12-31T22:30"], dtype="datetime64[s]")
    nothing = np.full((2, 14), np.nan, dtype=np.float32)
    np.testing.assert_allclose(
        with_length(background, 900.0).estimate(times, nothing),
        background.field(times, nothing),
        atol=1e-4,
    )


def test_nothing_but_training_frames_is_learned_from(background: Background) -> None:
    class Guarded(SyntheticSource):
        """Refuses every frame that is not for training."""

        def read(self, names: object, index: NDArray[np.int64]) -> NDArray[np.float32]:
            assert np.asarray(index).max() < 800, "read a frame that is not for training"
            return super().read(names, index)  # type: ignore[arg-type]

    Kriging.fit(Guarded(GRID, "2001-01-01", "2001-12-31", sites=14), TRAIN, background)


def test_a_fitted_run_is_a_model(
    source: SyntheticSource, background: Background, tmp_path: Path
) -> None:
    made = fit_statistical("kriging", source, TRAIN, tmp_path / "run", background=background)
    model = models.load(tmp_path / "run")
    assert model.info == made.info
    assert (model.info.name, model.frames) == ("kriging", 1)
    index = np.arange(900, 1700, 57)
    truth = source.read(["co2"], index)[0]
    found = model.reconstruct(source, index)
    plain = background.field(source.time[index], source.observations(index))

    def rmse(field: NDArray[np.float32]) -> float:
        return float(np.sqrt(np.mean((field - truth) ** 2 * GRID.weights)))

    assert rmse(found) < 0.9 * rmse(plain)
    path = tmp_path / "run" / "background" / "kriging.json"
    about = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**about, "sill": [1.0] * 8}), encoding="utf-8")
    with pytest.raises(UserError, match="was changed"):
        models.load(tmp_path / "run")
    path.unlink()
    with pytest.raises(UserError, match="co2net train --model kriging"):
        models.load(tmp_path / "run")


def test_too_few_stations_are_refused() -> None:
    source = SyntheticSource(GRID, "2001-01-01", "2001-01-31", sites=2)
    once = Background.fit(source, np.arange(source.time.size))
    with pytest.raises(UserError, match="2 stations"):
        Kriging.fit(source, np.arange(source.time.size), once)
