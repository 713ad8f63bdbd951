"""ObsPack: both formats, both units, every fill, flags, merging, clocks, archives."""

import io
import tarfile
import zipfile

import netCDF4
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from co2net.assets import reference_path
from co2net.datasets import obspack
from co2net.datasets.obspack import (
    Frames,
    Selection,
    prepare,
    read_dataset,
    solar_hours,
    unpack,
)
from co2net.errors import UserError
from co2net.grid import LatLonGrid
from co2net.observations import Observations
from co2net.schema import create_store
from tests.synthetic import SyntheticSource
from tests.unit.datasets.originals import edit, write_obspack

HOURS = np.arange("2002-01-01", "2002-01-04", np.timedelta64(1, "h"), dtype="M8[s]")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    world = SyntheticSource(LatLonGrid.regular(90, 120), "2002-01-01", "2002-01-03", sites=5)
    path = tmp_path_factory.mktemp("store") / "s.zarr"
    create_store(path, world.grid, world.time, world.stations, world.attrs)
    return path


@pytest.fixture(scope="module")
def months(tmp_path_factory):
    """A store of monthly frames, 1974-01 to 2024-04."""
    world = SyntheticSource(LatLonGrid.regular(90, 120), sites=5)
    axis = (np.arange("1974-01", "2024-05", dtype="M8[M]").astype("M8[D]") + 15).astype("M8[s]")
    path = tmp_path_factory.mktemp("months") / "s.zarr"
    create_store(path, world.grid, axis, world.stations, world.attrs)
    return path


def averaged(folder, store, tmp_path, *, sites=("MLO",), **more):
    out = tmp_path / "o.zarr"
    done = prepare([folder], out, store=store, selection=Selection(sites=sites, **more))
    return done, Observations.open(out)


# -- reading --------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [False, True])
@pytest.mark.parametrize("molar", [False, True])
def test_both_formats_and_both_units(tmp_path, text, molar):
    values = [380.5, np.nan, 381.25, -99, 382.0, 383.0]
    flags = ["...", "...", ".S.", "...", "*..", "NA"]
    path = write_obspack(
        tmp_path, "MLO", HOURS[:6], values, molar=molar, text=text, qcflag=flags, spread=[0.5] * 6
    )
    got = read_dataset(path)
    assert (got.code, got.site, got.project, got.laboratory) == (
        *("MLO", "Site MLO"),
        *("surface-insitu", "NOAA"),
    )
    np.testing.assert_array_equal(got.good, [True, False, True, False, False, True])
    np.testing.assert_allclose(got.value[got.good], [380.5, 381.25, 383.0], rtol=1e-7)
    np.testing.assert_allclose(got.spread[0], 0.5, rtol=1e-6)
    np.testing.assert_array_equal(got.time, HOURS[:6])
    assert (got.scale, got.utc2lst, got.intake) == ("X2019", -10.0, 40.0)
    assert not got.mobile


def test_the_middle_of_the_interval_counts_where_it_is_said(tmp_path):
    path = write_obspack(tmp_path, "MLO", HOURS[:2], [380, 381])
    with netCDF4.Dataset(path, "a") as data:
        middle = data.createVariable("midpoint_time", "i4", ("obs",))
        middle.units = data["time"].units
        middle[:] = data["time"][:] + 1800
    assert str(read_dataset(path).time[0]) == "2002-01-01T00:30:00"
    hourly = {"dataset_data_frequency": 1, "dataset_data_frequency_unit": "hour"}
    path = write_obspack(tmp_path, "SPO", HOURS[:2], [380, 381], attrs=hourly)
    assert str(read_dataset(path).time[0]) == "2002-01-01T00:30:00"


