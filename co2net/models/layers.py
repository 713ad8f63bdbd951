"""Pieces that the networks share.

Shape suffixes: B batch, C channels, T frames, F = T/2 tubelet frames, H x W cells, N patches,
D width of a token.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from co2net.errors import UserError


def check_patch(shape: tuple[int, int], patch: tuple[int, int]) -> tuple[int, int]:
    """Patches along latitude and longitude.

    Raises
    ------
    UserError
        When the patches do not tile the grid.
    """
    (height, width), (p, q) = shape, patch
    if p < 1 or q < 1 or height % p or width % q:
        raise UserError(
            f"patches of {p} x {q} cells do not tile a grid of {height} x {width}; "
            "give the option patch=(p, q) with divisors of the grid"
        )
    return height // p, width // q


def patchify(x: Tensor, patch: tuple[int, int], tube: int) -> Tensor:
    """(B, C, T, H, W) -> (B, T/tube, N, C * tube * p * q), patches row by row."""
    b, c, t, h, w = x.shape
    p, q = patch
    many = 8 // x.element_size()  # short cells are moved as one long number
    if many > 1 and q % many == 0 and x.is_contiguous() and not x.requires_grad:
        return patchify(x.view(torch.int64), (p, q // many), tube).view(x.dtype)
    x = x.reshape(b, c, t // tube, tube, h // p, p, w // q, q)
    x = x.permute(0, 2, 4, 6, 1, 3, 5, 7)
    return x.reshape(b, t // tube, (h // p) * (w // q), c * tube * p * q)


def unpatchify(tokens: Tensor, shape: tuple[int, int], patch: tuple[int, int]) -> Tensor:
    """(..., N, C * p * q) -> (..., C, H, W): the inverse of `patchify` for one frame."""
    (h, w), (p, q) = shape, patch
    lead = tokens.shape[:-2]
    x = tokens.reshape(-1, h // p, w // q, tokens.shape[-1] // (p * q), p, q)
    x = x.permute(0, 3, 1, 4, 2, 5)
    return x.reshape(*lead, -1, h, w)


class Attention(nn.Module):
    """Multi-head attention (Vaswani et al. 2017); queries and keys may come from elsewhere.

    Parameters
    ----------
    width : int
        D; heads of ``head`` channels.
    """

    def __init__(self, width: int, head: int = 32) -> None:
        super().__init__()
        if width % head:
            raise UserError(f"width {width} is no multiple of the head's {head} channels")
        self.heads = width // head
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)

    def forward(self, query: Tensor, memory: Tensor) -> Tensor:
        """(..., Q, D), (..., M, D) -> (..., Q, D)."""
        lead, width = query.shape[:-2], query.shape[-1]
        q = self.query(query).reshape(-1, query.shape[-2], self.heads, width // self.heads)
        kv = self.key_value(memory)
        kv = kv.reshape(-1, memory.shape[-2], 2, self.heads, width // self.heads)
        k, v = kv.unbind(dim=2)
        mixed = _attend(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2))
        return self.out(mixed.transpose(1, 2).reshape(*lead, query.shape[-2], width))


def _attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """softmax(q k' / sqrt d) v, by the way that is faster on the device.

    On a CPU in half precision, PyTorch's fused attention is 1.5 to 5 times faster without
    gradients, but its backward pass is slower than that of plain products; of a few frames
    either is (docs/performance.md).
    """
    length = k.shape[-2]
    plain = 512 if torch.is_grad_enabled() else 16
    if q.device.type == "cpu" and length <= plain:
        return ((q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)).softmax(dim=-1) @ v
    return F.scaled_dot_product_attention(q, k, v)


class Block(nn.Module):
    """Layer of a vision transformer, normalised before (Dosovitskiy et al. 2021)."""

    def __init__(self, width: int, head: int = 32, ratio: int = 4) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = Attention(width, head)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, ratio * width), nn.GELU(), nn.Linear(ratio * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(..., tokens, D) -> the same."""
        y = self.norm1(x)
        x = x + self.attention(y, y)
        return x + self.mlp(self.norm2(x))


class Exchange(nn.Module):
    """One direction of the space-time connection, at bottleneck width, residual.

    ``T2S`` (over time): queries of the spatial tower attend to the temporal tower's tokens of
    the same place. ``S2T`` (over space): queries of the temporal tower attend to the spatial
    tower's tokens of the same frame. After CAST (Lee et al., NeurIPS 2023).
    """

    def __init__(self, width: int, along: Literal["time", "space"], head: int = 32) -> None:
        super().__init__()
        narrow = max(width // 2 // head, 1) * head
        self.along = along
        self.norm_query = nn.LayerNorm(width)
        self.norm_memory = nn.LayerNorm(width)
        self.down_query = nn.Linear(width, narrow)
        self.down_memory = nn.Linear(width, narrow)
        self.attention = Attention(narrow, head)
        self.up = nn.Linear(narrow, width)

    def forward(self, query: Tensor, memory: Tensor) -> Tensor:
        """(B, F, N, D), (B, F, N, D) -> (B, F, N, D): what is added to the queries."""
        q = self.down_query(self.norm_query(query))
        m = self.down_memory(self.norm_memory(memory))
        if self.along == "space":
            return self.up(self.attention(q, m))
        # contiguous: without gradients PyTorch would copy the weights for every place instead
        q, m = q.transpose(1, 2).contiguous(), m.transpose(1, 2).contiguous()
        return self.up(self.attention(q, m).transpose(1, 2).contiguous())


class GlobeConv(nn.Module):
    """3 x 3 convolution on the globe: cyclic in longitude, edge rows repeated at the poles."""

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inside, outside, 3)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C', H, W)."""
        return self.conv(globe_rim(x))


def globe_rim(x: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, C, H + 2, W + 2): a cell from beyond the date line, edge rows again."""
    return _Rim.apply(x)  # type: ignore[no-untyped-call, no-any-return]


class _Rim(torch.autograd.Function):
    """`globe_rim`, whose gradient is one copy and four edges."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        out = torch.empty(
            (batch, channels, height + 2, width + 2),
            dtype=x.dtype, device=x.device, memory_format=_layout(x),
        )  # fmt: skip
        out[:, :, 1:-1, 1:-1] = x
        out[:, :, 0, 1:-1], out[:, :, -1, 1:-1] = x[:, :, 0], x[:, :, -1]
        out[..., 0], out[..., -1] = out[..., -2], out[..., 1]
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        rows = grad[:, :, [0, -1], 1:-1].clone()
        rows[..., -1] += grad[:, :, [0, -1], 0]
        rows[..., 0] += grad[:, :, [0, -1], -1]
        inner = grad[:, :, 1:-1, 1:-1].contiguous(memory_format=_layout(grad))
        inner[..., -1] += grad[:, :, 1:-1, 0]
        inner[..., 0] += grad[:, :, 1:-1, -1]
        inner[:, :, 0] += rows[:, :, 0]
        inner[:, :, -1] += rows[:, :, 1]
        return inner


