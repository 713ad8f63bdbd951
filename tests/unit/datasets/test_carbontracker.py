"""CarbonTracker's original layout: what is read, what is refused, what a store becomes."""

import hashlib
import subprocess
import sys
from concurrent.futures import Executor, Future
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import cftime
import netCDF4
import numpy as np
import pytest
import zarr

from co2net import cluster
from co2net.assets import reference_path
from co2net.datasets import carbontracker, netcdf
from co2net.datasets.carbontracker import day_in_name, prepare, read_day, remote_files
from co2net.errors import UserError
from co2net.grid import LatLonGrid
from co2net.schema import AUXILIARY, VARIABLES, open_store, validate, write_frames
from tests.synthetic import SyntheticSource
from tests.unit.datasets.originals import edit, write_day

GRID = LatLonGrid.regular(10, 12)
DAYS = [str(day) for day in np.arange("2001-12-28", "2002-01-17", dtype="M8[D]")]


@pytest.fixture(scope="module")
def world():
    return SyntheticSource(GRID, DAYS[0], DAYS[-1], sites=5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, world):
    """Twenty days, more than one chunk of a store."""
    folder = tmp_path_factory.mktemp("originals")
    for day in DAYS:
        write_day(folder, day, world, levels=3)
    return folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory, folder, world):
    """The store of all days, made in one go."""
    out = tmp_path_factory.mktemp("whole") / "s.zarr"
    prepare([folder], out, stations=world.stations)
    return out


@pytest.fixture
def day(tmp_path, world):
    return write_day(tmp_path / "one", "2002-01-01", world, levels=3)


def digest(store: Path) -> str:
    """Of every file of a store, names and bytes."""
    sums = hashlib.sha256()
    for path in sorted(store.rglob("*")):
        if path.is_file():
            sums.update(str(path.relative_to(store)).encode() + path.read_bytes())
    return sums.hexdigest()


def assert_same(store: Path, world: SyntheticSource, days: list[str]) -> None:
    """The store's frames of these days are the world's, within half a packed step."""
    got = open_store(store)
    held = np.isin(got.time.astype("M8[D]").astype(str), days)
    np.testing.assert_array_equal(got.available, held)
    index = np.flatnonzero(held)
    there = np.searchsorted(world.time, got.time[index])
    np.testing.assert_array_equal(world.time[there], got.time[index])
    for name in ("co2", *got.variables):
        want = world.read([name], there)[0]
        step = VARIABLES[name].scale
        slack = np.abs(want).max() * 4e-7  # the file's single precision
        np.testing.assert_allclose(got.read([name], index)[0], want, atol=0.51 * step + slack)


# -- round trips ----------------------------------------------------------------------------


def test_a_store_holds_the_surface_of_the_files(tmp_path, folder, world):
    said = []
    done = prepare(
        [folder], tmp_path / "s.zarr", stations=world.stations, progress=lambda *a: said.append(a)
    )
    assert_same(tmp_path / "s.zarr", world, DAYS)
    assert (done.days, done.reused, done.gaps, done.skipped, done.absent) == (20, 0, (), (), ())
    assert said[-1][0] == 1.0
    store = open_store(tmp_path / "s.zarr")
    assert validate(store) == []
    assert store.time[0] == np.datetime64("2001-12-28T01:30:00")
    assert store.variables == AUXILIARY
    assert store.attrs["simulated"] is False
    assert store.attrs["version"] == "CT2022"
    assert "non-commercial" in store.attrs["licence"]
    assert "NOAA GML" in store.attrs["acknowledgement"]
    assert store.attrs["missing_days"] == []
    assert store.attrs["level"] == "lowest of 3 model levels"
    rows, columns = store.stations.cells(store.grid)
    index = np.arange(0, 160, 7)
    np.testing.assert_allclose(
        store.observations(index), store.read(["co2"], index)[0][:, rows, columns], atol=0.011
    )


