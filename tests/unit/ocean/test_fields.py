"""Products of the sea: reading, regridding, carrying to other years, and FluxEngine's own check."""

from pathlib import Path

import netCDF4
import numpy as np
import pytest
import xarray as xr

from co2net.assets import reference_path
from co2net.errors import UserError
from co2net.grid import LatLonGrid, area_mean
from co2net.ocean import FluxSettings, flux
from co2net.ocean.fields import ProductFields, air_co2
from co2net.ocean.readers import read_product

FINE = LatLonGrid.regular(18, 36)
GRID = LatLonGrid.regular(9, 12)
YEAR = np.datetime64("2010-01", "M") + np.arange(12)


def product(months=YEAR, grid=GRID, carry=True, **more):
    shape = (months.size, *FINE.shape)
    values = {"pco2": np.full(shape, 360.0), "sst": np.full(shape, 20.0), **more}
    return ProductFields(values, months, FINE, grid, carry=carry)


def write_file(path: Path, fields: dict[str, tuple], lat, lon, times=None) -> Path:
    """A NetCDF file with fields name -> (values (n, H, W), units)."""
    with netCDF4.Dataset(path, "w") as data:
        for name, values in (("lat", lat), ("lon", lon)):
            data.createDimension(name, len(values))
            data.createVariable(name, "f8", (name,))[:] = values
        count = len(next(iter(fields.values()))[0])
        data.createDimension("time", count)
        if times is not None:
            axis = data.createVariable("time", "f8", ("time",))
            axis.units = "days since 2000-01-01"
            axis[:] = times
        for name, (values, units) in fields.items():
            variable = data.createVariable(name, "f4", ("time", "lat", "lon"), fill_value=-999.0)
            if units:
                variable.units = units
            variable[:] = np.where(np.isfinite(values), values, -999.0)
    return path


def test_means_keep_sums_and_leave_gaps_out():
    field = np.random.default_rng(0).normal(size=FINE.shape)
    coarse = area_mean(field, FINE, GRID)
    np.testing.assert_allclose((coarse * GRID.area).sum(), (field * FINE.area).sum(), rtol=1e-9)
    field[:, :18] = np.nan  # the west is unknown
    half = area_mean(field, FINE, GRID)
    assert np.isnan(half[:, :6]).all()
    np.testing.assert_allclose(
        (half * GRID.area)[:, 6:].sum(), np.nansum(field * FINE.area), rtol=1e-9
    )


def test_finer_cells_take_the_value_of_the_coarse_one():
    coarse = np.arange(GRID.shape[0] * GRID.shape[1], dtype=float).reshape(GRID.shape)
    fine = area_mean(coarse, GRID, LatLonGrid.regular(36, 72))
    np.testing.assert_allclose(fine[2::4, 3::6], coarse)


def test_other_years_follow_the_atmosphere():
    sea = product()
    assert sea.reference_year == 2010
    own, later = sea.state("2010-07"), sea.state("2018-07")
    rise = air_co2(2018) - air_co2(2010)
    assert 17 < rise < 20  # 2.3 ppm a year
    dry = 1 - flux.vapour_pressure(20.0, own.salinity)
    np.testing.assert_allclose(later.pco2 - own.pco2, rise * dry)
    np.testing.assert_array_equal(later.sst, own.sst)
    assert "raised by the atmosphere's increase" in sea.note


def test_the_record_goes_on_with_its_slope():
    assert air_co2(2010) == pytest.approx(388.6, abs=0.5)
    slope = (air_co2(2024) - air_co2(2014)) / 10
    assert air_co2(2026) == pytest.approx(air_co2(2024) + 2 * slope)
    assert air_co2(1970) < air_co2(1979)


def test_without_carrying_other_years_are_missing():
    with pytest.raises(UserError, match="has no 2018-07"):
        product(carry=False).state("2018-07")
    with pytest.raises(UserError, match="write it as 2020-06"):
        product().state("July")


def test_what_is_missing_or_in_wrong_units_is_one_line():
    shape = (12, *FINE.shape)
    with pytest.raises(UserError, match="no sea surface temperature"):
        ProductFields({"pco2": np.full(shape, 360.0)}, YEAR, FINE, GRID)
    with pytest.raises(UserError, match="check its units"):
        product(sst=np.full(shape, 293.0))  # kelvin
    with pytest.raises(UserError, match="check its units"):
        product(pco2=np.full(shape, 36.5))  # pascal
    with pytest.raises(UserError, match="once"):
        product(months=np.repeat(YEAR[:6], 2))


def test_salinity_and_ice_have_stated_stand_ins():
    state = product().state("2010-01")
    assert np.isfinite(state.salinity).all()
    assert 30 < state.salinity.min() < state.salinity.max() < 36
    assert (state.ice == 0).all()


def test_a_cf_file_in_any_order_of_its_axes(tmp_path):
    lat, lon = FINE.lat[::-1], (FINE.lon + 360) % 360
    order = np.argsort(lon)
    warm = np.broadcast_to(300.0 - np.abs(lat)[:, None] / 3, FINE.shape)
    kelvin = np.repeat(warm[None], 12, axis=0)
    pascal = np.full((12, *FINE.shape), 36.5) + np.sign(lon[order])[None, None]
    path = write_file(
        tmp_path / "cf.nc",
        {"spco2": (pascal, "Pa"), "tos": (kelvin, "K"), "sos": (np.full_like(kelvin, 34), "psu")},
        lat, lon[order], times=15 + 30.44 * np.arange(12) + 365 * 5,
    )  # fmt: skip
    sea = read_product(path, FINE)
    state = sea.state("2005-03")
    np.testing.assert_allclose(
        state.sst, (300.0 - np.abs(FINE.lat) / 3 - 273.15)[:, None] * np.ones(FINE.shape), atol=1e-4
    )
    assert state.pco2.max() == pytest.approx(37.5 / 101325 * 1e6, rel=1e-6)
    assert (state.salinity == 34).all()


