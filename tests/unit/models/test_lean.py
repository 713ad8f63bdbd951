"""The lean form of a network gives the network's fields."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from co2net import models
from co2net.grid import LatLonGrid
from co2net.models.base import Layout, Network
from co2net.models.lean import lean
from co2net.schema import AUXILIARY
from co2net.windows import channel_names

GRID = LatLonGrid.regular(12, 24)
LAYOUT = Layout(GRID, channel_names(AUXILIARY, "absolute"), 4)


def made(name: str, **options) -> Network:
    """An untrained network in which every weight, of norms too, is its own."""
    torch.manual_seed(0)
    patch = {} if name == "senseiver" else {"patch": (6, 6)}
    network = models.create(name, "XS", LAYOUT, **patch, **options).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim == 1 or not parameter.any():
                parameter.add_(torch.randn_like(parameter), alpha=0.1)
    return network.requires_grad_(False)


def window(network_layout: Layout = LAYOUT, batch: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    """Fields that are smooth from cell to cell, as weather is."""
    generator = torch.Generator().manual_seed(0)
    frames, channels = network_layout.frames, len(network_layout.channels)
    coarse = torch.randn(batch * channels, frames, 3, 4, generator=generator)
    shape = network_layout.grid.shape
    fields = F.interpolate(coarse, shape, mode="bicubic").unflatten(0, (batch, channels))
    return fields, torch.rand(batch, frames, 2, generator=generator)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("co2net", {}),
        ("co2net", {"pool": "mean", "embedding": "climode"}),
        ("co2net", {"towers": "spatial"}),
        ("co2net", {"towers": "temporal"}),
        ("co2net", {"connection": False}),
        ("co2net-plus", {}),
        ("vit", {}),
        ("senseiver", {}),
    ],
)
def test_gives_what_the_network_gives(name: str, options: dict):
    network = made(name, **options)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    slim = lean(network, torch.float32)
    with torch.inference_mode():
        plain, quick = network(*window()).co2, slim(*window()).co2
        again = slim(*window()).co2
    assert plain.std() > 0.01
    torch.testing.assert_close(quick, plain, atol=1e-5, rtol=1e-4)
    assert torch.equal(quick, again)
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert network.state_dict().keys() == before.keys()


def test_other_networks_stay_as_they_are():
    network = models.create("swinlstm", "XS", LAYOUT).eval().requires_grad_(False)
    slim = lean(network, torch.float32)
    assert [*slim.modules()][1:] == [*network.modules()][1:]


@pytest.mark.parametrize("name", ["co2net", "co2net-plus", "vit"])
def test_half_precision_is_far_below_the_error_of_a_trained_model(name: str):
    """The shipped ones are wrong by 1.5 ppm or more; what is kept of a field ends at 1/256 ppm."""
    model = models.load(name)
    assert isinstance(model, models.NetworkReconstructor)
    scale = model.statistics.target_scale(model.target)
    inputs, clock = window(model.layout)
    with torch.inference_mode():
        exact = model.network(inputs, clock).co2
        with torch.autocast("cpu", torch.bfloat16):
            half = lean(model.network, torch.bfloat16)(inputs.bfloat16(), clock).co2.float()
    error = (half - exact).square().mean().sqrt().item() * scale
    print(f"{name}: {error:.4f} ppm of {exact.std().item() * scale:.2f}")
    assert 0 < error < 0.02