def test_a_full_file_of_34_levels_on_90_x_120_cells(tmp_path):
    world = SyntheticSource(start="2010-06-30", end="2010-06-30")
    write_day(tmp_path, "2010-06-30", world)
    prepare([tmp_path], tmp_path / "s.zarr")
    assert_same(tmp_path / "s.zarr", world, ["2010-06-30"])
    store = open_store(tmp_path / "s.zarr")
    assert store.grid == LatLonGrid.ct()
    assert len(store.stations) == 96
    assert "positions only" in store.stations.network


def test_names_of_older_releases(tmp_path, world):
    path = write_day(tmp_path, "2002-01-01", world, levels=3, release="CT2015", old_names=True)
    day = read_day(path)
    assert day.release == "CT2015"
    assert day.variables == AUXILIARY
    prepare([path], tmp_path / "s.zarr", stations=world.stations)
    assert_same(tmp_path / "s.zarr", world, ["2002-01-01"])


def test_classic_netcdf(tmp_path, world):
    path = write_day(tmp_path, "2002-01-01", world, levels=2, format="NETCDF3_64BIT_OFFSET")
    assert read_day(path).levels == 2
    data = path.read_bytes()
    for length in (len(data) - 4, len(data) // 2, 100):
        path.write_bytes(data[:length])
        with pytest.raises(UserError, match="cut off"):
            read_day(path)


def test_latitude_from_the_north_and_longitude_to_360(tmp_path, world, day):
    turned = tmp_path / "turned" / day.name
    turned.parent.mkdir()
    with netCDF4.Dataset(day) as old, netCDF4.Dataset(turned, "w") as new:
        for name, dim in old.dimensions.items():
            new.createDimension(name, dim.size)
        for name, variable in old.variables.items():
            values = variable[:]
            if "latitude" in variable.dimensions:
                values = np.flip(values, variable.dimensions.index("latitude"))
            if "longitude" in variable.dimensions:
                axis = variable.dimensions.index("longitude")
                values = np.roll(values, -6, axis)
                if values.ndim == 1:
                    values = values % 360
            copy = new.createVariable(name, variable.dtype, variable.dimensions)
            copy.units = variable.units
            copy[:] = values
    straight, bent = read_day(day), read_day(turned)
    assert straight.grid == bent.grid
    for name, values in straight.fields.items():
        np.testing.assert_array_equal(values, bent.fields[name])


def test_boundaries_and_terrain_by_hand(day):
    with netCDF4.Dataset(day) as data:
        ground, top = data["gph"][0, 0, 2, 3], data["gph"][0, 1, 2, 3]
        pressure, geopotential = data["pressure"][0, 0, 2, 3], data["orography"][2, 3]
    fields = read_day(day).fields
    assert fields["geopotential_height"][0, 2, 3] == pytest.approx((ground + top) / 2)
    assert fields["air_pressure"][0, 2, 3] == pressure
    assert fields["surface_altitude"][2, 3] == pytest.approx(geopotential / 9.80665)


# -- units ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variable", "units", "field", "expected"),
    [
        ("co2", "mol mol-1", "co2", lambda v: v * 1e6),
        ("co2", "ppm", "co2", lambda v: v),
        ("co2", "\N{MICRO SIGN}mol/mol", "co2", lambda v: v),
        ("pressure", "hPa", "air_pressure", lambda v: v * 100),
        ("temperature", "degC", "air_temperature", lambda v: v + 273.15),
        ("specific_humidity", "g/kg", "specific_humidity", lambda v: v / 1000),
        ("gph", "km", "geopotential_height", lambda v: v * 1000),
        ("orography", "m", "surface_altitude", lambda v: v),
        ("orography", "m2 s-2", "surface_altitude", lambda v: v / 9.80665),
    ],
)
def test_units_are_converted(day, variable, units, field, expected):
    plain = read_day(day).fields[field]
    with netCDF4.Dataset(day) as data:
        raw = data[variable][:]
    # bring the file's values to the other unit first, so that they stay in range
    one, zero = float(expected(np.float64(1))), float(expected(np.float64(0)))
    if variable == "orography":
        other = plain if units == "m" else raw
    else:
        other = (raw - zero) / (one - zero)
    edit(day, variable, units=units, values=other)
    np.testing.assert_allclose(read_day(day).fields[field], plain, rtol=2e-6, atol=1e-4)


