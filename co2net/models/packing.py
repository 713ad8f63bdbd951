"""Weights in a byte each, for checkpoints that travel with the program.

A matrix or table is kept as whole numbers of -127..127 and one scale for every entry of its first
dimension (symmetric, round to nearest); vectors and small tables stay in half precision. The
error of a weight is at most 1/254 of the largest in its row. Scores of shipped checkpoints are
those of the packed weights.
"""

from __future__ import annotations

import torch
from torch import Tensor

_SCALE = "::scale"
_SMALLEST = 4096  # values; what is smaller is not worth packing


def pack(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors for a file, from those of a network."""
    out: dict[str, Tensor] = {}
    for name, value in weights.items():
        if value.ndim < 2 or value.numel() < _SMALLEST:
            out[name] = value.to(torch.float16)
            continue
        rows = value.float().flatten(1)
        scale = (rows.abs().amax(dim=1) / 127).clamp(min=1e-12)
        whole = torch.round(rows / scale[:, None]).to(torch.int8)
        out[name] = whole.reshape(value.shape)
        out[name + _SCALE] = scale
    return out


def unpack(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights in single precision, from what `pack` made or from plain ones."""
    out: dict[str, Tensor] = {}
    for name, value in tensors.items():
        if name.endswith(_SCALE):
            continue
        scale = tensors.get(name + _SCALE)
        weight = value.float()
        if scale is not None:
            weight = weight * scale.float().reshape(-1, *(1,) * (value.ndim - 1))
        out[name] = weight
    return out
