"""The ocean of the embedded world, for truth and models, and the commands, on one month."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from co2net.assets import data_path
from co2net.cli import app
from co2net.errors import UserError
from co2net.inference import Engine
from co2net.models.base import ModelInfo
from co2net.naturerun import WorldConfig, build_demo
from co2net.ocean import (
    Ocean,
    ProductFields,
    acidity,
    basins,
    boxes,
    composites,
    enso,
    flux,
    sink,
)
from co2net.ocean.engine import QUANTITIES
from co2net.ocean.simulated import SimulatedOcean
from co2net.schema import open_store
from dashboard.oceans.layers import PHASES, Layer, field, shown_as, side
from tests.synthetic import SyntheticSource

MONTH = "2000-01"
NOON = np.datetime64("2000-01-15T13:30", "s")


class Shifted:
    """The truth plus a constant: a reconstruction whose error is known."""

    def __init__(self, grid, shift=3.0):
        self.grid, self.frames, self.shift = grid, 8, shift
        self.info = ModelInfo(
            "shifted", "Shifted", "statistical", "", 0, "", "", "", {"years": "-"}, f"s{shift}"
        )

    def reconstruct(self, source, index):
        return source.read(["co2"], index)[0] + np.float32(self.shift)


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> Path:
    """January 2000 of the embedded world."""
    path = tmp_path_factory.mktemp("ocean") / "world.zarr"
    build_demo(path, [MONTH], workers=1)
    return path


@pytest.fixture(scope="module")
def ocean(path) -> Ocean:
    source = open_store(path)
    return Ocean(Engine(source, [Shifted(source.grid)]))


# -- the world's own ocean ----------------------------------------------------------------------


def test_flux_from_the_store_is_the_one_the_transport_was_given(ocean):
    """Every frame of the month by the bulk formula, against the prescribed flux."""
    given = ocean.fields.month_flux(MONTH)
    times = ocean.times()
    total = np.zeros(ocean.grid.shape)
    for part in np.array_split(times, 8):
        total += ocean.frames("flux", "truth", part).sum(axis=0, dtype=np.float64)
    mean = total / times.size
    assert flux.integral(mean, ocean.sea) == pytest.approx(
        flux.integral(given, ocean.sea), rel=0.05
    )
    wet = ocean.sea > 0
    away = (mean - given)[wet] ** 2 * ocean.sea[wet]
    size = given[wet] ** 2 * ocean.sea[wet]
    assert np.sqrt(away.sum() / size.sum()) < 0.05
    for key in basins():
        weights = ocean.weights(key)
        off = abs(flux.integral(mean - given, weights))
        assert off < 0.05 * flux.integral(np.abs(given), weights), key


def test_the_given_flux_is_carbontrackers_total(ocean):
    world = ocean.fields.sea.world
    target = world.fluxes.target("ocean", 2000, 1).sum()
    months = [float(flux.integral(ocean.fields.month_flux(MONTH), ocean.sea))]
    assert months[0] == pytest.approx(target, rel=2e-3)


def test_the_sea_is_plausible_in_every_month():
    sea = SimulatedOcean()
    assert sea.months.size == 252
    low, high, inside = np.inf, -np.inf, []
    for month in sea.months[::13]:
        state = sea.state(month)
        pco2 = state.pco2[np.isfinite(state.pco2)]
        low, high = min(low, pco2.min()), max(high, pco2.max())
        inside.append(((pco2 > 250) & (pco2 < 500)).mean())
        assert np.nanmin(state.ice) >= 0
        assert np.nanmax(state.ice) <= 0.96
        assert np.nanmin(state.sst) >= -1.8
        assert np.nanmax(state.sst) < 31
        if state.exchange is not None:  # Arctic coasts in summer
            rows = np.flatnonzero((state.exchange > 1).any(axis=1))
            assert sea.grid.lat[rows].min() > 58
            assert np.nanmax(state.exchange) < 10
            assert np.nanmin(state.exchange) == 1
    assert low >= 149.9
    assert high < 600
    assert np.mean(inside) > 0.95


def test_another_world_has_no_ocean_here():
    source = SyntheticSource()
    with pytest.raises(UserError, match="--ocean"):
        Ocean(Engine(source, []))
    still = SyntheticSource(variables=("air_pressure", "air_temperature"))
    with pytest.raises(UserError, match="needs the wind"):
        Ocean(Engine(still, []))
    with pytest.raises(UserError, match="has no 1999-01"):
        SimulatedOcean().state("1999-01")


# -- fields -------------------------------------------------------------------------------------


@pytest.mark.parametrize("quantity", ["flux", "delta_pco2", "co2", "sst", "ice", "transfer"])
def test_land_is_masked_and_the_sea_is_whole(ocean, quantity):
    field = ocean.field(quantity, "truth", NOON)
    assert field.shape == ocean.grid.shape
    assert np.array_equal(np.isfinite(field), ocean.sea > 0)


def test_the_sea_is_the_size_of_the_ocean(ocean):
    assert ocean.sea.sum() == pytest.approx(361e12, rel=0.01)
    parts = sum(ocean.weights(key) for key in basins()[1:])
    np.testing.assert_allclose(parts, ocean.weights("ocean"), rtol=1e-9)
    for key in boxes():
        assert 0 < ocean.weights(key).sum() < ocean.sea.sum()


def test_a_frame_by_hand(ocean):
    """One cell of the South Pacific from the store's own numbers."""
    engine, (row, column) = ocean.engine, ocean.grid.cell(-41.0, -130.0)
    state = ocean.state(MONTH)

    def at(name):
        return float(engine.field(name, NOON)[row, column])

    sst, salinity = float(state.sst[row, column]), float(state.salinity[row, column])
    speed = np.sqrt(at("eastward_wind") ** 2 + at("northward_wind") ** 2 + 25.0)
    k = 0.251 * speed**2 * np.sqrt(660 / flux.schmidt_number(sst))
    air = at("truth") * (at("air_pressure") / 101325 - flux.vapour_pressure(sst, salinity))
    difference = state.pco2[row, column] - air
    metres = k / 100 * 24 * 365.25
    expected = metres * flux.solubility(sst, salinity) * 1e-3 * difference
    assert state.ice[row, column] == 0
    assert ocean.field("pco2_air", "truth", NOON)[row, column] == pytest.approx(air, rel=1e-5)
    assert ocean.field("flux", "truth", NOON)[row, column] == pytest.approx(expected, rel=1e-4)