@pytest.mark.parametrize("variable", ["co2", "pressure", "u", "orography"])
def test_a_missing_unit_is_an_error_until_the_user_says_it(day, variable):
    field = {"pressure": "air_pressure", "u": "eastward_wind", "orography": "surface_altitude"}
    name = field.get(variable, variable)
    plain = read_day(day).fields[name]
    with netCDF4.Dataset(day) as data:
        units = data[variable].units
    edit(day, variable, units=None)
    with pytest.raises(UserError, match=r"states no units; say which with --units"):
        read_day(day)
    np.testing.assert_array_equal(read_day(day, {name: units}).fields[name], plain)


def test_absurd_units_and_values_that_belie_their_units(day):
    edit(day, "temperature", units="furlongs")
    with pytest.raises(UserError, match="temperature: units 'furlongs' are not known"):
        read_day(day)
    edit(day, "temperature", units="degC")
    with pytest.raises(UserError, match=r"air_temperature is .* outside"):
        read_day(day)


# -- files that are refused -----------------------------------------------------------------


def html(path):
    path.write_text("<!DOCTYPE html><title>503</title>")


def cut(path):
    path.write_bytes(path.read_bytes()[:-200])


def nan_block(path):
    with netCDF4.Dataset(path, "a") as data:
        data["u"][3, 0, 2:4, :] = np.ma.masked


def swapped(path):
    with netCDF4.Dataset(path, "a") as data:
        data.renameDimension("latitude", "x")
        data.renameVariable("latitude", "x")


def upside_down(path):
    with netCDF4.Dataset(path, "a") as data:
        data["pressure"][:] = data["pressure"][:, ::-1]


def wrong_day(path):
    with netCDF4.Dataset(path, "a") as data:
        data["time"][:] = data["time"][:] + 1


def uneven(path):
    with netCDF4.Dataset(path, "a") as data:
        data["time"][3] = data["time"][3] + 0.01


def no_co2(path):
    with netCDF4.Dataset(path, "a") as data:
        data.renameVariable("co2", "ch4")


def far_latitude(path):
    with netCDF4.Dataset(path, "a") as data:
        data["latitude"][:] = data["latitude"][:] * 2


def other_calendar(path):
    edit(path, "time", calendar="365_day")


def no_epoch(path):
    edit(path, "time", units="days")


def wrong_dimensions(path):
    with netCDF4.Dataset(path, "a") as data:
        data.renameVariable("co2", "gone")
        data.renameVariable("blh", "co2")


FAULTS = {
    html: "is no NetCDF file \\(it begins with '<!DOCTYPE html>",
    cut: "is cut off or damaged",
    nan_block: "u: .*% of the surface values are missing",
    swapped: "no dimension and coordinate latitude or lat",
    upside_down: "level 0 is not the lowest",
    wrong_day: "its name says 2002-01-01, its times 2002-01-02",
    uneven: "not a whole day in equal steps",
    no_co2: "has no variable co2",
    far_latitude: "lat must ascend within",
    other_calendar: "calendar '365_day' is not",
    no_epoch: "no time units",
    wrong_dimensions: "co2 lies on \\(time, latitude, longitude\\)",
    Path.unlink: "cannot be read",
    lambda path: path.write_bytes(b""): "is empty",
}


@pytest.mark.parametrize("damage", FAULTS, ids=lambda f: f.__name__)
def test_a_fault_is_one_line_that_names_the_file(tmp_path, day, damage):
    damage(day)
    with pytest.raises(UserError, match=FAULTS[damage]) as caught:
        prepare([day], tmp_path / "s.zarr")
    assert str(caught.value).startswith(str(day))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "s.zarr").exists()


def test_cut_anywhere_it_is_one_line(day):
    whole = day.read_bytes()
    for length in np.random.default_rng(6).integers(0, len(whole), 60):
        day.write_bytes(whole[:length])
        with pytest.raises(UserError) as caught:
            read_day(day)
        assert str(caught.value).startswith(str(day))
        assert "\n" not in str(caught.value)


