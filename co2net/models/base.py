"""What every network takes and gives, and what every reconstructor can do."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from co2net.embeddings import Embedding, multiply
from co2net.errors import UserError
from co2net.grid import LatLonGrid
from co2net.models.layers import patchify
from co2net.source import FieldSource, Index
from co2net.windows import WINDS

PLACE_CHANNELS = ("land", "sin_lat", "cos_lat_cos_lon", "cos_lat_sin_lon")
SUN_CHANNELS = ("sin_year", "cos_year", "sin_solar_time", "cos_solar_time", "sun")


@dataclass(frozen=True)
class Reconstruction:
    """Output of a network.

    Parameters
    ----------
    co2 : (B, H, W)
        Normalised target of the window's last frame.
    wind : (B, 2, T, H, W) or None
        Normalised wind rebuilt from the temporal features, where the network has them.
    cells : (Q,) or None
        In training a network may answer only some cells, drawn from PyTorch's random numbers:
        their positions in the flattened grid; ``co2`` is (B, Q) then.
    """

    co2: Tensor
    wind: Tensor | None = None
    cells: Tensor | None = None


@dataclass(frozen=True)
class Layout:
    """What a network is built for.

    Parameters
    ----------
    grid
        Cells.
    channels : (C,) str
        Names of the window's channels (`co2net.windows.channel_names`).
    frames : int
        Length T of the window.
    """

    grid: LatLonGrid
    channels: tuple[str, ...]
    frames: int


class Network(nn.Module):
    """A network: ``forward(inputs, clock) -> Reconstruction``.

    ``inputs`` is (B, C, T, H, W), normalised; ``clock`` (B, T, 2), fractions of day and year.
    """

    def forward(self, inputs: Tensor, clock: Tensor) -> Reconstruction:
        """See the class."""
        raise NotImplementedError


class Stem(nn.Module):
    """Adds to a window what follows from place and clock, the same for every network.

    Appended channels: land fraction; position on the sphere (3); sine and cosine of the season
    and of the local mean solar time; cosine of the sun's zenith angle (negative at night); and
    the embedding.

    Parameters
    ----------
    layout
        Grid and channels.
    embedding : str
        Name in `co2net.embeddings.EMBEDDINGS`.

    Raises
    ------
    UserError
        When a wind embedding is asked for and the channels hold no wind.
    """

    place: Tensor
    lat: Tensor
    lon: Tensor

    def __init__(self, layout: Layout, embedding: str = "none") -> None:
        super().__init__()
        self.embedding = Embedding(embedding, layout.grid)
        self.winds = wind_channels(layout.channels)
        if embedding.startswith("wind") and not self.winds:
            raise UserError(
                f"embedding '{embedding}' needs {' and '.join(WINDS)}, which the data set lacks; "
                "choose 'climode' or 'none'"
            )
        names = (*layout.channels, *PLACE_CHANNELS, *SUN_CHANNELS)
        self.names = (*names, *(f"embedding_{n}" for n in range(self.embedding.channels)))
        lat = torch.deg2rad(torch.from_numpy(layout.grid.lat.copy())).float()
        lon = torch.deg2rad(torch.from_numpy(layout.grid.lon.copy())).float()
        land = torch.from_numpy(layout.grid.land_fraction.copy()).float()
        full = land.shape
        place = torch.stack(
            [
                2 * land - 1,
                lat.sin()[:, None].expand(full),
                lat.cos()[:, None] * lon.cos(),
                lat.cos()[:, None] * lon.sin(),
            ]
        )
        self.register_buffer("place", place, persistent=False)
        self.register_buffer("lat", lat, persistent=False)
        self.register_buffer("lon", lon, persistent=False)

    @property
    def channels(self) -> int:
        """Number of channels that `forward` gives."""
        return len(self.names)

    def sun(self, clock: Tensor) -> Tensor:
        """(B, T, 2) -> (B, 5, T, H, W): season, local solar time, cosine of the zenith angle.

        The declination is that of a circular orbit, ``-23.44 cos(2 pi (d + 10) / 365.25)``
        degrees on day d of the year; the equation of time (16 minutes at most) is left out.
        """
        angle = (2 * math.pi) * clock.float()
        season = angle[..., 1]
        local = angle[..., 0, None] + self.lon  # (B, T, W)
        tilt = math.radians(-23.44) * torch.cos(season + 2 * math.pi * 10 / 365.25)
        tilt = tilt[..., None, None]
        zenith = self.lat.sin()[:, None] * tilt.sin() - (
            self.lat.cos()[:, None] * tilt.cos() * local.cos()[..., None, :]
        )
        full = zenith.shape
        parts = [
            season.sin()[..., None, None].expand(full),
            season.cos()[..., None, None].expand(full),
            local.sin()[..., None, :].expand(full),
            local.cos()[..., None, :].expand(full),
            zenith,
        ]
        return torch.stack(parts, dim=1)

    def forward(self, inputs: Tensor, clock: Tensor) -> Tensor:
        """(B, C, T, H, W), (B, T, 2) -> (B, C', T, H, W)."""
        batch, _, frames, height, width = inputs.shape
        out = inputs.new_empty(batch, self.channels, frames, height, width)
        last = self.channels - self.embedding.channels
        self._write(inputs, clock, out[:, :last])
        self.embedding.write(clock, self.wind(inputs), out[:, last:])
        return out

    def plain(self, inputs: Tensor, clock: Tensor) -> Tensor:
        """The channels of `forward` but the embedding's, which are the last."""
        batch, _, frames, height, width = inputs.shape
        last = self.channels - self.embedding.channels
        out = inputs.new_empty(batch, last, frames, height, width)
        self._write(inputs, clock, out)
        return out

    def patches(self, plain: Tensor, clock: Tensor, patch: tuple[int, int], tube: int) -> Tensor:
        """(B, T/tube, N, C' * tube * p * q): `patchify` of `forward`, from `plain`.

        The wind embedding, much the largest part, is written in patches from the start.
        """
        if self.embedding.name == "none":
            return patchify(plain, patch, tube)
        wind = self.wind(plain)
        if not self.embedding.name.startswith("wind"):
            whole = torch.cat([plain, self.embedding(clock, wind)], dim=1)
            return patchify(whole, patch, tube)
        known = patchify(plain, patch, tube)
        place, psi = self.embedding.factors(clock, wind)
        moving = patchify(psi, patch, tube).unflatten(-1, (1, 5, tube, -1))
        still = patchify(place[None, :, None], patch, 1).unflatten(-1, (9, 1, 1, -1))
        cells = tube * patch[0] * patch[1]
        out = known.new_empty(*known.shape[:-1], self.channels * cells)
        out[..., : known.shape[-1]] = known
        multiply(still, moving, out[..., known.shape[-1] :].unflatten(-1, (9, 5, tube, -1)))
        return out

    def _write(self, inputs: Tensor, clock: Tensor, out: Tensor) -> None:
        known = inputs.shape[1]
        sun = known + len(PLACE_CHANNELS)
        out[:, :known] = inputs
        out[:, known:sun] = self.place.to(inputs.dtype)[:, None]
        out[:, sun:] = self.sun(clock)

    def wind(self, inputs: Tensor) -> Tensor:
        """(B, 2, T, H, W); without a wind, what tells the embedding its shape and type."""
        first, second = self.winds or (0, 0)
        return torch.stack([inputs[:, first], inputs[:, second]], dim=1)


def wind_channels(channels: tuple[str, ...]) -> tuple[int, ...]:
    """Positions of eastward and northward wind; empty where one is absent."""
    if not set(WINDS) <= set(channels):
        return ()
    return tuple(channels.index(name) for name in WINDS)


@dataclass(frozen=True)
class ModelInfo:
    """What a person should know of a model.

    Parameters
    ----------
    name, title : str
        Name in scripts, and for people.
    family : str
        ``network`` or ``statistical``.
    preset : str
        Size, '' where there is none.
    parameters : int
        Trained values.
    target : str
        ``absolute``, ``anomaly`` or ``residual``; '' where it has no meaning.
    description, reference : str
        One sentence; where it was published.
    trained_on : dict
        Data set's title and version, split, years, steps, commit.
    digest : str
        Short fingerprint of the weights and what they were trained against.
    """

    name: str
    title: str
    family: str
    preset: str
    parameters: int
    target: str
    description: str
    reference: str
    trained_on: dict[str, Any]
    digest: str


class Reconstructor(Protocol):
    """Gives fields of CO2 from a source: a trained network, or a statistical method."""

    info: ModelInfo
    frames: int
    grid: LatLonGrid

    def reconstruct(self, source: FieldSource, index: Index) -> NDArray[np.float32]:
        """(n, H, W) umol/mol at the frames ``index``; never reads the truth."""
