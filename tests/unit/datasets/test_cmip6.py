"""CMIP6's layout: calendars, grids, levels, files over any period, and what is refused."""

import hashlib
import json
from collections import deque

import netCDF4
import numpy as np
import pytest

from co2net.assets import reference_path
from co2net.datasets import cmip6
from co2net.datasets.cmip6 import lowest, prepare, read_header, read_values
from co2net.datasets.regrid import regridder
from co2net.errors import UserError
from co2net.grid import LatLonGrid
from co2net.schema import VARIABLES, open_store, validate, write_frames
from co2net.windows import split
from tests.synthetic import SyntheticSource
from tests.unit.datasets.originals import PLEV, edit, write_cmip6
from tests.unit.datasets.test_carbontracker import digest
from tests.unit.datasets.test_download import QUICK

GRID = LatLonGrid.regular(10, 12)
MONTHS = [str(month) for month in np.arange("1864-11", "1865-05", dtype="M8[M]")]


@pytest.fixture(scope="module")
def world():
    return SyntheticSource(GRID, "2001-01-01", "2001-01-02", sites=5)


def columns(surface, ground, levels=6):
    """(n, L, H, W): the surface's values on the lowest level above ground, others elsewhere."""
    pressure = PLEV[:levels, None, None]
    values = np.empty((surface.shape[0], levels, *surface.shape[1:]), dtype=np.float32)
    for level in range(levels):
        values[:, level] = surface + 0.1 * surface.std() * level + 1e-9
    under = pressure[None] > ground[:, None]
    first = np.argmin(under, axis=1)[:, None]
    np.put_along_axis(values, first, surface[:, None], axis=1)
    return np.where(under, np.nan, values)


def write_all(folder, world, months=MONTHS, grid=GRID, cut=None, names=tuple(cmip6.NAMES), **more):
    """Every variable of some months, longitudes from 0, in two files where ``cut`` says."""
    lon = np.sort(grid.lon % 360)
    order = np.argsort(grid.lon % 360)
    index = np.arange(len(months))
    fields = {name: world.read([cmip6.NAMES[name]], index)[0][..., order] for name in cmip6.NAMES}
    fields["co2"] *= np.float32(1e-6)
    ground = fields["ps"]
    for name in names:
        values = ground if name == "ps" else columns(fields[name], ground)
        for part in (slice(0, cut), slice(cut, None)) if cut else (slice(None),):
            write_cmip6(folder, name, months[part], values[part], grid.lat, lon, **more)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory, world):
    return write_all(tmp_path_factory.mktemp("cmip6"), world, cut=2)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, folder, world):
    out = tmp_path_factory.mktemp("whole") / "s.zarr"
    prepare([folder], out, stations=world.stations, grid=GRID)
    return out


def assert_same(store, world, months):
    index = np.flatnonzero(store.available)
    assert [str(m) for m in store.time[index].astype("M8[M]")] == list(months)
    at = np.arange(len(months))
    for name in ("co2", *store.variables):
        want = world.read([name], at)[0]
        slack = np.abs(want).max() * 4e-7
        np.testing.assert_allclose(
            store.read([name], index)[0], want, atol=0.51 * VARIABLES[name].scale + slack
        )


# -- round trips ----------------------------------------------------------------------------


def test_a_store_holds_the_lowest_level_of_the_files(whole, world):
    store = open_store(whole)
    assert_same(store, world, MONTHS)
    assert validate(store) == []
    assert store.attrs["absent_variables"] == ["geopotential_height", "surface_altitude"]
    assert store.attrs["simulated"] is True
    assert store.attrs["licence"] == "CC BY-SA 4.0"
    assert store.attrs["original_calendar"] == "365_day"
    assert store.attrs["co2_uniform"] is False
    assert store.variables == tuple(
        name for name in world.variables if name not in store.attrs["absent_variables"]
    )
    rows, places = store.stations.cells(store.grid)
    index = np.arange(len(MONTHS))
    np.testing.assert_allclose(
        store.observations(index), store.read(["co2"], index)[0][:, rows, places], atol=0.011
    )


def test_models_can_use_it(whole):
    """Four months a window, within the split's years, without the variables that are absent."""
    store = open_store(whole)
    windows = split("cmip6").windows(store, "train", frames=4)
    assert [str(time)[:7] for time in store.time[windows]] == ["1865-04"]