def test_a_models_error_in_co2_is_an_error_in_flux(ocean):
    """3 ppm too much in the air: the sea takes up more, by k K0 times the pressure of 3 ppm."""
    times, error = ocean.error("co2", "shifted", MONTH)
    np.testing.assert_allclose(error, 3.0, atol=1 / 128)
    assert times.size == len(ocean.times("shifted")[::9])
    wet = ocean.sea > 0
    truth, model = (ocean.month("flux", what, MONTH)[wet] for what in ("truth", "shifted"))
    assert (model <= truth + 1e-6).all()
    open_sea = ocean.state(MONTH).ice[wet] < 0.5
    assert (model < truth)[open_sea].all()
    frame = ocean.field("flux", "shifted", NOON) - ocean.field("flux", "truth", NOON)
    extra = ocean.field("pco2_air", "shifted", NOON) - ocean.field("pco2_air", "truth", NOON)
    np.testing.assert_allclose(extra[wet], 3.0 * 0.98, atol=0.2)
    state, k = ocean.state(MONTH), ocean.field("transfer", "truth", NOON)
    g = flux.conductance(k, flux.solubility(state.sst, state.salinity), state.ice)
    np.testing.assert_allclose(frame[wet], (-g * extra)[wet], rtol=2e-2, atol=2e-3)


def test_a_model_acidifies_the_sea_by_its_error(ocean):
    states = ocean.followed("shifted", MONTH) - ocean.followed("truth", MONTH)
    np.testing.assert_allclose(states[ocean.sea > 0], 3.0 * 0.98, atol=0.15)


