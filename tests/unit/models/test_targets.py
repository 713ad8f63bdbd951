"""Every network under every target and on every grid: shapes, gradients, learning by heart."""

from __future__ import annotations

import pytest
import torch

from co2net import models
from co2net.grid import LatLonGrid
from co2net.models import co2net, co2net_plus, cyclegan, senseiver, swinlstm, vit
from co2net.models.base import Layout
from co2net.schema import AUXILIARY
from co2net.windows import TARGETS, channel_names
from tests.unit.models.helpers import awake

FRAMES = 4  # two tubelets: over one alone attention has nothing to choose


@pytest.fixture(autouse=True)
def _tiny(monkeypatch):
    small = co2net.Size(32, 2, 16)
    monkeypatch.setitem(co2net.SIZES, "XS", small)
    monkeypatch.setitem(co2net_plus.SIZES, "XS", co2net_plus.PlusSize(small, 16, 1, 8))
    monkeypatch.setitem(vit.SIZES, "XS", small)
    monkeypatch.setitem(swinlstm.SIZES, "XS", swinlstm.Size(32, (1, 1), 16))
    monkeypatch.setitem(senseiver.SIZES, "XS", senseiver.Size(32, 1, 8, 16))
    monkeypatch.setitem(cyclegan.SIZES, "XS", cyclegan.Size(8, 1, 8))


def made(name: str, shape: tuple[int, int], target: str, **options):
    torch.manual_seed(0)
    layout = Layout(LatLonGrid.regular(*shape), channel_names(AUXILIARY, target), FRAMES)
    network = models.create(name, "XS", layout, **options)
    x = torch.randn(1, len(layout.channels), FRAMES, *shape)
    value, mask = (layout.channels.index(f"station_{kind}") for kind in ("co2", "mask"))
    x[:, mask] = (x[:, mask] > 1.5).float()
    x[:, value] *= x[:, mask]
    return network, x, torch.rand(1, FRAMES, 2)


@pytest.mark.parametrize("name", models.names())
@pytest.mark.parametrize("target", TARGETS)
def test_gradients_reach_every_parameter(name: str, target: str):
    network, x, clock = made(name, (36, 48), target)
    out = awake(network)(x, clock)
    loss = out.co2.square().mean() + (0 if out.wind is None else out.wind.square().mean())
    loss.backward()
    silent = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert not silent, f"parameters without a gradient: {silent}"


@pytest.mark.parametrize("name", models.names())
@pytest.mark.parametrize("shape", [(45, 60), (180, 360)])
def test_odd_and_one_degree_grids(name: str, shape: tuple[int, int]):
    network, x, clock = made(name, shape, "residual")
    with torch.inference_mode():
        co2 = network.eval()(x, clock).co2
    assert co2.shape == (1, *shape)
    assert torch.isfinite(co2).all()


@pytest.mark.parametrize("name", models.names())
@pytest.mark.parametrize("target", TARGETS)
def test_no_station_reports(name: str, target: str):
    network, x, clock = made(name, (36, 48), target)
    x[:, 7:9] = 0
    with torch.inference_mode():
        assert torch.isfinite(awake(network).eval()(x, clock).co2).all()


@pytest.mark.parametrize(
    ("name", "target"), [("co2net", "absolute"), ("vit", "anomaly"), ("co2net-plus", "residual")]
)
def test_learns_one_batch_by_heart(name: str, target: str):
    network, x, clock = made(name, (12, 18), target, patch=(6, 6))
    truth = torch.randn(1, 12, 18, generator=torch.Generator().manual_seed(3))
    steps, rate = 120, 6e-3
    optimizer = torch.optim.Adam(network.parameters(), rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps)
    for _ in range(steps):
        loss = (network(x, clock).co2 - truth).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    assert loss < 0.01


@pytest.mark.parametrize("embedding", ["none", "climode", "wind", "wind-year"])
@pytest.mark.parametrize("name", models.names())
def test_embedding_is_an_option_of_every_network(name: str, embedding: str):
    network, x, clock = made(name, (18, 24), "absolute", embedding=embedding)
    awake(network)(x, clock).co2.sum().backward()
    assert network.stem.embedding.name == embedding
