"""The form of a new training: the typed settings, their limits, and what they come to."""

from __future__ import annotations

import math
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import param
import torch

from co2net import models
from co2net.assets import data_path
from co2net.errors import UserError
from co2net.jobs import Train
from co2net.training import TrainConfig
from co2net.windows import SPLITS, TARGETS

OTHER = "other"
"""Choice of a data set that is named by its folder."""
_OWN = "own"
_USUAL = TrainConfig(steps=1)
_PROCESSORS = os.cpu_count() or 1


def _devices() -> list[str]:
    return ["auto", "cpu", *(f"cuda:{n}" for n in range(torch.cuda.device_count()))]


class TrainForm(param.Parameterized):
    """Settings of a training as a person gives them; `spec` makes a job of them.

    The order is that of the form. ``precedence`` is the part of the form: 1 what, 2 data,
    3 how long, 4 how, 5 where.
    """

    title = param.String("", regex=r"(?s)\A.{0,120}\Z", precedence=1)
    model = param.Selector(default="co2net-plus", objects=models.names(), precedence=1)
    preset = param.Selector(default="XS", objects=list(models.PRESETS), precedence=1)
    target = param.Selector(default=_OWN, objects=[_OWN, *TARGETS], precedence=1)
    embedding = param.Selector(
        default=_OWN, objects=[_OWN, "wind", "climode", "none"], precedence=1
    )
    wind_loss = param.Number(_USUAL.wind_loss, bounds=(0, 100), precedence=1)
    data = param.String("", precedence=2)
    folder = param.String("", precedence=2)
    observations = param.String("", precedence=2)
    split = param.Selector(default="carbontracker", objects=list(SPLITS), precedence=2)
    train = param.String("", precedence=2)
    validation = param.String("", precedence=2)
    frames = param.Integer(_USUAL.frames, bounds=(1, 64), precedence=2)
    interval = param.Integer(_USUAL.interval, bounds=(1, 64), precedence=2)
    budget = param.Selector(default="minutes", objects=["minutes", "epochs", "steps"], precedence=3)
    amount = param.Number(20, bounds=(0, 10_000_000), inclusive_bounds=(False, True), precedence=3)
    validate_every = param.Integer(100, bounds=(1, 1_000_000), precedence=3)
    batch = param.Integer(_USUAL.batch, bounds=(1, 1024), precedence=4)
    rate = param.Number(None, bounds=(0, 1), inclusive_bounds=(False, True), precedence=4)
    seed = param.Integer(0, bounds=(0, 2**31 - 1), precedence=4)
    device = param.Selector(default="auto", objects=_devices(), precedence=5)
    threads = param.Integer(max(1, _PROCESSORS // 2), bounds=(1, max(1, _PROCESSORS)), precedence=5)
    nice = param.Integer(10, bounds=(0, 19), precedence=5)

    @classmethod
    def names(cls) -> list[str]:
        """Names of the settings, in the order of the form."""
        return [name for name in vars(cls) if name in cls.param and name != "name"]

    def fill(self, name: str, text: Any) -> None:
        """Take what a person typed.

        Raises
        ------
        ValueError
            When it is none of the choices, no number, or outside the limits.
        """
        if name not in self.names():
            raise ValueError(name)
        setting = self.param[name]
        value: Any = str(text).strip()
        if isinstance(setting, param.Integer):
            value = int(value)
        elif isinstance(setting, param.Number):
            value = None if value == "" and setting.allow_None else float(value)
            if value is not None and not math.isfinite(value):
                raise ValueError(text)
        setattr(self, name, value)

    def spec(self) -> Train:
        """The job.

        Raises
        ------
        UserError
            When the settings do not go together.
        """
        options = {} if self.embedding == _OWN else {"embedding": self.embedding}
        config: dict[str, Any] = {
            "model": self.model,
            "preset": self.preset,
            "target": None if self.target == _OWN else self.target,
            "options": options,
            "split": self.split,
            "frames": self.frames,
            "interval": self.interval,
            self.budget: int(self.amount) if self.budget == "steps" else float(self.amount),
            "batch": self.batch,
            "wind_loss": float(self.wind_loss),
            "validate_every": self.validate_every,
            "checkpoint_every": self.validate_every,
            "seed": self.seed,
        }
        if self.rate is not None:
            config["rate"] = float(self.rate)
        return Train(
            name=self.title,
            config=config,
            data=self.place(),
            observations=self.observations.strip() or None,
            years=self.years(),
            device=None if self.device == "auto" else self.device,
            threads=self.threads,
            nice=self.nice,
        )

    def place(self) -> str:
        """Folder of the data set.

        Raises
        ------
        UserError
            When none is named.
        """
        found = self.folder.strip() if self.data == OTHER else self.data
        if not found:
            raise UserError("name the folder of a store or archive")
        return found

    def years(self) -> dict[str, list[list[int]]] | None:
        """Years of one's own; those of the split where none are given.

        Raises
        ------
        UserError
            When they are no years.
        """
        if not self.train.strip() and not self.validation.strip():
            return None
        usual = SPLITS[self.split]
        return {
            "train": ranges(self.train) or [list(span) for span in usual.train],
            "validation": ranges(self.validation) or [list(span) for span in usual.validation],
        }

    def take(self, spec: dict[str, Any]) -> None:
        """Fill the form with the settings of a job, such as one to be done again with changes."""
        config = spec.get("config", {})
        budget = next((b for b in ("steps", "epochs", "minutes") if config.get(b)), "minutes")
        wanted = {
            "title": spec.get("name", ""),
            "model": config.get("model"),
            "preset": config.get("preset"),
            "target": config.get("target") or _OWN,
            "embedding": config.get("options", {}).get("embedding", _OWN),
            "wind_loss": config.get("wind_loss"),
            "data": OTHER,
            "folder": spec.get("data", ""),
            "observations": spec.get("observations") or "",
            "split": config.get("split"),
            "frames": config.get("frames"),
            "interval": config.get("interval"),
            "budget": budget,
            "amount": config.get(budget),
            "validate_every": config.get("validate_every"),
            "batch": config.get("batch"),
            "rate": config.get("rate"),
            "seed": config.get("seed"),
            "device": spec.get("device") or "auto",
            "threads": spec.get("threads"),
            "nice": spec.get("nice"),
        }
        for part in ("train", "validation"):
            spans = (spec.get("years") or {}).get(part, [])
            wanted[part] = ", ".join(f"{a}-{b}" if a != b else f"{a}" for a, b in spans)
        for name, value in wanted.items():
            try:
                setattr(self, name, value)
            except ValueError:  # a device or a model that is not here: the form keeps its own
                continue


def ranges(text: str) -> list[list[int]]:
    """Years such as ``2002-2010, 2012`` as inclusive ranges.

    Raises
    ------
    UserError
        When the text is none.
    """
    found = []
    for part in filter(None, (word.strip() for word in text.split(","))):
        match = re.fullmatch(r"(\d{4})(?:\s*[-–]\s*(\d{4}))?", part)
        if match is None or int(match[2] or match[1]) < int(match[1]):
            raise UserError(f"years '{part[:30]}': write them as 2002-2010, 2012")
        found.append([int(match[1]), int(match[2] or match[1])])
    return found


@dataclass(frozen=True)
class Coverage:
    """What a data set holds of a training's years.

    Parameters
    ----------
    windows, validation : int
        Complete windows.
    train_years, validation_years : str
        The years they are looked for in.
    months : tuple of str
        Whole or partial months that the data set has at all, the first ones.
    """

    windows: int
    validation: int
    train_years: str
    validation_years: str
    months: tuple[str, ...]


def coverage(spec: Train) -> Coverage:
    """Look what a training would read; opens the data set, reads no fields.

    Raises
    ------
    UserError
        When there is none, or the settings are not sound.
    """
    spec = spec.settled()
    source, years = spec.source(), spec.split()
    frames, interval = spec.config["frames"], spec.config["interval"]
    there = source.time[source.available].astype("datetime64[M]")
    months = sorted({str(month) for month in there})
    text = {
        part: ", ".join(f"{a}-{b}" if a != b else f"{a}" for a, b in getattr(years, part))
        for part in ("train", "validation")
    }
    return Coverage(
        int(years.windows(source, "train", frames, interval).size),
        int(years.windows(source, "validation", frames, interval).size),
        text["train"],
        text["validation"],
        tuple(months[:12]),
    )


def data_sets(store: Path | None) -> dict[str, Path]:
    """Data sets to choose from by folder: the 21 years, made or not, the page's, the others."""
    archive = data_path("archive")
    found = {str(archive.absolute()): archive}
    stores = sorted(data_path().glob("*/*.zarr"))
    for path in [*([store] if store else []), *stores]:
        found.setdefault(str(path.absolute()), path)
    return found