@pytest.mark.parametrize(("lat", "lon"), [(-41.0, -130.0), (1.0, -130.0), (51.0, -40.0)])
def test_the_error_of_ph_is_the_slope_times_that_of_the_air(ocean, lat, lon):
    """3 ppm of dry air are 3 (p - vapour pressure) uatm, at every compared frame."""
    row, column = ocean.grid.cell(lat, lon)
    state = ocean.state(MONTH)
    pco2, sst, salinity = (
        float(values[row, column]) for values in (state.pco2, state.sst, state.salinity)
    )
    times = ocean.times("shifted")[::9]
    pressure = np.stack([ocean.engine.field("air_pressure", time) for time in times])
    dry = pressure[:, row, column] / 101325 - float(flux.vapour_pressure(sst, salinity))
    error = 3.0 * np.sqrt((dry.astype(np.float64) ** 2).mean())
    alkali = float(
        acidity.alkalinity(sst, salinity, ocean.grid.lat[row], ocean.grid.lon[column])[0]
    )
    below, above = acidity.solve(np.array([pco2 - 1, pco2 + 1]), alkali, sst, salinity).ph
    found = ocean.month("ph_error", "shifted", MONTH)
    assert found[row, column] == pytest.approx((below - above) / 2 * error, rel=3e-3)


def test_the_truth_has_no_error_of_ph(ocean):
    wet = ocean.sea > 0
    found = ocean.month("ph_error", "shifted", MONTH)
    np.testing.assert_array_equal(np.isfinite(found), wet)
    assert (found[wet] > 0).all()
    np.testing.assert_array_equal(ocean.month("ph_error", "truth", MONTH)[wet], 0)
    assert shown_as("ph_error", "truth", ("shifted",)) == "shifted"  # the page shows a model


def test_places_without_sea_and_unknown_names_are_one_line(ocean):
    with pytest.raises(UserError, match="holds no sea"):
        ocean.weights("box:90,45,100,50")
    with pytest.raises(UserError, match="unknown"):
        ocean.weights("atlantis")
    with pytest.raises(UserError, match="no sea at 50, 95"):
        ocean.point("flux", "truth", 50.0, 95.0, [NOON])
    with pytest.raises(UserError, match="nothing of the ocean"):
        ocean.field("o2", "truth", NOON)
    with pytest.raises(UserError, match="no frames"):
        ocean.month("co2", "truth", "2005-03")


def test_series_are_means_over_the_sea(ocean):
    times = ocean.times()[:3]
    weights = ocean.weights("southern-ocean")
    fields = ocean.frames("co2", "truth", times)
    by_hand = (np.nan_to_num(fields) * weights).sum(axis=(1, 2)) / weights.sum()
    found = ocean.series("co2", "truth", "southern-ocean", [*times, np.datetime64("2010-01-01")])
    np.testing.assert_allclose(found[:3], by_hand, rtol=1e-6)
    assert np.isnan(found[3])


def test_what_progress_raises_ends_the_work(ocean):
    def stop(share, text):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ocean.frames("flux", "truth", ocean.times()[:50], stop)


# -- sink ---------------------------------------------------------------------------------------


def test_basins_add_up_and_the_error_is_the_difference(ocean):
    table = sink.sink(ocean, ["truth", "shifted"])
    rows = {(r.region, r.period, r.what): r for r in table.rows}
    for period in (MONTH, "2000"):
        for what in ("truth", "shifted"):
            parts = sum(rows[key, period, what].flux for key in basins()[1:])
            assert parts == pytest.approx(rows["ocean", period, what].flux, abs=1e-9)
    truth, model = (rows["ocean", MONTH, what] for what in ("truth", "shifted"))
    assert truth.error == 0
    assert truth.low == truth.flux == truth.high
    assert model.error < -0.1  # 3 ppm are a large sink
    assert model.flux - truth.flux == pytest.approx(model.error, rel=1e-3)
    assert model.low < model.flux < model.high
    assert model.months == 1
    assert np.isnan(model.spread)


def test_years_weigh_months_by_their_days_and_models_spread():
    sums = {
        (what, month): sink.MonthSums([value + shift], [shift], [0.1])
        for what, shift in (("truth", 0.0), ("a", 0.2), ("b", 0.4))
        for month, value in (("2001-01", -1.0), ("2001-02", -2.0))
    }
    rows = {(r.period, r.what): r for r in sink.table(sums, ["ocean"]).rows}
    year = (31 * -1.0 + 28 * -2.0) / 59
    assert rows["2001", "truth"].flux == pytest.approx(year)
    assert rows["2001", "a"].error == pytest.approx(0.2)
    half = 1.96 * 0.1 * np.hypot(31, 28) / 59
    assert rows["2001", "a"].high - rows["2001", "a"].flux == pytest.approx(half)
    assert rows["2001", "a"].spread == pytest.approx(np.std([0.2, 0.4], ddof=1))
    assert rows["2001", "a"].months == 2