def test_bytes_changed_anywhere_give_a_line_or_finite_values(tmp_path, world):
    """In classic files; inside damaged HDF5 metadata the library itself may loop for ever."""
    path = write_day(tmp_path, "2002-01-01", world, levels=2, format="NETCDF3_64BIT_OFFSET")
    whole = path.read_bytes()
    rng = np.random.default_rng(6)
    refused = 0
    for trial in range(60):
        data = bytearray(whole)
        for place in rng.integers(0, 6000 if trial % 2 else len(data), 40):
            data[place] = int(rng.integers(0, 256))
        path.write_bytes(data)
        line = None
        try:
            fields = read_day(path).fields
        except UserError as error:
            line = str(error)
            refused += 1
        if line is None:
            assert all(np.isfinite(values).all() for values in fields.values())
        else:
            assert line.startswith(str(path))
            assert "\n" not in line
    assert refused > 30


def test_monthly_means_and_other_files_are_refused(tmp_path, world):
    path = write_day(tmp_path, "2002-01-01", world, levels=2, name="CT2022.molefrac_glb3x2_2002.nc")
    with pytest.raises(UserError, match="no day in its name"):
        prepare([path], tmp_path / "s.zarr")
    with pytest.raises(UserError, match="no daily CarbonTracker file"):
        prepare([tmp_path], tmp_path / "s.zarr")
    assert day_in_name(Path("CT2022.molefrac_glb3x2_2019-02.nc")) is None
    assert day_in_name(Path("CT2022.molefrac_glb3x2_2019-02-30.nc")) is None
    assert day_in_name(Path("CT2022.molefrac_glb3x2_20190228.nc")) == np.datetime64("2019-02-28")


def test_a_day_that_is_there_twice_is_refused(tmp_path, world, day):
    other = write_day(tmp_path / "b", "2002-01-01", world, levels=3, name="again_2002-01-01.nc")
    for skip in (False, True):
        with pytest.raises(UserError, match="2002-01-01 is there twice") as caught:
            prepare([day, other], tmp_path / "s.zarr", skip_bad=skip)
        assert str(other) in str(caught.value)
    assert not (tmp_path / "s.zarr").exists()


def test_files_that_differ_from_the_first_are_refused(tmp_path, world):
    first = write_day(tmp_path, "2002-01-01", world, levels=3)
    second = "2002-01-02"
    stations = world.stations

    def refuse(path, match):
        with pytest.raises(UserError, match=match) as caught:
            prepare([first, path], tmp_path / "s.zarr", stations=stations)
        assert str(caught.value).startswith(f"{path}: differs from")

    refuse(write_day(tmp_path, second, world, levels=3, release="CT2019B"), "release CT2019B")
    coarse = SyntheticSource(LatLonGrid.regular(6, 8), second, second)
    refuse(write_day(tmp_path, second, coarse, levels=3), "not LatLonGrid")
    path = write_day(tmp_path, second, world, levels=3)
    with netCDF4.Dataset(path, "a") as data:
        data.renameVariable("u", "uu")
    refuse(path, "only one of them has eastward_wind")
    path = write_day(tmp_path, second, world, levels=3)
    with netCDF4.Dataset(path, "a") as data:
        data["orography"][:] = data["orography"][:] + 500
    refuse(path, "terrain is up to 51 m")
    path = write_day(tmp_path, second, world, levels=3)
    with netCDF4.Dataset(path, "a") as data:
        data["time"][:] = data["time"][:] - 1 / 16
    refuse(path, "8 times from 0 seconds")


def test_pressure_at_level_centres_is_left_out(tmp_path, world, day):
    with netCDF4.Dataset(day, "a") as data:
        data.renameVariable("pressure", "p")
        copy = data.createVariable("press", "f4", ("time", "level", "latitude", "longitude"))
        copy.units = "Pa"
        copy[:] = 9e4
    done = prepare([day], tmp_path / "s.zarr", stations=world.stations)
    assert done.absent == ("air_pressure",)
    assert "air_pressure" in done.lines()[-1]
    store = open_store(tmp_path / "s.zarr")
    assert store.attrs["absent_variables"] == ["air_pressure"]
    assert "air_pressure" not in store.variables


