"""ViT baseline: frames stacked as channels, patches, one tower (Dosovitskiy et al., ICLR 2021)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from co2net.models.base import Layout, Network, Reconstruction, Stem
from co2net.models.co2net import Size
from co2net.models.layers import Block, check_patch, initialise, unpatchify

SIZES: dict[str, Size] = {
    "XS": Size(192, 5),
    "S": Size(256, 8),
    "B": Size(416, 12),
    "L": Size(1024, 17, 64),
}
"""Parameters comparable with CO2-Net's at every preset: about 5, 10, 30 and 230 million."""


class ViT(Network):
    """Vision transformer over a window whose frames are stacked as channels.

    Parameters
    ----------
    layout
        Grid, channels, frames.
    preset : {'XS', 'S', 'B', 'L'}
    embedding : str
        The embedding is CO2-Net's own; the clock, the position and the wind that it is made of
        are inputs of every network.
    patch : (p, q)
        Cells of a patch.
    """

    def __init__(
        self,
        layout: Layout,
        preset: str = "B",
        embedding: str = "none",
        patch: tuple[int, int] = (9, 12),
    ) -> None:
        super().__init__()
        size = SIZES[preset]
        patch = (int(patch[0]), int(patch[1]))
        rows, columns = check_patch(layout.grid.shape, patch)
        self.shape, self.patch, self.frames = layout.grid.shape, patch, layout.frames
        self.stem = Stem(layout, embedding)
        cells = self.stem.channels * layout.frames * patch[0] * patch[1]
        self.tokens = nn.Linear(cells, size.width)
        self.place = nn.Parameter(torch.zeros(1, rows * columns, size.width))
        self.blocks = nn.Sequential(*(Block(size.width, size.head) for _ in range(size.depth)))
        self.norm = nn.LayerNorm(size.width)
        self.head = nn.Linear(size.width, patch[0] * patch[1])
        initialise(self, self.head)
        nn.init.trunc_normal_(self.place, std=0.02)

    def forward(self, inputs: Tensor, clock: Tensor) -> Reconstruction:
        """See `Network`."""
        x = self.stem.plain(inputs, clock)
        x = self.stem.patches(x, clock, self.patch, self.frames)[:, 0]
        x = self.norm(self.blocks(self.tokens(x) + self.place))
        return Reconstruction(unpatchify(self.head(x), self.shape, self.patch)[:, 0])
