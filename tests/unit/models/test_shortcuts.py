"""Quick ways give what the plain formulas give, in values and gradients."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from co2net import models
from co2net.grid import LatLonGrid
from co2net.models.base import Layout, Stem
from co2net.models.co2net import Size, Towers
from co2net.models.co2net_plus import FOLD, CO2NetPlus
from co2net.models.layers import PlaceScale, globe_rim, patchify, unpatchify
from co2net.schema import AUXILIARY
from co2net.windows import channel_names

GRID = LatLonGrid.regular(12, 24)
LAYOUT = Layout(GRID, channel_names(AUXILIARY, "absolute"), 4)


def window(batch: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    size = (batch, len(LAYOUT.channels), 4, *GRID.shape)
    return torch.randn(size, generator=generator), torch.rand(batch, 4, 2, generator=generator)


def test_short_cells_are_moved_four_at_a_time():
    x = torch.randn(2, 3, 4, 12, 24)
    for kind in (torch.bfloat16, torch.float32):
        for patch, tube in (((6, 12), 2), ((3, 4), 1), ((3, 3), 4)):
            moved = patchify(x.to(kind), patch, tube)
            plain = patchify(x.to(kind).double(), patch, tube).to(kind)
            assert torch.equal(moved, plain)


@pytest.mark.parametrize("embedding", ["wind", "wind-year", "climode", "none"])
def test_embedding_is_written_in_patches(embedding: str):
    stem, (x, clock) = Stem(LAYOUT, embedding), window()
    for kind in (torch.float32, torch.bfloat16):
        whole = stem(x.to(kind), clock)
        plain = stem.plain(x.to(kind), clock)
        assert torch.equal(plain, whole[:, : plain.shape[1]])
        patches = stem.patches(plain, clock, (6, 12), 2)
        assert torch.equal(patches, patchify(whole, (6, 12), 2))
    x.requires_grad_()
    stem.patches(stem.plain(x, clock), clock, (6, 12), 2).square().mean().backward()
    assert x.grad is not None
    assert torch.isfinite(x.grad).all()


@pytest.mark.parametrize("used", ["both", "spatial", "temporal"])
def test_tokens_of_both_towers_in_one_product(used):
    torch.manual_seed(0)
    towers = Towers(len(LAYOUT.channels), LAYOUT, (6, 12), Size(32, 1), used)
    towers.start()
    x, _ = window()
    space, time = towers.tokens(patchify(x, (6, 12), 2))
    if space is not None:
        plain = towers.space_tokens(patchify(x[:, :, 1::2], (6, 12), 1)) + towers.space_place
        torch.testing.assert_close(space, plain, atol=1e-5, rtol=1e-5)
    if time is not None:
        plain = towers.time_tokens(patchify(x, (6, 12), 2)) + towers.time_place + towers.time_order
        torch.testing.assert_close(time, plain, atol=1e-5, rtol=1e-5)
    assert (space is None) == (used == "temporal")
    assert (time is None) == (used == "spatial")


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_rim_and_its_gradient(layout: torch.memory_format):
    x = torch.randn(2, 3, 4, 5, dtype=torch.float64).contiguous(memory_format=layout)
    plain = torch.cat([x[:, :, :1], x, x[:, :, -1:]], dim=2)
    plain = torch.cat([plain[..., -1:], plain, plain[..., :1]], dim=3)
    assert torch.equal(globe_rim(x), plain)
    assert torch.autograd.gradcheck(globe_rim, x.requires_grad_())


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_scale_of_a_place_in_any_memory_layout(layout: torch.memory_format):
    torch.manual_seed(0)
    place, x = PlaceScale(3, (4, 5)), torch.randn(2, 3, 4, 5)
    for table in place.parameters():
        torch.nn.init.normal_(table)
    out = place(x.contiguous(memory_format=layout))
    torch.testing.assert_close(out, x * (1 + place.scale) + place.shift)


def test_fine_decoder_is_the_plain_formula():
    """Folding as a convolution, and channels last, against patches and unpatches."""
    torch.manual_seed(0)
    made = models.create("co2net-plus", "XS", LAYOUT, patch=(6, 12))
    assert isinstance(made, CO2NetPlus)
    net = made.decoder
    for table in net.parameters():
        torch.nn.init.normal_(table, std=0.1)
    tokens = torch.randn(2, 4, 2 * 128)
    skips = torch.randn(2, net.skip.in_channels, *GRID.shape)
    coarse = unpatchify(net.tokens(tokens), net.lattice, net.step)
    folded = net.fold(patchify(skips[:, :, None], (FOLD, FOLD), 1)[:, 0])
    x = net.blocks(net.place(coarse + unpatchify(folded, net.lattice, (1, 1))))
    x = net.unfold(F.silu(x).permute(0, 2, 3, 1).flatten(1, 2))
    x = unpatchify(x, net.shape, (FOLD, FOLD)) + net.skip(skips)
    x = F.silu(net.cell_place(x))
    x = net.out(x + F.silu(net.mix(x)))[:, 0]
    torch.testing.assert_close(net(tokens, skips), x, atol=1e-4, rtol=1e-4)
