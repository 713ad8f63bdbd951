"""Time of `prepare` beside what one would write with xarray, on the same full-size files.

Run from the repository: ``python -m tests.unit.datasets.bench [days] [--packed]``. Writes some
95 MB a day (28 MB packed) to the temporary folder and removes them. One line a turn, and one with
the medians.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import netCDF4
import xarray as xr

from co2net.datasets import guard
from co2net.datasets.carbontracker import prepare
from tests.synthetic import SyntheticSource
from tests.unit.datasets.originals import edit, write_day

KEPT = ["co2", "pressure", "temperature", "specific_humidity", "u", "v", "gph", "orography"]


def write_days(folder: Path, days: int, packed: bool) -> list[Path]:
    """Full-size files; the days differ in their times alone."""
    first = write_day(
        folder, "2010-06-01", SyntheticSource(start="2010-06-01", end="2010-06-01"), packed=packed
    )
    with netCDF4.Dataset(first) as data:
        times = data["time"][:]
    for later in range(1, days):
        path = first.with_name(first.name.replace("-01.nc", f"-{later + 1:02d}.nc"))
        shutil.copy(first, path)
        edit(path, "time", values=times + later)
    return sorted(folder.iterdir())


def child_seconds(path: Path) -> float:
    """Processor time of the process that reads; asked of it."""
    return sum(os.times()[:2])


def seconds(work: Callable[[Path], object], out: Path) -> dict[str, float]:
    """Wall and processor time of one go, that of the process that reads included.

    Starting that process (some 0.4 s of processor time, once) is left out, as are the imports.
    """
    from tests.unit.datasets.bench import child_seconds  # by a name that the child can import

    here = Path(__file__)
    shutil.rmtree(out, ignore_errors=True)
    child = guard.call(child_seconds, here)
    wall, before = time.perf_counter(), os.times()
    work(out)
    taken = time.perf_counter() - wall
    spent = sum(os.times()[:2]) - sum(before[:2]) + guard.call(child_seconds, here) - child
    return {"wall_s": round(taken, 2), "cpu_s": round(spent, 2)}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("days", type=int, nargs="?", default=10)
    options.add_argument("--packed", action="store_true", help="zlib level 1 inside the files")
    options.add_argument("--turns", type=int, default=5)
    given = options.parse_args()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = write_days(folder / "files", given.days, given.packed)

        def all_of_it(out: Path) -> None:
            with xr.open_mfdataset(files) as data:
                data.isel(level=0).to_zarr(out)

        def same_variables(out: Path) -> None:
            with xr.open_mfdataset(files) as data:
                data[KEPT].isel(level=0, boundary=slice(0, 2)).to_zarr(out)

        many = min(4, os.cpu_count() or 1)
        ways = {
            "prepare": lambda out: prepare(files, out),
            "prepare as the command does": lambda out: prepare(files, out, workers=many),
            "xarray": all_of_it,
            "xarray, only what a store holds": same_variables,
        }
        for way in ("prepare", "prepare as the command does"):
            seconds(ways[way], folder / "warm.zarr")
        turns = []
        for _ in range(given.turns):
            rows = {way: seconds(work, folder / "out.zarr") for way, work in ways.items()}
            del rows["prepare as the command does"]["cpu_s"]  # that of one of its readers
            ratios = {
                f"{way} / {ours}, {clock}": round(rows[way][clock] / rows[ours][clock], 1)
                for way in ("xarray", "xarray, only what a store holds")
                for ours, clock in (
                    ("prepare as the command does", "wall_s"),
                    ("prepare", "wall_s"),
                    ("prepare", "cpu_s"),
                )
            }
            turns.append(ratios)
            print(json.dumps({"times": ratios, **rows}), flush=True)
        middle = {key: round(statistics.median(one[key] for one in turns), 1) for key in turns[0]}
        print(json.dumps({"days": given.days, "packed": given.packed, "median times": middle}))


if __name__ == "__main__":
    main()