@pytest.mark.parametrize(
    "calendar", ["standard", "proleptic_gregorian", "noleap", "366_day", "360_day"]
)
def test_every_calendar_keeps_its_months(tmp_path, world, calendar):
    months = [str(month) for month in np.arange("1999-12", "2000-06", dtype="M8[M]")]
    write_all(tmp_path, world, months, names=("co2", "ps"), calendar=calendar)
    done = prepare([tmp_path], tmp_path / "s.zarr", stations=world.stations, grid=GRID)
    assert done.calendar == calendar
    store = open_store(tmp_path / "s.zarr")
    assert_same(store, world, months)
    assert [str(time)[8:] for time in store.time] == ["16T00:00:00"] * 6


def test_stamps_at_the_border_of_months_are_told_by_their_bounds(tmp_path, world):
    write_all(tmp_path, world, names=("co2",))
    path = next(tmp_path.glob("co2*"))
    with netCDF4.Dataset(path, "a") as data:
        data["time"][:] = data["time_bnds"][:, 1]
    assert [str(month) for month in read_header(path).months] == MONTHS
    edit(path, "time", bounds=None)
    with pytest.raises(UserError, match="lie between two months and it has no bounds"):
        read_header(path)


def test_the_gaussian_grid_of_canesm5_to_two_by_three_degrees(tmp_path):
    lat = np.degrees(np.arcsin(np.polynomial.legendre.leggauss(64)[0]))
    lon = np.arange(128) * 2.8125
    phi, lam = np.radians(lat)[:, None], np.radians(lon)[None, :]
    field = (370 + 10 * np.sin(phi) + 5 * np.cos(phi) * np.cos(lam)).astype(np.float32)
    write_cmip6(tmp_path, "co2", ["2000-01"], field[None, None] * 1e-6, lat, lon, levels=[1e5])
    prepare([tmp_path], tmp_path / "s.zarr")
    store = open_store(tmp_path / "s.zarr")
    assert store.grid == LatLonGrid.ct()
    assert len(store.stations) == 96
    phi, lam = np.radians(store.grid.lat)[:, None], np.radians(store.grid.lon)[None, :]
    want = 370 + 10 * np.sin(phi) + 5 * np.cos(phi) * np.cos(lam)
    got = store.read(["co2"], np.array([0]))[0, 0]
    np.testing.assert_allclose(got[1:-1], want[1:-1], atol=0.03)
    # beyond the last row of centres (87.9 degrees) its value holds
    np.testing.assert_allclose(got[[0, -1]], want[[0, -1]], atol=0.13)


# -- levels ---------------------------------------------------------------------------------


def test_the_lowest_level_by_hand():
    levels = [100000.0, 92500.0, 85000.0]
    column = np.array([300.0, 290.0, 280.0], dtype=np.float32)

    def at(values, ground):
        ground = None if ground is None else np.full((1, 1, 1), ground, dtype=np.float32)
        return lowest(np.asarray(values, np.float32).reshape(1, 3, 1, 1), levels, ground)[0, 0, 0]

    assert at(column, 101325.0) == 300
    assert at(column, 99000.0) == 290  # a value under the ground does not count
    assert at(column, 90000.0) == 280
    assert at([np.nan, 290, 280], None) == 290
    assert at([np.nan, np.nan, 280], 101325.0) == 280
    for values, ground in (([np.nan] * 3, None), (column, 80000.0)):
        with pytest.raises(UserError, match=r"100\.0% of the columns"):
            at(values, ground)


def test_levels_from_the_top_down_and_fills_without_their_attribute(tmp_path, world, whole):
    write_all(tmp_path, world)
    for path in tmp_path.glob("*_Amon_*"):
        if path.name.startswith("ps"):
            continue
        name = path.name.split("_")[0]
        with netCDF4.Dataset(path, "a") as data:
            data.set_auto_mask(False)
            data["plev"][:] = data["plev"][::-1]
            data[name][:] = data[name][:, ::-1]
            data[name].delncattr("missing_value")
    prepare([tmp_path], tmp_path / "s.zarr", stations=world.stations, grid=GRID)
    assert_same(open_store(tmp_path / "s.zarr"), world, MONTHS)