# -- gaps, bad files, going on --------------------------------------------------------------


def test_gaps_are_reported_and_kept(tmp_path, folder, world):
    kept = [day for day in DAYS if day not in DAYS[3:5] and day != DAYS[12]]
    files = [folder / f"CT2022.molefrac_glb3x2_{day}.nc" for day in kept]
    done = prepare(files, tmp_path / "s.zarr", stations=world.stations)
    assert done.gaps == ((DAYS[3], DAYS[4]), (DAYS[12], DAYS[12]))
    assert f"gap: {DAYS[3]} to {DAYS[4]}" in done.lines()
    assert f"gap: {DAYS[12]}" in done.lines()
    assert_same(tmp_path / "s.zarr", world, kept)
    assert open_store(tmp_path / "s.zarr").attrs["missing_days"] == [list(gap) for gap in done.gaps]


def test_bad_files_stop_the_run_or_are_skipped_and_mended_later(tmp_path, folder, whole, world):
    broken = tmp_path / "files"
    broken.mkdir()
    for path in folder.iterdir():
        (broken / path.name).write_bytes(path.read_bytes())
    bad = [sorted(broken.iterdir())[place] for place in (0, 9, 17)]
    cut(bad[0])
    html(bad[1])
    nan_block(bad[2])
    with pytest.raises(UserError, match=bad[0].name):
        prepare([broken], tmp_path / "s.zarr", stations=world.stations)
    assert not (tmp_path / "s.zarr").exists()
    done = prepare([broken], tmp_path / "s.zarr", skip_bad=True, stations=world.stations)
    assert [item.file for item in done.skipped] == [str(path) for path in bad]
    assert all(str(path) in line for path, line in zip(bad, done.lines()[-3:], strict=True))
    assert [gap[0] for gap in done.gaps] == [DAYS[0], DAYS[9], DAYS[17]]
    assert_same(tmp_path / "s.zarr", world, [d for n, d in enumerate(DAYS) if n not in (0, 9, 17)])

    with pytest.raises(UserError, match=bad[1].name):
        bad[0].write_bytes((folder / bad[0].name).read_bytes())
        prepare([broken], tmp_path / "s.zarr", stations=world.stations)
    for path in bad:
        path.write_bytes((folder / path.name).read_bytes())
    done = prepare([broken], tmp_path / "s.zarr", stations=world.stations)
    assert (done.days, done.reused, done.gaps) == (2, 18, ())
    assert digest(tmp_path / "s.zarr") == digest(whole)


def test_no_readable_file_makes_no_store(tmp_path, day):
    cut(day)
    with pytest.raises(UserError, match="none of the 1 files can be read"):
        prepare([day], tmp_path / "s.zarr", skip_bad=True)
    assert not (tmp_path / "s.zarr").exists()


@pytest.mark.parametrize("stop", [0, 1, 7, 14, 15, 19])
def test_interrupted_at_any_file_the_store_becomes_the_same(
    tmp_path, folder, whole, world, monkeypatch, stop
):
    broken = tmp_path / "broken.zarr"
    calls = iter(range(1000))

    check = carbontracker.preparing._Plan.check

    def interrupted(plan, day):
        if next(calls) == stop:
            raise KeyboardInterrupt
        check(plan, day)

    with monkeypatch.context() as patch:
        patch.setattr(carbontracker.preparing._Plan, "check", interrupted)
        with pytest.raises(KeyboardInterrupt):
            prepare([folder], broken, stations=world.stations)
    done = prepare([folder], broken, stations=world.stations)
    assert done.days + done.reused == 20
    assert digest(broken) == digest(whole)


def test_interrupted_while_writing_the_store_becomes_the_same(
    tmp_path, folder, whole, world, monkeypatch
):
    broken = tmp_path / "broken.zarr"

    def half(path, start, fields, observations):
        write_frames(path, start, fields, observations)
        zarr.open_group(str(path), mode="r+")["available"][start:] = 0
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(carbontracker.preparing.schema, "write_frames", half)
        with pytest.raises(KeyboardInterrupt):
            prepare([folder], broken, stations=world.stations)
    prepare([folder], broken, stations=world.stations)
    assert digest(broken) == digest(whole)


