"""CycleGAN baseline: a residual convolutional generator, trained against critics.

Written from Zhu et al., "Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial
Networks" (ICCV 2017), Johnson et al., "Perceptual Losses for Real-Time Style Transfer" (ECCV 2016;
the generator) and Isola et al., "Image-to-Image Translation with Conditional Adversarial Networks"
(CVPR 2017; the patch critic, and the paired training). `co2net.training.adversarial` trains them.

Domain A is the window, domain B the field of CO2. `Generator` takes A to B and is all that
reconstructing needs; `Inverse` takes B to the window's moving channels, so that both cycles are
defined. Everything is cyclic in longitude and repeats the edge rows at the poles; a grid whose
sides are no multiples of four is padded so, and the output cropped.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from co2net.models.base import PLACE_CHANNELS, SUN_CHANNELS, Layout, Network, Reconstruction, Stem
from co2net.schema import VARIABLES
from co2net.windows import STATION_CHANNELS


@dataclass(frozen=True)
class Size:
    """Channels of the generator's first layer, its residual blocks, the critics' first channels."""

    width: int
    blocks: int = 9
    critic: int = 64


SIZES: dict[str, Size] = {
    "XS": Size(40, 9, 32),
    "S": Size(64),
    "B": Size(96),
    "L": Size(288),
}
"""About 5, 12, 26 and 233 million parameters of the generator; S is the paper's."""


def globe_pad(x: Tensor, before: int, after_rows: int, after_columns: int) -> Tensor:
    """(B, C, H, W) with columns from beyond the date line and edge rows repeated.

    ``before`` columns and rows are added at the start, the others at the end; no more columns
    than there are.
    """
    x = torch.cat([x[..., x.shape[3] - before :], x, x[..., :after_columns]], dim=3)
    return torch.cat([x[:, :, :1]] * before + [x] + [x[:, :, -1:]] * after_rows, dim=2)


