"""The bulk formula at points that were computed by hand or are printed in the papers."""

import numpy as np
import pyseaflux.gas_transfer_velocity as theirs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from co2net.errors import UserError
from co2net.grid import LatLonGrid
from co2net.ocean import flux


def test_solubility_is_that_of_weiss():
    # Weiss (1974), equation 12 with table I at 25 degC and 35: by hand
    hundred = 298.15 / 100
    ln = -58.0931 + 90.5069 / hundred + 22.2940 * np.log(hundred)
    ln += 35 * (0.027766 - 0.025888 * hundred + 0.0050578 * hundred**2)
    assert flux.solubility(25.0, 35.0) == pytest.approx(np.exp(ln), rel=1e-9)
    # check value of Dickson et al. (2007), chapter 5: ln K0 = -3.5617 in mol kg-1 atm-1; a litre
    # of that water weighs 1.02334 kg
    assert flux.solubility(25.0, 35.0) == pytest.approx(np.exp(-3.5617) * 1.02334, rel=5e-4)


def test_vapour_pressure_of_sea_water():
    # Weiss and Price (1980), equation 10 at 25 degC and 35: 3.1 kPa
    ln = 24.4543 - 67.4509 * 100 / 298.15 - 4.8489 * np.log(298.15 / 100) - 0.000544 * 35
    assert flux.vapour_pressure(25.0, 35.0) == pytest.approx(np.exp(ln), rel=1e-12)
    assert flux.vapour_pressure(25.0, 35.0) * 101.325 == pytest.approx(3.106, abs=0.002)


def test_schmidt_number_of_the_tables():
    # Wanninkhof (2014), table 1: 668 at 20 degC in sea water
    assert flux.schmidt_number(20.0) == pytest.approx(668.344, abs=0.01)
    assert flux.schmidt_number(0.0) == pytest.approx(2116.8, abs=0.01)


def test_transfer_velocity_by_hand():
    # 7 m/s at 20 degC: 0.251 * 49 * sqrt(660 / 668.344) cm/h
    assert flux.transfer_velocity("wanninkhof2014", 20.0, 7.0) == pytest.approx(12.2220, abs=1e-3)
    # Nightingale: (0.333 * 7 + 0.222 * 49) * sqrt(600 / 668.344)
    assert flux.transfer_velocity("nightingale2000", 20.0, 7.0) == pytest.approx(12.5154, abs=1e-3)


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("wanninkhof2014", theirs.k_Wa14),
        ("sweeney2007", theirs.k_Sw07),
        ("ho2006", theirs.k_Ho06),
        ("wanninkhof1992", theirs.k_Wa92),
    ],
)
def test_quadratic_laws_agree_with_the_package(name, function):
    squares, sst = np.array([1.0, 60.0, 200.0]), np.array([-1.5, 15.0, 29.0])
    ours = flux.transfer_velocity(name, sst, np.nan, squares)
    np.testing.assert_allclose(ours, function(squares, sst), rtol=1e-12)


@pytest.mark.parametrize(
    ("name", "function"), [("nightingale2000", theirs.k_Ni00), ("wanninkhof2009", theirs.k_Wa09)]
)
def test_other_laws_agree_with_the_package(name, function):
    wind, sst = np.array([1.0, 8.0, 15.0]), np.array([-1.5, 15.0, 29.0])
    np.testing.assert_allclose(
        flux.transfer_velocity(name, sst, wind), function(wind, sst), rtol=1e-12
    )


def test_a_gusty_month_exchanges_more_than_a_steady_one():
    wind = np.array([2.0, 12.0])
    gusty = flux.transfer_velocity("wanninkhof2014", 15.0, wind.mean(), (wind**2).mean())
    steady = flux.transfer_velocity("wanninkhof2014", 15.0, wind.mean())
    each = flux.transfer_velocity("wanninkhof2014", 15.0, wind).mean()
    assert gusty == pytest.approx(each)
    assert gusty > 1.4 * steady


