"""Senseiver baseline: sensors are read into a few latents, of which any place may ask.

Written from Santos et al., "Development of the Senseiver for efficient field reconstruction from
sparse observations" (Nature Machine Intelligence 2023) and Jaegle et al., "Perceiver IO" (ICLR
2022). The latents attend to the sensors and then to one another, again and again with the same
weights; a query, the position of a cell, attends to the latents and becomes its value.

Differences from the paper, for a globe with weather and at a size that compares with the others:

- position features are whole harmonics of longitude and latitude, so that the date line is no
  edge;
- a sensor is a cell whose station reports in some frame of the window: its token holds every
  channel there in all frames (which frames it reported in, too) and its position;
- a query holds its position and every channel there but those of the stations;
- width and depth are those of a 30-million-parameter network, not of an edge device.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from co2net.errors import UserError
from co2net.grid import LatLonGrid
from co2net.models.base import Layout, Network, Reconstruction, Stem
from co2net.models.layers import Attention, Block, initialise
from co2net.windows import STATION_CHANNELS

BANDS = 32
"""Harmonics of longitude and of latitude."""

_TOKENS = 32  # sensors are padded to multiples, so that shapes are few


@dataclass(frozen=True)
class Size:
    """Width D, self-attention layers of a round, latents, channels of a head."""

    width: int
    depth: int
    latents: int
    head: int = 32


SIZES: dict[str, Size] = {
    "XS": Size(256, 5, 64),
    "S": Size(352, 5, 64),
    "B": Size(512, 7, 128),
    "L": Size(1152, 12, 256, 64),
}
"""About 6, 11, 29 and 225 million parameters, each used in every round."""


class SensorAttention(Attention):
    """Multi-head attention to a memory some of whose places may be empty."""

    def forward(self, query: Tensor, memory: Tensor, present: Tensor | None = None) -> Tensor:
        """(B, Q, D), (B, M, D), (B, M) bool -> (B, Q, D); all places present when None."""
        if present is None:
            return super().forward(query, memory)
        q = self.query(query).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        k, v = self.key_value(memory).unflatten(-1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=present[:, None, None])
        return self.out(mixed.transpose(1, 2).flatten(2))


class CrossBlock(nn.Module):
    """Layer whose queries attend to a memory, normalised before, residual."""

    def __init__(self, width: int, head: int) -> None:
        super().__init__()
        self.norm_query = nn.LayerNorm(width)
        self.norm_memory = nn.LayerNorm(width)
        self.attention = SensorAttention(width, head)
        self.norm = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, query: Tensor, memory: Tensor, present: Tensor | None = None) -> Tensor:
        """(B, Q, D), (B, M, D), (B, M) bool -> (B, Q, D)."""
        seen = self.attention(self.norm_query(query), self.norm_memory(memory), present)
        query = query + seen
        return query + self.mlp(self.norm(query))


class Senseiver(Network):
    """Senseiver over a window whose frames are stacked as channels.

    No weight depends on the grid or on the number of stations, and the order of the stations has
    no meaning. A window without any report is read as one learned token.

    Parameters
    ----------
    layout
        Grid, channels, frames; the stations' channels must be among them.
    preset : {'XS', 'S', 'B', 'L'}
    embedding : str
        The embedding is CO2-Net's own; what it is made of are inputs of every network.
    rounds : int
        How often the latents read the sensors and exchange, with the same weights.
    chunk : int
        Queries answered at once, over the whole batch. It bounds the memory of the decoder: in
        training, chunks are computed again on the way back. It does not change the result.
    asked : float
        Share of the cells that a training step asks for, the same in all windows of the batch
        (`Reconstruction.cells`), drawn anew from PyTorch's random numbers, as the paper trains on
        random points. In evaluation every cell is answered.

    Raises
    ------
    UserError
        When the channels lack the stations', or an option is below one.
    """

    place: Tensor

    def __init__(
        self,
        layout: Layout,
        preset: str = "B",
        embedding: str = "none",
        rounds: int = 3,
        chunk: int = 8192,
        asked: float = 0.25,
    ) -> None:
        super().__init__()
        if rounds < 1 or chunk < 1:
            raise UserError(f"senseiver: rounds {rounds} and chunk {chunk} must be at least 1")
        if not 0 < asked <= 1:
            raise UserError(f"senseiver: asked {asked} is no share of the cells; give 0 to 1")
        if not set(STATION_CHANNELS) <= set(layout.channels):
            raise UserError(f"senseiver: the channels lack {' and '.join(STATION_CHANNELS)}")
        size = SIZES[preset]
        self.shape, self.rounds, self.chunk = layout.grid.shape, rounds, chunk
        self.asked = max(1, round(asked * layout.grid.lat.size * layout.grid.lon.size))
        self.stem = Stem(layout, embedding)
        self.mask = self.stem.names.index("station_mask")
        self.weather = [n for n, x in enumerate(self.stem.names) if x not in STATION_CHANNELS]
        self.register_buffer("place", position_features(layout.grid), persistent=False)
        self.sensor = nn.Linear(self.stem.channels * layout.frames + 4 * BANDS, size.width)
        self.nobody = nn.Parameter(torch.zeros(1, 1, size.width))
        self.latents = nn.Parameter(torch.zeros(1, size.latents, size.width))
        self.read = CrossBlock(size.width, size.head)
        self.blocks = nn.Sequential(*(Block(size.width, size.head) for _ in range(size.depth)))
        self.query = nn.Linear(len(self.weather) * layout.frames + 4 * BANDS, size.width)
        self.answer = CrossBlock(size.width, size.head)
        self.norm = nn.LayerNorm(size.width)
        self.head = nn.Linear(size.width, 1)
        initialise(self, self.head)
        for table in (self.nobody, self.latents):
            nn.init.trunc_normal_(table, std=0.02)

    def forward(self, inputs: Tensor, clock: Tensor) -> Reconstruction:
        """See `Network`."""
        x = self.stem(inputs, clock)
        latents = self.encode(*self.sensors(x))
        weather, place = x.flatten(3), self.place
        if not self.training or self.asked == len(place):
            answers = self.answers(weather, place, latents)
            return Reconstruction(answers.unflatten(1, self.shape))
        drawn = torch.randperm(len(place))[: self.asked].sort().values.to(x.device)
        weather, place = weather.index_select(3, drawn), place[drawn]
        return Reconstruction(self.answers(weather, place, latents), cells=drawn)

    def answers(self, weather: Tensor, place: Tensor, latents: Tensor) -> Tensor:
        """Channels of the stem (B, C', T, Q) and position (Q, P) of cells -> (B, Q), in chunks."""
        weather = weather[:, self.weather].flatten(1, 2)
        step = max(1, self.chunk // len(weather))
        cells = len(place)
        again = torch.is_grad_enabled() and step < cells
        parts = []
        for start in range(0, cells, step):
            part = slice(start, start + step)
            asked = (weather[..., part], place[part], latents)
            parts.append(
                checkpoint(self.decode, *asked, use_reentrant=False)
                if again
                else self.decode(*asked)
            )
        return torch.cat(parts, dim=1)

    def sensors(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C', T, H, W), channels of the stem -> tokens (B, S, D), (B, S) bool.

        S is the largest number of sensors in a window of the batch, rounded up; which of the
        tokens are sensors is the second result.
        """
        reports = (x[:, self.mask] > 0).any(dim=1).flatten(1)
        most = int(reports.sum(dim=1).max())
        count = min(-(-most // _TOKENS) * _TOKENS, reports.shape[1])
        cells = reports.byte().argsort(dim=1, descending=True, stable=True)[:, :count]
        channels = x.flatten(3).flatten(1, 2)
        there = channels.gather(2, cells[:, None].expand(-1, channels.shape[1], -1)).mT
        features = torch.cat([there, self.place[cells].to(x.dtype)], dim=-1)
        return self.sensor(features), reports.gather(1, cells)

    def encode(self, tokens: Tensor, present: Tensor) -> Tensor:
        """Sensors (B, S, D), which of them there are (B, S) -> latents (B, L, D)."""
        batch = len(tokens)
        tokens = torch.cat([self.nobody.expand(batch, -1, -1).to(tokens.dtype), tokens], dim=1)
        present = F.pad(present, (1, 0), value=True)
        latents = self.latents.expand(batch, -1, -1)
        for _ in range(self.rounds):
            latents = self.blocks(self.read(latents, tokens, present))
        return latents

    def decode(self, weather: Tensor, place: Tensor, latents: Tensor) -> Tensor:
        """Channels (B, C'', Q) and position (Q, P) of cells, latents (B, L, D) -> (B, Q)."""
        place = place.to(weather.dtype).expand(len(weather), -1, -1)
        query = self.query(torch.cat([weather.mT, place], dim=-1))
        return self.head(self.norm(self.answer(query, latents)))[..., 0]


def position_features(grid: LatLonGrid) -> Tensor:
    """(H * W, 4 K): sin k lon, cos k lon, sin k lat, cos k lat for k = 1..K, row by row.

    k is whole, so that longitudes a turn apart have the same features.
    """
    k = np.arange(1, BANDS + 1)
    lat, lon = (np.radians(x)[:, None] * k for x in (grid.lat, grid.lon))
    height, width = grid.shape
    east = np.tile(np.concatenate([np.sin(lon), np.cos(lon)], axis=1), (height, 1))
    north = np.repeat(np.concatenate([np.sin(lat), np.cos(lat)], axis=1), width, axis=0)
    return torch.from_numpy(np.concatenate([east, north], axis=1)).float()
