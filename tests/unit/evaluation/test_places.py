"""Where scores are taken."""

from __future__ import annotations

import numpy as np
import pytest

from co2net.evaluation.places import LATITUDES, places, station_distance
from co2net.grid import EARTH_RADIUS_M, LatLonGrid
from co2net.regions import regions
from co2net.source import StationNetwork

GRID = LatLonGrid.ct()


def network(*points: tuple[float, float]) -> StationNetwork:
    lat, lon = np.array(points).T
    names = tuple(f"P{n}" for n in range(len(points)))
    return StationNetwork(names, names, lat, lon, np.zeros(len(points)), "test")


def test_distances_are_great_circles_across_the_date_line_and_the_pole() -> None:
    found = station_distance(GRID, network((1.0, 178.5), (89.0, 1.5)))
    degree = np.pi * EARTH_RADIUS_M / 180e3
    here = GRID.cell(1.0, -178.5)  # 3 degrees east of the first, over the date line
    assert found[here] == pytest.approx(3 * degree * np.cos(np.radians(1)), rel=1e-3)
    over = GRID.cell(89.0, -178.5)  # the other side of the pole: two degrees away
    assert found[over] == pytest.approx(2 * degree, rel=1e-3)
    assert found[GRID.cell(1.0, 178.5)] == pytest.approx(0, abs=1e-6)


def test_bands_of_distance_part_the_globe_by_caps() -> None:
    fine = LatLonGrid.regular(180, 360)
    near = station_distance(fine, network((0.0, 0.0)))
    for km in (500, 1500):
        cap = (1 - np.cos(km * 1000 / EARTH_RADIUS_M)) / 2
        share = (fine.area * (near < km)).sum() / fine.area.sum()
        assert share == pytest.approx(cap, rel=0.07)
    found = places(GRID, network((0.0, 0.0), (50.0, 120.0)))
    bands = ["dist_0_500", "dist_500_1500", "dist_1500_up"]
    np.testing.assert_array_equal(sum(found[key] for key in bands), 1.0)
    np.testing.assert_array_equal(
        found["dist_500_up"], found["dist_500_1500"] + found["dist_1500_up"]
    )
    assert found["station_cells"].sum() == 2
    np.testing.assert_array_equal(found["no_station"], 1 - found["station_cells"])


def test_bands_of_latitude_part_the_globe_by_sines() -> None:
    found = places(GRID, network((0.0, 0.0)))
    bands = [key for key in found if key.startswith("lat_")]
    assert bands == ["lat_90S_60S", "lat_60S_30S", "lat_30S_0", "lat_0_30N", "lat_30N_60N",
                     "lat_60N_90N"]  # fmt: skip
    np.testing.assert_allclose(sum(found[key] for key in bands), 1.0)
    share = [(found[key] * GRID.area).sum() / GRID.area.sum() for key in bands]
    np.testing.assert_allclose(share, np.diff(np.sin(np.radians(LATITUDES))) / 2)


def test_every_named_region_is_there_where_the_grid_has_a_cell_of_it() -> None:
    assert set(regions()) < set(places(GRID, network((0.0, 0.0))))
    nowhere = places(GRID, StationNetwork((), (), np.empty(0), np.empty(0), np.empty(0), "none"))
    assert "global" in nowhere
    assert not any("station" in key or key.startswith("dist") for key in nowhere)