def test_a_store_of_a_longer_span_is_filled_as_files_arrive(tmp_path, folder, whole, world):
    files = sorted(folder.iterdir())
    out, span = tmp_path / "s.zarr", {"start": DAYS[0], "end": DAYS[-1]}
    first = prepare(files[10:14], out, stations=world.stations, **span)
    assert first.gaps == ((DAYS[0], DAYS[9]), (DAYS[14], DAYS[19]))
    prepare(files[:12], out, stations=world.stations)
    last = prepare(files, out, stations=world.stations, **span)
    assert (last.days, last.reused, last.gaps) == (6, 14, ())
    assert digest(out) == digest(whole)


def test_a_store_that_does_not_fit_is_left_alone(tmp_path, folder, world):
    files = sorted(folder.iterdir())
    out = tmp_path / "s.zarr"
    prepare(files[3:5], out, stations=world.stations)
    before = digest(out)
    with pytest.raises(UserError, match="which the call does not fit"):
        prepare(files, out, stations=world.stations)
    (tmp_path / "plain").mkdir()
    with pytest.raises(UserError, match=r"is no Zarr store|no canonical store"):
        prepare(files, tmp_path / "plain", stations=world.stations)
    assert digest(out) == before


def test_reading_in_processes_gives_the_same_store(tmp_path, folder, whole, world):
    prepare([folder], tmp_path / "two.zarr", stations=world.stations, workers=2)
    assert digest(tmp_path / "two.zarr") == digest(whole)
    cut_copy = tmp_path / "f" / f"x_{DAYS[1]}.nc"
    cut_copy.parent.mkdir()
    cut_copy.write_bytes((folder / f"CT2022.molefrac_glb3x2_{DAYS[1]}.nc").read_bytes()[:999])
    files = [folder / f"CT2022.molefrac_glb3x2_{DAYS[0]}.nc", cut_copy]
    with pytest.raises(UserError, match="is cut off"):
        prepare(files, tmp_path / "three.zarr", stations=world.stations, workers=2)


class Lent(Executor):
    """Somebody else's executor, such as a cluster's; its workers may die."""

    def __init__(self, dies_at=None):
        self.dies_at = dies_at
        self.count = 0

    def submit(self, fn, /, *args, **kwargs):
        future = Future()
        self.count += 1
        try:
            if self.count == self.dies_at:
                raise BrokenProcessPool("gone")
            future.set_result(fn(*args, **kwargs))
        except (UserError, BrokenProcessPool) as error:
            future.set_exception(error)
        return future


def test_reading_elsewhere(tmp_path, folder, whole, world):
    lent = Lent()
    prepare([folder], tmp_path / "s.zarr", stations=world.stations, executor=lent)
    assert lent.count == 20
    assert digest(tmp_path / "s.zarr") == digest(whole)


def test_reading_on_a_dask_cluster(tmp_path, folder, whole, world):
    distributed = pytest.importorskip("distributed")
    bad = tmp_path / f"x_{DAYS[0]}.nc"
    bad.write_text("<html>")
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=2, processes=False, protocol="tcp://",
            dashboard_address=None,
        ) as local,
        cluster.client(local.scheduler_address) as client,
    ):  # fmt: skip
        pool = client.get_executor(retries=1)
        prepare([folder], tmp_path / "s.zarr", stations=world.stations, workers=2, executor=pool)
        with pytest.raises(UserError, match="is no NetCDF file"):
            prepare([bad], tmp_path / "t.zarr", stations=world.stations, executor=pool)
    assert digest(tmp_path / "s.zarr") == digest(whole)


def test_a_worker_that_dies_is_not_taken_for_a_bad_file(tmp_path, folder, whole, world):
    out = tmp_path / "s.zarr"
    with pytest.raises(UserError, match=r"reading process died .* --workers 1"):
        prepare([folder], out, skip_bad=True, stations=world.stations, executor=Lent(dies_at=5))
    assert open_store(out).available.sum() == 4 * 8
    prepare([folder], out, stations=world.stations)
    assert digest(out) == digest(whole)


