"""The engine and bulk reconstruction."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from numpy.typing import NDArray

from co2net.errors import UserError
from co2net.grid import LatLonGrid, bilinear
from co2net.inference import BLOCK_SECONDS, MODEL_BLOCK, Engine
from co2net.models.base import ModelInfo
from co2net.reconstruct import reconstruct
from co2net.schema import create_store, open_store, write_frames
from tests.synthetic import SyntheticSource

GRID = LatLonGrid.regular(12, 18)
ROOT = Path(__file__).resolve().parents[2]


class Fake:
    """Truth plus a constant, and a record of what was asked of it."""

    def __init__(
        self, name: str = "fake", frames: int = 4, shift: float = 1.0, wait: float = 0.0
    ) -> None:
        self.grid, self.frames, self.shift, self.wait = GRID, frames, shift, wait
        self.asked: list[int] = []
        self.info = ModelInfo(
            name, "Fake", "statistical", "", 0, "", "", "", {"years": "2001"}, f"{name}-{shift}"
        )

    def reconstruct(self, source: Any, index: NDArray[np.int64]) -> NDArray[np.float32]:
        time.sleep(self.wait)
        self.asked += [int(i) for i in index]
        return source.read(["co2"], index)[0] + np.float32(self.shift)


@pytest.fixture(scope="module")
def source() -> SyntheticSource:
    return SyntheticSource(GRID, "2001-12-01", "2002-01-31", sites=5)


def test_fields_are_those_of_the_model_in_the_order_of_the_request(source: SyntheticSource) -> None:
    engine = Engine(source, [Fake()])
    index = np.array([100, 7, 55, 56, 7])
    expected = source.read(["co2"], index)[0]
    np.testing.assert_array_equal(engine.fields("truth", source.time[index]), expected)
    found = engine.fields("fake", source.time[index])
    np.testing.assert_allclose(found, expected + 1, atol=1 / 256)
    wind = engine.field("eastward_wind", source.time[55])
    np.testing.assert_array_equal(wind, source.read(["eastward_wind"], index[2:3])[0, 0])


def test_one_frame_computes_its_day_and_the_day_is_then_free(
    source: SyntheticSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "co2net.inference.BLOCK_SECONDS", 60.0
    )  # quick, be the machine ever so busy
    fake = Fake()
    engine = Engine(source, [fake])
    engine.field("fake", source.time[10])  # how quick it is, is not known before
    assert fake.asked == [10]
    engine.field("fake", source.time[20])
    assert fake.asked == [10, *range(16, 24)]
    engine.fields("fake", source.time[16:24])
    assert len(fake.asked) == 1 + MODEL_BLOCK


def test_a_slow_model_is_asked_for_what_is_needed_only(source: SyntheticSource) -> None:
    fake = Fake(wait=BLOCK_SECONDS / 4)
    engine = Engine(source, [fake])
    for frame in (20, 22, 20, 22):
        expected = source.read(["co2"], np.array([frame]))[0, 0] + 1
        found = engine.field("fake", source.time[frame])
        np.testing.assert_allclose(found, expected, atol=1 / 256)
    assert fake.asked == [20, 22]


def test_fields_survive_a_restart_on_disk(source: SyntheticSource, tmp_path: Path) -> None:
    first = Engine(source, [Fake()], cache_dir=tmp_path).field("fake", source.time[20])
    fake = Fake()
    again = Engine(source, [fake], cache_dir=tmp_path).field("fake", source.time[20])
    np.testing.assert_array_equal(again, first)
    assert fake.asked == []
    other = Fake(shift=2.0)  # the same name with other weights finds nothing of the first's
    field = Engine(source, [other], cache_dir=tmp_path).field("fake", source.time[20])
    np.testing.assert_allclose(field, first + 1, atol=1 / 128)
    elsewhere = SyntheticSource(GRID, "2001-12-01", "2002-01-31", sites=5, seed=1)
    fake = Fake()  # and the same weights on other data neither
    Engine(elsewhere, [fake], cache_dir=tmp_path).field("fake", source.time[20])
    assert fake.asked


def test_a_disk_that_cannot_be_written_costs_the_cache_and_not_the_answer(
    source: SyntheticSource,
) -> None:
    fake = Fake()
    engine = Engine(source, [fake], cache_dir="/proc/nothing")
    assert np.isfinite(engine.fields("fake", source.time[16:32])).all()
    assert "not kept in /proc/nothing" in engine.faults["cache"]
    engine.fields("fake", source.time[16:32])
    assert len(fake.asked) == 16


def test_a_checkpoint_is_loaded_when_asked_for_and_again_when_it_changes(
    source: SyntheticSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[float] = []

    def load(item: str | Path) -> Fake:
        if not (Path(item) / "model.safetensors").read_text():
            raise UserError("checkpoint is damaged")
        loaded.append(float((Path(item) / "model.safetensors").read_text()))
        return Fake("of a family", shift=loaded[-1])

    monkeypatch.setattr("co2net.models.load", load)
    run = tmp_path / "my-run"
    run.mkdir()
    weights = run / "model.safetensors"
    weights.write_text("1.0", encoding="utf-8")
    engine = Engine(source, [run], cache_dir=tmp_path / "cache")
    assert engine.names() == ["my-run"]
    assert loaded == []
    first = engine.field("my-run", source.time[20])
    assert [info.name for info in engine.models()] == ["my-run"]
    engine.rescan()
    engine.field("my-run", source.time[20])
    assert loaded == [1.0]
    weights.write_text("3.0", encoding="utf-8")
    os.utime(weights, ns=(1, 1))
    engine.rescan()
    np.testing.assert_allclose(engine.field("my-run", source.time[20]), first + 2, atol=1 / 128)
    weights.write_text("", encoding="utf-8")
    os.utime(weights, ns=(2, 2))
    engine.rescan()
    assert engine.models() == []
    assert engine.faults == {"my-run": "checkpoint is damaged"}


def test_a_model_on_another_grid_is_refused() -> None:
    coarse = SyntheticSource(LatLonGrid.regular(6, 9), "2001-12-01", "2001-12-05", sites=3)
    with pytest.raises(UserError, match=r"fake is for .*12 x 18.*the data lie on .*6 x 9"):
        Engine(coarse, [Fake()])


def test_sessions_that_ask_together_compute_once(source: SyntheticSource) -> None:
    fake = Fake(wait=0.05)
    engine = Engine(source, [fake])
    threads = [
        threading.Thread(target=engine.fields, args=("fake", source.time[16:40])) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(fake.asked) == list(range(16, 40))
    assert not engine._busy  # no lock is left behind


def test_memory_stays_within_its_bound(source: SyntheticSource) -> None:
    block = MODEL_BLOCK * 12 * 18 * 4
    engine = Engine(source, [Fake()], memory_mb=3 * block / 2**20)
    engine.fields("fake", source.time[8:200])
    assert 0 < engine._memory.used <= 3 * block
    fake = Fake()
    engine = Engine(source, [fake], memory_mb=3 * block / 2**20)
    for start in (8, 16, 8, 24, 32, 8):  # what is used stays, what is not goes
        engine.fields("fake", source.time[start : start + 8])
    assert fake.asked.count(8) == 1
    engine.fields("fake", source.time[16:24])
    assert fake.asked.count(16) == 2


def test_a_window_that_is_not_whole_is_refused_with_the_next_that_is(
    source: SyntheticSource,
) -> None:
    engine = Engine(source, [Fake(frames=4)])
    assert engine.times("truth")[0] == source.time[0]
    assert engine.times("fake")[0] == source.time[3]
    with pytest.raises(UserError, match=r"4 frames without a gap.*from 2001-12-01T10:30:00"):
        engine.field("fake", source.time[2])
    assert np.isfinite(engine.field("fake", source.time[3])).all()
    with pytest.raises(UserError, match="is no frame"):
        engine.field("fake", "2001-12-05T02:00")
    with pytest.raises(UserError, match="choose from truth, fake"):
        engine.field("nonsense", source.time[3])


def test_a_gap_costs_as_many_frames_as_a_window_and_can_be_filled_later() -> None:
    gappy = SyntheticSource(GRID, "2001-12-01", "2001-12-31", sites=5)
    gappy.available = gappy.available.copy()
    gappy.available[42:46] = False
    engine = Engine(gappy, [Fake(frames=4)])
    possible = np.isin(gappy.time, engine.times("fake"))
    assert np.flatnonzero(~possible).tolist() == [0, 1, 2, *range(42, 49)]
    series = engine.series("fake", 10, 20, gappy.time[40:52])
    assert np.flatnonzero(np.isnan(series)).tolist() == list(range(2, 9))
    gappy.available[42:46] = True
    assert np.isfinite(engine.series("fake", 10, 20, gappy.time[40:52])).all()


def test_series_and_region_means(source: SyntheticSource) -> None:
    engine = Engine(source, [Fake()])
    times = source.time[30:60]
    row, column = (int(v) for v in GRID.cell(-33.0, 179.9))
    truth = source.read(["co2"], np.arange(30, 60))[0]
    np.testing.assert_allclose(engine.series("truth", -33, 179.9, times), truth[:, row, column])
    told: list[float] = []
    series = engine.series("fake", -33, -180.1, times, lambda share, _: told.append(share))
    np.testing.assert_allclose(series, truth[:, row, column] + 1, atol=1 / 256)
    assert told == sorted(told)
    assert told[-1] == 1.0
    mask = np.zeros(GRID.shape)
    mask[3, 4], mask[9, 4] = 1.0, 0.5
    area = GRID.area[3, 4], 0.5 * GRID.area[9, 4]
    expected = (area[0] * truth[:, 3, 4] + area[1] * truth[:, 9, 4]) / sum(area)
    np.testing.assert_allclose(engine.region_series("truth", mask, times), expected, rtol=1e-6)
    with pytest.raises(UserError, match="holds no cell"):
        engine.region_series("truth", np.zeros(GRID.shape), times)


def test_a_store_gives_the_same_through_the_engine(source: SyntheticSource, tmp_path: Path) -> None:
    path = tmp_path / "store.zarr"
    attrs = dict(source.attrs)
    create_store(path, GRID, source.time, source.stations, attrs, source.variables)
    index = np.arange(80)
    names = ["co2", *source.variables]
    fields = dict(zip(names, source.read(names, index), strict=True))
    fields["surface_altitude"] = fields["surface_altitude"][0]
    write_frames(path, 0, fields, source.observations(index))
    store = open_store(path)
    fake = Fake(frames=4)
    engine = Engine(store, [fake])
    found = engine.fields("fake", store.time[30:50])
    np.testing.assert_allclose(found, store.read(["co2"], np.arange(30, 50))[0] + 1, atol=1 / 256)
    point = engine.series("truth", 10, 20, store.time[:100])
    row, column = (int(v) for v in GRID.cell(10, 20))
    np.testing.assert_allclose(point[:80], store.read(["co2"], index)[0][:, row, column])
    assert np.isnan(point[80:]).all()
    write_frames(path, 80, {**fields, "co2": fields["co2"]}, source.observations(index))
    assert np.isfinite(engine.fields("fake", store.time[76:90])).all()  # a month came


# -- bulk reconstruction --------------------------------------------------------------------


def test_a_span_is_written_with_all_that_xarray_needs(
    source: SyntheticSource, tmp_path: Path
) -> None:
    told: list[float] = []
    out = reconstruct(
        Fake(),
        source,
        "2001-12-10",
        "2001-12-12",
        tmp_path / "out.zarr",
        progress=lambda share, _: told.append(share),
    )
    with xr.open_zarr(out) as data:
        assert data.co2.dims == ("time", "lat", "lon")
        assert data.time.values[0] == np.datetime64("2001-12-10T01:30")
        assert data.time.values[-1] == np.datetime64("2001-12-12T22:30")
        expected = source.read(["co2"], np.arange(72, 96))[0] + 1
        np.testing.assert_allclose(data.co2.values, expected, atol=1 / 256)
        assert data.co2.attrs["units"] == "umol mol-1"
        assert data.co2.attrs["standard_name"] == "mole_fraction_of_carbon_dioxide_in_dry_air"
        assert data.attrs["simulated"] is True
        assert data.attrs["model"] == "fake"
        assert data.attrs["resampling"] == "none"
        assert json.loads(data.attrs["provenance"])["co2net"]
        np.testing.assert_array_equal(data.lat, GRID.lat)
    assert told[-1] == 1.0


def test_another_grid_and_step_are_interpolated_and_say_so(
    source: SyntheticSource, tmp_path: Path
) -> None:
    out = reconstruct(
        Fake(), source, "2001-12-10", "2001-12-10", tmp_path / "o", resolution=5, freq="1h"
    )
    fine = LatLonGrid.regular(36, 72)
    truth = bilinear(source.read(["co2"], np.arange(71, 81))[0] + 1, GRID, fine)
    with xr.open_zarr(out) as data:
        assert data.co2.shape == (24, 36, 72)
        assert data.time.values[0] == np.datetime64("2001-12-10T00:30")
        at = dict(zip(data.time.values.astype("datetime64[m]").astype(str), data.co2, strict=True))
        np.testing.assert_allclose(at["2001-12-10T04:30"], truth[2], atol=0.01)  # a frame
        # two thirds from 01:30 to 04:30, and two thirds from the day before's last frame
        np.testing.assert_allclose(
            at["2001-12-10T03:30"], truth[1] / 3 + 2 * truth[2] / 3, atol=0.01
        )
        np.testing.assert_allclose(
            at["2001-12-10T00:30"], truth[0] / 3 + 2 * truth[1] / 3, atol=0.01
        )
        assert "bilinear" in data.attrs["resampling"]
        assert "linear in time" in data.attrs["resampling"]


def test_what_cannot_be_done_is_said_in_one_line(source: SyntheticSource, tmp_path: Path) -> None:
    out = tmp_path / "out.zarr"

    def run(start: str = "2001-12-10", end: str = "2001-12-11", **options: Any) -> None:
        options = {"model": Fake(), "out": out, **options}
        reconstruct(source=source, start=start, end=end, **options)

    for options, message in (
        ({"start": "yesterday"}, "YYYY-MM-DD"),
        ({"start": "2001-12-12"}, "end lies before"),
        ({"start": "1999-01-01", "end": "1999-01-02"}, "the data set runs from 2001-12-01"),
        ({"start": "2001-12-01"}, "4 frames without a gap"),
        ({"resolution": 7}, "divide 180"),
        ({"freq": "often"}, "1h or 30min"),
        ({"out": "/proc/nothing/out.zarr"}, "cannot write /proc/nothing"),
    ):
        with pytest.raises(UserError, match=message) as caught:
            run(**options)
        assert "\n" not in str(caught.value)
        assert not out.exists()
    run()
    with pytest.raises(UserError, match="begun with another end"):
        run(end="2001-12-12")
    with pytest.raises(UserError, match="another model_digest"):
        run(model=Fake(shift=2.0))
    (tmp_path / "other").mkdir()
    with pytest.raises(UserError, match="no reconstruction"):
        run(out=tmp_path / "other")


KILLED = """
import sys
from tests.unit.test_inference import GRID, Fake, SyntheticSource
from co2net.reconstruct import reconstruct
source = SyntheticSource(GRID, "2001-12-01", "2002-01-31", sites=5)

def tell(share, day):
    print(share, flush=True)
    if share > 0.8:  # late is the killer, not the work done before it comes
        sys.stdin.read()

reconstruct(Fake(wait=0.01), source, "2001-12-10", "2002-01-10", sys.argv[1], progress=tell)
"""


def test_killed_and_run_again_it_completes_without_doing_anything_twice(
    source: SyntheticSource, tmp_path: Path
) -> None:
    out = tmp_path / "out.zarr"
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(out)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    for _ in range(5):
        process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdin.close()
    process.stdout.close()
    done = xr.open_zarr(out).done.values.astype(bool)
    assert 5 <= done.sum() < done.size  # it was in the middle
    fake = Fake()
    reconstruct(fake, source, "2001-12-10", "2002-01-10", out)
    days = {(i - 72) // 8 for i in fake.asked}
    assert days == set(np.flatnonzero(~done))
    with xr.open_zarr(out) as data:
        expected = source.read(["co2"], np.arange(72, 72 + 32 * 8))[0] + 1
        np.testing.assert_allclose(data.co2.values, expected, atol=1 / 256)
    fake = Fake()
    reconstruct(fake, source, "2001-12-10", "2002-01-10", out)
    assert fake.asked == []
