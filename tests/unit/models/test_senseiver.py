"""Senseiver: which sensors it reads, that their order has no meaning, bounded queries, sizes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from co2net import models
from co2net.errors import UserError
from co2net.grid import LatLonGrid
from co2net.models import senseiver
from co2net.models.base import Layout
from co2net.models.layers import parameter_count
from co2net.models.senseiver import Senseiver, SensorAttention, Size, position_features
from co2net.schema import AUXILIARY
from co2net.windows import channel_names
from tests.unit.models.helpers import awake

MILLIONS = {"XS": 5.68, "S": 10.65, "B": 28.71, "L": 224.08}
CO2NET_B = 28.6
FRAMES = 3


@pytest.fixture(autouse=True)
def _tiny(monkeypatch):
    monkeypatch.setitem(senseiver.SIZES, "tiny", Size(32, 1, 8, 16))


def layout(shape: tuple[int, int], frames: int = FRAMES, target: str = "absolute") -> Layout:
    return Layout(LatLonGrid.regular(*shape), channel_names(AUXILIARY, target), frames)


def network(shape: tuple[int, int], **options) -> Senseiver:
    torch.manual_seed(0)
    return awake(Senseiver(layout(shape), "tiny", **options))


def window(made_for: Layout, stations: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    """Windows with as many stations each as named; each reports in the last frame only."""
    generator = torch.Generator().manual_seed(1)
    shape = (len(stations), len(made_for.channels), FRAMES, *made_for.grid.shape)
    x = torch.randn(shape, generator=generator)
    value, mask = (made_for.channels.index(f"station_{name}") for name in ("co2", "mask"))
    x[:, mask] = 0
    cells = np.prod(made_for.grid.shape)
    for n, count in enumerate(stations):
        chosen = torch.randperm(cells, generator=generator)[:count]
        x[n, mask, -1].view(-1)[chosen] = 1
    x[:, value] *= x[:, mask]
    return x, torch.rand(len(stations), FRAMES, 2, generator=generator)


@pytest.mark.parametrize("preset", models.PRESETS)
def test_parameter_counts(preset: str):
    with torch.device("meta"):
        count = parameter_count(models.create("senseiver", preset, layout((90, 120), 8))) / 1e6
    assert count == pytest.approx(MILLIONS[preset], abs=0.01)
    assert preset != "B" or abs(count / CO2NET_B - 1) < 0.25


@pytest.mark.parametrize("shape", [(90, 120), (7, 11)])
@pytest.mark.parametrize("target", ["absolute", "residual"])
def test_any_grid(shape: tuple[int, int], target: str):
    made_for = layout(shape, target=target)
    out = Senseiver(made_for, "tiny").eval()(*window(made_for, (5,)))
    assert out.co2.shape == (1, *shape)
    assert out.wind is None
    assert torch.isfinite(out.co2).all()


def test_weights_are_of_no_grid():
    one, other = network((7, 11)), network((12, 18))
    other.load_state_dict(one.state_dict())


def test_position_features_are_whole_waves():
    here = LatLonGrid(lat=[-20.0, 40.0], lon=[-180.0, 60.0])
    there = LatLonGrid(lat=[-20.0, 40.0], lon=[60.0, 180.0])
    one = position_features(here).reshape(2, 2, -1)
    other = position_features(there).reshape(2, 2, -1)
    torch.testing.assert_close(one[:, 0], other[:, 1])
    torch.testing.assert_close(one[:, 1], other[:, 0])
    k, lat, lon = 5, np.radians(40.0), np.radians(60.0)
    bands = senseiver.BANDS
    expected = [np.sin(k * lon), np.cos(k * lon), np.sin(k * lat), np.cos(k * lat)]
    np.testing.assert_allclose(
        one[1, 1, [k - 1 + n * bands for n in range(4)]], expected, atol=1e-6
    )


def test_reads_the_cells_that_report():
    net = network((7, 11))
    x, clock = window(layout((7, 11)), (4, 40, 0))
    tokens, present = net.sensors(net.stem(x, clock))
    assert tokens.shape == (3, 64, 32)
    assert present.sum(dim=1).tolist() == [4, 40, 0]
    mask = x[0, layout((7, 11)).channels.index("station_mask"), -1].flatten()
    cell = int(mask.nonzero()[2])
    channels = net.stem(x, clock)[0].flatten(2)[:, :, cell].flatten()
    expected = net.sensor(torch.cat([channels, net.place[cell]]))
    assert (tokens[0, present[0]] - expected).abs().amax(-1).min() < 1e-5


def test_order_of_stations_has_no_meaning():
    net = network((7, 11)).double()
    x, clock = window(layout((7, 11)), (9, 14))
    tokens, present = net.sensors(net.stem(x.double(), clock.double()))
    order = torch.randperm(tokens.shape[1], generator=torch.Generator().manual_seed(4))
    torch.testing.assert_close(
        net.encode(tokens[:, order], present[:, order]), net.encode(tokens, present)
    )


def test_empty_places_and_neighbours_in_the_batch_have_no_part():
    net = network((7, 11)).double().eval()
    x, clock = window(layout((7, 11)), (9, 50, 0))
    x, clock = x.double(), clock.double()
    together = net(x, clock).co2
    for n in range(3):
        torch.testing.assert_close(net(x[[n]], clock[[n]]).co2[0], together[n])
    tokens, present = net.sensors(net.stem(x[:1], clock[:1]))
    only = tokens[:, present[0]]
    torch.testing.assert_close(
        net.encode(only, torch.ones(1, 9, dtype=torch.bool)), net.encode(tokens, present)
    )


def test_stations_speak_through_the_latents_alone():
    net = network((7, 11)).eval()
    made_for = layout((7, 11))
    x, clock = window(made_for, (9,))
    base = net(x, clock).co2
    unheard = x.clone()
    value, mask = (made_for.channels.index(f"station_{name}") for name in ("co2", "mask"))
    silent = (x[:, mask] == 0).all(dim=1, keepdim=True)
    unheard[:, value] += silent.squeeze(1)[:, None]
    torch.testing.assert_close(net(unheard, clock).co2, base)
    heard = x.clone()
    heard[:, value] += x[:, mask]
    assert ((net(heard, clock).co2 - base).abs() > 0).float().mean() > 0.9


def test_masked_attention_equals_attention_to_the_rest():
    torch.manual_seed(0)
    attention = SensorAttention(64, 32)
    query, memory = torch.randn(2, 5, 64), torch.randn(2, 7, 64)
    present = torch.tensor([True, False, True, True, False, True, True]).expand(2, -1)
    torch.testing.assert_close(
        attention(query, memory, present), attention(query, memory[:, present[0]])
    )


def test_chunks_bound_the_queries_and_change_nothing():
    made_for = layout((7, 11))
    x, clock = window(made_for, (9, 14))
    fields, gradients, sizes = [], [], []
    for chunk in (10_000, 24):
        net = network((7, 11), chunk=chunk, asked=1)
        seen: list[int] = []
        net.answer.register_forward_pre_hook(
            lambda _, args, seen=seen: seen.append(args[0].shape[0] * args[0].shape[1])
        )
        co2 = net(x, clock).co2
        sizes.append((max(seen), sum(seen)))
        co2.square().mean().backward()
        fields.append(co2)
        gradients.append(torch.cat([p.grad.flatten() for p in net.parameters()]))
    assert sizes == [(154, 154), (24, 154)]
    torch.testing.assert_close(*fields)
    torch.testing.assert_close(*gradients)


def test_every_parameter_learns():
    net = network((7, 11))
    net(*window(layout((7, 11)), (9, 14))).co2.square().mean().backward()
    silent = [n for n, p in net.named_parameters() if p.grad is None or not p.grad.any()]
    assert not silent, f"parameters without a gradient: {silent}"


def test_learns_one_batch_by_heart():
    net = network((7, 11), asked=1)
    x, clock = window(layout((7, 11)), (9, 14))
    target = torch.randn(2, 7, 11, generator=torch.Generator().manual_seed(3))
    steps, rate = 150, 6e-3
    optimizer = torch.optim.Adam(net.parameters(), rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps)
    for _ in range(steps):
        loss = (net(x, clock).co2 - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    assert loss < 0.01


def test_training_asks_a_share_of_the_cells():
    net = network((7, 11))
    torch.nn.init.normal_(net.head.weight)
    x, clock = window(layout((7, 11)), (9, 14))
    torch.manual_seed(5)
    one, other = net(x, clock), net(x, clock)
    assert one.co2.shape == (2, round(77 / 4))
    assert torch.unique(one.cells).numel() == one.cells.numel()
    assert not torch.equal(one.cells, other.cells)
    torch.manual_seed(5)
    assert torch.equal(net(x, clock).cells, one.cells)
    whole = net.eval()(x, clock)
    assert whole.cells is None
    torch.testing.assert_close(whole.co2.flatten(1)[:, one.cells], one.co2)


def test_half_precision():
    net = network((7, 11)).eval()
    x, clock = window(layout((7, 11)), (9, 14))
    with torch.inference_mode():
        full = net(x, clock).co2
        with torch.autocast("cpu", torch.bfloat16):
            half = net(x.bfloat16(), clock).co2
    torch.testing.assert_close(half.float(), full, atol=0.05, rtol=0.05)


def test_bad_options_and_channels():
    with pytest.raises(UserError, match="at least 1"):
        network((7, 11), chunk=0)
    with pytest.raises(UserError, match="no share"):
        network((7, 11), asked=0)
    deaf = Layout(LatLonGrid.regular(7, 11), AUXILIARY, FRAMES)
    with pytest.raises(UserError, match="lack station_co2"):
        Senseiver(deaf, "tiny")
