"""Training: learns, resumes to the same bits, stops when told, and records what it did."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from co2net.errors import UserError
from co2net.grid import LatLonGrid
from co2net.models import cyclegan
from co2net.models.base import Reconstruction
from co2net.training import TrainConfig, loop, resume, train
from co2net.training.config import ABSOLUTE_GAIN
from co2net.training.loop import METRICS_FILE
from co2net.training.losses import row_weights, semi_supervised
from co2net.training.stream import batch_positions
from co2net.windows import Statistics
from tests.synthetic import SyntheticSource

GRID = LatLonGrid.regular(12, 18)
pytestmark = pytest.mark.usefixtures("shallow")


@pytest.fixture(scope="module")
def source() -> SyntheticSource:
    return SyntheticSource(GRID, "2001-12-25", "2002-01-20")


def config(**changes) -> TrainConfig:
    settings = {
        "model": "co2net", "preset": "XS", "options": {"patch": [6, 6]}, "steps": 50, "batch": 2,
        "validate_every": 25, "validation_windows": 8, "checkpoint_every": 1000, "rate": 3e-4,
    }  # fmt: skip
    return TrainConfig(**{**settings, **changes})


def stop_after(steps: int):
    count = 0

    def stop() -> bool:
        nonlocal count
        count += 1
        return count >= steps

    return stop


def metrics(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(("model", "precision"), [("co2net", "bf16"), ("vit", "fp32")])
def test_killed_at_30_of_50_and_resumed_gives_the_same_bits(source, tmp_path, model, precision):
    settings = config(model=model, precision=precision)
    whole = train(settings, source, tmp_path / "whole", device="cpu")
    first = train(settings, source, tmp_path / "parts", stop=stop_after(30), device="cpu")
    assert (first.steps, first.finished) == (30, False)
    second = resume(source, tmp_path / "parts", device="cpu")
    assert (second.steps, second.finished) == (50, True)
    assert second.validation_rmse == whole.validation_rmse
    for name in ("state.safetensors", "model.safetensors"):
        a, b = (load_file(tmp_path / run / name) for run in ("whole", "parts"))
        assert a.keys() == b.keys()
        assert all(torch.equal(a[key], b[key]) for key in a)
    assert [m["step"] for m in metrics(tmp_path / "parts")].count(50) == 2


def test_training_lowers_the_error(source, tmp_path):
    told = []
    result = train(
        config(model="vit", steps=60, rate=1e-3, validate_every=30, ema=0.8),
        source, tmp_path / "run", lambda share, text: told.append((share, text)), device="cpu",
    )  # fmt: skip
    seen = [m for m in metrics(tmp_path / "run") if "validation_rmse" in m]
    assert result.validation_rmse < 0.7 * seen[0]["prior_rmse"]
    assert result.validation_rmse == pytest.approx(
        min(m["validation_rmse"] for m in seen), rel=1e-4
    )
    assert told[-1][0] == 1.0
    assert "windows/s" in told[-1][1]


def test_run_folder_tells_what_was_done(source, tmp_path):
    train(config(steps=2, seed=5, wind_loss=1.0), source, tmp_path / "run", device="cpu")
    saved = json.loads((tmp_path / "run" / "config.json").read_text())
    resolved = config(steps=2, seed=5, wind_loss=1.0).resolved()
    assert TrainConfig.from_dict(saved["train"]) == resolved
    assert (resolved.target, resolved.clip, resolved.rate) == ("absolute", 1.0, 3e-4)
    gan = config(model="cyclegan", rate=None).resolved()
    assert (gan.rate, gan.betas, gan.decay, gan.clip) == (2e-4, (0.5, 0.999), 0.0, 0.0)
    assert saved["data"]["title"] == source.attrs["title"]
    assert saved["layout"]["channels"][-2:] == ["station_co2", "station_mask"]
    assert saved["provenance"]["co2net"]
    assert saved["years"]["validation"] == [[2001, 2001], [2019, 2019]]
    environment = json.loads((tmp_path / "run" / "environment.json").read_text())
    assert environment["torch"] == torch.__version__
    assert not list((tmp_path / "run").glob(".*"))


@pytest.mark.parametrize(
    "changes",
    [
        {"options": {"towers": "spatial", "embedding": "climode"}, "frames": 4, "interval": 2},
        {"options": {"towers": "temporal", "embedding": "none"}, "wind_loss": 1.0},
        {
            "options": {"connection": False, "pool": "mean"},
            "wind_loss": 0.0,
            "target": "anomaly",
            "station_gain": 3.0,
        },
    ],
)
def test_ablations_are_settings(source, tmp_path, changes):
    options = {"patch": [6, 6], **changes["options"]}
    settings = config(**{"steps": 1, "validation_windows": 4, **changes, "options": options})
    train(settings, source, tmp_path / "run", device="cpu")
    (line,) = (m for m in metrics(tmp_path / "run") if "loss" in m)
    factor = changes.get("wind_loss", 0.2)
    decoder = options.get("towers") != "spatial" and factor > 0
    assert (line["wind"] > 0) == decoder
    assert line["loss"] == pytest.approx(line["co2"] + factor * line["wind"], rel=1e-4)
    saved = json.loads((tmp_path / "run" / "config.json").read_text())
    assert saved["layout"]["frames"] == changes.get("frames", 8)
    assert saved["train"]["interval"] == changes.get("interval", 1)
    weights = load_file(tmp_path / "run" / "model.safetensors")
    assert any(name.startswith("wind.") for name in weights) == decoder
    assert not any("exchange" in name for name in weights)
    row, column = source.stations.cells(source.grid)
    height, width = source.grid.shape
    usual = np.sqrt(height * width / np.unique(row * width + column).size)
    found = Statistics.load(tmp_path / "run" / "statistics.safetensors").station_gain
    own = 1.0 if "target" in changes else ABSOLUTE_GAIN
    assert found == pytest.approx(changes.get("station_gain", own) * usual)


def test_sigterm_writes_a_checkpoint(source, tmp_path):
    def tell(share: float, text: str) -> None:
        if text.startswith("step 25"):
            os.kill(os.getpid(), signal.SIGTERM)

    result = train(config(model="vit"), source, tmp_path / "run", tell, device="cpu")
    assert not result.finished
    assert 25 <= result.steps < 50
    assert resume(source, tmp_path / "run", device="cpu").finished


def test_early_stopping(source, tmp_path):
    result = train(
        config(model="vit", rate=1e-12, ema=0.0, steps=500, validate_every=2, patience=2),
        source, tmp_path / "run", device="cpu",
    )  # fmt: skip
    assert result.finished
    assert result.steps < 100


def test_budgets(source, tmp_path):
    with pytest.raises(UserError, match="one budget"):
        TrainConfig()
    with pytest.raises(UserError, match="one budget"):
        TrainConfig(steps=3, minutes=1)
    short = config(model="vit", steps=None, minutes=0.02)
    assert train(short, source, tmp_path / "minutes", device="cpu").finished
    windows = 20 * 8 - 7
    epochs = config(model="vit", steps=None, epochs=0.25)
    found = train(epochs, source, tmp_path / "epochs", device="cpu")
    assert found.steps == -(-windows // 8)


@pytest.mark.parametrize(
    "wrong",
    [
        {"batch": 0}, {"frames": 0}, {"interval": 0}, {"warmup": 1.0}, {"ema": -0.1},
        {"rate": float("nan")}, {"decay": -1.0}, {"clip": float("inf")}, {"seed": -1},
        {"station_gain": 0.0},
    ],
)  # fmt: skip
def test_settings_have_limits(wrong):
    (name,) = wrong
    with pytest.raises(UserError, match=name):
        TrainConfig(steps=1, **wrong)


def test_what_cannot_be_trained_is_refused(source, tmp_path):
    empty = SyntheticSource(GRID, "2000-01-01", "2000-01-05")
    with pytest.raises(UserError, match="no complete window"):
        train(config(), empty, tmp_path / "a", device="cpu")
    with pytest.raises(UserError, match="holds no run"):
        resume(source, tmp_path / "b", device="cpu")
    train(config(model="vit", steps=1), source, tmp_path / "c", device="cpu")
    with pytest.raises(UserError, match="holds a run already"):
        train(config(model="vit", steps=1), source, tmp_path / "c", device="cpu")
    other = SyntheticSource(GRID, "2001-12-25", "2002-01-20", seed=3)
    with pytest.raises(UserError, match="was started on"):
        resume(other, tmp_path / "c", device="cpu")
    with pytest.raises(UserError, match="unknown training settings: colour"):
        TrainConfig.from_dict({"colour": 3})


@pytest.mark.parametrize(
    ("name", "frame", "seen"),
    [("co2", 120, True), ("co2", 120, False), ("air_pressure", 120, False), ("co2", 30, False)],
)
def test_gaps_in_the_data_are_refused(name: str, frame: int, seen: bool, tmp_path, monkeypatch):
    class Gap(SyntheticSource):
        def read(self, names, index):
            values = super().read(names, index)
            if name in names:
                values[list(names).index(name), np.asarray(index) == frame, 3, 4] = np.nan
            return values

    fit = Statistics.fit
    if not seen:  # a gap on a day that the sample of the statistics does not hold
        monkeypatch.setattr(
            Statistics, "fit",
            lambda source, index, *rest, **more: fit(source, index[index < 100], *rest, **more),
        )  # fmt: skip
    source = Gap(GRID, "2001-12-25", "2002-01-20")
    expected = f"{source.time[frame]} has gaps"
    if seen or frame < 56:  # 2001 validates
        expected = f"has gaps in its {'training' if seen else 'validation'} years"
    with pytest.raises(UserError, match=expected):
        train(
            config(model="vit", steps=3, validation_windows=99),
            source, tmp_path / "run", device="cpu",
        )  # fmt: skip


def test_batches_are_a_function_of_seed_and_step():
    size, batch = 103, 8
    first = [batch_positions(7, step, batch, size) for step in range(40)]
    again = [batch_positions(7, step, batch, size) for step in reversed(range(40))]
    np.testing.assert_array_equal(first, again[::-1])
    assert sorted(np.concatenate(first)[:size].tolist()) == list(range(size))
    assert (batch_positions(8, 0, batch, size) != first[0]).any()
    halves = [batch_positions(7, 3, 4, size, rank, 2) for rank in (0, 1)]
    np.testing.assert_array_equal(np.concatenate(halves), first[3])


def test_batches_share_frames_yet_come_from_all_over():
    size = 40_000
    part = np.concatenate([batch_positions(3, step, 8, size) for step in range(256)])
    frames = np.unique(part[:, None] - np.arange(8))
    assert frames.size < 1.3 * part.size  # a plain shuffle needs nearly eight a window
    for step in range(0, 256, 32):
        assert np.ptp(batch_positions(3, step, 8, size)) > size / 4


def test_loss_is_a_mean_over_the_sphere():
    weights = row_weights(GRID)
    target = torch.zeros(2, 12, 18)
    target[:, 0] = 3.0  # the southernmost row
    wind = torch.ones(2, 2, 8, 12, 18)
    output = Reconstruction(torch.zeros(2, 12, 18), torch.zeros(2, 2, 8, 12, 18))
    total, co2, blown = semi_supervised(output, target, wind, weights, 0.2)
    share = GRID.area[0].sum() / GRID.area.sum()
    assert co2.item() == pytest.approx(9 * share, rel=1e-5)
    assert blown.item() == pytest.approx(1.0, rel=1e-5)
    assert total.item() == pytest.approx(9 * share + 0.2, rel=1e-5)
    assert semi_supervised(output, target, None, weights, 0.2)[0] == co2


WORKER = """
import math
import sys
from dataclasses import replace
from co2net.grid import LatLonGrid
from co2net.models import cyclegan, vit
from co2net.training import TrainConfig, loop, train
from tests.synthetic import SyntheticSource
loop._LOG_EVERY = 1
source = SyntheticSource(LatLonGrid.regular(12, 18), "2001-12-25", "2002-01-20")
cyclegan.SIZES["XS"] = cyclegan.Size(8, 1, 8)
vit.SIZES["XS"] = replace(vit.SIZES["XS"], depth=1)
for model in ("vit", "cyclegan-paired"):
    options = {"patch": [6, 6]} if model == "vit" else {}
    settings = dict(model=model, preset="XS", options=options, steps=4, precision="fp32",
                    validate_every=4, validation_windows=8, rate=3e-4)
    run = f"{sys.argv[1]}/{model}"
    assert math.isfinite(
        train(TrainConfig(batch=2, **settings), source, run, device="cpu").validation_rmse
    )
