"""CO2-Net+: CO2-Net's towers with a decoder that sees the weather at full resolution.

A linear head on patches of some thousand kilometres cannot say what a front or a night over land
does to one cell: a prototype lost to optimal interpolation with it. Here the towers' tokens are
spread onto a lattice of a third of the resolution, where they meet the window itself (all frames
folded into channels, 3 x 3 cells a lattice point, so that nothing is lost), pass convolutions on
the globe, and are brought back to cells together with a second, full-resolution skip. Scales and
shifts learned for every place let the same weather act differently over Siberia and Amazonia.
The last layer starts at zero: an untrained network returns its prior.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from co2net.models.base import PLACE_CHANNELS, SUN_CHANNELS, Layout, Network, Reconstruction, Stem
from co2net.models.co2net import Size, Towers, TowersUsed, WindDecoder, fuse
from co2net.models.layers import (
    GlobeBlock,
    GlobeConv,
    PlaceScale,
    check_patch,
    initialise,
)
from co2net.schema import VARIABLES

FOLD = 3
"""Cells a side of a lattice point."""


@dataclass(frozen=True)
class PlusSize:
    """Towers, and the decoder's channels on the lattice, its blocks, and channels at cells."""

    towers: Size
    lattice: int
    blocks: int
    cells: int


SIZES: dict[str, PlusSize] = {
    "XS": PlusSize(Size(128, 4), 128, 3, 24),
    "S": PlusSize(Size(192, 4), 160, 4, 32),
    "B": PlusSize(Size(256, 8), 256, 4, 48),
    "L": PlusSize(Size(768, 10, 64), 512, 5, 64),
}
"""About 8, 13, 31 and 220 million parameters."""


class FineDecoder(nn.Module):
    """From tokens and the window at full resolution to one field.

    Parameters
    ----------
    skips : int
        Channels of the folded window.
    width : int
        D of a token; mean and last frame of the fused tokens come in.
    """

    def __init__(
        self,
        skips: int,
        width: int,
        shape: tuple[int, int],
        patch: tuple[int, int],
        size: PlusSize,
    ) -> None:
        super().__init__()
        self.shape, self.cells = shape, size.cells
        rows, columns = check_patch(shape, (FOLD, FOLD))
        self.lattice = (rows, columns)
        self.step = check_patch(patch, (FOLD, FOLD))
        self.tokens = nn.Linear(2 * width, size.lattice * self.step[0] * self.step[1])
        self.fold = nn.Linear(skips * FOLD * FOLD, size.lattice)
        self.place = PlaceScale(size.lattice, self.lattice)
        self.blocks = nn.Sequential(
            *(GlobeBlock(size.lattice, self.lattice) for _ in range(size.blocks))
        )
        self.unfold = nn.Linear(size.lattice, size.cells * FOLD * FOLD)
        self.skip = nn.Conv2d(skips, size.cells, 1)
        self.cell_place = PlaceScale(size.cells, shape)
        self.mix = GlobeConv(size.cells, size.cells)
        self.out = nn.Conv2d(size.cells, 1, 1)

    def forward(self, tokens: Tensor, window: Tensor) -> Tensor:
        """(B, N, 2D), (B, skips, H, W) -> (B, H, W)."""
        window = window.contiguous(memory_format=torch.channels_last)
        kernel = self.fold.weight.unflatten(1, (-1, FOLD, FOLD))
        folded = F.conv2d(window, kernel, self.fold.bias, stride=FOLD)
        x = spread(self.tokens(tokens), self.lattice, self.step) + folded
        x = self.blocks(self.place(x))
        x = self.unfold(F.silu(x).permute(0, 2, 3, 1).flatten(1, 2))
        x = spread(x, self.shape, (FOLD, FOLD)) + self.skip(window)
        x = F.silu(self.cell_place(x))
        x = x + F.silu(self.mix(x))
        return self.out(x)[:, 0]

    def start(self) -> None:
        """Begin with a field of zero."""
        for parameter in self.out.parameters():
            nn.init.zeros_(parameter)


def spread(tokens: Tensor, shape: tuple[int, int], patch: tuple[int, int]) -> Tensor:
    """(B, N, C * p * q) -> (B, C, H, W) as `unpatchify`, in memory with channels last."""
    (h, w), (p, q) = shape, patch
    x = tokens.reshape(-1, h // p, w // q, tokens.shape[-1] // (p * q), p, q)
    return x.permute(0, 1, 4, 2, 5, 3).reshape(len(tokens), h, w, -1).permute(0, 3, 1, 2)


class CO2NetPlus(Network):
    """CO2-Net's towers and wind loss with `FineDecoder`.

    Parameters
    ----------
    layout
        Grid, channels, frames.
    preset : {'XS', 'S', 'B', 'L'}
    embedding : {'wind', 'wind-year', 'climode', 'none'}
    patch : (p, q)
        Cells of a token's patch; multiples of `FOLD`.
    towers, connection, wind_loss
        As in `co2net.models.co2net.CO2Net`.
    """

    def __init__(
        self,
        layout: Layout,
        preset: str = "S",
        embedding: str = "wind",
        patch: tuple[int, int] = (9, 12),
        towers: TowersUsed = "both",
        connection: bool = True,
        wind_loss: bool = True,
    ) -> None:
        super().__init__()
        size = SIZES[preset]
        patch = (int(patch[0]), int(patch[1]))
        shape, width = layout.grid.shape, size.towers.width
        self.stem = Stem(layout, embedding)
        self.towers = Towers(self.stem.channels, layout, patch, size.towers, towers, connection)
        still = {name for name, v in VARIABLES.items() if v.static}
        still |= {"station_mask", *PLACE_CHANNELS, *SUN_CHANNELS}
        names = self.stem.names[: self.stem.channels - self.stem.embedding.channels]
        self.moving = [n for n, name in enumerate(names) if name not in still]
        self.still = [n for n, name in enumerate(names) if name in still]
        skips = len(self.moving) * layout.frames + len(self.still)
        self.patch = patch
        self.decoder = FineDecoder(skips, width, shape, patch, size)
        winds = self.towers.temporal and wind_loss and bool(self.stem.winds)
        self.wind = WindDecoder(width, shape, patch) if winds else None
        initialise(self)
        self.towers.start()
        self.decoder.start()

    def forward(self, inputs: Tensor, clock: Tensor) -> Reconstruction:
        """See `Network`."""
        x = self.stem.plain(inputs, clock)
        space, time = self.towers.read(self.stem, x, clock)
        fused = fuse(space, time)
        tokens = torch.cat([fused.mean(dim=1), fused[:, -1]], dim=-1)
        window = torch.cat([x[:, self.moving].flatten(1, 2), x[:, self.still, -1]], dim=1)
        wind = self.wind(time) if self.wind is not None else None
        return Reconstruction(self.decoder(tokens, window), wind)
