"""SwinLSTM baseline: a recurrent network whose cell mixes space by attention in windows.

Written from Tang et al., "SwinLSTM: Improving Spatiotemporal Prediction Accuracy using Swin
Transformer and LSTM" (2023) and Liu et al., "Swin Transformer" (ICCV 2021). The deep variant,
SwinLSTM-D, runs through the frames of the window; after the last one, its state is the field.

Differences from the paper, for a globe and for a field in physical units:

- windows are cyclic in longitude: the shifted ones go across the date line, unmasked; across the
  poles they are masked, as at the edges of an image;
- the lattice is padded to whole windows (cyclic in longitude, edge rows repeated) and cropped;
- the output is linear, at the resolution of the input; nothing is squashed or enlarged;
- on the way up a cell follows the inverse merge, where theirs comes before it; the state of the
  last one is normalised before the output;
- Swin layers begin as the identity. With Glorot's weights in all of them the gates close within
  tens of steps, and the network stays at its prior (docs/models.md).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from co2net.errors import UserError
from co2net.models.base import Layout, Network, Reconstruction, Stem
from co2net.models.layers import initialise, patchify, unpatchify

State = tuple[Tensor, Tensor]
"""h and c of a cell, each (B, R, S, D)."""


@dataclass(frozen=True)
class Size:
    """Width D at the finest level, doubled at each further one; layers; token and window."""

    width: int
    depths: tuple[int, ...] = (2, 6)
    head: int = 32
    patch: tuple[int, int] = (2, 2)
    window: tuple[int, int] = (4, 4)


SIZES: dict[str, Size] = {
    "XS": Size(96, (2, 4), patch=(8, 10), window=(3, 3)),
    "S": Size(128),
    "B": Size(192),
    "L": Size(576),
}
"""About 5, 12, 27 and 240 million parameters. S has the paper's width, depths and heads."""


