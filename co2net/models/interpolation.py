"""The two methods without a network: climatology with the stations' level, and OI."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from co2net.background import Background, default_background_path
from co2net.errors import UserError
from co2net.grid import LatLonGrid
from co2net.models.base import ModelInfo
from co2net.source import FieldSource, Index

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
}

_CLIMATOLOGY = ("climatology_patterns", "climatology_weights", "trend")
_PARTS = {
    "climatology": _CLIMATOLOGY,
    "interpolation": (*_CLIMATOLOGY, "patterns", "cross", "covariance"),
}

STATISTICAL: tuple[str, ...] = tuple(_ABOUT)
"""Names that `load_statistical` knows."""


class StatisticalReconstructor:
    """A `Background` as a `co2net.models.base.Reconstructor`.

    Parameters
    ----------
    name : {'climatology', 'interpolation'}
    background
        What it uses.
    """

    frames = 1

    def __init__(self, name: str, background: Background) -> None:
        title, description, reference = _ABOUT[name]
        self.background = background
        self.grid: LatLonGrid = background.grid
        self.info = ModelInfo(
            name=name,
            title=title,
            family="statistical",
            preset="",
            parameters=sum(getattr(background, part).size for part in _PARTS[name]),
            target="",
            description=description,
            reference=reference,
            trained_on={
                **background.notes["data"],
                "years": f"{str(background.span[0])[:4]}-{str(background.span[1])[:4]}",
            },
            digest=f"{background.digest}-{name[0]}",
        )
        self._estimate = background.field if name == "climatology" else background.interpolate

    def reconstruct(self, source: FieldSource, index: Index) -> NDArray[np.float32]:
        """(n, H, W) umol/mol at the frames ``index``, from the observations of each alone.

        Raises
        ------
        UserError
            When the source has other stations or another grid than the background.
        """
        if source.grid != self.grid or source.stations.code != self.background.stations.code:
            raise UserError(
                f"{self.info.name}: fitted on {self.grid!r} and {len(self.background.stations)} "
                "stations, which are not the data set's; fit one with `co2net train`"
            )
        return self._estimate(source.time[index], source.observations(index))


def load_statistical(name: str, folder: str | Path | None = None) -> StatisticalReconstructor:
    """The method of a name over a saved background (by default the shipped one)."""
    return StatisticalReconstructor(name, Background.load(folder or default_background_path()))
