"""Which networks there are, and how one is made.

A family is a file with a `Network` and its sizes; adding one is a line in `FAMILIES`.
"""

from __future__ import annotations

from dataclasses import dataclass
from inspect import signature
from typing import Any, Literal

import torch

from co2net.errors import UserError
from co2net.grid import LatLonGrid
from co2net.models import co2net, co2net_plus, cyclegan, senseiver, swinlstm, vit
from co2net.models.base import Layout, Network
from co2net.models.layers import parameter_count
from co2net.schema import AUXILIARY
from co2net.windows import channel_names

PRESETS = ("XS", "S", "B", "L")
"""Sizes; XS trains on a laptop's processor."""


Objective = Literal["supervised", "unpaired", "paired"]


@dataclass(frozen=True)
class Optimiser:
    """Settings of `co2net.training.TrainConfig` that a family takes unless others are given."""

    rate: float = 1e-3
    decay: float = 0.05
    betas: tuple[float, float] = (0.9, 0.95)
    clip: float = 1.0


ADVERSARIAL = Optimiser(rate=2e-4, decay=0.0, betas=(0.5, 0.999), clip=0.0)
"""CycleGAN's: Adam without decay or clipping."""


@dataclass(frozen=True)
class Family:
    """A kind of network.

    Parameters
    ----------
    name, title, description, reference : str
        As in `co2net.models.base.ModelInfo`.
    network
        Its class: ``network(layout, preset, **options)``.
    target : str
        Target when none is asked for.
    objective : {'supervised', 'unpaired', 'paired'}
        How it is trained (`co2net.training.objective`, `co2net.training.adversarial`).
    optimiser
        Its settings when none are asked for.
    """

    name: str
    title: str
    description: str
    reference: str
    network: type[Network]
    target: str
    objective: Objective = "supervised"
    optimiser: Optimiser = Optimiser()

    @property
    def options(self) -> dict[str, Any]:
        """Options with their defaults."""
        found = signature(self.network).parameters.values()
        return {p.name: p.default for p in found if p.name not in ("layout", "preset")}


_ICCV = (
    "CO2-Net: A Physics-Informed Spatio-Temporal Model for Global Surface CO2 Reconstruction, "
    "ICCV 2025"
)
_ICCV_2017 = (
    "Zhu et al., Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks, "
    "ICCV 2017"
)

FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        Family(
            "co2net",
            "CO2-Net",
            "Spatial and temporal towers connected at every layer, wind embedding, wind loss.",
            _ICCV,
            co2net.CO2Net,
            "absolute",
        ),
        Family(
            "co2net-plus",
            "CO2-Net+",
            "CO2-Net's towers correct optimal interpolation through a full-resolution decoder.",
            _ICCV + "; decoder and residual target by this project",
            co2net_plus.CO2NetPlus,
            "residual",
        ),
        Family(
            "vit",
            "ViT",
            "Vision transformer, frames stacked as channels.",
            "Dosovitskiy et al., An Image is Worth 16x16 Words, ICLR 2021",
            vit.ViT,
            "absolute",
        ),
        Family(
            "swinlstm",
            "SwinLSTM",
            "Recurrent cells of windowed attention, windows cyclic in longitude.",
            "Tang et al., SwinLSTM: Improving Spatiotemporal Prediction Accuracy using Swin "
            "Transformer and LSTM, 2023",
            swinlstm.SwinLSTM,
            "absolute",
            optimiser=Optimiser(rate=3e-4),
        ),
        Family(
            "cyclegan",
            "CycleGAN",
            "Residual convolutions, trained unpaired against critics with cycle consistency.",
            _ICCV_2017,
            cyclegan.Generator,
            "absolute",
            "unpaired",
            ADVERSARIAL,
        ),
        Family(
            "cyclegan-paired",
            "CycleGAN (paired)",
            "CycleGAN's generator, trained on pairs by L1 and a critic of both.",
            _ICCV_2017 + "; Isola et al., Image-to-Image Translation with Conditional "
            "Adversarial Networks, CVPR 2017",
            cyclegan.Generator,
            "absolute",
            "paired",
            ADVERSARIAL,
        ),
        Family(
            "senseiver",
            "Senseiver",
            "Stations are read into latents, which every cell asks by its position and weather.",
            "Santos et al., Development of the Senseiver for efficient field reconstruction from "
            "sparse observations, Nature Machine Intelligence 2023",
            senseiver.Senseiver,
            "absolute",
        ),
    )
}


def names() -> list[str]:
    """Names of the networks that can be trained."""
    return list(FAMILIES)


def info(name: str) -> Family:
    """What is known of a network.

    Raises
    ------
    UserError
        When there is none of the name.
    """
    if name not in FAMILIES:
        raise UserError(f"model '{name}' is unknown; choose from {', '.join(FAMILIES)}")
    return FAMILIES[name]


def create(name: str, preset: str, layout: Layout, **options: Any) -> Network:
    """Make an untrained network.

    Parameters
    ----------
    name, preset : str
        Of `FAMILIES` and `PRESETS`.
    layout
        Grid, channels, frames.
    options
        Those of the family, see `Family.options`.

    Raises
    ------
    UserError
        When name, preset or an option is unknown, or does not fit the layout.
    """
    family = info(name)
    if preset not in PRESETS:
        raise UserError(f"preset '{preset}' is unknown; choose from {', '.join(PRESETS)}")
    strange = set(options) - set(family.options)
    if strange:
        raise UserError(
            f"{name} has no option {', '.join(sorted(strange))}; it has {', '.join(family.options)}"
        )
    return family.network(layout, preset=preset, **options)


def parameter_counts(name: str) -> dict[str, int]:
    """Preset -> trained values, for CarbonTracker's grid, all variables and 8 frames.

    Nothing is allocated: the networks are laid out on PyTorch's ``meta`` device.
    """
    channels = channel_names(AUXILIARY, info(name).target)
    layout = Layout(LatLonGrid.ct(), channels, frames=8)
    with torch.device("meta"):
        return {preset: parameter_count(create(name, preset, layout)) for preset in PRESETS}
