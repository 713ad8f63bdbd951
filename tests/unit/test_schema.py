"""The canonical store: packing, writing in any order, reading, faults."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from co2net.errors import UserError
from co2net.grid import LatLonGrid
from co2net.schema import (
    AUXILIARY,
    VARIABLES,
    StoreSource,
    create_store,
    even_steps,
    open_store,
    validate,
    write_frames,
)
from co2net.source import frame_index, nearest_frame, whole_months
from tests.synthetic import SyntheticSource


@pytest.fixture
def world():
    return SyntheticSource(LatLonGrid.regular(12, 16), "2001-12-01", "2001-12-20", sites=5)


def make_store(path, world, spans):
    create_store(
        path, world.grid, world.time, world.stations, world.attrs, variables=world.variables
    )
    for start, stop in spans:
        index = np.arange(start, stop)
        names = ["co2", *world.variables]
        fields = dict(zip(names, world.read(names, index), strict=True))
        fields["surface_altitude"] = fields["surface_altitude"][0]
        write_frames(path, start, fields, world.observations(index))
    return open_store(path)


@pytest.mark.parametrize("name", VARIABLES)
@given(share=st.floats(0, 1))
def test_packing_is_within_half_a_step(name, share):
    variable = VARIABLES[name]
    value = np.array([variable.low + share * (variable.high - variable.low)])
    back = variable.unpack(variable.pack(value))
    assert abs(float(back[0]) - value[0]) <= 0.51 * variable.scale


def test_co2_step_is_far_below_the_observation_noise():
    assert VARIABLES["co2"].scale < 0.02


def test_packing_keeps_nan_and_refuses_what_it_cannot_hold():
    co2 = VARIABLES["co2"]
    assert np.isnan(co2.unpack(co2.pack(np.array([np.nan, 400.0])))[0])
    with pytest.raises(UserError, match="check their units"):
        co2.pack(np.array([4e-4 * 1e7]))


def test_frames_written_in_any_order_read_back(tmp_path, world):
    store = make_store(tmp_path / "w.zarr", world, [(80, 100), (3, 40)])
    assert isinstance(store, StoreSource)
    assert store.available.sum() == 57
    index = np.array([5, 90, 30])
    got = store.read(["co2", "eastward_wind"], index)
    want = world.read(["co2", "eastward_wind"], index)
    np.testing.assert_allclose(got[0], want[0], atol=0.011)
    np.testing.assert_allclose(got[1], want[1], atol=0.003)
    np.testing.assert_allclose(store.observations(index), world.observations(index), rtol=1e-6)
    assert validate(store) == []


def test_a_point_series_equals_the_maps(tmp_path, world):
    store = make_store(tmp_path / "w.zarr", world, [(0, 60)])
    series = store.point("co2", 4, 7)
    np.testing.assert_array_equal(series[:60], store.read(["co2"], np.arange(60))[0][:, 4, 7])
    assert np.isnan(series[60:]).all()


def test_xarray_reads_it_as_cf(tmp_path, world):
    make_store(tmp_path / "w.zarr", world, [(0, 40)])
    data = xr.open_zarr(tmp_path / "w.zarr")
    assert data.co2.dims == ("time", "lat", "lon")
    assert data.co2.attrs["units"] == "umol mol-1"
    assert data.attrs["simulated"] is True
    assert str(data.time.values[0])[:16] == "2001-12-01T01:30"
    np.testing.assert_allclose(
        data.co2.isel(time=slice(0, 3)), world.read(["co2"], np.arange(3))[0], atol=0.011
    )
    stations = xr.open_zarr(tmp_path / "w.zarr", group="stations")
    assert stations.co2.shape == (world.time.size, 5)


def test_absent_variables_are_named(tmp_path):
    few = AUXILIARY[:5]
    world = SyntheticSource(LatLonGrid.regular(6, 8), "2001-12-01", "2001-12-03", 3, variables=few)
    create_store(tmp_path / "w.zarr", world.grid, world.time, world.stations, world.attrs, few)
    store = open_store(tmp_path / "w.zarr")
    assert store.variables == few
    assert store.attrs["absent_variables"] == ["geopotential_height", "surface_altitude"]
    with pytest.raises(UserError, match="has no surface_altitude"):
        store.read(["surface_altitude"], np.array([0]))


def test_frame_lookup_names_what_is_missing(tmp_path, world):
    store = make_store(tmp_path / "w.zarr", world, [(0, 40)])
    assert frame_index(store, "2001-12-01T04:30")[0] == 1
    with pytest.raises(UserError, match="no frame"):
        frame_index(store, "2001-12-01T05:00")
    with pytest.raises(UserError, match="holds nothing at 2001-12-19"):
        frame_index(store, "2001-12-19T01:30")
    assert nearest_frame(store, "2001-12-01T05:00") == 1
    assert nearest_frame(store, "2010-01-01") == 39


def test_a_store_without_frames_a_taken_path_and_no_store(tmp_path, world):
    path = tmp_path / "w.zarr"
    create_store(path, world.grid, world.time, world.stations, world.attrs)
    assert validate(open_store(path)) == ["available: no frame holds data"]
    with pytest.raises(UserError, match="exists already"):
        create_store(path, world.grid, world.time, world.stations, world.attrs)
    with pytest.raises(UserError, match="no store at"):
        open_store(tmp_path / "none.zarr")
    (tmp_path / "file").mkdir()
    with pytest.raises(UserError, match="no Zarr store"):
        open_store(tmp_path / "file")


def test_times_must_be_regular_and_attributes_complete(tmp_path, world):
    with pytest.raises(UserError, match="steps are not equal"):
        create_store(
            tmp_path / "a.zarr", world.grid, world.time[[0, 1, 3]], world.stations, world.attrs
        )
    with pytest.raises(UserError, match="licence"):
        attrs = {k: v for k, v in world.attrs.items() if k != "licence"}
        create_store(tmp_path / "a.zarr", world.grid, world.time, world.stations, attrs)
    assert not (tmp_path / "a.zarr").exists()


def test_a_month_counts_when_every_frame_of_it_is_there(tmp_path):
    world = SyntheticSource(LatLonGrid.regular(6, 8), "2001-11-30", "2002-01-03", sites=3)
    store = make_store(tmp_path / "w.zarr", world, [(0, 8 + 31 * 8 + 5)])
    assert whole_months(store) == ["2001-11", "2001-12"]


def test_steps_are_equal_or_calendar_months():
    hours = np.arange("2000-01-01", "2000-01-03", np.timedelta64(3, "h"), dtype="M8[s]")
    months = (np.arange("1999-11", "2000-05", dtype="M8[M]").astype("M8[D]") + 15).astype("M8[s]")
    assert even_steps(hours)
    assert even_steps(months)
    assert even_steps(hours[:1])
    assert not even_steps(hours[::-1])
    assert not even_steps(np.delete(hours, 3))
    assert not even_steps(np.delete(months, 2))
    assert not even_steps(months + np.arange(months.size).astype("m8[D]"))