"""


def test_two_processes_train_as_one(source, tmp_path, monkeypatch):
    script = tmp_path / "worker.py"
    script.write_text(WORKER)
    root = Path(__file__).resolve().parents[3]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
        str(script), str(tmp_path / "two"),
    ]  # fmt: skip
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    monkeypatch.setitem(cyclegan.SIZES, "XS", cyclegan.Size(8, 1, 8))
    monkeypatch.setattr(loop, "_LOG_EVERY", 1)
    for model in ("vit", "cyclegan-paired"):
        one = config(
            model=model, options={"patch": [6, 6]} if model == "vit" else {}, steps=4, batch=4,
            precision="fp32", validate_every=4,
        )  # fmt: skip
        train(one, source, tmp_path / "one" / model, device="cpu")
        a, b = (load_file(tmp_path / run / model / "state.safetensors") for run in ("one", "two"))
        for key in a:  # Adam turns rounding of a gradient near zero into a whole step: a bound
            if key.startswith("model."):
                torch.testing.assert_close(a[key], b[key], atol=1e-3, rtol=0)
        one_curve, two_curve = (
            [
                line["loss"]
                for line in map(json.loads, (tmp_path / run / model / METRICS_FILE).open())
                if "loss" in line
            ]
            for run in ("one", "two")
        )
        assert len(one_curve) == 4
        np.testing.assert_allclose(two_curve, one_curve, rtol=2e-4)