def test_a_climatology_of_takahashis_kind(tmp_path):
    """One file a month, no units, the year is given."""
    for n in range(12):
        fields = {
            "pCO2_sw": (np.full((1, *FINE.shape), 340.0 + n), ""),
            "SST_t": (np.full((1, *FINE.shape), 15.0), ""),
            "sea_ice_coverage": (np.full((1, *FINE.shape), 25.0), ""),
        }
        write_file(tmp_path / f"m{n:02d}.nc", fields, FINE.lat, FINE.lon, times=[31 * n + 3])
    units = {"pco2": "uatm", "sst": "degC", "ice": "%"}
    sea = read_product(tmp_path, GRID, units=units, year=2000)
    assert sea.reference_year == 2000
    july = sea.state("2000-07")
    assert july.pco2 == pytest.approx(346.0)
    assert july.ice == pytest.approx(0.25)


def test_bad_files_are_one_line(tmp_path):
    plain = np.full((1, *FINE.shape), 15.0)
    path = write_file(tmp_path / "x.nc", {"chl": (plain, "1")}, FINE.lat, FINE.lon)
    with pytest.raises(UserError, match="no pCO2 of the sea among"):
        read_product(path, GRID)
    with pytest.raises(UserError, match="no variable 'p'"):
        read_product(path, GRID, {"pco2": "p"})
    with pytest.raises(UserError, match="not known for pco2"):
        read_product(path, GRID, {"pco2": "chl", "sst": "chl"})
    named = {"pco2": (plain + 345, "uatm"), "sst": (plain, "degC")}
    with pytest.raises(UserError, match="cannot tell the months"):
        read_product(write_file(tmp_path / "y.nc", named, FINE.lat, FINE.lon), GRID)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no NetCDF files"):
        read_product(tmp_path / "empty", GRID)


# -- the reference files ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def reference() -> Path:
    path = reference_path()
    if path is None:
        pytest.skip("the reference data are not on this machine")
    return path


@pytest.fixture(scope="module")
def socat(reference) -> ProductFields:
    return read_product(reference / "ocean", LatLonGrid.regular(180, 360))


def test_fields_of_socat_read(socat):
    assert socat.reference_year == 2010
    state = socat.state("2010-07")
    sea = np.isfinite(state.pco2)
    land = socat.grid.land_fraction
    assert (sea == (land < 0.5)).mean() > 0.97  # neither mirrored nor turned
    assert 340 < np.nanmedian(state.pco2) < 370
    assert -2 < np.nanmin(state.sst) < 0 < 30 < np.nanmax(state.sst) < 34
    assert 5 < np.nanmedian(state.pco2_sd) < 40
    assert np.nanmean(socat.xco2("2010-07")) == pytest.approx(387.0, abs=1.0)


def zonal_wind(reference: Path, grid: LatLonGrid):
    """Mean and mean square (H, 1) of GFS wind over the sea by latitude, nine steps of 2016."""
    with xr.open_dataset(reference / "winds" / "gfs_uv10m_6h_20161120-22.nc") as data:
        theirs, rows, columns = LatLonGrid.from_coords(data.lat.values, data.lon.values)
        speed = np.hypot(data.u10.values, data.v10.values)[:, rows][:, :, columns]
    open_sea = np.where(theirs.land_fraction < 0.5, 1.0, np.nan)
    means = []
    for power in (1, 2):
        field = (speed**power).mean(axis=0) * open_sea
        there = np.isfinite(field).any(axis=1)
        zonal = np.interp(grid.lat, theirs.lat[there], np.nanmean(field[there], axis=1))
        means.append(zonal[:, None])
    return means


@pytest.mark.parametrize(
    ("law", "skin"),
    [("nightingale2000", True), ("nightingale2000", False), ("wanninkhof2014", False)],
)
def test_global_flux_of_2010_is_near_fluxengines(reference, socat, law, skin):
    """-3274 TgC with FluxEngine's law and skin; its wind and ice are not in the reference data.

    Wind: zonal means of a few days of GFS, the only global 10 m wind here, the whole year.
    """
    grid = socat.grid
    wind, second = zonal_wind(reference, grid)
    settings = FluxSettings(law=law, cool_skin=0.17 * skin, salty_skin=0.1 * skin)
    sea = grid.area * (1 - grid.land_fraction)
    total = 0.0
    for month in YEAR:
        state, xco2 = socat.state(month), socat.xco2(month)
        ice = np.where(state.sst < -1.7, 0.9, 0.0)
        skin_t, skin_s = state.sst - settings.cool_skin, state.salinity + settings.salty_skin
        air = flux.pco2_air(xco2, flux.ATMOSPHERE, skin_t, skin_s)
        k = flux.transfer_velocity(law, skin_t, wind, second)
        of_month = flux.bulk_flux(k, state.pco2, air, state.sst, state.salinity, ice, settings)
        total += 1000 * float(flux.integral(of_month, sea)) / 12
    print(f"{law}, skin {skin}: {total:.0f} TgC, FluxEngine -3274")
    assert total == pytest.approx(-3274, rel=0.15)
    if skin:  # its own settings
        assert total == pytest.approx(-3274, rel=0.05)
