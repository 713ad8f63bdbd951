"""Adversarial training: the pool, what unpaired means, resuming, overfitting."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from co2net import models
from co2net.grid import LatLonGrid
from co2net.models import cyclegan
from co2net.models.base import Layout
from co2net.models.cyclegan import Size
from co2net.resident import TensorBatch
from co2net.schema import AUXILIARY
from co2net.training import TrainConfig, resume, train
from co2net.training.adversarial import POOL, Paired, Pool, Unpaired, frozen
from co2net.windows import TARGETS, channel_names
from tests.synthetic import SyntheticSource

GRID = LatLonGrid.regular(8, 12)
FRAMES = 2


@pytest.fixture(autouse=True)
def _tiny(monkeypatch):
    monkeypatch.setitem(cyclegan.SIZES, "XS", Size(8, 1, 8))


def objective(kind: type, target: str = "absolute", **changes) -> Unpaired | Paired:
    name = "cyclegan" if kind is Unpaired else "cyclegan-paired"
    config = TrainConfig(model=name, preset="XS", target=target, steps=1, batch=2, **changes)
    made_for = Layout(GRID, channel_names(AUXILIARY, target), FRAMES)
    torch.manual_seed(0)
    network = models.create(name, "XS", made_for)
    return kind(network, config.resolved(), made_for, torch.device("cpu"), torch.float32)


def batch(number: int, target: str = "absolute") -> TensorBatch:
    generator = torch.Generator().manual_seed(number)
    channels = channel_names(AUXILIARY, target)
    x = torch.randn(2, len(channels), FRAMES, *GRID.shape, generator=generator)
    mask = channels.index("station_mask")
    x[:, mask] = (x[:, mask] > 1).float()
    x[:, mask - 1] *= x[:, mask]
    clock = torch.rand(2, FRAMES, 2, generator=generator)
    return TensorBatch(x, clock, torch.randn(2, *GRID.shape, generator=generator))


def weights(trained: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in trained.named_parameters()}


def test_pool_shows_new_and_old_images():
    pool, rng = Pool((1,), torch.float32), np.random.default_rng(0)
    images = torch.arange(1.0, 401.0)[:, None]
    shown = [pool.swap(images[n : n + 4], n, rng) for n in range(0, 400, 4)]
    assert all(torch.equal(shown[n], images[4 * n : 4 * n + 4]) for n in range(POOL // 4))
    later = torch.cat(shown[POOL // 4 + 1 :])[:, 0]
    new = torch.isin(later, images[52:, 0]) & (later == images[52:, 0])
    assert 0.4 < new.float().mean() < 0.6
    assert later.unique().numel() == later.numel()  # what comes out does not stay
    last_seen = torch.cat([pool.kept, *shown])[:, 0]
    twice = torch.cat([images, images[:POOL]])[:, 0]  # the first were shown when they came, too
    assert last_seen.sort().values.tolist() == twice.sort().values.tolist()


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("kind", [Unpaired, Paired])
def test_a_step_moves_all_that_learns(kind: type, target: str):
    training = objective(kind, target)
    before = weights(training.trained)
    for number in range(2):
        found = training.step(batch(number, target), number)
    assert all(torch.isfinite(value) and not value.requires_grad for value in found.values())
    still = [n for n, p in training.trained.named_parameters() if torch.equal(p, before[n])]
    assert not still, f"parameters that did not move: {still}"
    assert all(p.requires_grad for p in training.trained.parameters())


def test_unpaired_learns_nothing_from_the_truth_of_its_windows():
    after = []
    for shift in (0.0, 5.0):
        training = objective(Unpaired)
        training.step(batch(0), 0)
        now = batch(1)
        training.step(TensorBatch(now.inputs, now.clock, now.target + shift), 1)
        after.append(weights(training.trained))
    assert all(torch.equal(after[0][name], after[1][name]) for name in after[0])
    paired = []
    for shift in (0.0, 5.0):
        training = objective(Paired)
        now = batch(1)
        training.step(TensorBatch(now.inputs, now.clock, now.target + shift), 0)
        paired.append(weights(training.trained))
    assert any(not torch.equal(paired[0][name], paired[1][name]) for name in paired[0])


def test_fields_are_those_of_the_step_before():
    training = objective(Unpaired)
    first = training.earlier.swap(batch(0), 0)
    torch.testing.assert_close(first.target, batch(0).target.roll(1, 0))
    second = training.earlier.swap(batch(1), 1)
    known = training.earlier.channels
    torch.testing.assert_close(second.target, batch(0).target)
    torch.testing.assert_close(second.clock, batch(0).clock)
    torch.testing.assert_close(second.inputs[:, known], batch(0).inputs[:, known])
    assert not second.inputs[:, training.inverse.content].any()


@pytest.mark.parametrize("gain", [1.0, 13.0])
def test_stations_count_where_they_report(gain: float):
    training = objective(Unpaired)
    real = batch(0).inputs
    value, mask = training.inverse.content[training.inverse.station], training.inverse.mask
    real[:, [value, mask]] *= gain
    made = real.clone()
    made[:, value] += 0.5 * real[:, mask]
    channels = len(training.inverse.content)
    torch.testing.assert_close(
        training._window_error(made, real), torch.tensor(0.5 / channels), rtol=1e-4, atol=0
    )


def test_frozen_critics_pass_gradients_on():
    critic, x = torch.nn.Linear(2, 1), torch.ones(1, 2, requires_grad=True)
    with frozen((critic,)):
        y = critic(x).sum()
    y.backward()
    assert x.grad is not None
    assert critic.weight.grad is None
    assert critic.weight.requires_grad


@pytest.mark.parametrize("model", ["cyclegan", "cyclegan-paired"])
def test_killed_and_resumed_gives_the_same_bits(model: str, tmp_path):
    source = SyntheticSource(GRID, "2001-12-28", "2002-01-06", sites=6)
    settings = TrainConfig(
        model=model, preset="XS", steps=34, batch=3, frames=FRAMES, validate_every=17,
        validation_windows=4, checkpoint_every=1000, precision="bf16",
    )  # fmt: skip
    whole = train(settings, source, tmp_path / "whole", device="cpu")
    calls = iter(range(100))
    stopped = train(
        settings, source, tmp_path / "parts", stop=lambda: next(calls) == 19, device="cpu"
    )
    assert (stopped.steps, stopped.finished) == (20, False)  # the pool of 50 is full by then
    again = resume(source, tmp_path / "parts", device="cpu")
    assert (again.steps, again.validation_rmse) == (34, whole.validation_rmse)
    for name in ("state.safetensors", "model.safetensors"):
        a, b = (load_file(tmp_path / run / name) for run in ("whole", "parts"))
        assert a.keys() == b.keys()
        assert all(torch.equal(a[key], b[key]) for key in a)
    state, shipped = (
        load_file(tmp_path / "parts" / f"{n}.safetensors") for n in ("state", "model")
    )
    assert any("of_fields" in key or "critic" in key for key in state)
    assert set(shipped) == {n.removeprefix("average.") for n in state if n.startswith("average.")}
    assert not any("critic" in key or "inverse" in key for key in shipped)


def test_paired_learns_one_batch_by_heart(monkeypatch):
    monkeypatch.setitem(cyclegan.SIZES, "XS", Size(16, 2, 8))
    training = objective(Paired, "residual")
    one = batch(3, "residual")
    steps = 80
    for number in range(steps):
        for optimizer in training.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = 5e-3 * (1 - number / steps)
        found = training.step(one, number)
    assert found["co2"] < 0.02
    assert found["l1"] < 0.15