class Conv(nn.Module):
    """Convolution on the globe, ``k`` x ``k`` cells, every ``stride``-th; sides round up."""

    def __init__(
        self, inside: int, outside: int, k: int, stride: int = 1, bias: bool = False
    ) -> None:
        super().__init__()
        self.k, self.stride = k, stride
        self.conv = nn.Conv2d(inside, outside, k, stride, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C', ceil(H / stride), ceil(W / stride))."""
        before = (self.k - 1) // 2
        after = (
            (-(-side // self.stride) - 1) * self.stride + self.k - side - before
            for side in x.shape[2:]
        )
        return self.conv(globe_pad(x, before, *after))


class Enlarge(nn.Module):
    """Transposed 3 x 3 convolution of stride 2 on the globe."""

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__()
        self.conv = nn.ConvTranspose2d(inside, outside, 3, stride=2, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C', 2 H, 2 W)."""
        height, width = x.shape[2:]
        return self.conv(globe_pad(x, 0, 1, 1))[:, :, : 2 * height, : 2 * width]


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions with instance norm, added to what came in."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            Conv(width, width, 3),
            nn.InstanceNorm2d(width),
            nn.ReLU(),
            Conv(width, width, 3),
            nn.InstanceNorm2d(width),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, D, H, W) -> the same."""
        return x + self.layers(x)


class ResNet(nn.Module):
    """c7s1-w, d2w, d4w, residual blocks, u2w, uw, c7s1 (the paper's notation), linear output.

    A convolution before an instance norm has no bias: the norm would take it away.
    """

    def __init__(self, inside: int, outside: int, size: Size) -> None:
        super().__init__()
        w = size.width
        self.layers = nn.Sequential(
            Conv(inside, w, 7), nn.InstanceNorm2d(w), nn.ReLU(),
            Conv(w, 2 * w, 3, 2), nn.InstanceNorm2d(2 * w), nn.ReLU(),
            Conv(2 * w, 4 * w, 3, 2), nn.InstanceNorm2d(4 * w), nn.ReLU(),
            *(ResidualBlock(4 * w) for _ in range(size.blocks)),
            Enlarge(4 * w, 2 * w), nn.InstanceNorm2d(2 * w), nn.ReLU(),
            Enlarge(2 * w, w), nn.InstanceNorm2d(w), nn.ReLU(),
            Conv(w, outside, 7, bias=True),
        )  # fmt: skip
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C', H, W)."""
        height, width = x.shape[2:]
        down, right = -height % 4, -width % 4
        if down or right:
            x = globe_pad(x, 0, down, right)
        return self.layers(x)[:, :, :height, :width]


class Critic(nn.Module):
    """70 x 70 PatchGAN: one score for every patch (C64-C128-C256-C512 at the paper's width)."""

    def __init__(self, inside: int, size: Size) -> None:
        super().__init__()
        w = size.critic
        layers: list[nn.Module] = [Conv(inside, w, 4, 2, bias=True), nn.LeakyReLU(0.2)]
        for before, after, stride in ((w, 2 * w, 2), (2 * w, 4 * w, 2), (4 * w, 8 * w, 1)):
            layers += [Conv(before, after, 4, stride), nn.InstanceNorm2d(after), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, Conv(8 * w, 1, 4, bias=True))
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, 1, about H / 8, about W / 8)."""
        return self.layers(x)


def initialise(module: nn.Module) -> None:
    """Normal weights of 0.02, zero biases, as in the paper."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(part.weight, std=0.02)
            if part.bias is not None:
                nn.init.zeros_(part.bias)


def content_channels(channels: tuple[str, ...]) -> tuple[int, ...]:
    """Positions of the window's channels that `Inverse` makes.

    All but those known beforehand in both domains: static variables, and which stations report.
    """
    known = {name for name, variable in VARIABLES.items() if variable.static}
    known.add(STATION_CHANNELS[1])
    return tuple(n for n, name in enumerate(channels) if name not in known)


def _still(stem: Stem) -> list[int]:
    """Positions of the stem's channels that do not move, or follow from place and clock."""
    names = stem.names[: stem.channels - stem.embedding.channels]
    still = {name for name, variable in VARIABLES.items() if variable.static}
    still |= {*PLACE_CHANNELS, *SUN_CHANNELS}
    return [n for n, name in enumerate(names) if name in still]


class Generator(Network):
    """The generator from windows to fields; frames are stacked as channels.

    Parameters
    ----------
    layout
        Grid, channels, frames.
    preset : {'XS', 'S', 'B', 'L'}
    embedding : str
        The embedding is CO2-Net's own; what it is made of are inputs of every network.
    """

    def __init__(self, layout: Layout, preset: str = "B", embedding: str = "none") -> None:
        super().__init__()
        self.stem = Stem(layout, embedding)
        self.still = _still(self.stem)
        self.moving = [n for n in range(self.stem.channels) if n not in self.still]
        inside = len(self.moving) * layout.frames + len(self.still)
        self.net = ResNet(inside, 1, SIZES[preset])

    def forward(self, inputs: Tensor, clock: Tensor) -> Reconstruction:
        """See `Network`."""
        return Reconstruction(self.field(self.stem(inputs, clock)))

    def field(self, x: Tensor) -> Tensor:
        """(B, C', T, H, W), channels of the stem -> (B, H, W)."""
        moving = x[:, self.moving].flatten(1, 2)
        return self.net(torch.cat([moving, x[:, self.still, -1]], dim=1))[:, 0]


class Inverse(nn.Module):
    """The generator from fields to the moving channels of windows.

    It reads the field, and what is known without the window: terrain, place, season and hour.
    What it says of stations is zero where none reports.
    """

    def __init__(self, layout: Layout, preset: str) -> None:
        super().__init__()
        self.stem = Stem(layout)
        self.still = _still(self.stem)
        self.content = content_channels(layout.channels)
        self.frames = layout.frames
        value, mask = (layout.channels.index(name) for name in STATION_CHANNELS)
        self.station, self.mask = self.content.index(value), mask
        self.net = ResNet(1 + len(self.still), len(self.content) * self.frames, SIZES[preset])

    def forward(self, co2: Tensor, known: Tensor, clock: Tensor) -> Tensor:
        """Windows of fields.

        Parameters
        ----------
        co2 : (B, H, W)
            Normalised target.
        known : (B, C, T, H, W)
            Windows of which the static channels and the stations' mask are read.
        clock : (B, T, 2)

        Returns
        -------
        (B, C, T, H, W)
            ``known`` with its content replaced.
        """
        still = self.stem(known, clock)[:, self.still, -1]
        made = self.net(torch.cat([co2[:, None].to(still.dtype), still], dim=1))
        made = made.unflatten(1, (len(self.content), self.frames))
        window = known.to(made.dtype, copy=True)
        window[:, self.content] = made
        window[:, self.content[self.station]] *= known[:, self.mask].to(made.dtype)
        return window
