"""From original files to a trained model: round trips of the nature run, and the whole way."""

import json

import numpy as np
import pytest
import xarray as xr
from typer.testing import CliRunner

from co2net.cli import app
from co2net.datasets import carbontracker, cmip6, obspack
from co2net.datasets.verify import verify
from co2net.grid import LatLonGrid
from co2net.inference import Engine
from co2net.naturerun import build_demo
from co2net.observations import Observations
from co2net.schema import VARIABLES, open_store
from co2net.stores import find_stores
from dashboard.service import Service
from tests.synthetic import SyntheticSource
from tests.unit.datasets.originals import write_cmip6, write_day, write_obspack
from tests.unit.datasets.test_cmip6 import columns

RUNNER = CliRunner()


def run(line: str, **names: object) -> str:
    """A command of the documents, in this process."""
    done = RUNNER.invoke(app, [str(names.get(word, word)) for word in line.split()])
    assert done.exit_code == 0, f"{line}: {done.output} {done.exception!r}"
    return done.output


# -- the nature run, there and back -----------------------------------------------------------


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A month of the nature run, as the page's store holds it."""
    path = tmp_path_factory.mktemp("world") / "w.zarr"
    build_demo(path, ["2015-03"], workers=1)
    return open_store(path)


def assert_same(store, world, index, there, names):
    """Both hold the same, to a thousandth of the step in which values are packed."""
    for name in names:
        step = VARIABLES[name].scale
        got, want = store.read([name], there)[0], world.read([name], index)[0]
        np.testing.assert_allclose(got, want, atol=step / 1000 + np.abs(want).max() * 2e-7)


def test_carbontracker_files_of_the_nature_run(tmp_path, world):
    days = ["2015-03-02", "2015-03-03"]
    for day in days:
        write_day(tmp_path / "f", day, world, levels=2, packed=False)
    carbontracker.prepare([tmp_path / "f"], tmp_path / "s.zarr", stations=world.stations)
    store = open_store(tmp_path / "s.zarr")
    index = np.flatnonzero(np.isin(world.time.astype("M8[D]").astype(str), days))
    np.testing.assert_array_equal(store.time, world.time[index])
    assert_same(store, world, index, np.arange(16), ("co2", *world.variables))
    assert verify(tmp_path / "s.zarr").faults == ()


def test_cmip6_files_of_the_nature_run(tmp_path, world):
    """Three of its frames stand for three months."""
    index = np.flatnonzero(world.available)[[20, 90, 160]]
    months = ["2000-01", "2000-02", "2000-03"]
    order = np.argsort(world.grid.lon % 360)
    lon = (world.grid.lon % 360)[order]
    ground = world.read(["air_pressure"], index)[0][..., order]
    for name, ours in cmip6.NAMES.items():
        values = world.read([ours], index)[0][..., order]
        if name == "co2":
            values = values * np.float32(1e-6)
        if name != "ps":
            values = columns(values, ground, levels=7)
        write_cmip6(tmp_path / "f", name, months, values, world.grid.lat, lon)
    done = cmip6.prepare([tmp_path / "f"], tmp_path / "s.zarr", stations=world.stations)
    assert done.gaps == ()
    store = open_store(tmp_path / "s.zarr")
    assert_same(store, world, index, np.arange(3), ("co2", *store.variables))


def test_obspack_files_of_the_nature_run(tmp_path, world):
    held = np.flatnonzero(world.available)[:24]
    told = world.observations(held)
    start = world.time[held] - world.step // 2
    hours = (start[:, None] + np.arange(3) * np.timedelta64(1, "h")).ravel()
    codes = world.stations.code[::8]
    for code in codes:
        n = world.stations.code.index(code)
        write_obspack(
            tmp_path / "f",
            code,
            hours,
            np.repeat(told[:, n], 3).astype(np.float64),
            molar=n % 16 == 0,
            lat=world.stations.lat[n],
            lon=world.stations.lon[n],
        )
    done = obspack.prepare([tmp_path / "f"], tmp_path / "o.zarr", store=world.path)
    got = Observations.open(tmp_path / "o.zarr")
    assert got.stations.code == world.stations.code
    assert done.reporting == len(codes)
    at = [world.stations.code.index(code) for code in codes]
    np.testing.assert_allclose(got.co2[held][:, at], told[:, at], rtol=2e-7)
    np.testing.assert_array_equal(got.count[held][:, at], np.where(np.isnan(told[:, at]), 0, 3))
    assert np.isnan(np.delete(got.co2, at, axis=1)).all()


