"""pH against published values, alkalinity by hand, trends of a rising atmosphere, reefs' risk."""

from threading import Thread

import numpy as np
import PyCO2SYS
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from co2net.ocean import acidity
from co2net.ocean.statistics import deseasonalised, slope_with_interval, standard_error


def test_the_package_gives_its_published_value():
    """The check of van Heuven's CO2SYS (example 2): pH 7.8 at 25 degC is 7.9904 at 2 degC and
    4000 dbar, on the seawater scale."""
    found = PyCO2SYS.sys(
        2400, 7.8, 1, 3, salinity=35, temperature=25, temperature_out=2, pressure_out=4000,
        total_silicate=50, total_phosphate=2, opt_pH_scale=1, opt_k_carbonic=4,
    )  # fmt: skip
    assert found["pH_sws_out"] == pytest.approx(7.99035705953435, abs=2e-3)


def test_ph_from_the_check_values_of_the_guide():
    """25 degC and 35: the system solved by hand with the check values of Dickson et al. (2007).

    ln K0 -3.5617, log K1 -5.8472, log K2 -8.9660, ln KB -19.7964, ln KW -30.434, and borate of
    Uppstroem (1974); 1 uatm of pCO2 is 0.99690 uatm of fugacity.
    """
    k0, k1, k2 = np.exp(-3.5617), 10**-5.8472, 10**-8.9660
    kb, kw, boron = np.exp(-19.7964), np.exp(-30.434), 0.0004157
    h, fco2 = 10**-8.05, 400e-6 * 0.99690
    carbonate = k0 * fco2 * (k1 / h + 2 * k1 * k2 / h**2)
    alkali = 1e6 * (carbonate + boron * kb / (kb + h) + kw / h - h)
    found = acidity.solve(400.0, alkali, 25.0, 35.0)
    assert found.ph == pytest.approx(8.05, abs=1e-3)


def test_solving_is_the_inverse_of_the_package():
    back = PyCO2SYS.sys(2300.0, 8.1, 1, 3, salinity=35.0, temperature=18.0)
    found = acidity.solve(back["pCO2"], 2300.0, 18.0, 35.0)
    assert found.ph == pytest.approx(8.1, abs=1e-6)
    assert found.aragonite == pytest.approx(back["saturation_aragonite"], rel=1e-6)


def test_two_ppm_a_year_acidify_by_two_hundredths_a_decade():
    pco2 = np.array([370.0, 390.0, 410.0])
    ph = acidity.solve(pco2, 2300.0, 18.0, 35.0).ph
    assert (np.diff(ph) >= -0.020).all()
    assert (np.diff(ph) <= -0.017).all()


def test_errors_are_those_of_the_slopes():
    """The package's propagation against differences of its own results."""
    found = acidity.solve(400.0, 2300.0, 20.0, 35.0, errors=(10.0, 8.0))
    p = acidity.solve(np.array([399.0, 401.0]), 2300.0, 20.0, 35.0).ph
    a = acidity.solve(400.0, np.array([2299.0, 2301.0]), 20.0, 35.0).ph
    by_hand = np.hypot(10.0 * np.diff(p)[0] / 2, 8.0 * np.diff(a)[0] / 2)
    assert found.ph_sd == pytest.approx(by_hand, rel=1e-3)
    assert np.isnan(acidity.solve(400.0, 2300.0, 20.0, 35.0).ph_sd)


def test_gaps_stay_gaps():
    found = acidity.solve(np.array([[400.0, np.nan]]), 2300.0, 20.0, 35.0)
    assert found.ph.shape == (1, 2)
    assert np.isfinite(found.ph[0, 0])
    assert np.isnan(found.ph[0, 1])


@pytest.mark.parametrize(
    ("sst", "salinity", "lat", "lon", "expected"),
    [
        (25.0, 36.0, 20.0, -40.0, 2305 + 58.66 + 2.32 - 1.41 * 5 + 0.040 * 25),
        (24.0, 34.5, 0.0, -90.0, 2294 - 64.88 / 2 + 0.39 / 4 + 4.52 * 5 - 0.232 * 25),
        (10.0, 35.0, 50.0, -30.0, 2305 + 1.16 * 10 - 0.040 * 100),
        (10.0, 33.0, 45.0, 180.0, 2305 - 2 * 53.23 + 4 * 1.85 + 147.2 - 15.8 - 0.062 * 10 * 180),
        (5.0, 34.0, -55.0, 60.0, 2305 - 52.48 + 2.85 + 0.49 * 15 + 0.086 * 225),
    ],
)
def test_alkalinity_of_every_zone_by_hand(sst, salinity, lat, lon, expected):
    value, error = acidity.alkalinity(sst, salinity, lat, lon)
    assert value == pytest.approx(expected, abs=1e-9)
    assert 6 < error < 9


def test_risk_counts_the_thresholds():
    assert [acidity.risk_of(x) for x in (4.2, 3.9, 3.2, 2.5)] == [0, 1, 2, 3]
    assert len(acidity.RISK_LABELS) == len(acidity.RISK) + 1


# -- statistics of monthly series ---------------------------------------------------------------


@settings(max_examples=20)
@given(st.floats(-3, 3), st.floats(0, 5), st.integers(48, 120))
def test_seasons_go_and_the_trend_stays(slope, swing, count):
    months = np.datetime64("2003-05", "M") + np.arange(count)
    years = months.astype(int) / 12
    season = swing * np.cos(2 * np.pi * years)
    season -= season.mean()
    rest = deseasonalised(months, slope * (years - years[0]) + season)
    assert slope_with_interval(years, rest)[0] == pytest.approx(slope, abs=0.02 * (1 + swing))
    np.testing.assert_allclose(rest[12:] - rest[:-12], slope, atol=1e-6)


def test_memory_widens_the_error():
    rng = np.random.default_rng(1)
    white = rng.normal(size=2000)
    red = white.copy()
    for n in range(1, red.size):
        red[n] += 0.8 * red[n - 1]
    assert standard_error(white) == pytest.approx(1 / np.sqrt(2000), rel=0.15)
    # variance of such a mean: sd / (1 - 0.8) of the white noise's
    assert standard_error(red) == pytest.approx(5 / np.sqrt(2000), rel=0.3)
    assert standard_error(white[:1]) == np.inf


def test_threads_that_solve_at_once_all_come_to_an_end():
    pco2 = np.linspace(250.0, 450.0, 400)
    alone = [acidity.solve(pco2 + n, 2300.0, 15.0, 35.0).ph for n in range(3)]
    found = {}

    def work(n):
        found[n] = [acidity.solve(pco2 + n, 2300.0, 15.0, 35.0).ph for _ in range(3)]

    threads = [Thread(target=work, args=(n,), daemon=True) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
        assert not thread.is_alive()
    for n, results in found.items():
        for result in results:
            np.testing.assert_array_equal(result, alone[n])
