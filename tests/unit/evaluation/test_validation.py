"""Models beside measurements: scores by hand, withheld sites, season, coasts."""

import csv

import numpy as np
import pytest

from co2net.errors import UserError
from co2net.evaluation.sites import folds
from co2net.evaluation.validation import (
    groups,
    near_coast,
    seasonal_cycle,
    validate,
    write_csv,
)
from co2net.grid import LatLonGrid
from co2net.models.base import ModelInfo
from co2net.observations import ObservedSource
from co2net.source import StationNetwork
from tests.synthetic import SyntheticSource
from tests.unit.test_observations import measured


def mean_of(values):
    """(n,): mean of the stations that report; 370 where none does."""
    return np.ma.masked_invalid(values).mean(axis=1).filled(370)


class FromStations:
    """The mean of the stations that report, everywhere; two frames a window."""

    frames = 2

    def __init__(self, grid):
        self.grid = grid
        self.info = ModelInfo(
            name="mean", title="", family="", preset=None, parameters=0, target="",
            description="", reference="", trained_on={}, digest="x",
        )  # fmt: skip

    def reconstruct(self, source, index):
        mean = mean_of(source.observations(index))
        return np.broadcast_to(mean[:, None, None], (len(index), *self.grid.shape))


@pytest.fixture(scope="module")
def source():
    world = SyntheticSource(LatLonGrid.regular(10, 12), "2002-01-01", "2002-01-06", sites=6)
    return ObservedSource(world, measured(world, ["S00", "S01", "S02", "S03", "S04"], gaps=0.2))


def test_scores_by_hand(source):
    scores = validate(FromStations(source.grid), source, "2002-01-01", "2002-01-06")
    assert [s.code for s in scores] == ["S00", "S01", "S02", "S03", "S04"]  # S05 is silent
    index = np.arange(1, 48)  # the first frame has no whole window
    values = source.observations(index)
    there = np.isfinite(values[:, 2])
    apart = (np.nanmean(values, axis=1) - values[:, 2])[there]
    third = scores[2]
    assert (third.n, third.withheld) == (there.sum(), False)
    assert third.rmse == pytest.approx(np.sqrt(np.mean(apart**2)), rel=1e-5)
    assert third.bias == pytest.approx(apart.mean(), rel=1e-4)
    assert np.isnan(third.season_measured)  # one month has no season
    (everything, *_) = groups(scores)
    assert (everything.group, everything.sites) == ("all", 5)
    assert everything.n == np.isfinite(values).sum()
    apart = np.nanmean(values, axis=1)[:, None] - values
    assert everything.rmse == pytest.approx(np.sqrt(np.nanmean(apart**2)), rel=1e-5)
    assert everything.bias == pytest.approx(np.nanmean(apart), rel=1e-4, abs=1e-6)


def test_withheld_sites_are_not_read(source):
    scores = validate(FromStations(source.grid), source, "2002-01-01", "2002-01-06", count=3)
    inside = {s.code for s in scores if not s.withheld}
    outside = {s.code: s for s in scores if s.withheld}
    assert set(outside) == inside
    values = source.observations(np.arange(1, 48))
    for fold in folds(source, 3):
        others = mean_of(np.delete(values, fold, axis=1))
        for site in fold:
            there = np.isfinite(values[:, site])
            if there.any():
                apart = (others - values[:, site])[there]
                rmse = outside[source.stations.code[site]].rmse
                assert rmse == pytest.approx(np.sqrt(np.mean(apart**2)), rel=1e-5)


def test_spans_without_windows_or_measurements(source):
    model = FromStations(source.grid)
    with pytest.raises(UserError, match="no whole window"):
        validate(model, source, "2010-01-01", "2010-01-02")
    with pytest.raises(UserError, match="YYYY-MM-DD"):
        validate(model, source, "soon", "2002-01-02")


def test_the_seasonal_cycle_by_hand():
    time = np.arange("2000-01", "2004-01", dtype="M8[M]").astype("M8[s]")
    month = np.arange(48)
    values = 370 + 0.2 * month + 3 * np.cos(2 * np.pi * (month - 4) / 12)
    cycle = seasonal_cycle(time, values)
    assert np.argmax(cycle) == 4
    assert np.ptp(cycle) == pytest.approx(6, abs=0.3)
    values[month % 12 == 7] = np.nan
    assert np.isnan(seasonal_cycle(time, values)[7])
    assert np.isnan(seasonal_cycle(time, np.full(48, np.nan))).all()


def test_sites_near_a_coast():
    network = StationNetwork(
        code=("MLO", "KZD", "LEF", "CPT", "PAC"),
        name=("Mauna Loa", "Kazakhstan", "Wisconsin", "Cape Point", "open Pacific"),
        lat=np.array([19.54, 44.08, 45.95, -34.35, 10.0]),
        lon=np.array([-155.58, 76.87, -90.27, 18.49, -140.0]),
        altitude=np.zeros(5),
        network="",
    )
    coast = near_coast(network)
    assert coast[[0, 3]].all()
    assert not coast[[1, 4]].any()


def test_the_table_is_written(tmp_path, source):
    scores = validate(FromStations(source.grid), source, "2002-01-01", "2002-01-02")
    write_csv(scores, tmp_path / "s.csv")
    with (tmp_path / "s.csv").open() as handle:
        rows = list(csv.DictReader(handle))
    assert [row["code"] for row in rows] == [s.code for s in scores]
    assert float(rows[0]["rmse"]) == pytest.approx(scores[0].rmse, rel=1e-5)
