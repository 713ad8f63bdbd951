"""What windows and the engine read: anything that gives fields by time."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from co2net.errors import UserError
from co2net.grid import LatLonGrid

Index = NDArray[np.int64]


@dataclass(frozen=True)
class StationNetwork:
    """Fixed observation sites.

    Parameters
    ----------
    code, name : (S,) str
    lat, lon : (S,) degrees
    altitude : (S,) m above sea level
    network : str
        What the sites were taken from.
    """

    code: tuple[str, ...]
    name: tuple[str, ...]
    lat: NDArray[np.float64]
    lon: NDArray[np.float64]
    altitude: NDArray[np.float64]
    network: str

    def __len__(self) -> int:
        return len(self.code)

    def cells(self, grid: LatLonGrid) -> tuple[Index, Index]:
        """Rows and columns of the cells that hold the stations."""
        return grid.cell(self.lat, self.lon)

    @classmethod
    def from_csv(cls, path: Path, network: str) -> StationNetwork:
        """Read ``code,name,latitude,longitude,altitude``."""
        with path.open(encoding="utf-8", newline="") as handle:
            rows = list(csv.DictReader(handle))
        return cls(
            code=tuple(row["code"] for row in rows),
            name=tuple(row["name"] for row in rows),
            lat=np.array([float(row["latitude"]) for row in rows]),
            lon=np.array([float(row["longitude"]) for row in rows]),
            altitude=np.array([float(row["altitude"]) for row in rows]),
            network=network,
        )


class FieldSource(Protocol):
    """Fields on one grid at regular times: a store, or the nature run itself."""

    @property
    def grid(self) -> LatLonGrid: ...

    @property
    def time(self) -> NDArray[np.datetime64]:
        """(N,) datetime64[s], strictly ascending, in equal steps or one a calendar month."""

    @property
    def step(self) -> np.timedelta64:
        """Time between frames."""

    @property
    def available(self) -> NDArray[np.bool_]:
        """(N,): which frames hold data."""

    @property
    def stations(self) -> StationNetwork: ...

    @property
    def variables(self) -> tuple[str, ...]:
        """Auxiliary variables that the source has, in the order of `schema.AUXILIARY`."""

    @property
    def attrs(self) -> dict[str, Any]:
        """Title, source, version, licence, simulated, digest."""

    def read(self, names: Sequence[str], index: Index) -> NDArray[np.float32]:
        """(len(names), len(index), H, W): fields in the schema's units; static ones repeat."""

    def observations(self, index: Index) -> NDArray[np.float32]:
        """(len(index), S) umol/mol: what the stations report; NaN where they report nothing."""


class FieldsOf:
    """The fields of another source; who inherits says which stations report, and what.

    Parameters
    ----------
    source
        Whose fields.
    """

    def __init__(self, source: FieldSource) -> None:
        self._source = source

    @property
    def grid(self) -> LatLonGrid:
        """See `FieldSource.grid`."""
        return self._source.grid

    @property
    def time(self) -> NDArray[np.datetime64]:
        """See `FieldSource.time`."""
        return self._source.time

    @property
    def step(self) -> np.timedelta64:
        """See `FieldSource.step`."""
        return self._source.step

    @property
    def available(self) -> NDArray[np.bool_]:
        """See `FieldSource.available`."""
        return self._source.available

    @property
    def variables(self) -> tuple[str, ...]:
        """See `FieldSource.variables`."""
        return self._source.variables

    def read(self, names: Sequence[str], index: Index) -> NDArray[np.float32]:
        """See `FieldSource.read`."""
        return self._source.read(names, index)

    def noise(self, index: Index) -> NDArray[np.float32] | None:
        """See `noise_of`."""
        return noise_of(self._source, index)


def noise_of(source: FieldSource, index: Index) -> NDArray[np.float32] | None:
    """(len(index), S) umol/mol: standard error of what stations report, NaN where not known.

    None of a source that knows none: whatever has no method ``noise``.
    """
    known = getattr(source, "noise", None)
    return None if known is None else known(index)


def frame_index(source: FieldSource, times: Any) -> Index:
    """Positions of times in a source.

    Parameters
    ----------
    times : datetime64 or str, scalar or (n,)

    Raises
    ------
    UserError
        When a time is no frame of the source, or the frame holds no data.
    """
    wanted = np.atleast_1d(np.asarray(times, dtype="datetime64[s]"))
    index = np.searchsorted(source.time, wanted)
    exact = (index < source.time.size) & (
        source.time[np.minimum(index, source.time.size - 1)] == wanted
    )
    if not exact.all():
        raise UserError(
            f"time {wanted[~exact][0]} is no frame of the data set, which runs from "
            f"{source.time[0]} to {source.time[-1]} in steps of {source.step}"
        )
    missing = ~source.available[index]
    if missing.any():
        month = str(wanted[missing][0])[:7]
        raise UserError(
            f"the data set holds nothing at {wanted[missing][0]}; in the embedded world "
            f"`co2net simulate --start {month}-01 --end {month}-28` adds the month"
        )
    return index.astype(np.int64)


def nearest_frame(source: FieldSource, time: Any) -> int:
    """Position of the available frame that is nearest to a time."""
    index = np.flatnonzero(source.available)
    if index.size == 0:
        raise UserError("the data set holds no frames; run `co2net simulate` first")
    distance = np.abs(source.time[index] - np.datetime64(time, "s"))
    return int(index[np.argmin(distance)])


def whole_months(source: FieldSource) -> list[str]:
    """Months (YYYY-MM) of which a source holds every frame."""
    month = source.time.astype("datetime64[M]")
    absent = set(month[~source.available])
    return [str(m) for m in np.unique(month) if m not in absent]