class WindowAttention(nn.Module):
    """Multi-head attention inside windows with a learned bias of relative position.

    Parameters
    ----------
    width, head : int
        D; channels of a head.
    window : (m, n)
        Tokens of a window along latitude and longitude.
    rows : int
        Rows of windows.
    shift : int
        Tokens by which the lattice was rolled in latitude; those that came round the edge do not
        see the others in their window.
    """

    relation: Tensor
    mask: Tensor

    def __init__(
        self, width: int, head: int, window: tuple[int, int], rows: int, shift: int
    ) -> None:
        super().__init__()
        self.heads = width // head
        self.query_key_value = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        m, n = window
        self.bias = nn.Parameter(torch.zeros((2 * m - 1) * (2 * n - 1), self.heads))
        row, column = torch.arange(m).repeat_interleave(n), torch.arange(n).repeat(m)
        apart = (row[:, None] - row + m - 1) * (2 * n - 1) + (column[:, None] - column + n - 1)
        self.register_buffer("relation", apart, persistent=False)
        came_round = (torch.arange(rows * m) >= rows * m - shift).reshape(rows, m)
        came_round = came_round.repeat_interleave(n, dim=1)
        parted = came_round[:, :, None] != came_round[:, None]
        mask = torch.zeros(parted.shape).masked_fill(parted, -torch.inf)
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, rows, columns, m * n, D) -> the same."""
        parts = self.query_key_value(x).unflatten(-1, (3, self.heads, -1))
        q, k, v = parts.permute(4, 0, 1, 2, 5, 3, 6)  # (B, rows, columns, heads, m * n, head)
        score = (q * q.shape[-1] ** -0.5) @ k.mT
        bias = self.bias[self.relation].permute(2, 0, 1) + self.mask[:, None]
        score = score + bias[:, None]  # (rows, 1, heads, m * n, m * n)
        return self.out((score.softmax(dim=-1) @ v).transpose(-2, -3).flatten(-2))


class SwinBlock(nn.Module):
    """Layer of a Swin transformer, normalised before, on a lattice that is a ring in longitude.

    Parameters
    ----------
    width, head : int
        D; channels of a head.
    lattice : (R, S)
        Tokens along latitude and longitude, multiples of the window.
    window : (m, n)
        Tokens of a window.
    shifted : bool
        Whether windows lie half a window off, as in every second layer.
    """

    def __init__(
        self,
        width: int,
        head: int,
        lattice: tuple[int, int],
        window: tuple[int, int],
        shifted: bool,
    ) -> None:
        super().__init__()
        (m, n), rows = window, lattice[0] // window[0]
        self.window = window
        self.shift = (m // 2 if rows > 1 else 0, n // 2) if shifted else (0, 0)
        self.norm1 = nn.LayerNorm(width)
        self.attention = WindowAttention(width, head, window, rows, self.shift[0])
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def begin_as_identity(self) -> None:
        """Let nothing be added to what comes in."""
        for last in (self.attention.out, self.mlp[-1]):
            assert isinstance(last, nn.Linear)
            nn.init.zeros_(last.weight)

    def forward(self, x: Tensor) -> Tensor:
        """(B, R, S, D) -> the same."""
        (m, n), (down, along) = self.window, self.shift
        y = self.norm1(x).roll((-down, -along), dims=(1, 2))
        y = y.unflatten(2, (-1, n)).unflatten(1, (-1, m)).transpose(2, 3)
        y = self.attention(y.flatten(3, 4)).unflatten(3, (m, n))
        y = y.transpose(2, 3).flatten(3, 4).flatten(1, 2)
        x = x + y.roll((down, along), dims=(1, 2))
        return x + self.mlp(self.norm2(x))


class Cell(nn.Module):
    """SwinLSTM cell: one gate, and Swin layers where an LSTM has matrices::

    F  = Swin(P [x, h])        g  = sigmoid(F)
    c' = g (c + tanh F)        h' = g tanh c'
    """

    def __init__(
        self, width: int, depth: int, head: int, lattice: tuple[int, int], window: tuple[int, int]
    ) -> None:
        super().__init__()
        self.join = nn.Linear(2 * width, width)
        self.blocks = nn.Sequential(
            *(SwinBlock(width, head, lattice, window, n % 2 == 1) for n in range(depth))
        )

    def forward(self, x: Tensor, state: State) -> State:
        """(B, R, S, D), (h, c) -> (h', c')."""
        h, c = state
        mixed = self.blocks(self.join(torch.cat([x, h], dim=-1)))
        gate = mixed.sigmoid()
        c = gate * (c + mixed.tanh())
        return gate * c.tanh(), c


class Merge(nn.Module):
    """(B, R, S, D) -> (B, R/2, S/2, 2 D): four neighbours become one token."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4 * width)
        self.linear = nn.Linear(4 * width, 2 * width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        x = x.unflatten(2, (-1, 2)).unflatten(1, (-1, 2)).transpose(2, 3)
        return self.linear(self.norm(x.flatten(3)))


class Expand(nn.Module):
    """(B, R, S, D) -> (B, 2 R, 2 S, D/2): one token becomes four neighbours."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, 2 * width, bias=False)
        self.norm = nn.LayerNorm(width // 2)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        x = self.linear(x).unflatten(-1, (2, 2, -1)).transpose(2, 3)
        return self.norm(x.flatten(3, 4).flatten(1, 2))


class SwinLSTM(Network):
    """SwinLSTM-D over a window's frames.

    Cells and `Merge` alternate on the way down, `Expand` and cells on the way up; every cell
    keeps its state from frame to frame.

    Parameters
    ----------
    layout
        Grid, channels, frames.
    preset : {'XS', 'S', 'B', 'L'}
    embedding : str
        The embedding is CO2-Net's own; what it is made of are inputs of every network.
    patch : (p, q) or None
        Cells of a token; None takes the preset's.
    window : (m, n) or None
        Tokens of a window; None takes the preset's. The grid is padded to whole windows at the
        coarsest level: with S, B and L to a multiple of 16 cells, 90 x 120 to 96 x 128, with XS
        of 48 x 60, to 96 x 120. Where no column is added, turning all channels by that multiple
        turns the field; on 120 columns S's window (4, 5) adds none (its multiple is 40).
    recompute : bool
        Keep only the states in training and compute each frame again on the way back: a
        fraction of the memory for about half more time.

    Raises
    ------
    UserError
        When patch or window is below one.
    """

    rows: Tensor
    columns: Tensor

    def __init__(
        self,
        layout: Layout,
        preset: str = "B",
        embedding: str = "none",
        patch: tuple[int, int] | None = None,
        window: tuple[int, int] | None = None,
        recompute: bool = False,
    ) -> None:
        super().__init__()
        size, shape = SIZES[preset], layout.grid.shape
        (p, q), (m, n) = patch or size.patch, window or size.window
        patch, window = (int(p), int(q)), (int(m), int(n))
        if min(*patch, *window) < 1:
            raise UserError(f"swinlstm: patch {patch} and window {window} must be at least (1, 1)")
        levels = len(size.depths)
        tall, wide = (
            -(-cells // unit) * unit
            for cells, unit in zip(shape, _unit(patch, window, levels), strict=True)
        )
        self.shape, self.padded, self.patch = shape, (tall, wide), patch
        self.top, self.left = (tall - shape[0]) // 2, (wide - shape[1]) // 2
        rows = (torch.arange(tall) - self.top).clamp(0, shape[0] - 1)
        self.register_buffer("rows", rows, persistent=False)
        columns = (torch.arange(wide) - self.left) % shape[1]
        self.register_buffer("columns", columns, persistent=False)

        self.stem = Stem(layout, embedding)
        self.tokens = nn.Linear(self.stem.channels * patch[0] * patch[1], size.width)
        self.norm = nn.LayerNorm(size.width)
        self.lattice = (tall // patch[0], wide // patch[1])
        cells = [
            (size.width << n, depth, size.head, (self.lattice[0] >> n, self.lattice[1] >> n))
            for n, depth in enumerate(size.depths)
        ]
        self.down = nn.ModuleList(Cell(*cell, window) for cell in cells)
        self.merge = nn.ModuleList(Merge(cell[0]) for cell in cells)
        self.expand = nn.ModuleList(Expand(2 * cell[0]) for cell in reversed(cells))
        self.up = nn.ModuleList(Cell(*cell, window) for cell in reversed(cells))
        self.norm_out = nn.LayerNorm(size.width)
        self.head = nn.Linear(size.width, patch[0] * patch[1])
        self.recompute = recompute
        initialise(self, self.head)
        for part in self.modules():
            if isinstance(part, SwinBlock):
                part.begin_as_identity()
                nn.init.trunc_normal_(part.attention.bias, std=0.02)

    def forward(self, inputs: Tensor, clock: Tensor) -> Reconstruction:
        """See `Network`."""
        return Reconstruction(self.field(self.stem(inputs, clock)))

    def field(self, x: Tensor) -> Tensor:
        """(B, C', T, H, W), channels of the stem -> (B, H, W)."""
        if self.padded != self.shape:
            x = x.index_select(3, self.rows).index_select(4, self.columns)
        frames = self.norm(self.tokens(patchify(x, self.patch, 1))).unflatten(2, self.lattice)
        states = self._still(frames)
        for frame in frames.unbind(dim=1):
            if self.recompute and torch.is_grad_enabled():
                states = checkpoint(self.step, frame, states, use_reentrant=False)
            else:
                states = self.step(frame, states)
        out = self.head(self.norm_out(states[-1][0])).flatten(1, 2)
        out = unpatchify(out, self.padded, self.patch)[:, 0]
        height, width = self.shape
        return out[:, self.top : self.top + height, self.left : self.left + width]

    def step(self, x: Tensor, states: list[State]) -> list[State]:
        """Tokens of one frame (B, R, S, D) and the states of all cells -> their new states."""
        before = iter(states)
        after: list[State] = []
        for cell, merge in zip(self.down, self.merge, strict=True):
            after.append(cell(x, next(before)))
            x = merge(after[-1][0])
        for expand, cell in zip(self.expand, self.up, strict=True):
            after.append(cell(expand(x), next(before)))
            x = after[-1][0]
        return after

    def _still(self, frames: Tensor) -> list[State]:
        """States before the first frame: zero."""
        batch, _, rows, columns, width = frames.shape
        down = [
            frames.new_zeros(batch, rows >> n, columns >> n, width << n)
            for n in range(len(self.down))
        ]
        return [(zero, zero) for zero in (*down, *reversed(down))]


def _unit(patch: tuple[int, int], window: tuple[int, int], levels: int) -> tuple[int, int]:
    """Cells that a padded grid is a multiple of.

    Whole windows at the coarsest cell, and an even number of tokens there for the last `Merge`.
    """
    rows, columns = (
        p * 2 ** (levels - 1) * math.lcm(w, 2) for p, w in zip(patch, window, strict=True)
    )
    return rows, columns
