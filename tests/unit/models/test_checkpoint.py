"""Checkpoints: a trained network comes back, and what does not fit is refused in one line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from co2net import models
from co2net.errors import UserError
from co2net.grid import LatLonGrid
from co2net.training import TrainConfig, train
from co2net.windows import SPLITS
from tests.synthetic import SyntheticSource

GRID = LatLonGrid.regular(12, 18)
SPAN = {"start": "2001-12-20", "end": "2002-01-20"}


@pytest.fixture(scope="module")
def source() -> SyntheticSource:
    return SyntheticSource(GRID, **SPAN)


@pytest.fixture(scope="module")
def runs(source, tmp_path_factory) -> dict[str, Path]:
    folders = {}
    for name in models.names():
        folders[name] = tmp_path_factory.mktemp("runs") / name
        tiled = name in ("co2net", "co2net-plus", "vit")
        config = TrainConfig(
            model=name, preset="XS", options={"patch": [6, 6]} if tiled else {}, steps=4, batch=2,
            validate_every=2, validation_windows=2, precision="fp32",
        )  # fmt: skip
        train(config, source, folders[name], device="cpu")
    return folders


@pytest.mark.parametrize("name", models.names())
def test_reconstructs(name: str, runs, source):
    model = models.load(runs[name])
    index = SPLITS["carbontracker"].windows(source, "validation")[:11]
    fields = model.reconstruct(source, index)
    truth = source.read(["co2"], index)[0]
    assert fields.shape == truth.shape
    assert fields.dtype == np.float32
    assert np.sqrt(np.mean((fields - truth) ** 2)) < 8
    assert model.info.name == name
    assert model.info.parameters > 1e6
    assert model.info.trained_on["steps"] in (2, 4)
    assert model.frames == 8
    assert model.grid == GRID


def test_residual_begins_at_the_interpolation(source, tmp_path):
    config = TrainConfig(
        model="vit", preset="XS", target="residual", options={"patch": [6, 6]}, steps=1, batch=1,
        rate=1e-12, validation_windows=1,
    )  # fmt: skip
    train(config, source, tmp_path / "run", device="cpu")
    model = models.load(tmp_path / "run")
    index = np.arange(20, 23)
    expected = model.background.interpolate(source.time[index], source.observations(index))
    np.testing.assert_allclose(model.reconstruct(source, index), expected, atol=1e-3)


def test_neighbours_do_not_change_a_field(runs, source):
    model = models.load(runs["co2net-plus"])
    index = np.arange(30, 41)
    together = model.reconstruct(source, index)
    alone = model.reconstruct(source, index[[6]])[0]
    np.testing.assert_allclose(together[6], alone, atol=0.02)


def test_shipped_in_a_byte_a_weight(runs, source, tmp_path):
    models.ship(runs["vit"], tmp_path / "vit")
    full, half = models.load(runs["vit"]), models.load(tmp_path / "vit")
    index = np.arange(20, 24)
    np.testing.assert_allclose(
        half.reconstruct(source, index), full.reconstruct(source, index), atol=0.1
    )
    assert half.info.digest != full.info.digest
    sizes = [
        (folder / "model.safetensors").stat().st_size for folder in (tmp_path / "vit", runs["vit"])
    ]
    assert sizes[0] < 0.51 * sizes[1]


def test_no_station_reports(runs):
    class Silent(SyntheticSource):
        def observations(self, index):
            return np.full((len(index), len(self.stations)), np.nan, dtype=np.float32)

    silent = Silent(GRID, **SPAN)
    for name in models.names():
        field = models.load(runs[name]).reconstruct(silent, np.array([100]))
        assert np.isfinite(field).all()
        assert np.abs(field - 374).max() < 40


def test_other_grid_and_missing_variable(runs):
    model = models.load(runs["co2net"])
    other = SyntheticSource(LatLonGrid.regular(18, 24), **SPAN)
    poor = SyntheticSource(GRID, **SPAN, variables=("air_pressure", "eastward_wind"))
    with pytest.raises(UserError, match="was trained on"):
        model.reconstruct(other, np.array([20]))
    with pytest.raises(UserError, match="lacks specific_humidity"):
        model.reconstruct(poor, np.array([20]))
    with pytest.raises(UserError, match="not complete"):
        model.reconstruct(SyntheticSource(GRID, **SPAN), np.array([2]))


def test_unknown_and_damaged(runs, tmp_path):
    with pytest.raises(UserError, match="no trained model 'nothing'"):
        models.load("nothing")
    folder = tmp_path / "broken"
    shutil.copytree(runs["vit"], folder)
    (folder / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(UserError, match="damaged"):
        models.load(folder)
    folder = tmp_path / "renamed"
    shutil.copytree(runs["vit"], folder)
    config = json.loads((folder / "config.json").read_text())
    config["train"]["model"] = "swin"
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="'swin' is unknown"):
        models.load(folder)


def test_background_must_be_there(runs, tmp_path):
    folder = tmp_path / "moved"
    shutil.copytree(runs["co2net-plus"], folder)
    shutil.rmtree(folder / "background")
    with pytest.raises(UserError, match="trained against the background"):
        models.load(folder)
