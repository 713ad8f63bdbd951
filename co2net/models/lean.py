"""Networks in the form in which they only answer: the same function in fewer, larger steps.

Weights never change once a network is trained, so that what is linear twice is multiplied once
and for all: scales and shifts of a norm go into the layer that follows it, the two bottleneck
layers on each side of the connection become one, and queries, keys and values of one input come
from one product. The residual stream is kept in the type of the products and added to in place.
docs/performance.md says what this gives, and what half precision does to the fields.
"""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from co2net.models.base import Network, Stem
from co2net.models.co2net import Pair, Towers, WindDecoder
from co2net.models.layers import Attention, Block, Exchange, patchify

AnyNetwork = TypeVar("AnyNetwork", bound=Network)

_LARGEST = 2**27
"""Bytes of weights of their own that patches may have; 84 MiB in preset B on 90 x 120 cells."""


def lean(network: AnyNetwork, dtype: torch.dtype) -> AnyNetwork:
    """A network that gives the same CO2 in products of ``dtype``, and no wind; without gradients.

    It shares what is not made anew with ``network``, whose weights must not change any more.
    Networks without transformer layers are given back as they are.
    """
    out = copy.copy(network)
    out._modules = dict(network._modules)
    device = next(network.parameters()).device
    with torch.no_grad(), torch.autocast(device.type, enabled=False):
        for name, part in network.named_children():
            if isinstance(part, Towers):
                assert isinstance(network.stem, Stem)
                out._modules[name] = LeanTowers(part, network.stem, dtype)
            elif isinstance(part, nn.Sequential) and all(isinstance(p, Block) for p in part):
                out._modules[name] = LeanBlocks(part, dtype)
            elif isinstance(part, WindDecoder):
                out._modules[name] = None
    return out