def test_strings_in_place_of_characters(tmp_path):
    path = write_obspack(tmp_path, "MLO", HOURS[:2], [380, 381])
    with netCDF4.Dataset(path, "a") as data:
        data.renameVariable("qcflag", "old")
        flags = data.createVariable("qcflag", str, ("obs",))
        flags[:] = np.array(["...", "*.."], dtype=object)
    np.testing.assert_array_equal(read_dataset(path).good, [True, False])


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda p: edit(p, "value", units="percent"), "are not known"),
        (lambda p: edit(p, "value", units=None), "states no units"),
        (lambda p: edit(p, "value", units="micromol mol-1"), "check its units"),
        (lambda p: edit(p, "time", units="seconds"), "no time units"),
        (lambda p: p.write_text("<!DOCTYPE html>"), "no NetCDF"),
        (lambda p: p.write_bytes(b""), "is empty"),
        (lambda p: p.write_bytes(p.read_bytes()[:3000]), "cut off"),
    ],
)
def test_a_fault_is_one_line_that_names_the_file(tmp_path, store, change, match):
    path = write_obspack(tmp_path / "f", "MLO", HOURS, np.full(72, 380.0))
    change(path)
    with pytest.raises(UserError, match=match) as caught:
        prepare([path], tmp_path / "o.zarr", store=store)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "o.zarr").exists()


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda t: t.replace("value:units : mol mol-1", "value:unit"), "states no units"),
        (lambda t: t.replace(" value ", " amount "), "no line names its columns"),
        (lambda t: t[:-40], "columns of"),
        (lambda t: t.replace("MLO 2002 01 01 02", "MLO 2002 13 01 02"), "is no time"),
        (lambda t: "", "no line names"),
        (lambda t: t[: t.index("MLO 2002")], "has no times"),
    ],
)
def test_text_that_is_damaged(tmp_path, store, change, match):
    path = write_obspack(tmp_path, "MLO", HOURS, np.full(72, 380.0), text=True)
    path.write_text(change(path.read_text()))
    with pytest.raises(UserError, match=match) as caught:
        prepare([path], tmp_path / "o.zarr", store=store)
    assert str(caught.value).startswith(str(path))


# -- onto frames ----------------------------------------------------------------------------


def test_three_hourly_means_with_count_and_spread_by_hand(tmp_path, store):
    values = np.full(72, np.nan)
    values[0:3] = [380, 382, 387]  # 00 to 03 UTC: the first frame, centre 01:30
    values[5] = 390
    write_obspack(tmp_path / "f", "MLO", HOURS, values, spread=[0.7] * 72)
    done, got = averaged(tmp_path / "f", store, tmp_path)
    np.testing.assert_allclose(got.co2[:3, 0], [383, 390, np.nan])
    np.testing.assert_array_equal(got.count[:3, 0], [3, 1, 0])
    np.testing.assert_allclose(got.spread[:3, 0], [np.std([380, 382, 387], ddof=1), 0.7, np.nan])
    assert str(got.time[0]) == "2002-01-01T01:30:00"
    assert (done.sites, done.reporting, done.frames) == (1, 1, 24)
    assert got.attrs["version"] == "obspack_co2_1_GLOBALVIEWplus_v10.0_2024-09-26"
    assert "fair use" in got.attrs["licence"]
    assert got.attrs["simulated"] is False


def test_flags_choose_the_values(tmp_path, store):
    flags = ["...", "*..", ".X.", "..."] * 18
    local = [1, 1, 0, -9] * 18
    values = np.tile([380.0, 500.0, 400.0, 390.0], 18)
    write_obspack(tmp_path / "f", "MLO", HOURS, values, qcflag=flags, obs_flag=local)
    _, got = averaged(tmp_path / "f", store, tmp_path)
    np.testing.assert_allclose(got.co2[0, 0], 380)  # the hours 0 to 2
    _, got = averaged(tmp_path / "f", store, tmp_path / "2", local=True)
    np.testing.assert_allclose(got.co2[0, 0], 390)


def test_a_site_with_several_datasets_takes_the_preferred_one_in_each_frame(tmp_path, store):
    folder = tmp_path / "f"

    def put(value, hours, **more):
        values = np.full(72, np.nan)
        values[hours] = value
        return write_obspack(folder, "MLO", HOURS, values, **more)

    put(300, slice(0, 72), project="surface-flask", number=1)
    put(310, slice(0, 60), project="tower-insitu", intake=400, number=2, tag="allvalid-400magl")
    put(320, slice(0, 48), project="tower-insitu", intake=30, lab="ECCC", number=3)
    put(330, slice(0, 24), project="surface-insitu", intake=30, lab="NOAA", number=4)
    done, got = averaged(folder, store, tmp_path)
    assert got.co2[[0, 7, 8, 15, 16, 19, 20, 23], 0].tolist() == [
        *(330, 330, 320, 320),
        *(310, 310, 300, 300),
    ]
    order = [part["name"] for part in got.attrs["datasets"]["MLO"]]
    assert [name.split("_")[3] for name in order] == ["4", "3", "2", "1"]
    assert done.datasets == 4
    averaged_high = averaged(folder, store, tmp_path / "2", height=400)[1]
    assert averaged_high.co2[0, 0] == 310


