"""Verification: a sound store passes, and every fault is named."""

import json
import subprocess
import sys

import numpy as np
import pytest
import zarr

from co2net.datasets.verify import noaa_means, verify
from co2net.errors import UserError
from co2net.grid import LatLonGrid
from co2net.schema import AUXILIARY, create_store, write_frames
from tests.synthetic import SyntheticSource

GRID = LatLonGrid.regular(30, 40)
USUAL = {
    "air_pressure": 98500.0,
    "specific_humidity": 0.009,
    "air_temperature": 286.0,
    "eastward_wind": 0.5,
    "northward_wind": 0.1,
    "geopotential_height": 260.0,
}


def fields(world, frames=16):
    """An Earth of sorts: sound area means, mountains on land, CO2 about NOAA's."""
    index = np.arange(frames)
    made = {
        name: np.full((frames, *GRID.shape), value, dtype=np.float32)
        for name, value in USUAL.items()
    }
    co2 = world.read(["co2"], index)[0]
    made["co2"] = co2 - co2.mean() + np.float32(373.0)
    made["surface_altitude"] = (GRID.land_fraction**4 * 1000).astype(np.float32)
    return made


def build(path, change=None, attrs=None, step=None, frames=16):
    world = SyntheticSource(GRID, "2002-03-01", "2002-03-31", sites=5)
    time = world.time if step is None else world.time[:1] + np.arange(248) * step
    create_store(path, GRID, time, world.stations, {**world.attrs, **(attrs or {})})
    made = fields(world, frames)
    if change is not None:
        change(made)
    rows, columns = world.stations.cells(GRID)
    write_frames(path, 0, made, made["co2"][:, rows, columns])
    return path


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return build(tmp_path_factory.mktemp("sound") / "s.zarr")


def test_a_sound_store(sound):
    found = verify(sound)
    assert found.faults == ()
    assert found.lines()[-1] == "sound"
    assert (found.frames, found.checked) == (16, 16)
    assert set(found.missing) == {"co2", *AUXILIARY}
    assert found.missing["co2"] == 0
    assert "gap: 2002-03-03 to 2002-03-31" in found.notes
    (year,) = found.years
    # NOAA's global mean of March 2002 is 373.38
    assert (year.year, year.months, year.noaa) == (2002, 1, pytest.approx(373.38))
    assert abs(year.difference) < 1
    assert json.loads(json.dumps(found.to_dict()))["sound"] is True


def overwrite(name, value):
    def change(made):
        made[name][...] = value

    return change


def holes(made):
    made["eastward_wind"][2, :3] = np.nan


def upside_down(made):
    made["surface_altitude"] = made["surface_altitude"][::-1]


def half_a_turn(made):
    made["surface_altitude"] = np.roll(made["surface_altitude"], 20, axis=1)


def far_from_noaa(made):
    made["co2"] += 9


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (holes, "eastward_wind: 0.62% of the values are missing"),
        (upside_down, "latitudes or longitudes are swapped"),
        (half_a_turn, "latitudes or longitudes are swapped"),
        (far_from_noaa, "co2: ocean mean of 2002 is 38"),
        (overwrite("co2", 373), "is the same everywhere"),
        (overwrite("air_temperature", 320), "air_temperature: area mean 320 K is not of this"),
        (overwrite("specific_humidity", 0.04), "specific_humidity: area mean"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_values_that_are_wrong(tmp_path, change, match):
    faults = verify(build(tmp_path / "s.zarr", change)).faults
    assert len(faults) == 1
    assert match in faults[0]


def test_a_model_that_runs_free_may_differ_more(tmp_path):
    path = build(tmp_path / "s.zarr", far_from_noaa, {"free_running": True})
    assert verify(path).faults == ()


def touch(change):
    """Change a store behind its back."""

    def do(path):
        change(zarr.open_group(str(path), mode="r+", use_consolidated=False))
        zarr.consolidate_metadata(str(path))

    return do


def units(root):
    root["air_pressure"].attrs["units"] = "hPa"


def licence(root):
    del root.attrs["licence"]


def backwards(root):
    root["time"][:] = root["time"][:][::-1]


def uneven(root):
    root["time"][-1] = root["time"][-1] + 60


def off_the_globe(root):
    root["stations/lat"][1] = 95.0


def twice(root):
    codes = list(root["stations"].attrs["code"])
    root["stations"].attrs["code"] = [codes[1], *codes[1:]]


def silent(root):
    root["stations/co2"][:] = np.nan


def absurd(root):
    root["stations/co2"][3, 2] = 1e34


def other_times(root):
    root["stations/time"][0] = 0


def bad_latitudes(root):
    root["lat"][:] = root["lat"][:][::-1]


def nothing(root):
    root["available"][:] = 0


@pytest.mark.filterwarnings("ignore:Consolidated metadata")
@pytest.mark.parametrize(
    ("change", "match"),
    [
        (units, "air_pressure: units are 'hPa'"),
        (licence, "attributes: licence is missing"),
        (backwards, "time: does not ascend"),
        (uneven, "time: steps are not equal"),
        (off_the_globe, "S01 at 95"),
        (twice, "a code is there twice"),
        (silent, "none reports anything"),
        (absurd, "stations: CO2 is"),
        (other_times, "their times are not those"),
        (bad_latitudes, "lat must ascend"),
        (nothing, "no frame holds data"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_layout_that_is_wrong(tmp_path, change, match):
    path = build(tmp_path / "s.zarr", frames=8)
    touch(change)(path)
    assert any(match in fault for fault in verify(path).faults)


def test_a_chunk_that_is_damaged(tmp_path):
    path = build(tmp_path / "s.zarr")
    chunk = next(p for p in (path / "air_temperature" / "c").rglob("*") if p.is_file())
    chunk.write_bytes(chunk.read_bytes()[:20])
    faults = verify(path).faults
    assert len(faults) == 1
    assert faults[0].startswith("air_temperature: cannot be read")


def test_no_store(tmp_path):
    with pytest.raises(UserError, match="no store at"):
        verify(tmp_path / "none")


def test_the_command_ends_with_one_and_a_list(tmp_path):
    path = build(tmp_path / "s.zarr", holes)
    words = ["-c", "from co2net.cli import main; main()", "data", "verify", str(path), "--json"]
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    answer = json.loads(done.stdout)
    assert answer["sound"] is False
    assert "eastward_wind" in answer["faults"][0]


def test_noaas_means():
    means = noaa_means()
    assert means["1979-01"] == 336.56
    assert min(means) == "1979-01"
    assert len(means) % 12 == 0