def test_the_given_sink_of_a_year(ocean):
    rows = {(r.region, r.period): r.flux for r in sink.given(ocean, ["ocean"], [2010]).rows}
    assert rows["ocean", "2010"] == pytest.approx(-2.96, abs=0.05)
    months = [rows["ocean", f"2010-{m:02d}"] for m in range(1, 13)]
    assert min(months) < rows["ocean", "2010"] < max(months)


# -- El Nino ------------------------------------------------------------------------------------


def test_the_world_has_the_index_it_was_given(ocean):
    from co2net.naturerun.weather import days
    from co2net.naturerun.weather import enso as prescribed

    nino = enso.nino34(ocean)
    assert nino.months.size == 252
    middle = days((nino.months.astype("datetime64[D]") + 14).astype("datetime64[s]"))
    assert np.corrcoef(nino.smoothed, prescribed(middle))[0, 1] > 0.99
    years = nino.months.astype("datetime64[Y]").astype(int) + 1970
    assert nino.smoothed[years == 2015].max() > 1.0  # about half of the real one
    assert (nino.phase[(nino.months >= np.datetime64("2015-10"))][:3] == 1).all()


def test_a_known_answer_is_found_at_its_lag():
    months = np.datetime64("2000-01", "M") + np.arange(240)
    rng = np.random.default_rng(3)
    signal = np.convolve(rng.normal(size=260), np.ones(7) / 3, mode="same")
    nino = enso.index_of(months, 27.0 + signal[:240], "test")
    late = np.concatenate([np.zeros(4), nino.smoothed[:-4]])
    years = months.astype(int) / 12
    values = 370 + 2 * (years - 30) + 3 * np.cos(2 * np.pi * years) - 0.7 * late
    found = enso.respond(nino, months, values + rng.normal(0, 0.05, 240), "ppm")
    best = int(np.argmax(np.abs(found.correlation)))
    assert best == 4
    assert found.low[4] < -0.7 < found.high[4] or found.slope[4] == pytest.approx(-0.7, abs=0.05)
    assert found.slope[4] == pytest.approx(-0.7, abs=0.07)


