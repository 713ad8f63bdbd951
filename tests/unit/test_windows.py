"""Windows: complete, causal, within one part of a split; statistics from training years only."""

from __future__ import annotations

import numpy as np
import pytest

from co2net.background import Background
from co2net.errors import UserError
from co2net.grid import LatLonGrid
from co2net.windows import (
    SPLITS,
    TARGETS,
    Split,
    Statistics,
    WindowReader,
    channel_names,
    clock,
    complete_windows,
)
from tests.synthetic import SyntheticSource

GRID = LatLonGrid.regular(18, 24)
CT = SPLITS["carbontracker"]


@pytest.fixture(scope="module")
def source() -> SyntheticSource:
    return SyntheticSource(GRID, "2001-12-20", "2002-02-10")


@pytest.fixture(scope="module")
def background(source: SyntheticSource) -> Background:
    return Background.fit(source, CT.frames(source, "train"))


@pytest.fixture(scope="module")
def statistics(source: SyntheticSource, background: Background) -> Statistics:
    return Statistics.fit(source, CT.frames(source, "train"), background, days=8)


def test_splits_are_those_of_the_document():
    assert CT.years("train") == list(range(2002, 2019))
    assert CT.years("validation") == [2001, 2019]
    assert CT.years("test") == [2000, 2020]
    cmip6 = SPLITS["cmip6"]
    assert (len(cmip6.years("train")), len(cmip6.years("validation"))) == (135, 10)
    assert len(cmip6.years("test")) == 20


def test_a_year_in_two_parts_is_refused():
    with pytest.raises(UserError, match="two parts"):
        Split("x", ((2000, 2001),), ((2001, 2001),), ((2002, 2002),))


def test_windows_do_not_cross_splits_nor_gaps():
    source = SyntheticSource(GRID, "2001-12-30", "2002-01-03")
    source.available[20] = False  # in 2002
    year = source.time.astype("datetime64[Y]")
    for part, first in (("validation", 7), ("train", 28)):
        index = CT.windows(source, part, 8)
        assert index[0] == first
        for i in index:
            window = np.arange(i - 7, i + 1)
            assert np.unique(year[window]).size == 1
            assert source.available[window].all()


def test_windows_with_an_interval_need_every_step_between():
    usable = np.ones(20, dtype=bool)
    usable[9] = False
    assert complete_windows(usable, 3, 2).tolist() == [4, 5, 6, 7, 8, *range(14, 20)]
    assert complete_windows(usable, 1).tolist() == [i for i in range(20) if i != 9]


def test_changing_a_test_year_changes_no_statistic(source: SyntheticSource):
    class Changed(SyntheticSource):
        """The test year 2000 holds other values."""

        def read(self, names, index):
            values = super().read(names, index)
            test = CT.part_of(self.time[np.asarray(index)]) == 2
            return values + 1000 * test[None, :, None, None].astype(np.float32)

    span = {"start": "2000-12-20", "end": "2002-01-20"}
    plain, changed = SyntheticSource(GRID, **span), Changed(GRID, **span)
    tests = CT.frames(plain, "test")
    assert np.abs(plain.read(["co2"], tests) - changed.read(["co2"], tests)).min() > 999
    found = []
    for one in (plain, changed):
        frames = CT.frames(one, "train")
        background = Background.fit(one, frames)
        found.append(Statistics.fit(one, frames, background, days=5))
    np.testing.assert_array_equal(found[0].centre, found[1].centre)
    np.testing.assert_array_equal(found[0].scale, found[1].scale)
    for name in ("co2_mean", "co2_scale", "anomaly_scale", "residual_scale"):
        assert getattr(found[0], name) == getattr(found[1], name)


def test_statistics_of_cells(source: SyntheticSource, statistics: Statistics):
    frames = CT.frames(source, "train")
    names = list(statistics.variables)
    everything = Statistics.fit(source, frames, days=10_000)
    values = source.read(["air_temperature"], frames)[0]
    k = names.index("air_temperature")
    np.testing.assert_allclose(everything.centre[k], values.mean(axis=0), rtol=1e-5)
    spread = np.sqrt(np.mean(GRID.weights * (values - values.mean(axis=0)) ** 2))
    assert everything.scale[k] == pytest.approx(spread, rel=1e-3)
    assert not statistics.centre[names.index("eastward_wind")].any()
    assert np.ptp(statistics.centre[names.index("surface_altitude")]) == 0


def test_statistics_come_back_from_disk(statistics: Statistics, tmp_path):
    statistics.save(tmp_path / "s.safetensors")
    back = Statistics.load(tmp_path / "s.safetensors")
    np.testing.assert_array_equal(back.centre, statistics.centre)
    assert back.variables == statistics.variables
    assert back.residual_scale == statistics.residual_scale


