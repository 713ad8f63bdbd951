"""CO2-Net: a spatial and a temporal tower, connected at every layer.

Written from the project document (section 3.2) and "CO2-Net: A Physics-Informed Spatio-Temporal
Model for Global Surface CO2 Reconstruction" (ICCV 2025). The advection-diffusion equation's
solution is the sum of a particular part, steady over the window, which the spatial tower holds,
and a homogeneous part, which the temporal tower holds and from which the wind can be rebuilt.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from co2net.errors import UserError
from co2net.models.base import Layout, Network, Reconstruction, Stem
from co2net.models.layers import Block, Exchange, check_patch, initialise, patchify, unpatchify

TowersUsed = Literal["both", "spatial", "temporal"]
Pool = Literal["last", "mean"]
Pair = tuple[Tensor | None, Tensor | None]
"""Of the spatial and of the temporal tower."""


@dataclass(frozen=True)
class Size:
    """Width D, layers L and channels of a head."""

    width: int
    depth: int
    head: int = 32


SIZES: dict[str, Size] = {
    "XS": Size(128, 6),
    "S": Size(192, 6),
    "B": Size(256, 12),
    "L": Size(768, 12, 64),
}
"""About 5, 10, 30 and 230 million parameters with the wind embedding; B is the document's."""


class Towers(nn.Module):
    """The two towers with their tokenisers and layer-wise connection.

    Parameters
    ----------
    channels : int
        Channels of the input.
    layout
        Grid and frames.
    patch : (p, q)
        Cells of a patch.
    size
        Width and depth.
    towers : {'both', 'spatial', 'temporal'}
        Which towers there are (ablation, table 3-4).
    connection : bool
        Whether they exchange after every layer (ablation, table 3-4).

    Raises
    ------
    UserError
        When patches do not tile the grid, or the number of frames is odd.
    """

    def __init__(
        self,
        channels: int,
        layout: Layout,
        patch: tuple[int, int],
        size: Size,
        towers: TowersUsed = "both",
        connection: bool = True,
    ) -> None:
        super().__init__()
        rows, columns = check_patch(layout.grid.shape, patch)
        if layout.frames % 2:
            raise UserError(f"CO2-Net reads pairs of frames; {layout.frames} frames is odd")
        if towers not in ("both", "spatial", "temporal"):
            raise UserError(f"towers '{towers}': choose both, spatial or temporal")
        self.patch = patch
        tokens, pairs, d = rows * columns, layout.frames // 2, size.width
        cells = channels * patch[0] * patch[1]
        self.spatial = towers != "temporal"
        self.temporal = towers != "spatial"
        if self.spatial:
            self.space_tokens = nn.Linear(cells, d)
            self.space_place = nn.Parameter(torch.zeros(1, 1, tokens, d))
            self.space_blocks = nn.ModuleList(Block(d, size.head) for _ in range(size.depth))
            self.space_norm = nn.LayerNorm(d)
        if self.temporal:
            self.time_tokens = nn.Linear(2 * cells, d)
            self.time_place = nn.Parameter(torch.zeros(1, 1, tokens, d))
            self.time_order = nn.Parameter(torch.zeros(1, pairs, 1, d))
            self.time_blocks = nn.ModuleList(Block(d, size.head) for _ in range(size.depth))
            self.time_norm = nn.LayerNorm(d)
        self.connected = connection and towers == "both"
        if self.connected:
            make = (Exchange(d, along, size.head) for _ in range(size.depth)
                    for along in ("time", "space"))  # fmt: skip
            self.exchange = nn.ModuleList(make)

    def forward(self, x: Tensor) -> Pair:
        """(B, C, T, H, W) -> h_spatial, h_temporal, each (B, T/2, N, D) or None."""
        return self.layers(*self.tokens(patchify(x, self.patch, 2)))

    def read(self, stem: Stem, plain: Tensor, clock: Tensor) -> Pair:
        """The same of what a stem adds to a window, from the channels that `Stem.plain` gives."""
        return self.layers(*self.tokens(stem.patches(plain, clock, self.patch, 2)))

    def layers(self, space: Tensor | None, time: Tensor | None) -> Pair:
        """From tokens to features."""
        depth = len(self.space_blocks if self.spatial else self.time_blocks)
        for layer in range(depth):
            if space is not None:
                space = self.space_blocks[layer](space)
            if time is not None:
                time = self.time_blocks[layer](time.flatten(1, 2)).reshape(time.shape)
            if self.connected:
                to_space = self.exchange[2 * layer](space, time)
                to_time = self.exchange[2 * layer + 1](time, space)
                space, time = space + to_space, time + to_time
        return self.finish(space, time)

    def finish(self, space: Tensor | None, time: Tensor | None) -> Pair:
        """The norms after the last layer."""
        if space is not None:
            space = self.space_norm(space)
        if time is not None:
            time = self.time_norm(time)
        return space, time

    def tokens(self, patches: Tensor) -> Pair:
        """Both towers' tokens (B, T/2, N, D) of patches (B, T/2, N, C * 2 * p * q)."""
        weight, bias = self.reading()
        return self.placed(F.linear(patches, weight, bias))

    def reading(self) -> tuple[Tensor, Tensor]:
        """Weights and biases that make both towers' tokens in one product.

        The spatial tower reads the even frames, counted from one (the last frame is among
        them): its weights are zero at a tubelet's first frame.
        """
        weights: list[Tensor] = []
        biases: list[Tensor] = []
        if self.spatial:
            cells = self.patch[0] * self.patch[1]
            weight = short(self.space_tokens.weight).unflatten(1, (-1, 1, cells))
            weights.append(F.pad(weight, (0, 0, 1, 0)).flatten(1))
            biases.append(self.space_tokens.bias)
        if self.temporal:
            weights.append(short(self.time_tokens.weight))
            biases.append(self.time_tokens.bias)
        return torch.cat(weights), torch.cat(biases)

    def placed(self, tokens: Tensor) -> Pair:
        """Each tower's own of the tokens, told where and when they are."""
        *_, d = self.space_place.shape if self.spatial else self.time_place.shape
        space = tokens[..., :d] + self.space_place if self.spatial else None
        time = tokens[..., -d:] + self.time_place + self.time_order if self.temporal else None
        return space, time

    def start(self) -> None:
        """Initialise: ViT's weights, small positions, connections that begin silent."""
        initialise(self)
        for name in ("space_place", "time_place", "time_order"):
            if hasattr(self, name):
                nn.init.trunc_normal_(getattr(self, name), std=0.02)
        if self.connected:
            for exchange in self.exchange:
                assert isinstance(exchange, Exchange)
                nn.init.zeros_(exchange.up.weight)