def test_composites_take_season_and_trend_out():
    months = np.datetime64("2000-01", "M") + np.arange(120)
    index = np.where((np.arange(120) // 20) % 2 == 0, 1.0, -1.0)
    nino = enso.Nino(months, index, index, index, "test")
    years = months.astype(int) / 12
    fields = (0.5 * index + 2 * years + np.cos(2 * np.pi * years))[:, None, None] * np.ones((2, 3))
    found = enso.composite(nino, months, fields)
    np.testing.assert_array_equal(found.warm_months, months[index > 0])
    np.testing.assert_array_equal(found.cold_months, months[index < 0])
    np.testing.assert_allclose(found.difference, 1.0, atol=0.15)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    years=st.integers(3, 8),
    first=st.integers(0, 11),
    trend=st.floats(-3, 3),
    swing=st.floats(0, 5),
)
def test_a_composites_mean_is_the_number_of_the_region(seed, years, first, trend, swing):
    """Map and table tell of one thing, though one is made cell by cell."""
    rng = np.random.default_rng(seed)
    months = np.datetime64("2000-01", "M") + first + np.arange(12 * years + first)
    signal = np.convolve(rng.normal(size=months.size + 8), np.ones(9) / 3, mode="valid")
    nino = enso.Nino(months, signal, signal, signal, "test")
    x = np.arange(months.size)[:, None, None]
    fields = rng.normal(size=(months.size, 3, 4)) + trend * x / 12
    fields += swing * np.cos(2 * np.pi * (x - rng.normal(size=(3, 4))) / 12)
    weights = rng.uniform(size=(3, 4))
    found = enso.composite(nino, months, fields)
    told = enso.respond(nino, months, (fields * weights).sum(axis=(1, 2)) / weights.sum())
    for values, number in ((found.warm, told.warm), (found.cold, told.cold)):
        mean = (values * weights).sum() / weights.sum()
        assert mean == pytest.approx(number, abs=1e-9, nan_ok=True)


def test_the_shipped_maps_are_read_where_the_store_holds_few_months(ocean):
    nino, wet = enso.nino34(ocean), ocean.sea > 0
    assert {name for _, name in composites.shipped()} >= {"truth"}
    for quantity in composites.COMPOSED:
        found = composites.composites(ocean, quantity)
        assert found.units == QUANTITIES[quantity].units
        assert "simulated world, 2000-01 to 2020-12" in found.source
        np.testing.assert_array_equal(found.warm_months, nino.months[nino.phase == 1])
        np.testing.assert_array_equal(found.cold_months, nino.months[nino.phase == -1])
        for phase in PHASES:
            shown = field(ocean, Layer(quantity, "truth", "", 0, phase))
            assert shown.shape == ocean.grid.shape
            np.testing.assert_array_equal(np.isfinite(shown), wet)
    with pytest.raises(UserError, match="36 whole months of shifted"):
        composites.composites(ocean, "co2", "shifted")
    with pytest.raises(UserError, match="not of sst"):
        composites.composites(ocean, "sst")


def test_the_shipped_maps_agree_with_the_shipped_record(ocean):
    """Over the tropical Pacific their mean is what the page's table says of it, though another
    run of the command made the table.
    """
    weights = ocean.weights(enso.PACIFIC)
    for quantity, digits in (("co2", 1e-4), ("flux", 1e-5)):  # of the record
        told = enso.response(ocean, quantity)
        assert "shipped record" in told.source
        found = composites.composites(ocean, quantity)
        for phase, number in (("warm", told.warm), ("cold", told.cold)):
            mean = np.nansum(side(found, phase) * weights) / weights.sum()
            assert mean == pytest.approx(number, abs=digits)
        apart = np.nansum(found.difference * weights) / weights.sum()
        assert apart == pytest.approx(told.warm - told.cold, abs=2 * digits)


def test_the_shipped_maps_say_what_made_them():
    with np.load(data_path("ocean", "composites.npz"), allow_pickle=False) as file:
        label = json.loads(str(file["label"]))
    assert label["digest"] == WorldConfig().digest
    assert {"co2net", "commit", "numpy"} <= set(label["made_by"])
    assert len(label["warm"]) == len(label["cold"]) == 20


def test_too_few_months_are_said(ocean):
    with pytest.raises(UserError, match="36 months"):
        enso.index_of(np.datetime64("2000-01", "M") + np.arange(5), np.zeros(5), "test")
    with pytest.raises(UserError, match="36 whole months of shifted"):
        enso.response(ocean, "co2", "shifted")


def test_the_shipped_record_answers_for_the_page(ocean):
    found = enso.response(ocean, "co2", "truth")
    assert found.months == 252
    assert "shipped record" in found.source
    assert np.isfinite(found.slope).all()
    assert (found.low < found.slope).all()


# -- reefs --------------------------------------------------------------------------------------


def test_reefs_grow_more_acid(ocean):
    some = dict(list(acidity.known_reefs().items())[:2])
    months = [f"{year}-{month:02d}" for year in range(2000, 2021) for month in (1, 4, 7, 10)]
    for reef in acidity.watch(ocean, reefs=some, months=months):
        assert reef.ph.shape == (84,)
        assert 7.9 < reef.ph.mean() < 8.2
        assert reef.ph_trend.low < reef.ph_trend.per_decade < reef.ph_trend.high < 0
        assert reef.aragonite_trend.per_decade < 0
        assert 0.005 < reef.ph_sd < 0.05
        assert reef.risk_label in acidity.RISK_LABELS


def test_a_short_watch_has_no_trend(ocean):
    some = dict(list(acidity.known_reefs().items())[:1])
    (reef,) = acidity.watch(ocean, "shifted", some)
    assert reef.months.size == 1
    assert np.isnan(reef.ph_trend.per_decade)


# -- a product on a data set of its own ---------------------------------------------------------


def test_a_product_takes_the_place_of_the_simulated_sea(ocean):
    shape = (12, *ocean.grid.shape)
    year = np.datetime64("2000-01", "M") + np.arange(12)
    values = {"pco2": np.full(shape, 500.0), "sst": np.full(shape, 20.0)}
    other = Ocean(ocean.engine, ProductFields(values, year, ocean.grid, ocean.grid))
    assert other.settings.gusts == 0
    assert np.nanmin(other.month("flux", "truth", MONTH)) > 0  # 500 uatm: a source everywhere
    with pytest.raises(UserError, match="only the embedded world"):
        sink.given(other)


# -- commands -----------------------------------------------------------------------------------


def run(*words):
    return CliRunner().invoke(app, ["ocean", *map(str, words)])


def test_flux_to_zarr_goes_on_where_it_broke_off(path, tmp_path):
    out = tmp_path / "flux.zarr"
    words = ("flux", "--data", path, "--out", out, "--frames")
    assert run(*words).exit_code == 0
    with xr.open_zarr(out) as whole:
        assert whole.sizes["time"] == 31 * 8
        assert whole.attrs["sign"] == "positive flux is into the atmosphere"
        first = whole["flux"][8:16].values
    import zarr

    root = zarr.open_group(str(out), mode="r+")
    root["done"][1:2] = 0
    root["flux"][8:24] = np.nan  # the second day and, wrongly, the third
    assert run(*words).exit_code == 0
    with xr.open_zarr(out) as whole:
        np.testing.assert_array_equal(whole["flux"][8:16].values, first)
        assert np.isnan(whole["flux"][16:24].values).all()  # noted as done: not computed anew
    other = run(*words, "--law", "sweeney2007")
    assert isinstance(other.exception, UserError)
    assert "flux_settings" in str(other.exception)


def test_sink_and_ph_of_a_month(path, tmp_path):
    table = tmp_path / "sink.csv"
    done = run("sink", "--data", path, "--out", table, "--regions", "ocean arctic", "--json")
    assert done.exit_code == 0, done.exception
    rows = json.loads(done.output[done.output.index("[") :])
    assert {r["region"] for r in rows} == {"ocean", "arctic"}
    text = [line for line in table.read_text().splitlines() if not line.startswith("#")]
    assert len(list(csv.DictReader(text))) == len(rows) == 4
    assert not list(tmp_path.glob(".*.parts"))
    done = run("ph", "--data", path, "--out", tmp_path / "ph.zarr")
    assert done.exit_code == 0, done.exception
    with xr.open_zarr(tmp_path / "ph.zarr") as found:
        assert 7.8 < float(found["ph"].mean()) < 8.3
        assert 0 < float(found["ph_sd"].mean()) < 0.05
        assert float(found["aragonite"].max()) < 6


def test_parts_of_a_table_wait_for_the_rest(path, tmp_path):
    from co2net.ocean.run import Parts

    parts = Parts(tmp_path / "t.csv", {"a": 1})
    parts.add("truth", "2000-01", {"flux": [1.0]})
    with parts.path.open("a") as handle:
        handle.write('{"what": "truth", "mon')  # the power went
    again = Parts(tmp_path / "t.csv", {"a": 1})
    assert again.held == {("truth", "2000-01"): {"flux": [1.0]}}
    again.add("truth", "2000-02", {"flux": [2.0]})
    assert len(Parts(tmp_path / "t.csv", {"a": 1}).held) == 2
    with pytest.raises(UserError, match="begun with another a"):
        Parts(tmp_path / "t.csv", {"a": 2})


def test_bad_input_of_the_commands_is_one_line(path, tmp_path):
    for words, text in (
        (("enso", "--data", path, "--out", tmp_path / "e.csv"), "36 months"),
        (("flux", "--data", path, "--out", tmp_path / "f", "--law", "x"), "transfer law"),
        (("flux", "--data", path, "--out", tmp_path / "f", "--model", "a,b"), "one model"),
        (("sink", "--data", path, "--out", tmp_path / "s", "--start", "2004-01"), "no whole month"),
    ):
        done = run(*words)
        assert isinstance(done.exception, UserError), words
        assert text in str(done.exception)
