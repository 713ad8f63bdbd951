"""Networks: sizes, patch order, who sees what, ablations."""

from __future__ import annotations

import pytest
import torch

from co2net import models
from co2net.errors import UserError
from co2net.grid import LatLonGrid
from co2net.models.base import Layout, Stem
from co2net.models.co2net import CO2Net, Size, Towers
from co2net.models.layers import (
    Attention,
    Exchange,
    GlobeConv,
    parameter_count,
    patchify,
    unpatchify,
)
from co2net.schema import AUXILIARY
from co2net.windows import TARGETS, channel_names
from tests.unit.models.helpers import awake

SMALL = LatLonGrid.regular(12, 18)
TILED = ("co2net", "co2net-plus", "vit")  # networks whose patches must tile the grid
TARGET = {name: models.info(name).target for name in models.names()}
MILLIONS = {
    "co2net": {"XS": (5, 6.5), "S": (9, 12), "B": (27, 33), "L": (215, 245)},
    "vit": {"XS": (4.5, 6.5), "S": (9, 12), "B": (27, 34), "L": (215, 245)},
    "co2net-plus": {"XS": (7, 9), "S": (11, 15), "B": (28, 34), "L": (205, 245)},
    "swinlstm": {"XS": (4.5, 6.5), "S": (9, 13), "B": (22, 35), "L": (215, 245)},
    "cyclegan": {"XS": (4.5, 6.5), "S": (9, 12), "B": (22, 35), "L": (215, 245)},
    "cyclegan-paired": {"XS": (4.5, 6.5), "S": (9, 12), "B": (22, 35), "L": (215, 245)},
    "senseiver": {"XS": (4.5, 6.5), "S": (9, 12), "B": (22, 35), "L": (215, 245)},
}


def layout(
    name: str,
    grid: LatLonGrid = SMALL,
    variables=AUXILIARY,
    frames: int = 8,
    target: str | None = None,
) -> Layout:
    return Layout(grid, channel_names(tuple(variables), target or TARGET[name]), frames)


