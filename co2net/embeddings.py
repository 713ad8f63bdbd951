"""Space-time embeddings: extra input channels that carry position, clock and wind.

``wind``
    The document's embedding (section 3.2.4, equations 3-11 to 3-13)::

        psi(t)    = {cos 2 pi U t, sin 2 pi U t, cos 2 pi V t, sin 2 pi V t, 1}
        psi(x, y) = {cos 2 pi x/N, sin 2 pi x/N, 1} x {cos 2 pi y/M, sin 2 pi y/M, 1}
        Psi       = psi(x, y) x psi(t)                                45 channels

    with x, y the row and column of a cell on the N x M grid. The document gives no units for
    t, U and V. An absolute time index would make the phase a hash: a wind that differs by a
    hundredth of its spread would turn it by radians. Here U and V are the normalised winds
    (m/s over the training years' standard deviation, not centred: calm air is zero) and t is
    the fraction of the UTC day, 0 <= t < 1, so that |dPsi/dU| <= 2 pi: neighbouring winds
    have neighbouring embeddings.
``wind-year``
    The same with t as the fraction of the year, for monthly data.
``climode``
    The embedding of ClimODE (Verma, Heinonen and Garg, ICLR 2024): harmonics of day and year
    ``psi(t)`` (4), spherical position ``psi(x)`` (6), and their products (24): 34 channels.
``none``
    No channels.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from co2net.errors import UserError
from co2net.grid import LatLonGrid

EMBEDDINGS: dict[str, int] = {"none": 0, "wind": 45, "wind-year": 45, "climode": 34}
"""Channels of every embedding."""


class Embedding(nn.Module):
    """Channels from clock, position and wind.

    Parameters
    ----------
    name : {'none', 'wind', 'wind-year', 'climode'}
        Which embedding.
    grid
        Cells of the inputs.

    Raises
    ------
    UserError
        When the embedding is unknown.
    """

    place: Tensor

    def __init__(self, name: str, grid: LatLonGrid) -> None:
        super().__init__()
        if name not in EMBEDDINGS:
            raise UserError(f"embedding '{name}' is unknown; choose from {', '.join(EMBEDDINGS)}")
        self.name = name
        self.channels = EMBEDDINGS[name]
        place = _spherical(grid) if name == "climode" else _periodic(grid)
        self.register_buffer("place", place, persistent=False)

    def forward(self, clock: Tensor, wind: Tensor) -> Tensor:
        """Compute the channels.

        Parameters
        ----------
        clock : (B, T, 2)
            Fractions of the UTC day and of the year, 0..1.
        wind : (B, 2, T, H, W)
            Eastward and northward wind over their standard deviations.

        Returns
        -------
        (B, E, T, H, W) in the type of ``wind``
        """
        batch, _, frames, height, width = wind.shape
        out = wind.new_empty(batch, self.channels, frames, height, width)
        self.write(clock, wind, out)
        return out

    def write(self, clock: Tensor, wind: Tensor, out: Tensor) -> None:
        """The same into ``out`` (B, E, T, H, W): what is largest in memory is written once."""
        if self.name == "none":
            return
        if self.name == "climode":
            self._write_climode(clock, out)
            return
        place, psi = self.factors(clock, wind)
        multiply(place[:, None, None], psi[:, None], out.unflatten(1, (9, 5)))

    def factors(self, clock: Tensor, wind: Tensor) -> tuple[Tensor, Tensor]:
        """psi(x, y) (9, H, W) and psi(t) (B, 5, T, H, W) of a wind embedding."""
        turn = clock[:, :, int(self.name == "wind-year")].float()
        phase = (2 * math.pi) * wind.float() * turn[:, None, :, None, None]
        u, v = phase.unbind(dim=1)
        parts = (u.cos(), u.sin(), v.cos(), v.sin(), torch.ones_like(u))
        return self.place.to(wind.dtype), torch.stack([x.to(wind.dtype) for x in parts], dim=1)

    def _write_climode(self, clock: Tensor, out: Tensor) -> None:
        angle = (2 * math.pi) * clock.float()
        moving = torch.cat([angle.sin(), angle.cos()], dim=-1).transpose(1, 2)
        moving = moving[:, :, :, None, None]  # (B, 4, T, 1, 1)
        place = self.place[:, None]  # (6, 1, H, W)
        out[:, :4] = moving
        out[:, 4:10] = place
        out[:, 10:].unflatten(1, (4, 6))[:] = moving[:, :, None] * place


def multiply(a: Tensor, b: Tensor, out: Tensor) -> None:
    """``out = a b``, with nothing between where no gradient is asked for."""
    if a.requires_grad or b.requires_grad:
        out.copy_(a * b)
    else:
        torch.mul(a, b, out=out)


def _periodic(grid: LatLonGrid) -> Tensor:
    """(9, H, W): psi(x, y) of the wind embedding."""
    height, width = grid.shape

    def axis(n: int) -> Tensor:
        angle = 2 * math.pi * torch.arange(n, dtype=torch.float64) / n
        return torch.stack([angle.cos(), angle.sin(), torch.ones_like(angle)])

    pairs = axis(height)[:, None, :, None] * axis(width)[None, :, None, :]
    return pairs.flatten(0, 1).float()


def _spherical(grid: LatLonGrid) -> Tensor:
    """(6, H, W): position on the sphere as ClimODE writes it."""
    lat = torch.deg2rad(torch.from_numpy(grid.lat.copy()))[:, None].expand(grid.shape)
    lon = torch.deg2rad(torch.from_numpy(grid.lon.copy()))[None, :].expand(grid.shape)
    parts = [
        lat.sin(), lat.cos(), lon.sin(), lon.cos(), lat.cos() * lon.cos(), lat.cos() * lon.sin()
    ]  # fmt: skip
    return torch.stack(parts).float()