def test_uniform_co2_is_said(tmp_path, world):
    values = np.full((2, 3, *GRID.shape), 285e-6, dtype=np.float32)
    values[1] += 1e-6
    lon = np.sort(GRID.lon % 360)
    write_cmip6(
        tmp_path, "co2", ["1850-01", "1850-02"], values, GRID.lat, lon, experiment="historical"
    )
    done = prepare([tmp_path], tmp_path / "s.zarr", stations=world.stations, grid=GRID)
    assert done.uniform
    assert any("driven by concentrations" in line for line in done.lines())
    assert open_store(tmp_path / "s.zarr").attrs["co2_uniform"] is True
    assert "air_pressure" in done.absent


# -- files that do not fit ------------------------------------------------------------------


def test_gaps_are_reported_and_filled_later(tmp_path, folder, world, whole):
    late = [path for path in folder.glob("*.nc") if "186411" not in path.name]
    early = [path for path in folder.glob("*.nc") if "186411" in path.name]
    out = tmp_path / "s.zarr"
    span = {"start": "1864-11", "end": "1865-04", "stations": world.stations, "grid": GRID}
    done = prepare(late, out, **span)
    assert done.gaps == (("1864-11", "1864-12"),)
    assert "gap: 1864-11 to 1864-12" in done.lines()
    assert open_store(out).attrs["missing_months"] == [["1864-11", "1864-12"]]
    done = prepare([*late, *early], out, **span)
    assert (done.months, done.reused, done.gaps) == (2, 4, ())
    assert digest(out) == digest(whole)


def test_interrupted_while_writing_the_store_becomes_the_same(
    tmp_path, folder, whole, world, monkeypatch
):
    def half(path, start, fields, observations):
        write_frames(path, start, fields, observations)
        raise KeyboardInterrupt

    out = tmp_path / "s.zarr"
    with monkeypatch.context() as patch:
        patch.setattr(cmip6.preparing.schema, "write_frames", half)
        with pytest.raises(KeyboardInterrupt):
            prepare([folder], out, stations=world.stations, grid=GRID)
    prepare([folder], out, stations=world.stations, grid=GRID)
    assert digest(out) == digest(whole)


def test_files_that_do_not_belong_together(tmp_path, folder, world):
    co2 = next(folder.glob("co2*186411*"))
    again = tmp_path / "again.nc"
    again.write_bytes(co2.read_bytes())

    def refuse(files, match):
        with pytest.raises(UserError, match=match) as caught:
            prepare(files, tmp_path / "s.zarr", stations=world.stations, grid=GRID)
        assert "\n" not in str(caught.value)
        assert not (tmp_path / "s.zarr").exists()

    refuse([co2, again], "1864-11 of co2 is there twice")
    with netCDF4.Dataset(again, "a") as data:
        data.experiment_id = "historical"
    refuse([co2, again], "experiment_id historical, not esm-hist")
    refuse([next(folder.glob("ta*"))], "hold no co2, only ta")
    refuse([tmp_path / "none"], "cannot be read")
    refuse([], "no CMIP6 file is given")
    coarse = LatLonGrid.regular(6, 8)
    other = write_all(tmp_path / "o", SyntheticSource(coarse), MONTHS[:2], coarse, names=("ta",))
    refuse([co2, *other.glob("*")], "another grid")
    days = write_all(tmp_path / "d", world, MONTHS[:2], names=("ta",), calendar="360_day")
    refuse([co2, *days.glob("*")], "calendar 360_day")


def test_skipping_bad_files(tmp_path, folder, world):
    bad = tmp_path / "va_bad.nc"
    bad.write_text("<html>")
    files = [path for path in folder.glob("*.nc") if not path.name.startswith("va")]
    done = prepare(
        [*files, bad], tmp_path / "s.zarr", skip_bad=True, stations=world.stations, grid=GRID
    )
    assert [item.file for item in done.skipped] == [str(bad)]
    assert "northward_wind" in done.absent


def absurd(values):
    values[2] *= 1000


def missing(values):
    values[3] = 1e20


@pytest.mark.parametrize("damage", [absurd, missing])
def test_what_shows_among_the_values_only(tmp_path, world, damage):
    """The second of two files of ta is bad in its third or fourth month; it is found late."""
    folder = write_all(tmp_path / "f", world, cut=2)
    bad = next(folder.glob(f"ta_*{MONTHS[2].replace('-', '')}*"))
    with netCDF4.Dataset(bad) as data:
        values = data["ta"][:]
    damage(values)
    edit(bad, "ta", values=values)
    out, how = tmp_path / "s.zarr", {"stations": world.stations, "grid": GRID}
    with pytest.raises(UserError) as caught:
        prepare([folder], out, **how)
    assert str(caught.value).startswith(f"{bad}: ")
    assert list(np.flatnonzero(open_store(out).available)) == [0, 1]  # read before
    for _ in range(2):  # again comes to the same
        done = prepare([folder], out, skip_bad=True, **how)
        assert [item.file for item in done.skipped] == [str(bad)]
        assert (done.months, done.gaps) == (0, ((MONTHS[2], MONTHS[5]),))
    assert_same(open_store(out), world, MONTHS[:2])