def window(shape: Layout, batch: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    size = (batch, len(shape.channels), shape.frames, *shape.grid.shape)
    return torch.randn(size, generator=generator), torch.rand(
        batch, shape.frames, 2, generator=generator
    )


def small(name: str, target: str | None = None, **options) -> tuple[models.Network, Layout]:
    torch.manual_seed(0)
    shape = layout(name, target=target)
    patch = {"patch": (6, 6)} if name in TILED else {}
    return models.create(name, "XS", shape, **patch, **options).eval(), shape


@pytest.mark.parametrize("name", models.names())
@pytest.mark.parametrize("preset", models.PRESETS)
def test_parameter_counts(name: str, preset: str):
    with torch.device("meta"):
        network = models.create(name, preset, layout(name, LatLonGrid.ct()))
    low, high = MILLIONS[name][preset]
    count = parameter_count(network) / 1e6
    print(f"{name} {preset}: {count:.1f} million parameters")
    assert low <= count <= high


@pytest.mark.parametrize("name", TILED)
@pytest.mark.parametrize("grid", [(12, 18), (18, 24)])
def test_any_grid_that_patches_tile(name: str, grid: tuple[int, int]):
    shape = layout(name, LatLonGrid.regular(*grid), AUXILIARY[:5], frames=4)
    network = models.create(name, "XS", shape, patch=(6, 6))
    out = network(*window(shape))
    assert out.co2.shape == (2, *grid)
    if out.wind is not None:
        assert out.wind.shape == (2, 2, 4, *grid)
    with pytest.raises(UserError, match="do not tile"):
        models.create(name, "XS", shape, patch=(5, 6))


def test_patches_keep_their_order():
    x = torch.arange(2 * 3 * 4 * 6 * 8, dtype=torch.float32).reshape(2, 3, 4, 6, 8)
    tokens = patchify(x, (3, 2), 1)
    assert tokens.shape == (2, 4, 8, 18)
    torch.testing.assert_close(tokens[1, 2, 5], x[1, :, 2, 3:6, 2:4].reshape(-1))
    torch.testing.assert_close(unpatchify(tokens, (6, 8), (3, 2)), x.transpose(1, 2))
    tubes = patchify(x, (3, 2), 2)
    torch.testing.assert_close(tubes[0, 1, 0], x[0, :, 2:4, 0:3, 0:2].reshape(-1))


def test_attention_equals_the_formula():
    torch.manual_seed(0)
    attention = Attention(64, 32)
    q, m = torch.randn(2, 5, 64), torch.randn(2, 7, 64)
    heads = []
    for h in range(2):
        part = slice(32 * h, 32 * h + 32)
        a = attention.query(q)[..., part]
        k, v = (attention.key_value(m).unflatten(-1, (2, 64))[..., i, part] for i in (0, 1))
        heads.append((a @ k.mT / 32**0.5).softmax(-1) @ v)
    torch.testing.assert_close(attention(q, m), attention.out(torch.cat(heads, -1)))


@pytest.mark.parametrize("along", ["time", "space"])
def test_exchange_stays_in_place_or_in_frame(along: str):
    torch.manual_seed(0)
    exchange = Exchange(64, along)
    query, memory = torch.randn(1, 4, 6, 64), torch.randn(1, 4, 6, 64)
    changed = memory.clone()
    changed[0, 2, 3] += torch.randn(64)
    moved = (exchange(query, changed) - exchange(query, memory)).abs().amax(-1)[0] > 1e-6
    expected = torch.zeros(4, 6, dtype=torch.bool)
    if along == "time":
        expected[:, 3] = True
    else:
        expected[2] = True
    assert torch.equal(moved, expected)


def test_spatial_tower_reads_even_frames_only():
    shape = layout("co2net")
    towers = Towers(len(shape.channels), shape, (6, 6), Size(32, 2), "spatial")
    x, _ = window(shape)
    odd = x.clone()
    odd[:, :, ::2] += 1.0
    torch.testing.assert_close(towers(x)[0], towers(odd)[0])
    even = x.clone()
    even[:, :, 1::2] += 1.0
    assert (towers(x)[0] - towers(even)[0]).abs().max() > 1e-3


def test_towers_keep_frames_apart_until_they_are_connected():
    torch.manual_seed(0)
    shape = layout("co2net")
    x, _ = window(shape, 1)
    later = x.clone()
    later[:, :, 7] += 1.0
    for connected in (False, True):
        towers = Towers(len(shape.channels), shape, (6, 6), Size(32, 2), "both", connected)
        for exchange in towers.exchange if connected else ():
            torch.nn.init.normal_(exchange.up.weight)
        moved = (towers(later)[0] - towers(x)[0]).abs().amax(dim=(0, 2, 3)) > 1e-5
        assert moved.tolist() == [connected, connected, connected, True]


@pytest.mark.parametrize("name", ["co2net", "co2net-plus"])
@pytest.mark.parametrize(
    ("options", "wind"),
    [
        ({"towers": "spatial"}, False),
        ({"towers": "temporal"}, True),
        ({"connection": False}, True),
        ({"embedding": "none"}, True),
        ({"embedding": "climode"}, True),
        ({"wind_loss": False}, False),
    ],
)
def test_ablations(name: str, options: dict, wind: bool):
    network, shape = small(name, **options)
    out = network(*window(shape))
    assert (out.wind is not None) == wind
    loss = out.co2.square().mean() + (out.wind.square().mean() if wind else 0)
    loss.backward()
    silent = [n for n, p in network.named_parameters() if p.grad is None]
    assert not silent, f"parameters without a gradient: {silent}"


@pytest.mark.parametrize(("pool", "knows"), [("mean", False), ("last", True)])
def test_which_frame_is_the_target(pool: str, knows: bool):
    """Frames of a day in another order: a mean over them is the same field at another hour."""
    network, shape = small("co2net", towers="spatial", pool=pool)
    awake(network)
    x, clock = window(shape, 1)
    order = torch.tensor([2, 3, 4, 5, 6, 7, 0, 1])
    moved = network(x[:, :, order], clock[:, order]).co2 - network(x, clock).co2
    assert bool(moved.detach().abs().max() > 1e-4) == knows


def test_a_pool_that_there_is_not():
    with pytest.raises(UserError, match="choose last or mean"):
        small("co2net", pool="max")


@pytest.mark.parametrize("name", models.names())
def test_every_network_gets_the_same_inputs(name: str):
    network, _ = small(name)
    known = network.stem.names[: network.stem.channels - network.stem.embedding.channels]
    for channel in (*AUXILIARY, "station_co2", "station_mask", "land", "sin_year", "sun"):
        assert channel in known


@pytest.mark.parametrize("name", ["co2net", "co2net-plus", "vit", "swinlstm", "senseiver"])
@pytest.mark.parametrize("target", TARGETS)
def test_untrained_network_returns_its_prior(name: str, target: str):
    network, shape = small(name, target)
    x = network(*window(shape, 1)).co2
    assert x.shape == (1, *SMALL.shape)
    assert not x.any()


def test_convolutions_are_cyclic_in_longitude():
    torch.manual_seed(0)
    conv, x = GlobeConv(3, 4), torch.randn(1, 3, 6, 8)
    torch.testing.assert_close(conv(x.roll(3, -1)), conv(x).roll(3, -1))
    assert conv(x).shape == (1, 4, 6, 8)


def test_stem_knows_the_sun():
    grid = LatLonGrid(lat=[-66.0, 0.0, 66.0], lon=[-90.0, 0.0, 90.0])
    stem = Stem(Layout(grid, channel_names(AUXILIARY, "absolute"), 1))
    noon_in_june = torch.tensor([[[0.5, 171.5 / 365]]])
    sun = stem.sun(noon_in_june)[0, :, 0]
    zenith = sun[4]
    assert zenith[1, 1] == pytest.approx(0.917, abs=0.01)  # cos 23.4 degrees at the equator
    assert zenith[2, 1] > zenith[0, 1]
    assert zenith[1, 0].abs() < 0.01  # sunrise at 90 W
    assert sun[3, 0, 1] == pytest.approx(-1.0)  # local noon on the meridian


def test_station_and_weather_reach_the_output():
    network, shape = small("co2net")
    awake(network)
    x, clock = window(shape, 1)
    base = network(x, clock).co2
    for channel in range(len(shape.channels)):
        moved = x.clone()
        moved[:, channel, -1] += 1.0
        assert (network(moved, clock).co2 - base).abs().max() > 0


def test_bad_names_options_and_frames():
    shape = layout("co2net")
    with pytest.raises(UserError, match="choose from co2net"):
        models.create("gan", "S", shape)
    with pytest.raises(UserError, match="preset 'M'"):
        models.create("vit", "M", shape)
    with pytest.raises(UserError, match="no option depth"):
        models.create("vit", "XS", shape, depth=3)
    with pytest.raises(UserError, match="choose both"):
        models.create("co2net", "XS", shape, patch=(6, 6), towers="none")
    with pytest.raises(UserError, match="odd"):
        CO2Net(layout("co2net", frames=7), "XS", patch=(6, 6))
    still = Layout(SMALL, channel_names(("air_pressure",), "absolute"), 8)
    with pytest.raises(UserError, match="needs eastward_wind"):
        CO2Net(still, "XS", patch=(6, 6))
    CO2Net(still, "XS", patch=(6, 6), embedding="none")