def test_mobile_platforms_are_out_by_default_and_sites_a_cell_on_request(tmp_path, store):
    lat = np.where(np.arange(72) < 40, 11.0, 15.0)
    write_obspack(
        tmp_path / "f", "POC", HOURS, np.full(72, 400.0), project="shipboard-insitu",
        lat=lat, lon=178.9, altitude=20, intake=10,
    )  # fmt: skip
    with pytest.raises(UserError, match="a mobile platform"):
        averaged(tmp_path / "f", store, tmp_path)
    _, got = averaged(tmp_path / "f", store, tmp_path, sites=(), mobile=True)
    assert got.stations.code == ("POC@+11.0+178.5",)  # the other cell has too few frames
    assert np.isfinite(got.co2[:13, 0]).all()
    # a platform that moves is mobile whatever it is called
    write_obspack(tmp_path / "g", "XXX", HOURS, np.full(72, 400.0), lat=lat)
    assert read_dataset(next((tmp_path / "g").iterdir())).mobile


def test_averages_longer_than_a_frame_are_left_out(tmp_path, store):
    write_obspack(tmp_path / "f", "MLO", HOURS, np.full(72, 380.0), tag="DailyData")
    with pytest.raises(UserError, match="averages over 24 h do not fit frames of 3 h"):
        averaged(tmp_path / "f", store, tmp_path)


def test_hours_of_the_day_by_three_clocks(tmp_path, store):
    values = np.arange(72) + 300.0
    write_obspack(tmp_path / "f", "MLO", HOURS, values)
    frames = Frames(HOURS[:-1] + np.timedelta64(1800, "s"), False)

    def hours(**more):
        _, got = averaged(tmp_path / "f", store, tmp_path / str(more), **more)
        return np.flatnonzero(np.isfinite(got.co2[:8, 0])).tolist()

    assert frames.hours == 1
    assert hours(hours=(12, 15), clock="utc") == [4]
    assert hours(hours=(14, 17), clock="local") == [0]  # 14 to 17 h are 0 to 3 UTC
    assert hours(hours=(22, 2), clock="utc") == [0, 7]  # over midnight
    assert hours(hours=(13, 16), clock="solar") == [0]  # solar noon is at 22:25 UTC
    assert hours(hours=(12, 16), clock="solar") == [0, 7]


def test_solar_time_is_that_of_a_genuine_file():
    # solartime_components of co2_mlo_surface-insitu_1_ccgg_MonthlyData.nc
    stamps = np.array(["1974-04-01", "1974-05-01", "1974-06-01", "1974-07-01"], "M8[s]")
    told = [13 + 33 / 60 + 38 / 3600, 13 + 40 / 60 + 50 / 3600, 13 + 40 / 60 + 7 / 3600,
            13 + 34 / 60 + 2 / 3600]  # fmt: skip
    np.testing.assert_allclose(solar_hours(stamps, -155.576), told, atol=0.02)


@settings(max_examples=50, deadline=None)
@given(st.integers(-200, 400), st.integers(0, 10799))
def test_every_time_lies_in_the_frame_whose_centre_is_near(place, second):
    axis = np.datetime64("2002-01-01T01:30:00") + np.arange(200) * np.timedelta64(3, "h")
    frames = Frames.of(axis.astype("M8[s]"))
    time = axis[:1].astype("M8[s]") - np.timedelta64(5400, "s")
    time = time + np.timedelta64(place * 10800 + second, "s")
    found = int(frames.index(time)[0])
    assert found == (place if 0 <= place < 200 else -1)


# -- which sites ----------------------------------------------------------------------------