def test_a_first_file_that_is_bad_among_its_values(tmp_path, world):
    folder = write_all(tmp_path / "f", world, cut=2)
    bad = next(folder.glob(f"ps_*-{MONTHS[1].replace('-', '')}*"))
    edit(bad, "ps", values=1e20)
    out, how = tmp_path / "s.zarr", {"stations": world.stations, "grid": GRID}
    with pytest.raises(UserError, match="ps"):
        prepare([folder], out, **how)
    assert not out.exists()
    done = prepare([folder], out, skip_bad=True, **how)
    assert (done.months, done.gaps) == (4, ((MONTHS[0], MONTHS[1]),))
    edit(bad, "ps", values=9e4)
    for path in folder.glob("ps_*"):
        edit(path, "ps", values=1e20)
    with pytest.raises(UserError, match=r"no month of .* the last one left out: .*ps_"):
        prepare([folder], tmp_path / "t.zarr", skip_bad=True, **how)
    assert not (tmp_path / "t.zarr").exists()


def test_another_store_is_left_alone(tmp_path, folder, whole, world):
    before = digest(whole)
    with pytest.raises(UserError, match="is no store of CanESM5"):
        prepare([folder], whole, start="1864-12", stations=world.stations, grid=GRID)
    assert digest(whole) == before


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda p: edit(p, "co2", units="ppmv per month"), "are not known"),
        (lambda p: edit(p, "co2", units=None), "states no units"),
        (lambda p: edit(p, "co2", units="ppm"), "outside 100 to 1100"),
        (lambda p: edit(p, "time", calendar="julian"), "has other months"),
        (lambda p: edit(p, "time", units="months"), "no time units"),
        (lambda p: edit(p, "lat", values=np.linspace(-190, 190, 10)), "no degrees"),
        (lambda p: edit(p, "lat", values=np.linspace(0, 60, 10)), "whole globe"),
        (lambda p: edit(p, "plev", units="hPa", values=np.arange(6) - 2.0), "no pressures"),
        (lambda p: edit(p, "co2", values=np.ma.masked), "of the columns have no value"),
        (lambda p: p.rename(p.with_name("co2_Amon_x_186411-186412.nc")), "its name says"),
    ],
)
def test_a_fault_is_one_line_that_names_the_file(tmp_path, world, change, match):
    write_all(tmp_path, world, names=("co2",))
    change(next(tmp_path.glob("co2*")))
    with pytest.raises(UserError, match=match) as caught:
        prepare([tmp_path], tmp_path / "s.zarr", stations=world.stations, grid=GRID)
    assert str(caught.value).startswith(str(next(tmp_path.glob("co2*"))))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "s.zarr").exists()


# -- fetching -------------------------------------------------------------------------------


def publish(site, folder, wanted, names, fault=None):
    """Let the server answer a search with these files, two a page."""
    rows = []
    for path in names:
        site.files[f"/files/{path.name}"] = path.read_bytes()
        rows.append(
            {
                "title": path.name,
                "size": path.stat().st_size,
                "variable_id": [path.name.split("_")[0]],
                "checksum": [hashlib.sha256(path.read_bytes()).hexdigest()],
                "checksum_type": ["SHA256"],
                "url": [
                    f"gsiftp://x/{path.name}|application/gridftp|GridFTP",
                    f"{site.base}/files/{path.name}|application/netcdf|HTTPServer",
                ],
            }
        )
    for start in range(0, len(rows), 2):
        answer = {"response": {"numFound": len(rows), "docs": rows[start : start + 2]}}
        address = wanted.query(f"{site.base}/search", start).removeprefix(site.base)
        site.files[address] = json.dumps(answer).encode()
    return f"{site.base}/search"


