"""The methods without a network: climatology, OI of one frame and of a window, and kriging."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from co2net.assets import atomic_path, provenance
from co2net.background import Background, default_background_path
from co2net.errors import UserError
from co2net.grid import LatLonGrid
from co2net.models.base import ModelInfo
from co2net.models.interpolation_window import WindowInterpolation
from co2net.models.kriging import Kriging
from co2net.source import FieldSource, Index, noise_of

Progress = Callable[[float, str], None]

_ABOUT = {
    "climatology": (
        "Climatology",
        "Season and hour of the day at every cell, shifted to the level that the stations report.",
        "Daley (1991), Atmospheric Data Analysis, ch. 4",
    ),
    "interpolation": (
        "Interpolation",
        "Optimal interpolation of the stations' departures from the climatology, with covariances "
        "of the training years by season and hour.",
        "Gandin (1963); Daley (1991), Atmospheric Data Analysis, ch. 4",
    ),
    "interpolation-window": (
        "Interpolation of the window",
        "Optimal interpolation of the stations' departures at all frames of the window, with "
        "covariances of the training years by hour, localised by scale.",
        "Gandin (1963); Buehner and Shlyaeva (2015), Tellus A 67, 28027",
    ),
    "kriging": (
        "Kriging",
        "Ordinary kriging of the stations' departures from the climatology, with an exponential "
        "covariance of the great-circle distance fitted by restricted likelihood.",
        "Cressie (1993), Statistics for Spatial Data; Gneiting (2013), Bernoulli 19, 1327-1349",
    ),
}

_CLIMATOLOGY = ("climatology_patterns", "climatology_weights", "trend")
_PARTS = {
    "climatology": _CLIMATOLOGY,
    "interpolation": (*_CLIMATOLOGY, "patterns", "cross", "covariance"),
    "interpolation-window": (*_CLIMATOLOGY, "patterns"),
    "kriging": _CLIMATOLOGY,
}
_CONFIG = "config.json"
_BACKGROUND = "background"

STATISTICAL: tuple[str, ...] = tuple(_ABOUT)
"""Names that `load_statistical` knows."""


class StatisticalReconstructor:
    """A statistical method as a `co2net.models.base.Reconstructor`.

    Parameters
    ----------
    name : one of `STATISTICAL`
    background
        What all of them use.
    method
        What `interpolation-window` and `kriging` have learned besides.
    """

    def __init__(
        self,
        name: str,
        background: Background,
        method: WindowInterpolation | Kriging | None = None,
    ) -> None:
        title, description, reference = _ABOUT[name]
        self.background = background
        self.method = method
        self.grid: LatLonGrid = background.grid
        self.frames = 1 if method is None else method.frames
        parameters = sum(getattr(background, part).size for part in _PARTS[name])
        digest = f"{background.digest}-{name[0]}"
        if method is not None:
            parameters, digest = parameters + method.size, method.digest
        self.info = ModelInfo(
            name=name,
            title=title,
            family="statistical",
            preset="",
            parameters=parameters,
            target="",
            description=description,
            reference=reference,
            trained_on={
                **background.notes["data"],
                "years": f"{str(background.span[0])[:4]}-{str(background.span[1])[:4]}",
            },
            digest=digest,
        )
        self._estimate = background.interpolate if method is None else method.estimate

    def reconstruct(self, source: FieldSource, index: Index) -> NDArray[np.float32]:
        """(n, H, W) umol/mol at the frames ``index``, from the observations of their windows.

        Raises
        ------
        UserError
            When the source has other stations or another grid than the background, other steps
            than the window was learned for, or a window is not complete.
        """
        if source.grid != self.grid or source.stations.code != self.background.stations.code:
            raise UserError(
                f"{self.info.name}: fitted on {self.grid!r} and {len(self.background.stations)} "
                "stations, which are not the data set's; fit one with "
                f"`co2net train --model {self.info.name}`"
            )
        index = np.asarray(index, dtype=np.int64)
        if self.info.name == "climatology":
            return self.background.field(source.time[index], source.observations(index))
        if not isinstance(self.method, WindowInterpolation):
            seen, noise = source.observations(index), self._noise(source, index)
            return self._estimate(source.time[index], seen, noise)
        if source.step != np.timedelta64(self.method.step, "s"):
            hours = source.step / np.timedelta64(3600, "s")
            raise UserError(
                f"{self.info.name}: fitted for frames {self.method.step / 3600:g} h apart, those "
                f"of the data set are {hours:g} h apart; fit one with "
                f"`co2net train --model {self.info.name}`"
            )
        wanted = index[:, None] + np.arange(1 - self.frames, 1)
        broken = (wanted < 0) | ~source.available[np.maximum(wanted, 0)]
        if broken.any():
            first = index[broken.any(axis=1)][0]
            raise UserError(
                f"the window of {source.time[first]} is not complete: the model reads "
                f"{self.frames} frames up to it; start later or add the earlier frames"
            )
        frames, place = np.unique(wanted, return_inverse=True)
        place = place.reshape(wanted.shape)
        seen, noise = source.observations(frames)[place], self._noise(source, frames)
        return self._estimate(source.time[index], seen, None if noise is None else noise[place])

    def _noise(self, source: FieldSource, index: Index) -> NDArray[np.float32] | None:
        """(n, S) standard errors of the observations that the covariances do not hold yet."""
        return None if self.background.notes.get("noise_included") else noise_of(source, index)


def load_statistical(name: str, folder: str | Path | None = None) -> StatisticalReconstructor:
    """The method of a name, from a folder that holds the background (by default the shipped one).

    Raises
    ------
    UserError
        When a file is missing or damaged.
    """
    folder = Path(folder or default_background_path())
    background = Background.load(folder)
    method: WindowInterpolation | Kriging | None = None
    if name == "interpolation-window":
        method = WindowInterpolation.load(folder, background)
    elif name == "kriging":
        method = Kriging.load(folder, background)
    return StatisticalReconstructor(name, background, method)


def available_statistical() -> list[str]:
    """Names of the methods that are shipped."""
    folder = default_background_path()
    needed = dict.fromkeys(STATISTICAL, "background.json")
    needed["interpolation-window"] = "interpolation-window.json"
    needed["kriging"] = "kriging.json"
    return [name for name in STATISTICAL if (folder / needed[name]).is_file()]


def run_method(run: str | Path) -> str | None:
    """Name of the statistical method that a run folder holds, or None."""
    try:
        config = json.loads((Path(run) / _CONFIG).read_text(encoding="utf-8"))
        name = config["train"]["model"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return name if name in STATISTICAL else None


def load_run(run: str | Path) -> StatisticalReconstructor:
    """The statistical method of a run folder."""
    name = run_method(run)
    if name is None:
        raise UserError(f"{run} holds no statistical method")
    return load_statistical(name, Path(run) / _BACKGROUND)


def fit_statistical(
    name: str,
    source: FieldSource,
    index: Index,
    run: str | Path,
    frames: int = 8,
    seed: int = 0,
    background: Background | None = None,
    progress: Progress | None = None,
) -> StatisticalReconstructor:
    """Learn a method from training frames and save it in a run folder.

    Parameters
    ----------
    name : one of `STATISTICAL`
    source
        Truth and observations.
    index
        Training frames; no others are read.
    run
        Folder that does not hold a run yet: gets ``config.json`` and ``background/``.
    frames : int
        Length of the window, of `interpolation-window`.
    seed
        Of samples and random projections.
    background
        One that was fitted on the same frames before; None fits one.
    progress
        Told the share done and what is going on.

    Raises
    ------
    UserError
        When the folder is taken, or there are too few frames.
    """
    if name not in STATISTICAL:
        raise UserError(f"'{name}' is no statistical method; there are {', '.join(STATISTICAL)}")
    run = Path(run)
    if (run / _CONFIG).exists():
        raise UserError(f"{run} holds a run already; give another folder")
    tell = progress or (lambda share, text: None)
    alone = name in ("climatology", "interpolation")
    part = 0.0 if background else (1.0 if alone else 0.5)
    if background is None:
        background = Background.fit(
            source, index, seed=seed, progress=lambda share, text: tell(part * share, text)
        )

    def rest(share: float, text: str) -> None:
        tell(part + (1 - part) * share, text)

    method: WindowInterpolation | Kriging | None = None
    if name == "interpolation-window":
        method = WindowInterpolation.fit(source, index, background, frames, progress=rest)
    elif name == "kriging":
        method = Kriging.fit(source, index, background, seed=seed, progress=rest)
    background.save(run / _BACKGROUND)
    if method is not None:
        method.save(run / _BACKGROUND)
    found = StatisticalReconstructor(name, background, method)
    config = {
        "train": {"model": name, "preset": "", "frames": found.frames, "seed": seed},
        "data": background.notes["data"],
        "background": background.digest,
        "digest": found.info.digest,
        "provenance": provenance(),
    }
    with atomic_path(run / _CONFIG) as draft:
        draft.write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    tell(1.0, "fitted")
    return found