# -- the whole way ----------------------------------------------------------------------------


def test_from_files_to_a_trained_model_and_the_page(tmp_path):
    """The commands of docs/data.md, on a small grid and two months in place of years."""
    world = SyntheticSource(LatLonGrid.regular(18, 24), "2001-12-16", "2002-01-15", sites=5)
    for day in np.unique(world.time.astype("M8[D]")).astype(str):
        write_day(tmp_path / "ct2022", day, world, levels=2, packed=False)
    store, sites = tmp_path / "surface.zarr", tmp_path / "stations.zarr"
    out = run(
        "data prepare carbontracker FILES --out STORE", FILES=tmp_path / "ct2022", STORE=store
    )
    assert "31 days written" in out
    info = json.loads(run("data info STORE --json", STORE=store))
    assert (info["frames"], info["stations"], info["gaps"]) == (248, 96, [])

    made = open_store(store)
    rng = np.random.default_rng(1)
    for n, code in enumerate(made.stations.code[::6]):
        values = made.observations(np.arange(248))[:, n * 6] + rng.normal(0, 0.3, 248)
        values[rng.random(248) < 0.3] = np.nan
        place = made.stations.lat[n * 6], made.stations.lon[n * 6]
        write_obspack(tmp_path / "obspack", code, made.time, values, lat=place[0], lon=place[1])
    out = run(
        "data prepare obspack FILES --store STORE --out SITES",
        FILES=tmp_path / "obspack", STORE=store, SITES=sites,
    )  # fmt: skip
    assert "16 of 96 sites report" in out
    assert find_stores(tmp_path) == [store]  # observations are no store

    model = tmp_path / "run"
    run(
        "train --model co2net --preset XS --target absolute --steps 4 --batch 2 --option "
        "patch=[6,6] --validate-every 4 --data STORE --observations SITES --run RUN",
        STORE=store, SITES=sites, RUN=model,
    )  # fmt: skip
    run(
        "reconstruct --model RUN --data STORE --observations SITES --start 2002-01-10 "
        "--end 2002-01-11 --out OUT",
        RUN=model, STORE=store, SITES=sites, OUT=tmp_path / "days.zarr",
    )  # fmt: skip
    days = xr.open_zarr(tmp_path / "days.zarr")
    assert days.sizes["time"] == 16
    assert np.isfinite(days.co2).all()
    found = json.loads(
        run(
            "validate --model RUN --data STORE --observations SITES --start 2002-01-10 "
            "--end 2002-01-12 --folds 2 --json",
            RUN=model,
            STORE=store,
            SITES=sites,
        )
    )
    everything = found["groups"][0]
    assert (everything["group"], everything["sites"]) == ("all", 16)
    assert {one["withheld"] for one in found["groups"]} == {False, True}

    # what the maps of the page draw
    source = open_store(store)
    service = Service(Engine(source, [model]), store)
    layers = ["truth", model.name, f"diff:{model.name}"]
    frame = service.frame(layers, 100, patience=None, wind=True)
    assert (frame.faults, frame.waiting) == ({}, {})
    truth, told, apart = frame.fields
    np.testing.assert_allclose(truth, source.read(["co2"], np.array([100]))[0, 0], rtol=1e-6)
    assert np.isfinite(frame.fields).all()
    np.testing.assert_allclose(apart, told - truth, atol=1e-3)
    assert np.isfinite(frame.sites).all()
    assert frame.wind.shape == (2, 18, 24)