def _layout(x: Tensor) -> torch.memory_format:
    last = x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()
    return torch.channels_last if last else torch.contiguous_format


class PlaceScale(nn.Module):
    """A learned scale and shift for every channel and place; starts as the identity."""

    def __init__(self, channels: int, shape: tuple[int, int]) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.zeros(channels, *shape))
        self.shift = nn.Parameter(torch.zeros(channels, *shape))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same."""
        scale, shift = (self._like(x, table) for table in (self.scale, self.shift))
        return torch.addcmul(x + shift, x, scale)

    def _like(self, x: Tensor, table: Tensor) -> Tensor:
        """In the type and the memory layout of x: mixed layouts are slow."""
        if _layout(x) == torch.channels_last:
            return table.to(x.dtype).permute(1, 2, 0).contiguous().permute(2, 0, 1)
        return table.to(x.dtype)


class GlobeBlock(nn.Module):
    """Two `GlobeConv` with `PlaceScale` between them and a residual path; starts as identity."""

    def __init__(self, width: int, shape: tuple[int, int]) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(1, width)
        self.first = GlobeConv(width, width)
        self.place = PlaceScale(width, shape)
        self.second = GlobeConv(width, width)
        nn.init.zeros_(self.second.conv.weight)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same."""
        return x + self.second(F.silu(self.place(self.first(self.norm(x)))))


def initialise(module: nn.Module, last: nn.Linear | None = None) -> None:
    """Weights of linear layers as in ViT's own code: uniform after Glorot and Bengio (2010).

    Biases are zero, and so is the layer that gives the output, ``last``: an untrained network
    returns zero, which is the target's prior.
    """
    for part in module.modules():
        if isinstance(part, nn.Linear):
            nn.init.xavier_uniform_(part.weight)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
    if last is not None:
        nn.init.zeros_(last.weight)


def parameter_count(module: nn.Module) -> int:
    """Number of trained values."""
    return sum(p.numel() for p in module.parameters())
