"""Settings of a training, saved with the run."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal

from co2net.errors import UserError
from co2net.models.registry import info

Precision = Literal["auto", "bf16", "fp32"]

ABSOLUTE_GAIN = 22.6
"""Of 1, 2.83, 8, 22.6 and 64 the least from which validation gains no more (docs/models.md)."""


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides a training, beside the data.

    Parameters
    ----------
    model, preset : str
        Of `co2net.models.names` and `co2net.models.PRESETS`.
    target : {'absolute', 'anomaly', 'residual'} or None
        None takes the family's own.
    options : dict
        Options of the network, such as ``{"embedding": "none", "connection": False}``.
    split : str
        Of `co2net.windows.SPLITS`.
    frames, interval : int
        Length of the window, steps of the data between its frames.
    steps, epochs, minutes
        The budget; exactly one. With ``minutes`` the learning rate follows the clock, and a run
        is not repeatable bit by bit.
    batch : int
        Windows a step and process.
    rate, decay, betas
        AdamW: peak learning rate, weight decay of matrices, momenta. None takes the family's
        (`co2net.models.registry.Family.optimiser`).
    warmup : float
        Share of the budget in which the rate rises; it then falls as a half cosine to zero.
    clip : float
        Largest norm of the gradient; 0 leaves it as it is, None takes the family's.
    ema : float
        Decay of the averaged weights, which are the ones validated and kept; rises to this from
        0 as ``(1 + step) / (10 + step)``.
    station_gain : float
        Factor on the stations' channels, beyond the one that gives them the mean square of the
        others (`co2net.windows.Statistics`). None takes `ABSOLUTE_GAIN` for the target
        ``absolute``, whose level only the stations know, and 1 for the others.
    wind_loss : float
        lambda of the semi-supervised loss (CarbonTracker 0.2, CMIP6 1).
    precision : {'auto', 'bf16', 'fp32'}
        Matrix products; ``auto`` takes bf16 where the device is fast at it. The loss, the
        optimiser and all metrics are in single precision.
    validate_every, validation_windows : int
        Steps between validations, and how many windows, evenly spaced over the validation years.
    patience : int
        Validations without a better one after which training stops; 0 never stops.
    checkpoint_every : int
        Steps between checkpoints.
    seed : int
        Of the weights and of the order of windows.
    """

    model: str = "co2net"
    preset: str = "B"
    target: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    split: str = "carbontracker"
    frames: int = 8
    interval: int = 1
    steps: int | None = None
    epochs: float | None = None
    minutes: float | None = None
    batch: int = 8
    rate: float | None = None
    decay: float | None = None
    betas: tuple[float, float] | None = None
    warmup: float = 0.03
    clip: float | None = None
    ema: float = 0.998
    station_gain: float | None = None
    wind_loss: float = 0.2
    precision: Precision = "auto"
    validate_every: int = 250
    validation_windows: int = 96
    patience: int = 0
    checkpoint_every: int = 250
    seed: int = 0

    def __post_init__(self) -> None:
        budgets = [x for x in (self.steps, self.epochs, self.minutes) if x is not None]
        if len(budgets) != 1 or budgets[0] <= 0:
            raise UserError("give one budget above zero: steps, epochs or minutes")
        if self.precision not in ("auto", "bf16", "fp32"):
            raise UserError(f"precision '{self.precision}': choose auto, bf16 or fp32")
        for name in (
            "frames", "interval", "batch", "validate_every", "validation_windows",
            "checkpoint_every",
        ):  # fmt: skip
            if getattr(self, name) < 1:
                raise UserError(f"{name} must be at least 1")
        for name in ("warmup", "ema"):
            if not 0 <= getattr(self, name) < 1:
                raise UserError(f"{name} must be from 0 to below 1")
        for name in ("rate", "decay", "clip", "wind_loss", "patience", "seed"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < math.inf:
                raise UserError(f"{name} must be a number from 0 on")
        if self.station_gain is not None and not 0 < self.station_gain < math.inf:
            raise UserError("station_gain must be a number above 0")

    def resolved(self) -> TrainConfig:
        """The same with the family's own where nothing was given.

        Raises
        ------
        UserError
            When the model is unknown.
        """
        family = info(self.model)
        target = self.target or family.target
        gain = ABSOLUTE_GAIN if target == "absolute" else 1.0
        own = {**asdict(family.optimiser), "target": target, "station_gain": gain}
        return replace(self, **{k: v for k, v in own.items() if getattr(self, k) is None})

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> TrainConfig:
        """Inverse of `to_dict`.

        Raises
        ------
        UserError
            When a setting is unknown.
        """
        known = {f.name for f in fields(cls)}
        strange = set(data) - known
        if strange:
            raise UserError(f"unknown training settings: {', '.join(sorted(strange))}")
        data = dict(data)
        if data.get("betas") is not None:
            data["betas"] = tuple(data["betas"])
        return cls(**data)
