"""What stores there are: whose they are, what they cover, how large they are, if they are sound.

A description reads a store's attributes and its small arrays only; checking its values
(`co2net.schema.validate`) is apart, for that reads fields.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from co2net.errors import UserError
from co2net.schema import VARIABLES, open_store
from co2net.source import FieldSource

_DEPTH = 2  # folders below the root in which stores are looked for


@dataclass(frozen=True)
class Contents:
    """One variable of a store: its name, unit and long name."""

    name: str
    units: str
    long_name: str


@dataclass(frozen=True)
class StoreCard:
    """What a person wants to know of a store.

    Parameters
    ----------
    path
        Folder.
    fault
        Why it cannot be read, in one line; everything below is then empty.
    title, source, version, licence, digest
        Its attributes.
    simulated
        Whether it is a simulated world; None where it does not say.
    step_hours
        Time between frames.
    shape
        Cells of a field, (H, W).
    frames, capacity
        Frames that hold data, and frames of the time axis.
    first, last
        The first and the last of those that hold data, ISO minutes; empty where there is none.
    months : {"2000-01": share of its frames that hold data, 0..1}
        Every month of the time axis.
    size
        Bytes on disk.
    variables, absent
        What it has, and what the schema knows besides.
    stations, network
        Number of observation sites, and what they were taken from.
    """

    path: Path
    fault: str = ""
    title: str = ""
    source: str = ""
    version: str = ""
    licence: str = ""
    digest: str = ""
    simulated: bool | None = None
    step_hours: float = 0.0
    shape: tuple[int, int] = (0, 0)
    frames: int = 0
    capacity: int = 0
    first: str = ""
    last: str = ""
    months: dict[str, float] = field(default_factory=dict)
    size: int = 0
    variables: tuple[Contents, ...] = ()
    absent: tuple[str, ...] = ()
    stations: int = 0
    network: str = ""

    @property
    def gaps(self) -> list[tuple[str, str]]:
        """First and last month of every run of months that lack frames, between others."""
        keys = list(self.months)
        whole = [share == 1 for share in self.months.values()]
        if True not in whole:
            return []
        first, last = whole.index(True), len(whole) - 1 - whole[::-1].index(True)
        runs: list[tuple[str, str]] = []
        for n in range(first, last):
            if whole[n]:
                continue
            before = runs.pop()[0] if runs and not whole[n - 1] else keys[n]
            runs.append((before, keys[n]))
        return runs


def coverage(source: FieldSource) -> dict[str, float]:
    """Share of each month's frames that hold data, by month ("2000-01") of the time axis."""
    month = source.time.astype("datetime64[M]")
    names, place = np.unique(month, return_inverse=True)
    held = np.bincount(place, weights=source.available)
    shares: NDArray[np.float64] = held / np.bincount(place)
    return {str(name): float(share) for name, share in zip(names, shares, strict=True)}


def describe(path: str | Path) -> StoreCard:
    """Describe a store. One that cannot be read gives a card with a `fault`."""
    path = Path(path)
    try:
        source = open_store(path)
        attrs = source.attrs
        held = source.time[source.available]
        simulated = attrs.get("simulated")
        return StoreCard(
            path=path,
            **{k: str(attrs.get(k, "")) for k in ("title", "source", "version", "licence")},
            digest=str(attrs.get("digest", "")),
            simulated=None if simulated is None else bool(simulated),
            step_hours=float(source.step / np.timedelta64(3600, "s")),
            shape=source.grid.shape,
            frames=held.size,
            capacity=source.time.size,
            first=str(held[0].astype("datetime64[m]")) if held.size else "",
            last=str(held[-1].astype("datetime64[m]")) if held.size else "",
            months=coverage(source),
            size=size_of(path),
            variables=tuple(
                Contents(name, VARIABLES[name].units, VARIABLES[name].long_name)
                for name in ("co2", *source.variables)
            ),
            absent=tuple(name for name in VARIABLES if name not in ("co2", *source.variables)),
            stations=len(source.stations),
            network=source.stations.network,
        )
    except (UserError, KeyError, IndexError, ValueError, OSError) as error:
        text = str(error) if isinstance(error, UserError) else f"{path} is damaged ({error})"
        return StoreCard(path=path, fault=text)


def find_stores(root: str | Path) -> list[Path]:
    """Zarr groups with fields of CO2 below a folder, at most two folders down, by name."""
    root = Path(root)
    found: list[Path] = []
    for folder, names, _ in os.walk(root):
        here = Path(folder)
        if (here / "zarr.json").is_file() and (here / "co2" / "zarr.json").is_file():
            found.append(here)
            names.clear()
        elif len(here.relative_to(root).parts) >= _DEPTH or (here / "zarr.json").is_file():
            names.clear()
        else:
            names[:] = sorted(name for name in names if not name.startswith("."))
    return sorted(found)


def size_of(path: str | Path) -> int:
    """Bytes of all files below a folder; files that vanish meanwhile are not counted."""
    total = 0
    folders = [os.fspath(path)]
    while folders:
        try:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
                    elif entry.is_file(follow_symlinks=False):
                        total += entry.stat(follow_symlinks=False).st_size
        except FileNotFoundError:
            continue
    return total
