"""Who is compared: models by the name of their checkpoint's folder, and their seeds.

``NAME@SEED`` is another training of NAME with another seed: ``co2net@1`` beside ``co2net``.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from co2net.assets import data_path
from co2net.errors import UserError
from co2net.inference import window_length
from co2net.source import FieldSource
from co2net.windows import require_same_stations

if TYPE_CHECKING:
    from co2net.models.base import ModelInfo, Reconstructor

_CONFIG = "config.json"


@dataclass(frozen=True)
class Entrant:
    """A model that takes part; loaded when its turn comes, so that many fit into memory.

    Parameters
    ----------
    name : str
        Of the comparison: the checkpoint's folder without its seed.
    seed : str
        Seed of its training; empty where nothing was drawn.
    load
        Gives the model.
    trained_by : str
        Command that trains a network like it; empty for others.
    shipped : bool
        Whether it comes with the program.
    """

    name: str
    seed: str
    load: Callable[[], Reconstructor]
    trained_by: str = ""
    shipped: bool = True

    @property
    def label(self) -> str:
        """Name and seed, for files and messages."""
        return f"{self.name}@{self.seed}" if self.seed else self.name

    @property
    def title(self) -> str:
        """Name, with the seed where it is not the first: the checkpoint's folder."""
        return self.name if self.seed in ("", "0") else self.label


@dataclass(frozen=True)
class Known:
    """What is known of an entrant without keeping its weights.

    Parameters
    ----------
    info
        Of the model; its name is the family's.
    reach : int
        Frames from the first to the last that it reads for one field.
    """

    info: ModelInfo
    reach: int


def entrants(models: Sequence[str] | None = None, seeds: bool = False) -> list[Entrant]:
    """The entrants of names of checkpoints and folders of runs.

    Parameters
    ----------
    models
        None: all that are shipped, with all their seeds.
    seeds
        Whether ``NAME@*`` beside a named checkpoint takes part too.

    Raises
    ------
    UserError
        When one is unknown, or two have the same name and seed.
    """
    from co2net import models as registry

    shipped = registry.available()
    wanted = shipped if models is None else list(dict.fromkeys(models))
    if seeds:
        for asked in [name for name in wanted if "@" not in Path(name).name]:
            if asked in shipped:
                wanted += [name for name in shipped if name.startswith(f"{asked}@")]
            else:
                wanted += sorted(str(p) for p in Path(asked).parent.glob(f"{Path(asked).name}@*"))
    wanted = list(dict.fromkeys(wanted))
    if not wanted:
        raise UserError("no trained model is there; give --models, names or folders of runs")
    found = [_entrant(item, shipped) for item in wanted]
    labels = [one.label for one in found]
    twice = sorted({label for label in labels if labels.count(label) > 1})
    if twice:
        raise UserError(f"{', '.join(twice)} would take part twice; rename one of the folders")
    return found


def _entrant(item: str, shipped: Sequence[str]) -> Entrant:
    from co2net import models as registry

    folder = Path(item)
    if not (folder / _CONFIG).is_file():
        if item not in shipped:
            raise UserError(
                f"no trained model '{item[:80]}'; there are {', '.join(shipped) or 'none'}, "
                "or give the folder of a run"
            )
        folder = data_path("checkpoints", item)
    name, _, seed = folder.resolve().name.partition("@")
    trained_by = ""
    if (folder / _CONFIG).is_file():
        try:
            train = json.loads((folder / _CONFIG).read_text(encoding="utf-8"))["train"]
            seed, trained_by = seed or str(train["seed"]), training_command(train)
        except (ValueError, KeyError, TypeError):
            raise UserError(f"{folder / _CONFIG} is damaged; train the model again") from None
    return Entrant(
        name,
        seed,
        lambda: registry.load(item),
        trained_by,
        folder.resolve().parent == data_path("checkpoints").resolve(),
    )


def training_command(train: Mapping[str, Any]) -> str:
    """The command that trains a network like one with these settings of its ``config.json``."""
    words = [f"co2net train --model {train['model']} --preset {train['preset']}"]
    for name in ("target", "steps", "epochs", "minutes", "batch", "rate", "wind_loss", "seed"):
        if train.get(name) is not None:
            words.append(f"--{name.replace('_', '-')} {train[name]}")
    gain = train.get("station_gain", 1.0)  # which it was before it was a setting
    words.append(f"--station-gain {gain}")
    for name, usual in (("frames", 8), ("interval", 1), ("split", "carbontracker")):
        if train.get(name, usual) != usual:
            words.append(f"--{name} {train[name]}")
    for name, value in train.get("options", {}).items():
        text = value if isinstance(value, str) else json.dumps(value)
        words.append(f"--option {shlex.quote(f'{name}={text}')}")
    return " ".join(words)


def survey(source: FieldSource, asked: Sequence[Entrant]) -> dict[str, Known]:
    """Label -> what is known, after checking that every model can read the data set.

    Raises
    ------
    UserError
        When a model is for another grid, or the data set lacks a variable or the stations.
    """
    found = {}
    for one in asked:
        model: Any = one.load()
        if model.grid != source.grid:
            raise UserError(
                f"{one.label} is for {model.grid!r}, the data lie on {source.grid!r}; regrid the "
                "data or train a model on this grid"
            )
        try:
            if hasattr(model, "reader"):
                model.reader(source)
            elif hasattr(model, "background"):
                require_same_stations(model.grid, model.background.stations, source)
        except UserError as error:
            raise UserError(f"{one.label}: {error}") from None
        found[one.label] = Known(model.info, window_length(model))
    return found
