"""SwinLSTM: the cell by hand, the ring of longitude, padding, sizes."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from co2net import models
from co2net.errors import UserError
from co2net.grid import LatLonGrid
from co2net.models import swinlstm
from co2net.models.base import Layout
from co2net.models.layers import parameter_count
from co2net.models.swinlstm import Cell, Expand, Merge, Size, SwinBlock, SwinLSTM
from co2net.schema import AUXILIARY
from co2net.windows import channel_names
from tests.unit.models.helpers import awake

MILLIONS = {"XS": 5.08, "S": 11.93, "B": 26.79, "L": 240.51}
CO2NET_B = 28.6


@pytest.fixture(autouse=True)
def _tiny(monkeypatch):
    monkeypatch.setitem(swinlstm.SIZES, "tiny", Size(32, (2, 2), 16))
    deep = Size(64, (2, 4), patch=(4, 5), window=(3, 4))
    monkeypatch.setitem(swinlstm.SIZES, "deep", deep)


def layout(shape: tuple[int, int], frames: int = 2, target: str = "absolute") -> Layout:
    return Layout(LatLonGrid.regular(*shape), channel_names(AUXILIARY, target), frames)


def network(shape: tuple[int, int], frames: int = 2, **options) -> SwinLSTM:
    torch.manual_seed(0)
    return awake(SwinLSTM(layout(shape, frames), "tiny", **options))


def window(net: SwinLSTM, frames: int = 2, batch: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    known = len(channel_names(AUXILIARY, "absolute"))
    x = torch.randn(batch, known, frames, *net.shape, generator=generator)
    return x, torch.rand(batch, frames, 2, generator=generator)


def whole_window(net: SwinLSTM, frames: int = 2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(2)
    return torch.randn(1, net.stem.channels, frames, *net.shape, generator=generator)


@pytest.mark.parametrize("preset", models.PRESETS)
def test_parameter_counts(preset: str):
    with torch.device("meta"):
        count = parameter_count(models.create("swinlstm", preset, layout((90, 120), 8))) / 1e6
    assert count == pytest.approx(MILLIONS[preset], abs=0.01)
    assert preset != "B" or abs(count / CO2NET_B - 1) < 0.25


@pytest.mark.parametrize("shape", [(90, 120), (13, 21)])
@pytest.mark.parametrize("target", ["absolute", "residual"])
def test_any_grid(shape: tuple[int, int], target: str):
    made_for = layout(shape, 3, target)
    net = SwinLSTM(made_for, "tiny")
    x = torch.randn(1, len(made_for.channels), 3, *shape)
    out = net(x, torch.rand(1, 3, 2))
    assert out.co2.shape == (1, *shape)
    assert out.wind is None
    assert torch.isfinite(out.co2).all()


def test_pads_as_documented():
    net = network((90, 120))
    assert net.padded == (96, 128)
    assert network((90, 120), window=(4, 5)).padded == (96, 120)
    assert network((13, 21)).padded == (16, 32)
    with torch.device("meta"):
        assert SwinLSTM(layout((90, 120)), "XS").padded == (96, 120)
    x = torch.arange(90 * 120.0).reshape(90, 120)
    padded = x[net.rows][:, net.columns]
    torch.testing.assert_close(padded[3:93, 4:124], x)
    torch.testing.assert_close(padded[3:93, :4], x[:, -4:])
    torch.testing.assert_close(padded[3:93, 124:], x[:, :4])
    torch.testing.assert_close(padded[:3, 4:124], x[:1].expand(3, -1))
    torch.testing.assert_close(padded[93:, 4:124], x[-1:].expand(3, -1))


def test_cell_equals_the_formula():
    """One head, loops over tokens: windows of 4 x 4, the second layer two tokens off."""
    torch.manual_seed(0)
    rows, columns, width = 8, 12, 6
    cell = Cell(width, 2, width, (rows, columns), (4, 4)).double()
    for parameter in cell.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    x, h, c = torch.randn(3, rows, columns, width, dtype=torch.float64)

    y = F.linear(torch.cat([x, h], -1), cell.join.weight, cell.join.bias)
    for block, shift in zip(cell.blocks, (0, 2), strict=True):
        attention = block.attention
        z = F.layer_norm(y, (width,), block.norm1.weight, block.norm1.bias)
        wq, wk, wv = attention.query_key_value.weight.chunk(3)
        bq, bk, bv = attention.query_key_value.bias.chunk(3)
        mixed = torch.zeros_like(y)
        for i in range(rows):
            for j in range(columns):
                scores, values = [], []
                for a in range(rows):
                    for b in range(columns):
                        here = ((i - shift) % rows, (j - shift) % columns)
                        there = ((a - shift) % rows, (b - shift) % columns)
                        same = all(p // 4 == q // 4 for p, q in zip(here, there, strict=True))
                        if not same or (i < shift) != (a < shift):  # never across the poles
                            continue
                        place = (here[0] - there[0] + 3) * 7 + here[1] - there[1] + 3
                        score = (wq @ z[i, j] + bq) @ (wk @ z[a, b] + bk) / width**0.5
                        scores.append(score + attention.bias[place, 0])
                        values.append(wv @ z[a, b] + bv)
                mixed[i, j] = torch.stack(scores).softmax(0) @ torch.stack(values)
        y = y + F.linear(mixed, attention.out.weight, attention.out.bias)
        z = F.layer_norm(y, (width,), block.norm2.weight, block.norm2.bias)
        z = F.gelu(F.linear(z, block.mlp[0].weight, block.mlp[0].bias))
        y = y + F.linear(z, block.mlp[2].weight, block.mlp[2].bias)
    new_c = y.sigmoid() * (c + y.tanh())

    got_h, got_c = cell(x[None], (h[None], c[None]))
    torch.testing.assert_close(got_c[0], new_c)
    torch.testing.assert_close(got_h[0], y.sigmoid() * new_c.tanh())


def test_windows_cross_the_date_line_and_not_the_poles():
    torch.manual_seed(0)
    block = SwinBlock(8, 8, (8, 12), (4, 4), shifted=True)
    x = torch.randn(1, 8, 12, 8)
    moved = x.clone()
    moved[0, 0, 0] += torch.randn(8)
    reached = ((block(moved) - block(x)).abs().amax(-1)[0] > 1e-6).nonzero().tolist()
    assert reached == [[i, j] for i in (0, 1) for j in (0, 1, 10, 11)]


def test_merge_and_expand_keep_neighbours_together():
    x = torch.zeros(1, 4, 6, 8)
    x[0, 2:4, 4:6] = torch.randn(2, 2, 8)
    assert (Merge(8)(x).abs().amax(-1)[0] > 0).nonzero().tolist() == [[1, 2]]
    x = torch.zeros(1, 2, 3, 16)
    x[0, 1, 2] = torch.randn(16)
    found = (Expand(16)(x).abs().amax(-1)[0] > 0).nonzero().tolist()
    assert found == [[2, 4], [2, 5], [3, 4], [3, 5]]


@pytest.mark.parametrize(("columns", "turn", "across"), [(32, 16, 4), (40, 40, 5), (80, 40, 5)])
def test_turns_with_the_globe(columns: int, turn: int, across: int):
    net = network((8, columns), window=(4, across)).double()
    assert net.padded[1] == columns
    x = whole_window(net).double()
    torch.testing.assert_close(net.field(x.roll(turn, -1)), net.field(x).roll(turn, -1))


def test_every_frame_counts_and_their_order():
    net = network((8, 16), frames=3).eval()
    x = whole_window(net, 3)
    base = net.field(x)
    for frame in range(3):
        moved = x.clone()
        moved[:, :, frame] += 1.0
        assert (net.field(moved) - base).abs().max() > 1e-6
    assert (net.field(x[:, :, [1, 0, 2]]) - base).abs().max() > 1e-6


def test_every_parameter_learns():
    net = network((13, 21))
    net(*window(net)).co2.square().mean().backward()
    silent = [n for n, p in net.named_parameters() if p.grad is None or not p.grad.any()]
    assert not silent, f"parameters without a gradient: {silent}"


def test_recomputing_changes_no_gradient():
    gradients = []
    for recompute in (False, True):
        net = network((13, 21), recompute=recompute)
        net(*window(net)).co2.square().mean().backward()
        gradients.append(torch.cat([p.grad.flatten() for p in net.parameters()]))
    torch.testing.assert_close(*gradients)


def test_learns_one_batch_by_heart(monkeypatch):
    monkeypatch.setitem(swinlstm.SIZES, "tiny", Size(64, (1, 1), 16))
    net = network((8, 16))
    x, clock = window(net, batch=1)
    target = torch.randn(1, 8, 16, generator=torch.Generator().manual_seed(3))
    steps, rate = 60, 3e-3
    optimizer = torch.optim.Adam(net.parameters(), rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps)
    for _ in range(steps):
        loss = (net(x, clock).co2 - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    assert loss < 0.01


def test_learns_what_stations_say():
    """Tokens hold the value of their station; a network that hears none has a loss of 1."""
    torch.manual_seed(0)
    shape, (p, q), batch, last = (24, 40), (4, 5), 4, 10
    made_for = layout(shape, frames=1)
    net = SwinLSTM(made_for, "deep")
    value, mask = (made_for.channels.index(f"station_{name}") for name in ("co2", "mask"))
    heard = torch.rand(6, 8) < 0.5
    everywhere = heard.repeat_interleave(p, 0).repeat_interleave(q, 1)
    sites = torch.zeros(shape)
    sites[2::p, 2::q] = heard.float()
    optimizer = torch.optim.AdamW(net.parameters(), 5e-4, betas=(0.9, 0.95))
    losses = []
    for _ in range(60):
        truth = torch.randn(batch, *heard.shape).repeat_interleave(p, 1).repeat_interleave(q, 2)
        x = torch.randn(batch, len(made_for.channels), 1, *shape)
        x[:, value, 0], x[:, mask, 0] = 4 * truth * sites, 4 * sites
        found = net(x, torch.zeros(batch, 1, 2)).co2
        loss = (found - truth)[:, everywhere].square().mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-last:]) / last < 0.75


def test_half_precision():
    net = network((13, 21)).eval()
    x, clock = window(net)
    with torch.inference_mode():
        full = net(x, clock).co2
        with torch.autocast("cpu", torch.bfloat16):
            half = net(x.bfloat16(), clock).co2
    torch.testing.assert_close(half.float(), full, atol=0.05, rtol=0.05)


def test_bad_options():
    with pytest.raises(UserError, match="at least"):
        network((8, 16), patch=(0, 2))
    with pytest.raises(UserError, match="no option depth"):
        models.create("swinlstm", "XS", layout((8, 16)), depth=3)