def test_the_documents_sites_keep_their_order_and_silent_ones(tmp_path, store):
    write_obspack(tmp_path / "f", "MLO", HOURS, np.full(72, 380.0))
    write_obspack(tmp_path / "f", "ZZZ", HOURS, np.full(72, 380.0), lat=10.0)
    done = prepare([tmp_path / "f"], tmp_path / "o.zarr", store=store)
    got = Observations.open(tmp_path / "o.zarr")
    assert len(got.stations) == 96
    reporting = np.isfinite(got.co2).any(axis=0)
    assert [c for c, there in zip(got.stations.code, reporting, strict=True) if there] == ["MLO"]
    assert done.left_out == ("co2_zzz_surface-insitu_1_allvalid: site ZZZ is not wanted",)


def test_by_region_and_by_years(tmp_path, months):
    axis = np.arange("1990-01", "1994-01", dtype="M8[M]").astype("M8[s]")
    write_obspack(tmp_path / "f", "AAA", axis, np.full(48, 350.0), lat=50, lon=60)
    write_obspack(tmp_path / "f", "BBB", axis[:12], np.full(12, 350.0), lat=52, lon=70)
    write_obspack(tmp_path / "f", "CCC", axis, np.full(48, 350.0), lat=-30, lon=-150)

    def codes(**more):
        return averaged(tmp_path / "f", months, tmp_path / str(more), sites=(), **more)[
            1
        ].stations.code

    assert codes() == ("AAA", "BBB", "CCC")
    assert codes(region="eurasia") == ("AAA", "BBB")
    assert codes(years=3) == ("AAA", "CCC")
    with pytest.raises(UserError, match="ask for less --years"):
        codes(years=30)


def test_bad_files_are_skipped_on_request_and_scales_told(tmp_path, store):
    folder = tmp_path / "f"
    write_obspack(folder, "MLO", HOURS[:9], np.full(9, 380.0))
    old = {"dataset_calibration_scale": "WMO CO2 X2007"}
    write_obspack(folder, "MLO", HOURS, np.full(72, 380.0), project="surface-flask", attrs=old)
    (folder / "co2_bad_surface-flask_1_allvalid.nc").write_text("no")
    done = prepare(
        [folder], tmp_path / "o.zarr", store=store, selection=Selection(("mlo",)), skip_bad=True
    )
    assert [item.file for item in done.skipped] == [
        str(folder / "co2_bad_surface-flask_1_allvalid.nc")
    ]
    assert done.mixed_scales == ("MLO",)
    assert any("several calibration scales" in line for line in done.lines())


# -- archives -------------------------------------------------------------------------------