@pytest.mark.parametrize("target", TARGETS)
def test_a_window_holds_what_its_channels_say(source, statistics, background, target):
    reader = WindowReader(source, statistics, target, background)
    index = CT.windows(source, "train")[[3, 4, 40]]
    batch = reader.read(index)
    assert batch.inputs.shape == (3, len(reader.channels), 8, *GRID.shape)
    assert reader.channels == channel_names(source.variables, target)
    truth = source.read(["co2"], index)[0]
    np.testing.assert_allclose(
        batch.prior + reader.scale * batch.target.astype(np.float32), truth, atol=0.05
    )
    k = reader.channels.index("air_temperature")
    window = np.arange(index[1] - 7, index[1] + 1)
    expected = source.read(["air_temperature"], window)[0] - statistics.centre[k]
    np.testing.assert_allclose(batch.inputs[1, k], expected / statistics.scale[k], atol=5e-3)
    row, column = source.stations.cells(GRID)
    mask = batch.inputs[:, reader.channels.index("station_mask")]
    cells = np.unique(row * 24 + column).size
    assert statistics.station_gain == pytest.approx(np.sqrt(GRID.lat.size * GRID.lon.size / cells))
    assert (mask > 0).sum() == 3 * 8 * cells
    np.testing.assert_allclose(mask[:, :, row, column], statistics.station_gain, rtol=1e-3)
    np.testing.assert_allclose(batch.clock, clock(source.time[index[:, None] + reader.offsets]))


def test_a_lone_station_is_seen_as_a_scaled_departure(source, statistics):
    reader = WindowReader(source, statistics, "absolute")
    index = CT.windows(source, "train")[[5]]
    row, column = source.stations.cells(GRID)
    cells, first, count = np.unique(row * 24 + column, return_index=True, return_counts=True)
    station, cell = first[count == 1][0], cells[count == 1][0]
    seen = source.observations(index)[0, station]
    found = reader.read(index).inputs[0, reader.known, -1].reshape(-1)[cell]
    departure = (seen - statistics.co2_mean) / statistics.co2_scale
    np.testing.assert_allclose(found, statistics.station_gain * departure, rtol=2e-3)


def test_truth_is_not_read_when_not_asked_for(source, statistics, background):
    class NoTruth(SyntheticSource):
        def read(self, names, index):
            assert "co2" not in names
            return super().read(names, index)

        def observations(self, index):
            return source.observations(index)

    blind = NoTruth(GRID, "2001-12-20", "2002-02-10")
    index = CT.windows(source, "train")[:2]
    batch = WindowReader(blind, statistics, "residual", background).read(index, truth=False)
    expected = WindowReader(source, statistics, "residual", background).read(index)
    np.testing.assert_array_equal(batch.inputs, expected.inputs)
    assert batch.target is None


@pytest.mark.parametrize("target", TARGETS)
def test_silent_stations_leave_zeros(source, statistics, background, target):
    class Silent(SyntheticSource):
        def observations(self, index):
            return np.full((len(index), len(self.stations)), np.nan, dtype=np.float32)

    silent = Silent(GRID, "2001-12-20", "2002-02-10")
    batch = WindowReader(silent, statistics, target, background).read(np.array([200]))
    known = len(statistics.variables)
    assert not batch.inputs[:, known : known + 2].any()
    assert np.isfinite(batch.inputs).all()
    assert np.isfinite(batch.prior).all()
    assert np.abs(batch.prior - 370).max() < 40


def test_what_does_not_fit_is_refused(source, statistics, background):
    coarse = SyntheticSource(LatLonGrid.regular(9, 12), "2002-01-01", "2002-01-03")
    poor = SyntheticSource(GRID, "2002-01-01", "2002-01-03", variables=("air_pressure",))
    with pytest.raises(UserError, match="9 x 12"):
        WindowReader(coarse, statistics, "absolute")
    with pytest.raises(UserError, match="lacks specific_humidity"):
        WindowReader(poor, statistics, "absolute")
    with pytest.raises(UserError, match="needs a background"):
        WindowReader(source, statistics, "residual")
    with pytest.raises(UserError, match="not complete"):
        WindowReader(source, statistics, "absolute").read(np.array([3]))
    with pytest.raises(UserError, match="unknown"):
        channel_names((), "difference")
    with pytest.raises(UserError, match="training years"):
        Statistics.fit(source, np.empty(0, dtype=np.int64))


def test_clock_counts_days_and_years():
    times = np.array(["2001-01-01T00:00", "2000-07-02T00:00", "2001-06-01T18:00"], "datetime64[s]")
    found = clock(times)
    np.testing.assert_allclose(found[0], [0, 0])
    np.testing.assert_allclose(found[1], [0, 0.5])
    np.testing.assert_allclose(found[2], [0.75, 151.75 / 365], rtol=1e-6)