def test_memory_stays_small(tmp_path):
    """Sixteen full days, two chunks, in a process of its own."""
    world = SyntheticSource(start="2010-06-01", end="2010-06-01")
    first = write_day(tmp_path / "f", "2010-06-01", world, levels=2)
    with netCDF4.Dataset(first) as data:
        times = data["time"][:]
    for later in range(1, 16):
        path = first.with_name(first.name.replace("-01.nc", f"-{later + 1:02d}.nc"))
        path.write_bytes(first.read_bytes())
        edit(path, "time", values=times + later)
    code = (
        "import sys, resource; from co2net.assets import peak_memory;"
        "from co2net.datasets import guard; from co2net.datasets.carbontracker import prepare;"
        "prepare([sys.argv[1]], sys.argv[2]); guard.close();"
        "child = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss;"
        "print(peak_memory() + child * (1 if sys.platform == 'darwin' else 1024))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "f"), str(tmp_path / "s.zarr")],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).resolve().parents[3],
    )
    assert int(done.stdout) < 1e9


# -- addresses, real files ------------------------------------------------------------------


def test_addresses_of_files():
    items = remote_files("2019-12-30", "2020-01-01")
    assert [item.name[-13:] for item in items] == [
        "2019-12-30.nc",
        "2019-12-31.nc",
        "2020-01-01.nc",
    ]
    assert items[0].url == (
        "https://gml.noaa.gov/aftp/products/carbontracker/co2/CT2022/molefractions/co2_total/"
        "CT2022.molefrac_glb3x2_2019-12-30.nc"
    )
    months = remote_files("2019-12-30", "2020-01-01", monthly=True, base_url="http://here/ct/")
    assert [item.url for item in months] == [
        "http://here/ct/co2_total_monthly/CT2022.molefrac_glb3x2_2019-12.nc",
        "http://here/ct/co2_total_monthly/CT2022.molefrac_glb3x2_2020-01.nc",
    ]


@pytest.mark.parametrize(
    ("start", "end", "match"),
    [
        ("2019-02-30", "2019-03-01", "ISO days"),
        ("2019-03-01", "2019-02-01", "ends before"),
        ("2020-12-31", "2021-01-01", "holds 2000-01-01 to 2020-12-31"),
    ],
)
def test_spans_that_make_no_sense(start, end, match):
    with pytest.raises(UserError, match=match):
        remote_files(start, end)


def test_a_genuine_carbontracker_product_opens():
    root = reference_path()
    if root is None:
        pytest.skip("the reference data are not on this machine")
    with netcdf.opened(root / "carbontracker-derived" / "spo_ts_daily.nc") as data:
        stamps = netcdf.times(data["time"])
        kept = netcdf.attributes(data, ("institution", "version"))
    assert str(stamps[0]) == "2000-01-01T12:00:00"
    assert str(stamps[-1]) == "2018-12-31T12:00:00"
    assert kept["institution"] == "NOAA Earth System Research Laboratory"


@pytest.mark.parametrize(
    "units",
    [
        "days since 2000-01-01 00:00:00 UTC",
        "seconds since 1970-01-01T00:00:00Z",
        "hours since 1900-01-01",
        "minutes since 1850-01-01 06:30",
    ],
)
def test_times_are_those_of_the_calendar(tmp_path, units):
    """Beside the calendar's own dates, over leap years and the turn of a century."""
    stamps = np.arange("1899-12-30", "2004-03-02", np.timedelta64(70_001, "m"), dtype="M8[s]")
    plain = [cftime.DatetimeGregorian(*s.timetuple()[:6]) for s in stamps.astype(object)]
    with netCDF4.Dataset(tmp_path / "t.nc", "w") as data:
        data.createDimension("time", None)
        axis = data.createVariable("time", "f8", ("time",))
        axis.units = units
        axis[:] = cftime.date2num(plain, units, calendar="standard")
        np.testing.assert_array_equal(netcdf.times(axis), stamps)
        axis[-1] = 1e18
        with pytest.raises(UserError, match="thousands of years"):
            netcdf.times(axis)