def tar(path, members, mode="w:gz"):
    with tarfile.open(path, mode) as archive:
        for member, content in members:
            info = tarfile.TarInfo(member) if isinstance(member, str) else member
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def special(name, kind, target=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


GOOD = "obspack/data/nc/co2_mlo_surface-insitu_1_allvalid.nc"


def test_an_archive_is_unpacked(tmp_path):
    members = [(GOOD, b"abc"), ("obspack/README.pdf", b"x"), ("obspack/summary/sites.txt", b"y")]
    made = unpack(tar(tmp_path / "a.tar.gz", members), tmp_path / "out")
    assert (made / GOOD).read_bytes() == b"abc"
    assert not list(made.rglob("*.pdf"))
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(GOOD, b"abc")
    assert (unpack(tmp_path / "a.zip", tmp_path / "zip") / GOOD).read_bytes() == b"abc"
    with pytest.raises(UserError, match="exists already"):
        unpack(tmp_path / "a.zip", tmp_path / "zip")


@pytest.mark.parametrize(
    "bad",
    [
        ("../evil.nc", b"x"),
        ("/tmp/evil.nc", b"x"),
        ("a/../../evil.nc", b"x"),
        ("C:\\evil.nc", b"x"),
        ("..\\evil.nc", b"x"),
        (special("link.nc", tarfile.SYMTYPE, "/etc/passwd"), b""),
        (special("hard.nc", tarfile.LNKTYPE, "/etc/passwd"), b""),
        (special("pipe", tarfile.FIFOTYPE), b""),
    ],
)
def test_an_archive_that_leads_outside_is_refused(tmp_path, bad):
    path = tar(tmp_path / "a.tar", [(GOOD, b"abc"), bad], mode="w")
    with pytest.raises(UserError, match="not safe"):
        unpack(path, tmp_path / "in" / "out")
    assert not (tmp_path / "in").exists() or not list((tmp_path / "in").iterdir())
    assert not list(tmp_path.rglob("evil*"))


def test_a_zip_that_leads_outside_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(GOOD, b"abc")
        archive.writestr("../evil.nc", b"x")
    with pytest.raises(UserError, match="not safe"):
        unpack(tmp_path / "a.zip", tmp_path / "out")
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        link = zipfile.ZipInfo("link.nc")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(UserError, match="not safe"):
        unpack(tmp_path / "b.zip", tmp_path / "out")


def test_what_is_no_archive_and_one_without_data(tmp_path):
    (tmp_path / "page.tar.gz").write_text("<html>")
    with pytest.raises(UserError, match="neither a tar nor a zip"):
        unpack(tmp_path / "page.tar.gz", tmp_path / "out")
    with pytest.raises(UserError, match="holds no file of CO2"):
        unpack(tar(tmp_path / "a.tar.gz", [("readme.txt", b"x")]), tmp_path / "out")
    whole = tar(tmp_path / "b.tar.gz", [(GOOD, bytes(range(256)) * 900)]).read_bytes()
    (tmp_path / "b.tar.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"cannot be unpacked|neither"):
        unpack(tmp_path / "b.tar.gz", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(UserError, match="cannot be unpacked"):
        unpack(tmp_path / "none", tmp_path / "out")


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from(["..", "/", "a", "co2_x.nc", ".", "\\", "C:", "b.nc"]), max_size=6))
def test_no_name_leads_outside(tmp_path_factory, parts):
    folder = tmp_path_factory.mktemp("z")
    path = tar(folder / "a.tar", [(GOOD, b"x"), ("/".join(parts) or "x", b"evil")], mode="w")
    try:
        unpack(path, folder / "in" / "out")
    except UserError:
        assert not (folder / "in" / "out").exists()
    assert {item.name for item in folder.iterdir()} <= {"a.tar", "in"}
    assert not (folder / "in").exists() or {i.name for i in (folder / "in").iterdir()} <= {"out"}


def test_the_agreement_is_said():
    text = "\n".join(obspack.steps())
    assert "agree" in text
    assert "https://gml.noaa.gov/ccgg/obspack/data.php" in text
    assert "doi:10.25925/20240801" in text


# -- real files -----------------------------------------------------------------------------


def test_genuine_files_of_noaa(tmp_path, months):
    root = reference_path()
    if root is None:
        pytest.skip("the reference data are not on this machine")
    folder = root / "noaa-stations"
    mlo = read_dataset(folder / "co2_mlo_surface-insitu_1_ccgg_MonthlyData.nc")
    # as ncdump prints it: the first four months are -999.99, flagged, and no fill by its attribute
    assert np.isnan(mlo.value[:4]).all()
    assert mlo.value[4] == pytest.approx(333.16, abs=1e-3)
    assert mlo.value[-1] == pytest.approx(426.72, abs=1e-3)
    assert (mlo.good.sum(), mlo.value.size, mlo.count[4]) == (592, 604, 13)
    assert mlo.spread[4] == pytest.approx(0.36, abs=1e-6)
    assert (mlo.code, mlo.site, mlo.scale, mlo.utc2lst) == (
        *("MLO", "Mauna Loa, Hawaii"),
        *("X2019", -10),
    )
    text = read_dataset(folder / "co2_mlo_surface-insitu_1_ccgg_MonthlyData.txt")
    assert text.value[4] == pytest.approx(333.157)
    assert (text.good.sum(), text.scale, text.altitude) == (500, "X2007", 3437.0)
    barrow = read_dataset(folder / "co2_brw_surface-insitu_1_ccgg_MonthlyData.txt")
    assert barrow.value[-1] == pytest.approx(407.4)

    done = prepare(
        sorted(folder.glob("*.txt")),
        tmp_path / "o.zarr",
        store=months,
        selection=Selection(("SPO", "BRW", "MLO", "SMO")),
    )
    got = Observations.open(tmp_path / "o.zarr")
    assert done.reporting == 4
    may = list(got.time.astype("M8[M]").astype(str)).index("1974-05")
    np.testing.assert_allclose(got.co2[may], [np.nan, 337.717, 333.157, np.nan], rtol=1e-6)
    december = list(got.time.astype("M8[M]").astype(str)).index("2015-12")
    assert got.co2[december, 1] == pytest.approx(407.4, abs=1e-3)
    assert got.stations.lat[0] == pytest.approx(-89.98)
