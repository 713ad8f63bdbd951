"""CycleGAN's networks: the globe, any grid, what each may see, sizes."""

from __future__ import annotations

import pytest
import torch

from co2net import models
from co2net.grid import LatLonGrid
from co2net.models import cyclegan
from co2net.models.base import Layout
from co2net.models.cyclegan import (
    Conv,
    Critic,
    Enlarge,
    Generator,
    Inverse,
    ResNet,
    Size,
    globe_pad,
)
from co2net.models.layers import parameter_count
from co2net.schema import AUXILIARY
from co2net.windows import TARGETS, channel_names

MILLIONS = {"XS": 4.58, "S": 11.59, "B": 25.90, "L": 230.98}
CO2NET_B = 28.6
FRAMES = 2


@pytest.fixture(autouse=True)
def _tiny(monkeypatch):
    monkeypatch.setitem(cyclegan.SIZES, "tiny", Size(8, 2, 8))


def layout(shape: tuple[int, int], frames: int = FRAMES, target: str = "absolute") -> Layout:
    return Layout(LatLonGrid.regular(*shape), channel_names(AUXILIARY, target), frames)


def window(made_for: Layout, batch: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    shape = (batch, len(made_for.channels), made_for.frames, *made_for.grid.shape)
    x = torch.randn(shape, generator=generator)
    value, mask = (made_for.channels.index(f"station_{name}") for name in ("co2", "mask"))
    x[:, mask] = (x[:, mask] > 1).float()
    x[:, value] *= x[:, mask]
    return x, torch.rand(batch, made_for.frames, 2, generator=generator)


@pytest.mark.parametrize("preset", models.PRESETS)
def test_parameter_counts(preset: str):
    with torch.device("meta"):
        network = models.create("cyclegan", preset, layout((90, 120), 8))
        paired = models.create("cyclegan-paired", preset, layout((90, 120), 8))
    count = parameter_count(network) / 1e6
    assert count == pytest.approx(MILLIONS[preset], abs=0.01)
    assert preset != "B" or abs(count / CO2NET_B - 1) < 0.25
    assert parameter_count(paired) == parameter_count(network)


@pytest.mark.parametrize("shape", [(90, 120), (45, 60), (36, 48), (13, 21), (180, 360)])
def test_any_grid(shape: tuple[int, int]):
    made_for = layout(shape)
    device = "meta" if shape[0] == 180 else "cpu"
    generator, inverse = Generator(made_for, "tiny"), Inverse(made_for, "tiny")
    x, clock = torch.rand(1, len(made_for.channels), FRAMES, *shape), torch.rand(1, FRAMES, 2)
    with torch.no_grad():
        co2 = generator.to(device)(x.to(device), clock.to(device)).co2
        back = inverse.to(device)(co2, x.to(device), clock.to(device))
    assert co2.shape == (1, *shape)
    assert back.shape == x.shape
    assert co2.is_meta or torch.isfinite(back).all()


def test_padding_goes_round_and_repeats_the_edges():
    x = torch.arange(12.0).reshape(1, 1, 3, 4)
    assert globe_pad(x, 1, 2, 1)[0, 0].tolist() == [
        [3, 0, 1, 2, 3, 0],
        [3, 0, 1, 2, 3, 0],
        [7, 4, 5, 6, 7, 4],
        [11, 8, 9, 10, 11, 8],
        [11, 8, 9, 10, 11, 8],
        [11, 8, 9, 10, 11, 8],
    ]


@pytest.mark.parametrize(("k", "stride"), [(3, 1), (7, 1), (3, 2), (4, 2), (4, 1)])
@pytest.mark.parametrize("shape", [(6, 8), (5, 7)])
def test_convolutions_round_up(k: int, stride: int, shape: tuple[int, int]):
    out = Conv(2, 3, k, stride)(torch.randn(1, 2, *shape))
    assert out.shape == (1, 3, -(-shape[0] // stride), -(-shape[1] // stride))


def test_enlarging_goes_round():
    layer, x = Enlarge(2, 3), torch.randn(1, 2, 4, 6)
    assert layer(x).shape == (1, 3, 8, 12)
    torch.testing.assert_close(layer(x.roll(2, -1)), layer(x).roll(4, -1))


@pytest.mark.parametrize("turn", [4, 12])
def test_turns_with_the_globe(turn: int):
    torch.manual_seed(0)
    net, x = ResNet(5, 1, Size(8, 2)).double(), torch.randn(1, 5, 13, 20).double()
    torch.testing.assert_close(net(x.roll(turn, -1)), net(x).roll(turn, -1))


def test_critic_judges_patches_of_70_cells():
    critic = Critic(1, Size(8, 2, 4))
    for part in critic.modules():  # without norms, which look at the whole image
        if isinstance(part, torch.nn.InstanceNorm2d):
            part.forward = lambda x: x  # type: ignore[method-assign]
    x = torch.randn(1, 1, 160, 160, requires_grad=True)
    score = critic(x)
    assert score.shape == (1, 1, 20, 20)
    score[0, 0, 10, 10].backward()
    seen = x.grad[0, 0].nonzero()
    assert (seen.amax(0) - seen.amin(0) + 1).tolist() == [70, 70]


@pytest.mark.parametrize("target", TARGETS)
def test_inverse_makes_the_weather_and_keeps_what_is_known(target: str):
    torch.manual_seed(0)
    made_for = layout((8, 12), target=target)
    inverse = Inverse(made_for, "tiny")
    x, clock = window(made_for)
    out = inverse(torch.randn(1, 8, 12), x, clock)
    content = {made_for.channels[n] for n in inverse.content}
    assert content == set(made_for.channels) - {"surface_altitude", "station_mask"}
    value, mask = (made_for.channels.index(f"station_{name}") for name in ("co2", "mask"))
    for n, name in enumerate(made_for.channels):
        assert torch.equal(out[:, n], x[:, n]) == (name not in content)
    assert not out[:, value][x[:, mask] == 0].any()
    assert out[:, value][x[:, mask] == 1].all()
    other = x.clone()
    other[:, inverse.content] = 9.0
    again = inverse(torch.zeros(1, 8, 12), other, clock)
    torch.testing.assert_close(again, inverse(torch.zeros(1, 8, 12), x, clock))


@pytest.mark.parametrize("embedding", ["none", "climode", "wind"])
def test_every_channel_counts_and_every_parameter_learns(embedding: str):
    torch.manual_seed(0)
    made_for = layout((13, 21), target="residual")
    generator = Generator(made_for, "tiny", embedding=embedding)
    x, clock = window(made_for)
    base = generator(x, clock).co2
    base.square().mean().backward()
    silent = [n for n, p in generator.named_parameters() if p.grad is None or not p.grad.any()]
    assert not silent, f"parameters without a gradient: {silent}"
    with torch.no_grad():
        for channel in range(len(made_for.channels)):
            moved = x.clone()
            moved[:, channel, -1, 5:8] += 1.0
            assert (generator(moved, clock).co2 - base).abs().max() > 1e-6
