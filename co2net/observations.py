"""Real observations at sites, on the time axis of a data set, and a source that reports them.

An observations file is a Zarr folder with the group ``stations`` of a canonical store, and beside
``co2(time, station)`` the ``count`` and ``spread`` of what each value is the mean of.
`co2net.datasets.obspack` writes them; `ObservedSource` lets models and trainings take them in place
of the values that a data set reports at its stations.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from co2net.assets import atomic_path, provenance
from co2net.errors import UserError
from co2net.schema import create_stations, open_zarr, read_stations
from co2net.source import FieldsOf, FieldSource, Index, StationNetwork


@dataclass(frozen=True, eq=False)
class Observations:
    """What sites measured, averaged over the frames of a data set.

    Parameters
    ----------
    stations
        The sites (S).
    time : (N,) datetime64[s]
        Frames.
    co2 : (N, S) float32 umol/mol
        Means over the frames; NaN where nothing was measured.
    count : (N, S) int32
        Values in each mean.
    spread : (N, S) float32 umol/mol
        Standard deviation of those values; NaN where it is not known.
    attrs
        Title, source, version, licence, and what else is worth keeping.
    """

    stations: StationNetwork
    time: NDArray[np.datetime64]
    co2: NDArray[np.float32]
    count: NDArray[np.int32]
    spread: NDArray[np.float32]
    attrs: Mapping[str, Any]

    @cached_property
    def noise(self) -> NDArray[np.float32]:
        """(N, S) umol/mol: standard error of each mean; NaN where it is not known.

        ``spread / sqrt(count)``, as if the values in a mean erred independently.
        """
        return (self.spread / np.sqrt(np.maximum(self.count, 1))).astype(np.float32)

    @cached_property
    def digest(self) -> str:
        """Short fingerprint of times, sites, values and their errors."""
        found = hashlib.sha256("\n".join(self.stations.code).encode())
        sites = self.stations
        for values in (self.time.astype(np.int64), sites.lat, sites.lon, self.co2, self.noise):
            found.update(np.ascontiguousarray(values).tobytes())
        return found.hexdigest()[:12]

    def save(self, path: str | Path) -> None:
        """Write the file.

        Raises
        ------
        UserError
            When the path is taken.
        """
        import zarr

        if Path(path).exists():
            raise UserError(f"{path} exists already; give another path or remove it")
        with atomic_path(path) as draft:
            root = zarr.create_group(store=str(draft), zarr_format=3)
            root.attrs.update({"Conventions": "CF-1.11", **self.attrs, "provenance": provenance()})
            create_stations(root, self.time, self.stations)
            group: Any = root["stations"]
            group["co2"][:] = self.co2
            for name, values, long_name in (
                ("count", self.count, "number of values in the mean"),
                ("spread", self.spread, "standard deviation of the values in the mean"),
            ):
                array = group.create_array(
                    name,
                    data=values,
                    chunks=group["co2"].chunks,
                    dimension_names=("time", "station"),
                )
                array.attrs.update({"long_name": long_name, "units": "umol mol-1"})
            group["count"].attrs["units"] = "1"

    @classmethod
    def open(cls, path: str | Path) -> Observations:
        """Read a file of observations, or the stations of a canonical store.

        Raises
        ------
        UserError
            When it is neither.
        """
        root = open_zarr(path, mode="r")
        if "stations" not in root or "co2" not in root["stations"]:
            raise UserError(
                f"{path} holds no observations; `co2net data prepare obspack` makes a file of them"
            )
        group = root["stations"]
        co2 = group["co2"][:]
        there = np.isfinite(co2)
        return cls(
            stations=read_stations(root),
            time=group["time"][:].astype("datetime64[s]"),
            co2=co2,
            count=group["count"][:] if "count" in group else there.astype(np.int32),
            spread=group["spread"][:] if "spread" in group else np.full_like(co2, np.nan),
            attrs=dict(root.attrs),
        )


class ObservedSource(FieldsOf):
    """A data set whose stations report real observations.

    Fields are the data set's. Where every site of the observations is one of the data set's
    stations (by code), the network stays the data set's and sites without a record are silent:
    models that were trained on that network go on to work. Otherwise the network is that of the
    observations.

    Parameters
    ----------
    source
        The data set.
    observations
        On its time axis, or on a part of it; frames that they lack are silent.
    path
        Where the observations lie, for other processes to open the same.

    Raises
    ------
    UserError
        When no frame is common, or a site lies outside the grid.
    """

    def __init__(
        self, source: FieldSource, observations: Observations, path: Path | None = None
    ) -> None:
        super().__init__(source)
        self.path = path
        known = {code: place for place, code in enumerate(source.stations.code)}
        given = observations.stations
        _, self._rows, frames = np.intersect1d(
            source.time, observations.time, assume_unique=True, return_indices=True
        )
        if frames.size == 0:
            raise UserError(
                f"the observations ({observations.time[0]} to {observations.time[-1]}) have no "
                "frame in common with the data set; prepare them with --store DATA"
            )
        if set(given.code) <= set(known):
            self.stations = source.stations
            places = np.array([known[code] for code in given.code], dtype=np.int64)
            self._values, self._noise = np.full((2, frames.size, len(known)), np.float32(np.nan))
            self._values[:, places] = observations.co2[frames]
            self._noise[:, places] = observations.noise[frames]
        else:
            given.cells(source.grid)
            self.stations = given
            self._values, self._noise = observations.co2[frames], observations.noise[frames]
        self._at = np.full(source.time.size, -1, dtype=np.int64)
        self._at[self._rows] = np.arange(frames.size)
        parts = [str(source.attrs.get("digest")), observations.digest]
        self.attrs: dict[str, Any] = {
            **source.attrs,
            "observations": observations.attrs.get("title", "observations"),
            "observations_version": observations.attrs.get("version"),
            "digest": hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12],
        }

    def observations(self, index: Index) -> NDArray[np.float32]:
        """See `FieldSource.observations`."""
        return self._on_frames(self._values, index)

    def noise(self, index: Index) -> NDArray[np.float32]:
        """See `co2net.source.noise_of`."""
        return self._on_frames(self._noise, index)

    def _on_frames(self, values: NDArray[np.float32], index: Index) -> NDArray[np.float32]:
        at = self._at[np.asarray(index, dtype=np.int64)]
        return np.where((at >= 0)[:, None], values[np.maximum(at, 0)], np.float32(np.nan))


def observed(source: FieldSource, path: str | Path | None) -> FieldSource:
    """A data set with the observations of a file, or as it is where there is none."""
    if path is None:
        return source
    return ObservedSource(source, Observations.open(path), Path(path))


def how_opened(source: FieldSource) -> tuple[Any, ...]:
    """What another process opens the same with: `reopened` takes it.

    Raises
    ------
    UserError
        When it does not lie on a disk.
    """
    path = getattr(source, "path", None)
    if path is None:
        raise UserError("a cluster reads the data set from a disk; give its path")
    where = str(Path(path).absolute())
    if isinstance(source, ObservedSource):
        return observed, how_opened(source._source), where
    return type(source), where


def reopened(how: tuple[Any, ...]) -> FieldSource:
    """Inverse of `how_opened`."""
    opener, *rest = how
    made: FieldSource = opener(*(reopened(it) if isinstance(it, tuple) else it for it in rest))
    return made
