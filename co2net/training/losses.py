"""The semi-supervised loss (equations 3-5, 3-14 and 3-15)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from co2net.grid import LatLonGrid
from co2net.models.base import Reconstruction


def row_weights(grid: LatLonGrid) -> Tensor:
    """(H, 1): area of a cell over its mean, so that the loss is a mean over the sphere.

    Both norms of the loss are integrals over the sphere; the document's metric weighs cells by
    the cosine of latitude, which is proportional to their area.
    """
    return torch.from_numpy(grid.weights[:, :1].astype(np.float32))


def semi_supervised(
    output: Reconstruction,
    target: Tensor,
    wind: Tensor | None,
    weights: Tensor,
    factor: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """``mean w (phi - F)^2 + lambda mean w (wind - g(h_temporal))^2``, in single precision.

    The first mean is over the cells that the network answered.

    Parameters
    ----------
    target : (B, H, W)
        Normalised CO2.
    wind : (B, 2, T, H, W) or None
        Normalised wind of the inputs.
    weights : (H, 1)
        From `row_weights`.
    factor : float
        lambda.

    Returns
    -------
    total, co2, wind
        Scalars.
    """
    area = weights
    if output.cells is not None:
        area = weights.expand(target.shape[1:]).flatten()[output.cells]
        target = target.flatten(1)[:, output.cells]
    co2 = torch.mean(area * (output.co2.float() - target.float()) ** 2)
    if output.wind is None or wind is None or factor == 0:
        return co2, co2, torch.zeros_like(co2)
    blown = torch.mean(weights * (output.wind.float() - wind.float()) ** 2)
    return co2 + factor * blown, co2, blown
