"""Fluxes keep their monthly totals and follow the weather."""

from __future__ import annotations

import numpy as np
import pytest

from co2net.grid import LatLonGrid
from co2net.naturerun.fluxes import Fluxes
from co2net.naturerun.weather import Frames, Weather, days
from co2net.naturerun.world import month_times


@pytest.fixture(scope="module")
def fluxes() -> Fluxes:
    return Fluxes(Weather(LatLonGrid.ct()))


@pytest.fixture(scope="module")
def july(fluxes: Fluxes) -> tuple[Frames, dict[str, np.ndarray]]:
    frames = fluxes.weather.frames(days(month_times(2011, 7)))
    return frames, fluxes.month(frames, 2011, 7)


def test_month_closes_to_its_targets(
    fluxes: Fluxes, july: tuple[Frames, dict[str, np.ndarray]]
) -> None:
    for name, flux in july[1].items():
        made = fluxes.bands(flux.mean(axis=0, dtype=np.float64))
        np.testing.assert_allclose(made, fluxes.target(name, 2011, 7), atol=2e-5)


def test_plants_take_up_by_day_and_breathe_by_night(
    fluxes: Fluxes, july: tuple[Frames, dict[str, np.ndarray]]
) -> None:
    frames, parts = july
    row, column = fluxes.grid.cell(51.0, 40.0)
    land, light = parts["land"][:, row, column], frames.light[:, row, column]
    assert land[light > 0.6].mean() < -3
    assert land[light == 0].min() > 0


def test_cloud_dims_photosynthesis(
    fluxes: Fluxes, july: tuple[Frames, dict[str, np.ndarray]]
) -> None:
    frames, parts = july
    row, column = fluxes.grid.cell(51.0, 40.0)
    noon = frames.light[:, row, column] > 0.6
    cloud, land = frames.cloud[noon, row, column], parts["land"][noon, row, column]
    assert np.corrcoef(cloud, land)[0, 1] > 0.5


def test_fossil_emissions_grow_and_never_sink(fluxes: Fluxes) -> None:
    yearly = [
        np.mean([fluxes.target("fossil", year, month).sum() for month in range(1, 13)])
        for year in (2000, 2010, 2018, 2020)
    ]
    assert yearly[0] < yearly[1] < yearly[2]
    assert 6 < yearly[0] < 7.5
    assert 9 < yearly[3] < yearly[2]  # the year of the lockdowns


def test_amazon_burns_in_august_2019(fluxes: Fluxes) -> None:
    days_ = np.array(["2019-08-01", "2019-08-10", "2019-08-25"], dtype="datetime64[s]")
    flux = fluxes.events(days(days_))
    assert flux is not None
    row, column = fluxes.grid.cell(-8.0, -60.0)
    before, during, after = flux[:, row, column]
    assert during > 1
    assert max(before, after) < 1e-9
    assert fluxes.events(days(np.array(["2010-08-10"], dtype="datetime64[s]"))) is None