def short(weight: Tensor) -> Tensor:
    """A weight in the type of autocast's products, where that is on, so that less is moved."""
    kind = weight.device.type
    if not torch.is_autocast_enabled(kind):
        return weight
    return weight.to(torch.get_autocast_dtype(kind))


def fuse(space: Tensor | None, time: Tensor | None) -> Tensor:
    """h_spatial + h_temporal, or the one that there is."""
    if space is not None and time is not None:
        return space + time
    alone = time if space is None else space
    assert alone is not None
    return alone


class WindDecoder(nn.Module):
    """g: the wind of both frames of every tubelet from its token (equation 3-14)."""

    def __init__(self, width: int, grid_shape: tuple[int, int], patch: tuple[int, int]) -> None:
        super().__init__()
        self.shape, self.patch = grid_shape, patch
        self.mlp = nn.Sequential(
            nn.Linear(width, width), nn.GELU(), nn.Linear(width, 4 * patch[0] * patch[1])
        )

    def forward(self, temporal: Tensor) -> Tensor:
        """(B, T/2, N, D) -> (B, 2, T, H, W)."""
        x = unpatchify(self.mlp(temporal), self.shape, self.patch)  # (B, F, 4, H, W)
        b, pairs, _, h, w = x.shape
        return x.reshape(b, pairs, 2, 2, h, w).transpose(1, 2).reshape(b, 2, 2 * pairs, h, w)


class CO2Net(Network):
    """CO2-Net as the document describes it.

    Parameters
    ----------
    layout
        Grid, channels, frames.
    preset : {'XS', 'S', 'B', 'L'}
    embedding : {'wind', 'wind-year', 'climode', 'none'}
        Space-time embedding (ablation, table 3-5).
    patch : (p, q)
        Cells of a patch.
    towers, connection
        Ablations of table 3-4, see `Towers`.
    wind_loss : bool
        Whether there is a wind decoder (ablation, table 3-6).
    pool : {'last', 'mean'}
        What the head reads of the T/2 frames, which the document leaves open: the target's own,
        or their mean. Over a day the mean holds every hour whichever is the target's.

    Raises
    ------
    UserError
        When an option is unknown, or patches do not tile the grid.
    """

    def __init__(
        self,
        layout: Layout,
        preset: str = "B",
        embedding: str = "wind",
        patch: tuple[int, int] = (9, 12),
        towers: TowersUsed = "both",
        connection: bool = True,
        wind_loss: bool = True,
        pool: Pool = "last",
    ) -> None:
        super().__init__()
        if pool not in ("last", "mean"):
            raise UserError(f"pool '{pool}': choose last or mean")
        self.pool = pool
        size = SIZES[preset]
        patch = (int(patch[0]), int(patch[1]))
        self.shape, self.patch = layout.grid.shape, patch
        self.stem = Stem(layout, embedding)
        self.towers = Towers(self.stem.channels, layout, patch, size, towers, connection)
        d = size.width
        last = nn.Linear(d, patch[0] * patch[1])
        self.head = nn.Sequential(nn.Linear(d, d), nn.GELU(), nn.Linear(d, d), nn.GELU(), last)
        winds = self.towers.temporal and wind_loss and bool(self.stem.winds)
        self.wind = WindDecoder(d, self.shape, patch) if winds else None
        initialise(self, last)
        self.towers.start()

    def forward(self, inputs: Tensor, clock: Tensor) -> Reconstruction:
        """See `Network`."""
        x = self.stem.plain(inputs, clock)
        space, time = self.towers.read(self.stem, x, clock)
        fused = fuse(space, time)
        pooled = fused.mean(dim=1) if self.pool == "mean" else fused[:, -1]
        co2 = unpatchify(self.head(pooled), self.shape, self.patch)[:, 0]
        wind = self.wind(time) if self.wind is not None else None
        return Reconstruction(co2, wind)
