"""Embeddings: channels as the papers count them, and neighbours stay neighbours."""

from __future__ import annotations

import math

import pytest
import torch

from co2net.embeddings import EMBEDDINGS, Embedding
from co2net.errors import UserError
from co2net.grid import LatLonGrid

GRID = LatLonGrid.regular(6, 8)


def make(name: str, clock: torch.Tensor, wind: torch.Tensor) -> torch.Tensor:
    return Embedding(name, GRID)(clock, wind)


@pytest.mark.parametrize("name", EMBEDDINGS)
def test_channels(name: str):
    found = make(name, torch.rand(2, 4, 2), torch.randn(2, 2, 4, 6, 8))
    assert found.shape == (2, EMBEDDINGS[name], 4, 6, 8)
    assert EMBEDDINGS["wind"] == 45
    assert torch.isfinite(found).all()


def test_wind_embedding_is_the_product_of_the_documents_factors():
    clock, wind = torch.tensor([[[0.25, 0.5]]]), torch.randn(1, 2, 1, 6, 8)
    found = make("wind", clock, wind)[0, :, 0]
    row, column = 4, 3
    x, y = 2 * math.pi * row / 6, 2 * math.pi * column / 8
    place = [a * b for a in (math.cos(x), math.sin(x), 1) for b in (math.cos(y), math.sin(y), 1)]
    u, v = (2 * math.pi * 0.25 * wind[0, k, 0, row, column].item() for k in (0, 1))
    time = [math.cos(u), math.sin(u), math.cos(v), math.sin(v), 1]
    expected = torch.tensor([p * t for p in place for t in time])
    torch.testing.assert_close(found[:, row, column], expected, atol=1e-5, rtol=1e-5)


def test_second_variant_turns_with_the_year():
    clock, wind = torch.tensor([[[0.25, 0.5]]]), torch.randn(1, 2, 1, 6, 8)
    torch.testing.assert_close(make("wind-year", clock, wind), make("wind", clock.flip(-1), wind))


def test_neighbouring_winds_have_neighbouring_embeddings():
    """A hundredth of the wind's spread moves no channel by more than 2 pi / 100."""
    clock = torch.rand(1, 8, 2)
    wind = torch.randn(1, 2, 8, 6, 8)
    moved = make("wind", clock, wind + 0.01) - make("wind", clock, wind)
    assert moved.abs().max() <= 2 * math.pi * 0.01
    far = make("wind", clock, wind + 0.5) - make("wind", clock, wind)
    assert far.abs().max() > 0.3


def test_wind_embedding_is_bounded_and_calm_air_is_neutral():
    calm = make("wind", torch.rand(1, 2, 2), torch.zeros(1, 2, 2, 6, 8))
    assert calm.abs().max() <= 1
    torch.testing.assert_close(calm[:, :, 0], calm[:, :, 1])


def test_climode_repeats_after_a_day_and_a_year():
    wind = torch.zeros(1, 2, 1, 6, 8)
    start = make("climode", torch.tensor([[[0.0, 0.0]]]), wind)
    turn = make("climode", torch.tensor([[[1.0, 1.0]]]), wind)
    other = make("climode", torch.tensor([[[0.5, 0.0]]]), wind)
    torch.testing.assert_close(start, turn, atol=1e-5, rtol=1e-5)
    assert (start - other).abs().max() > 1


def test_unknown_embedding():
    with pytest.raises(UserError, match="choose from none, wind"):
        Embedding("fourier", GRID)