class Affine:
    """``y = x W' + b``, merged from layers: it reads what the first one does.

    Parameters
    ----------
    weight : (E, D), bias : (E,)
    """

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        self.weight, self.bias = weight, bias

    @classmethod
    def of(cls, *layers: nn.Linear | nn.LayerNorm | Affine) -> Affine:
        """Layers one after the other; of a norm its scale and shift."""
        merged = None
        for layer in layers:
            if isinstance(layer, nn.LayerNorm):
                layer = cls(torch.diag(layer.weight), layer.bias)
            if merged is None:
                merged = cls(layer.weight, layer.bias)
            else:
                bias = torch.addmv(layer.bias, layer.weight, merged.bias)
                merged = cls(layer.weight @ merged.weight, bias)
        assert merged is not None
        return merged

    @classmethod
    def beside(cls, *parts: Affine) -> Affine:
        """What reads one input, in one product."""
        return cls(torch.cat([p.weight for p in parts]), torch.cat([p.bias for p in parts]))

    def to(self, dtype: torch.dtype) -> Affine:
        """In the type of the products."""
        return Affine(self.weight.to(dtype), self.bias.to(dtype))

    def __call__(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., E)."""
        return F.linear(x, self.weight, self.bias)

    def onto(self, out: Tensor, x: Tensor) -> None:
        """Add to ``out`` (..., E), which is contiguous, what `__call__` gives."""
        rows = out.view(-1, out.shape[-1])
        rows.addmm_(x.reshape(len(rows), -1), self.weight.t()).add_(self.bias)


def _norm(x: Tensor) -> Tensor:
    """A layer norm without scale and shift."""
    return F.layer_norm(x, x.shape[-1:])


class LeanBlock:
    """`Block`, which it changes its argument by."""

    def __init__(self, block: Block, dtype: torch.dtype) -> None:
        attention, up, down = block.attention, block.mlp[0], block.mlp[2]
        assert isinstance(up, nn.Linear) and isinstance(down, nn.Linear)  # noqa: PT018
        self.heads = attention.heads
        read = Affine.beside(_scaled(attention), Affine.of(attention.key_value))
        self.read = Affine.of(block.norm1, read).to(dtype)
        self.out = Affine.of(attention.out).to(dtype)
        self.up = Affine.of(block.norm2, up).to(dtype)
        self.down = Affine.of(down).to(dtype)

    def __call__(self, x: Tensor) -> None:
        """(B, tokens, D), contiguous, becomes what `Block` gives."""
        q, k, v = self.read(_norm(x)).unflatten(-1, (3, self.heads, -1)).unbind(-3)
        self.out.onto(x, _attend(q, k, v))
        self.down.onto(x, F.gelu(self.up(_norm(x))))


class LeanExchange:
    """Both directions of the connection, which read each tower once."""

    def __init__(self, to_space: Exchange, to_time: Exchange, dtype: torch.dtype) -> None:
        self.heads = to_space.attention.heads
        self.space = _asks_and_tells(to_space, to_time).to(dtype)
        self.time = _asks_and_tells(to_time, to_space).to(dtype)
        self.to_space = Affine.of(to_space.attention.out, to_space.up).to(dtype)
        self.to_time = Affine.of(to_time.attention.out, to_time.up).to(dtype)

    def __call__(self, space: Tensor, time: Tensor) -> None:
        """Both (B, F, N, D), contiguous, are added to."""
        asked, k_space, v_space = self._heads(self.space(_norm(space)))
        asking, k_time, v_time = self._heads(self.time(_norm(time)))
        over_time = _attend_frames(asked, k_time, v_time)
        per_frame = (part.flatten(0, 1) for part in (asking, k_space, v_space))
        over_space = _attend(*per_frame)
        self.to_space.onto(space, over_time)
        self.to_time.onto(time, over_space)

    def _heads(self, x: Tensor) -> tuple[Tensor, ...]:
        return x.unflatten(-1, (3, self.heads, -1)).unbind(-3)


def _asks_and_tells(asks: Exchange, tells: Exchange) -> Affine:
    """Of one tower: queries for the one direction, keys and values for the other."""
    query = Affine.of(asks.norm_query, asks.down_query, _scaled(asks.attention))
    key_value = Affine.of(tells.norm_memory, tells.down_memory, tells.attention.key_value)
    return Affine.beside(query, key_value)


def _scaled(attention: Attention) -> Affine:
    """Queries over the root of a head's channels, so that attention need not divide."""
    scale = (attention.query.out_features // attention.heads) ** -0.5
    return Affine(scale * attention.query.weight, scale * attention.query.bias)


def _attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention between the tokens of (B, tokens, heads, d) -> (B, tokens, heads * d)."""
    q, k, v = (part.transpose(1, 2) for part in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v, scale=1.0).transpose(1, 2).flatten(2)


def _attend_frames(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention between the few frames of each place of (B, F, N, heads, d), the same shape.

    Products as small as F x F are slower than multiplying frame by frame.
    """
    frames = range(k.shape[1])
    scores = torch.stack([(q * k[:, f : f + 1]).sum(dim=-1, keepdim=True) for f in frames])
    weight = scores.softmax(dim=0)
    out = weight[0] * v[:, :1]
    for f in frames[1:]:
        out.addcmul_(weight[f], v[:, f : f + 1])
    return out


class LeanBlocks(nn.Module):
    """A sequence of `Block`."""

    def __init__(self, blocks: nn.Sequential, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype
        self.blocks = [LeanBlock(block, dtype) for block in blocks if isinstance(block, Block)]

    def forward(self, x: Tensor) -> Tensor:
        """(B, tokens, D) -> the same."""
        x = x.to(self.dtype, copy=True)
        with torch.autocast(x.device.type, enabled=False):
            for block in self.blocks:
                block(x)
        return x.float()


class WindTokens:
    """Tokens under a wind embedding, psi(x, y) x psi(t), without writing it.

    psi(x, y) is known beforehand: its nine values at a cell are summed into weights that each
    patch has of its own, and what is left to read of 45 channels are the four of psi(t) that
    change. The fifth, one, is a bias.
    """

    def __init__(self, towers: Towers, stem: Stem, dtype: torch.dtype) -> None:
        self.patch = towers.patch
        weight, bias = towers.reading()
        plain, wind = weight.unflatten(1, (stem.channels, -1)).split(
            [stem.channels - stem.embedding.channels, stem.embedding.channels], dim=1
        )
        self.plain = Affine(plain.flatten(1), bias).to(dtype)
        place = patchify(stem.embedding.place[None, :, None], self.patch, 1)
        place = place[0, 0].unflatten(-1, (9, -1))  # (N, 9, p * q)
        parts = [
            torch.einsum("eitc,nic->ntce", part, place)
            for part in wind.unflatten(1, (9, 5)).unflatten(-1, (2, -1)).unbind(2)
        ]
        self.bias = parts.pop().sum(dim=(1, 2))  # (N, E)
        moving = torch.stack([part.to(dtype) for part in parts], dim=1)
        self.moving = moving.flatten(1, 3)  # (N, 4 * 2 * p * q, E)

    @staticmethod
    def pays(towers: Towers, stem: Stem, dtype: torch.dtype) -> bool:
        """Whether there is such an embedding, and its weights are not too large."""
        height, width = stem.place.shape[-2:]
        size = height * width * 8 * len(towers.reading()[1]) * dtype.itemsize
        return stem.embedding.name.startswith("wind") and size <= _LARGEST

    def __call__(self, stem: Stem, plain: Tensor, clock: Tensor) -> Tensor:
        """(B, C, T, H, W), (B, T, 2) -> (B, T/2, N, E)."""
        _, psi = stem.embedding.factors(clock, stem.wind(plain))
        moving = patchify(psi[:, :4].contiguous(), self.patch, 2)
        batch, pairs = moving.shape[:2]
        own = torch.bmm(moving.flatten(0, 1).transpose(0, 1), self.moving).transpose(0, 1)
        tokens = self.plain(patchify(plain, self.patch, 2))
        return tokens + own.unflatten(0, (batch, pairs)) + self.bias


class LeanTowers(nn.Module):
    """`Towers`; both norms at the end, and the sum with the places before, are as precise."""

    def __init__(self, towers: Towers, stem: Stem, dtype: torch.dtype) -> None:
        super().__init__()
        self.plain, self.dtype = towers, dtype
        pays = WindTokens.pays(towers, stem, dtype)
        self.tokens = WindTokens(towers, stem, dtype) if pays else None
        self.space = self._blocks(towers.space_blocks) if towers.spatial else []
        self.time = self._blocks(towers.time_blocks) if towers.temporal else []
        pairs = list[Exchange](towers.exchange) if towers.connected else []  # type: ignore[arg-type]
        self.exchange = [
            LeanExchange(to_space, to_time, dtype)
            for to_space, to_time in zip(pairs[::2], pairs[1::2], strict=True)
        ]

    def _blocks(self, blocks: nn.ModuleList) -> list[LeanBlock]:
        return [LeanBlock(block, self.dtype) for block in blocks if isinstance(block, Block)]

    def read(self, stem: Stem, plain: Tensor, clock: Tensor) -> Pair:
        """See `Towers.read`."""
        if self.tokens is None:
            pair = self.plain.tokens(stem.patches(plain, clock, self.plain.patch, 2))
        else:
            pair = self.plain.placed(self.tokens(stem, plain, clock))
        space, time = (None if one is None else one.to(self.dtype).contiguous() for one in pair)
        with torch.autocast(plain.device.type, enabled=False):
            for layer in range(max(len(self.space), len(self.time))):
                if space is not None:
                    self.space[layer](space.flatten(0, 1))
                if time is not None:
                    self.time[layer](time.flatten(1, 2))
                if self.exchange and space is not None and time is not None:
                    self.exchange[layer](space, time)
        return self.plain.finish(
            None if space is None else space.float(), None if time is None else time.float()
        )