def test_fetching_what_an_index_names(tmp_path, folder, site):
    wanted = cmip6.Wanted(variables=("co2", "ps"), start=1865)
    names = [*folder.glob("co2*"), *folder.glob("ps*")]
    base = publish(site, folder, wanted, names)
    files = cmip6.search(wanted, base, QUICK)
    assert [file.name[-16:] for file in files] == ["186501-186504.nc"] * 2
    done = cmip6.fetch(wanted, tmp_path, base_url=base, policy=QUICK)
    assert done.failed == {}
    for file in files:
        assert (tmp_path / file.name).read_bytes() == (folder / file.name).read_bytes()
    assert cmip6.fetch(wanted, tmp_path, base_url=base, policy=QUICK).kept == done.fetched


def test_a_file_of_another_checksum_is_not_taken(tmp_path, folder, site):
    wanted = cmip6.Wanted(variables=("co2",))
    base = publish(site, folder, wanted, sorted(folder.glob("co2*")))
    path = next(path for path in site.files if path.startswith("/files/"))
    site.files[path] = site.files[path][:-1] + b"x"
    done = cmip6.fetch(wanted, tmp_path, base_url=base, policy=QUICK)
    assert list(done.failed) == [path.removeprefix("/files/")]
    assert "another SHA-256" in next(iter(done.failed.values()))
    assert not (tmp_path / next(iter(done.failed))).exists()


def test_an_index_that_has_a_bad_day(folder, site):
    wanted = cmip6.Wanted(variables=("co2",))
    base = publish(site, folder, wanted, sorted(folder.glob("co2*")))
    address = wanted.query(base).removeprefix(site.base)
    site.faults[address] = deque([503, 429])
    assert len(cmip6.search(wanted, base, QUICK)) == 2
    site.files[address] = b"<html>no</html>"
    with pytest.raises(UserError, match="no JSON"):
        cmip6.search(wanted, base, QUICK)
    site.files[address] = b'{"response": {"numFound": 3}}'
    with pytest.raises(UserError, match="not as an ESGF index does"):
        cmip6.search(wanted, base, QUICK)
    with pytest.raises(UserError, match="404"):
        cmip6.search(wanted, f"{site.base}/gone", QUICK)
    site.files[address] = b'{"response": {"numFound": 0, "docs": []}}'
    with pytest.raises(UserError, match="has no co2 of CanESM5 esm-hist"):
        cmip6.search(wanted, base, QUICK)


# -- real files -----------------------------------------------------------------------------


def test_a_genuine_canesm5_file():
    root = reference_path()
    if root is None:
        pytest.skip("the reference data are not on this machine")
    path = root / "cmip6" / "ta_Amon_CanESM5_historical_r1i1p1f1_gn_185001-201412.nc"
    header = read_header(path)
    assert header.calendar == "365_day"
    assert header.identity == ("CanESM5", "historical", "r1i1p1f1", "gn")
    assert (str(header.months[0]), str(header.months[-1]), header.months.size) == (
        *("1850-01", "2014-12"),
        1980,
    )
    np.testing.assert_allclose(header.levels, [100000, 92500])
    np.testing.assert_allclose(header.lat, [85.09652699, 87.86379884])
    np.testing.assert_allclose(header.lon, [0, 2.8125])
    values = read_values(path, 0, 1, 2)
    # as ncdump prints them
    np.testing.assert_allclose(values[0, 0, 0], [241.79225, 242.46112], rtol=1e-6)
    np.testing.assert_allclose(values[0, 1, 1], [248.26778, 248.37459], rtol=1e-6)
    assert np.isfinite(values).all()


def test_the_whole_grid_of_canesm():
    root = reference_path()
    if root is None:
        pytest.skip("the reference data are not on this machine")
    path = root / "cmip6" / "tas_Amon_CanESM2_rcp85_r1i1p1_200701-200712.nc"
    with netCDF4.Dataset(path) as data:
        lat, lon, field = data["lat"][:], data["lon"][:], np.asarray(data["tas"][0])
    got = regridder(lat, lon, LatLonGrid.ct())(field)
    assert got.shape == (90, 120)
    # between the four centres about 0 N 178.5 W by hand
    i, j = np.searchsorted(lat, -1) - 1, np.searchsorted(lon, 181.5) - 1
    fi = (-1 - lat[i]) / (lat[i + 1] - lat[i])
    fj = (181.5 - lon[j]) / 2.8125
    corners = field[i : i + 2, j : j + 2]
    by_hand = (1 - fi) * ((1 - fj) * corners[0, 0] + fj * corners[0, 1]) + fi * (
        (1 - fj) * corners[1, 0] + fj * corners[1, 1]
    )
    assert got[44, 0] == pytest.approx(by_hand, abs=1e-3)
