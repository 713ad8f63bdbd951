"""Original files into a file of observations."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from co2net.datasets import guard
from co2net.datasets.building import Skipped
from co2net.datasets.catalog import entry
from co2net.datasets.obspack.archive import is_dataset
from co2net.datasets.obspack.reader import read_dataset
from co2net.datasets.obspack.sites import (
    Averages,
    Frames,
    Selection,
    Site,
    averages,
    codes,
    merge,
    selection_of,
    unwanted,
)
from co2net.errors import UserError
from co2net.observations import Observations
from co2net.regions import region as region_of
from co2net.schema import open_store
from co2net.source import StationNetwork

Progress = Callable[[float, str], None]

PREPARED_BY = "co2net.datasets.obspack"


@dataclass(frozen=True)
class Prepared:
    """What `prepare` did.

    Parameters
    ----------
    out
        The file of observations.
    sites, reporting
        Sites in it, and those of them that have a value.
    frames
        Frames.
    share
        Share of frames and sites with a value.
    datasets
        Files used.
    left_out
        One line each for files that were read but not used.
    skipped
        Files that could not be read.
    mixed_scales
        Sites whose values lie on several calibration scales.
    """

    out: str
    sites: int
    reporting: int
    frames: int
    share: float
    datasets: int
    left_out: tuple[str, ...]
    skipped: tuple[Skipped, ...]
    mixed_scales: tuple[str, ...]

    def lines(self) -> list[str]:
        """For people: one line a fact."""
        text = [
            f"{self.out}: {self.reporting} of {self.sites} sites report, {self.share:.1%} of "
            f"{self.frames} frames, from {self.datasets} datasets"
        ]
        if self.mixed_scales:
            text.append(f"several calibration scales at {', '.join(self.mixed_scales)}")
        if self.left_out:
            text.append(f"{len(self.left_out)} files were not wanted:")
            text += [f"  {line}" for line in self.left_out]
        return text + [f"skipped: {item.reason}" for item in self.skipped]


def prepare(
    files: Iterable[str | Path],
    out: str | Path,
    *,
    store: str | Path,
    selection: Selection | Mapping[str, Any] | None = None,
    skip_bad: bool = False,
    progress: Progress | None = None,
) -> Prepared:
    """Average measurements onto the frames of a store, and write them as `Observations`.

    Parameters
    ----------
    files
        Datasets, or folders that hold them at any depth.
    out
        File of observations to make.
    store
        Gives the time axis and the grid.
    selection
        Which sites and values, also as a mapping from JSON; the document's 96 sites by default.
    skip_bad
        Leave out files that cannot be read and report them.
    progress
        Called with the share of files read and a name.

    Raises
    ------
    UserError
        When a file cannot be read (without ``skip_bad``), none holds a wanted value, or ``out`` is
        taken.
    """
    out, selection = Path(out), selection_of(selection)
    if out.exists():
        raise UserError(f"{out} exists already; give another --out or remove it")
    target = open_store(store)
    frames = Frames.of(target.time)
    paths = _list_files(files)
    wanted = codes(selection)
    bounds = None if selection.region is None else region_of(selection.region).mask(target.grid)
    used: dict[str, list[Averages]] = {}
    left_out: list[str] = []
    skipped: list[Skipped] = []
    for number, path in enumerate(paths):
        try:
            dataset = guard.call(read_dataset, path) if path.suffix == ".nc" else read_dataset(path)
        except UserError as error:
            if not skip_bad:
                raise
            skipped.append(Skipped(str(path), str(error)))
            continue
        reason = unwanted(dataset, selection, wanted, frames, target.grid, bounds)
        parts = [] if reason else averages(dataset, selection, frames, target.grid)
        if not parts:
            left_out.append(f"{dataset.name}: {reason or 'no value that counts in these years'}")
        for part in parts:
            used.setdefault(part.code, []).append(part)
        if progress is not None:
            progress((number + 1) / len(paths), path.name)
    found = merge(used, selection, wanted, frames)
    _require_any(found, used, left_out, skipped)
    observations = _observations(found, frames, selection, str(store))
    observations.save(out)
    there = np.isfinite(observations.co2)
    return Prepared(
        out=str(out),
        sites=len(observations.stations),
        reporting=int(there.any(axis=0).sum()),
        frames=frames.time.size,
        share=float(there.mean()),
        datasets=sum(len(site.parts) for site in found),
        left_out=tuple(left_out),
        skipped=tuple(skipped),
        mixed_scales=tuple(site.code for site in found if len(site.scales) > 1),
    )


def _list_files(files: Iterable[str | Path]) -> list[Path]:
    paths: list[Path] = []
    for given in map(Path, files):
        if given.is_dir():
            inside = sorted(path for path in given.rglob("*") if is_dataset(path.name))
            paths += inside
        else:
            paths.append(given)
    if not paths:
        raise UserError(
            "no ObsPack dataset is given; they are named co2_mlo_surface-insitu_1_allvalid.nc; "
            "`co2net data fetch obspack` says how to get them"
        )
    return paths


def _require_any(
    sites: Sequence[Site],
    used: Mapping[str, Sequence[Averages]],
    left_out: Sequence[str],
    skipped: Sequence[Skipped],
) -> None:
    if any(site.parts for site in sites):
        return
    if used:
        raise UserError(f"no site is left of {len(used)} that have values; ask for less --years")
    first = f"the first: {left_out[0]}" if left_out else f"the first: {skipped[0].reason}"
    raise UserError(f"none of the files holds a wanted value; {first}")


def _observations(
    sites: Sequence[Site],
    frames: Frames,
    selection: Selection,
    store: str,
) -> Observations:
    shape = (frames.time.size, len(sites))
    co2 = np.full(shape, np.nan, dtype=np.float32)
    count = np.zeros(shape, dtype=np.int32)
    spread = np.full(shape, np.nan, dtype=np.float32)
    for n, site in enumerate(sites):
        for part in reversed(site.parts):  # the preferred one is written last
            co2[part.frame, n] = part.mean
            count[part.frame, n] = part.count
            spread[part.frame, n] = part.spread
    known = entry("obspack")
    products = sorted(
        {p.dataset.product for site in sites for p in site.parts if p.dataset.product}
    )
    network = StationNetwork(
        code=tuple(site.code for site in sites),
        name=tuple(site.name for site in sites),
        lat=np.array([site.lat for site in sites]),
        lon=np.array([site.lon for site in sites]),
        altitude=np.array([site.altitude for site in sites]),
        network="ObsPack GLOBALVIEWplus, measured",
    )
    about = {
        "title": "Measured CO2 at sites (ObsPack)",
        "source": "ObsPack: measurements of many laboratories, averaged onto frames",
        "version": ", ".join(products) or "not stated in the files",
        "licence": known.licence,
        "acknowledgement": known.acknowledgement,
        "references": known.citation,
        "simulated": False,
        "frames": "calendar months" if frames.monthly else f"{frames.hours:g} hours",
        "time_axis_of": store,
        "selection": {
            "sites": "96 of data/stations.csv"
            if selection.sites is None
            else list(selection.sites),
            "region": selection.region,
            "years": selection.years,
            "mobile": selection.mobile,
            "local": selection.local,
            "hours": None if selection.hours is None else list(selection.hours),
            "clock": selection.clock,
            "height_m": selection.height,
        },
        "datasets": {
            site.code: [
                {
                    "name": part.dataset.name,
                    "laboratory": part.dataset.laboratory,
                    "scale": part.dataset.scale,
                    "intake_m": part.dataset.intake if np.isfinite(part.dataset.intake) else None,
                    "frames": int(part.frame.size),
                }
                for part in site.parts
            ]
            for site in sites
        },
        "prepared_by": PREPARED_BY,
    }
    return Observations(network, frames.time, co2, count, spread, about)