def test_pressure_of_co2_in_moist_air():
    # 400 ppm in dry air at 25 degC and one atmosphere: 400 * (1 - 0.03066)
    assert flux.pco2_air(400.0, 101325.0, 25.0, 35.0) == pytest.approx(387.74, abs=0.01)


def test_pressure_is_brought_down_to_the_sea():
    assert flux.sea_level_pressure(1e5, 0.0, 288.0) == pytest.approx(1e5)
    # 100 m at 15 degC: 11.9 hPa
    assert flux.sea_level_pressure(1e5, 100.0, 288.15) == pytest.approx(101191.0, abs=5)


def test_flux_by_hand():
    # k 12.222 cm/h = 1071.38 m/yr; K0 0.033241 mol/L/atm = 3.3241e-5 mol/m3/uatm; -30 uatm
    got = flux.bulk_flux(12.2220, 350.0, 380.0, 20.0, 35.0)
    assert got == pytest.approx(-1.0684, abs=1e-3)


def test_sign_and_zero():
    assert flux.bulk_flux(10.0, 400.0, 380.0, 20.0, 35.0) > 0  # outgassing enters the air
    assert flux.bulk_flux(10.0, 360.0, 380.0, 20.0, 35.0) < 0
    assert flux.bulk_flux(10.0, 380.0, 380.0, 20.0, 35.0) == 0


@given(st.floats(0.0, 60.0), st.floats(100.0, 900.0), st.floats(-1.8, 32.0), st.floats(5.0, 40.0))
def test_no_difference_no_flux(k, pco2, sst, salinity):
    assert flux.bulk_flux(k, pco2, pco2, sst, salinity) == 0


@given(st.floats(0.0, 1.0))
def test_ice_closes_its_share_of_the_sea(ice):
    free = flux.bulk_flux(10.0, 400.0, 380.0, 0.0, 34.0)
    covered = flux.bulk_flux(10.0, 400.0, 380.0, 0.0, 34.0, ice)
    assert covered == pytest.approx((1 - ice) * free, abs=1e-12)


def test_a_cool_salty_skin_takes_up_more():
    # the skin dissolves more of the air's CO2: the classic extra sink
    warm = flux.bulk_flux(10.0, 380.0, 380.0, 20.0, 35.0)
    skin = flux.FluxSettings(cool_skin=0.17, salty_skin=0.1)
    cool = flux.bulk_flux(10.0, 380.0, 380.0, 20.0, 35.0, settings=skin)
    assert warm == 0
    assert cool < 0


def test_areas_integrate_to_the_sphere():
    grid = LatLonGrid.regular(90, 120)
    # 1 mol m-2 yr-1 from the whole sphere: 4 pi R2 * 12.011 g
    whole = 4 * np.pi * 6.371e6**2 * 12.011e-15
    assert flux.integral(np.ones(grid.shape), grid.area) == pytest.approx(whole, rel=1e-12)
    half = np.where(grid.lat[:, None] > 0, 1.0, np.nan) * np.ones(grid.shape)
    assert flux.integral(half, grid.area) == pytest.approx(whole / 2, rel=1e-12)


def test_unknown_law_and_height_are_one_line():
    with pytest.raises(UserError, match="wanninkhof2014"):
        flux.FluxSettings(law="liss")
    with pytest.raises(UserError, match="metres above the sea"):
        flux.FluxSettings(wind_height=0)


def test_wind_is_brought_to_ten_metres_and_gusts_are_added():
    assert flux.FluxSettings().wind_speed(3.0, 4.0) == pytest.approx(5.0)
    higher = flux.FluxSettings(wind_height=40.0)
    assert higher.wind_speed(0.0, 10.0) == pytest.approx(8.864, abs=1e-3)
    assert flux.FluxSettings(gusts=5.0).wind_speed(0.0, 12.0) == pytest.approx(13.0)
