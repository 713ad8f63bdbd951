"""``co2net ocean enso --maps`` on a small store of four years, month by month."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from co2net.cli import app
from co2net.errors import UserError
from co2net.inference import Engine
from co2net.ocean import Ocean, composites, enso
from co2net.ocean.readers import read_product
from co2net.schema import open_store
from tests.synthetic import SyntheticSource, write_store
from tests.unit.evaluation.fakes import GRID
from tests.unit.ocean.test_fields import write_file

MONTHS = np.datetime64("2001-01", "M") + np.arange(48)


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> tuple[Path, Path]:
    """A store, and a product whose temperature swings by 2 K every two years."""
    folder = tmp_path_factory.mktemp("enso")
    needed = ("air_pressure", "air_temperature", "eastward_wind", "northward_wind")
    world = SyntheticSource(GRID, "2001-01-01", "2001-01-02", sites=3, variables=needed)
    world.time = MONTHS.astype("datetime64[s]")
    world.step = np.timedelta64(30, "D")
    world.available = np.ones(MONTHS.size, dtype=bool)
    swing = 2 * np.sin(2 * np.pi * np.arange(48) / 24)
    sst = np.broadcast_to((20 + swing)[:, None, None], (48, *GRID.shape))
    days = MONTHS.astype("datetime64[D]") - np.datetime64("2000-01-01")
    product = write_file(
        folder / "sea.nc",
        {"pco2": (np.full(sst.shape, 380.0), "uatm"), "sst": (sst, "degC")},
        GRID.lat,
        GRID.lon,
        days.astype(float),
    )
    return write_store(folder / "world.zarr", world), product


def run(*words):
    return CliRunner().invoke(app, ["ocean", "enso", *map(str, words)])


def test_maps_are_written_whose_means_are_the_tables(files, tmp_path):
    store, product = files
    maps = tmp_path / "maps.npz"
    done = run("--data", store, "--ocean", product, "--out", tmp_path / "enso.csv", "--maps", maps,
               "--start", "2001-06", "--end", "2004-10", "--json")  # fmt: skip
    assert done.exit_code == 0, done.exception
    rows = {row["quantity"]: row for row in json.loads(done.output[done.output.index("[") :])}
    ocean = Ocean(Engine(open_store(store), []), read_product(product, GRID))
    weights = ocean.weights(enso.PACIFIC).ravel()
    with np.load(maps, allow_pickle=False) as file:
        label, cells = json.loads(str(file["label"])), file["cells"]
        np.testing.assert_array_equal(cells, np.flatnonzero(ocean.sea > 0))
        for quantity, row in rows.items():
            for side in ("warm", "cold"):
                values = file[f"{quantity} truth {side}"]
                assert np.isfinite(values).all()
                mean = (values * weights[cells]).sum() / weights.sum()
                assert mean == pytest.approx(row[side], abs=1e-4)
    assert set(rows) == set(composites.COMPOSED)
    assert label["source"] == "synthetic test world, 2001-06 to 2004-10"
    assert label["warm"][0] >= "2001-06"
    assert label["cold"][-1] <= "2004-10"
    assert label["shape"] == list(GRID.shape)


def test_of_too_few_months_nothing_is_written(files, tmp_path):
    store, product = files
    maps = tmp_path / "maps.npz"
    done = run("--data", store, "--ocean", product, "--out", tmp_path / "enso.csv", "--maps", maps,
               "--end", "2002-12")  # fmt: skip
    assert isinstance(done.exception, UserError)
    assert "36 whole months of truth, there are 24" in str(done.exception)
    assert not maps.exists()
