"""CarbonTracker's files, from NOAA or a mirror."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from co2net.datasets import netcdf
from co2net.datasets.download import Fetched, Policy, Remote, download
from co2net.errors import UserError

Day = np.datetime64
Progress = Callable[[float, str], None]

_SPANS = {"CT2022": (Day("2000-01-01"), Day("2020-12-31"))}


def remote_files(
    start: str,
    end: str,
    *,
    monthly: bool = False,
    release: str = "CT2022",
    base_url: str | None = None,
) -> list[Remote]:
    """The files of a span of days, at NOAA or a mirror.

    Parameters
    ----------
    start, end
        ISO days, both inclusive; monthly files are those of the months they touch.
    monthly
        Monthly means in place of days (for a look: `prepare` wants days).
    release
        As it stands in the file names.
    base_url
        The folder that holds ``co2_total`` and ``co2_total_monthly``; NOAA's by default.

    Raises
    ------
    UserError
        When a day is no ISO day, or the release does not reach it.
    """
    first, last = span_of(start, end)
    if release in _SPANS and not (_SPANS[release][0] <= first and last <= _SPANS[release][1]):
        held = " to ".join(str(day) for day in _SPANS[release])
        raise UserError(f"CarbonTracker {release} holds {held}, not {first} to {last}")
    base = base_url or (
        f"https://gml.noaa.gov/aftp/products/carbontracker/co2/{release}/molefractions"
    )
    unit, folder = ("M", "co2_total_monthly") if monthly else ("D", "co2_total")
    stamps = np.arange(first.astype(f"M8[{unit}]"), last.astype(f"M8[{unit}]") + 1)
    names = [f"{release}.molefrac_glb3x2_{stamp}.nc" for stamp in stamps]
    return [Remote(f"{base.rstrip('/')}/{folder}/{name}", name) for name in names]


def fetch(
    start: str,
    end: str,
    to: str | Path,
    *,
    monthly: bool = False,
    release: str = "CT2022",
    base_url: str | None = None,
    workers: int = 4,
    policy: Policy | None = None,
    progress: Progress | None = None,
) -> Fetched:
    """Download the files of a span of days; what is there and whole is not fetched again.

    A day of CT2022 is about 97 MB. See `remote_files` and `download.download` for the
    parameters and for what raises.
    """
    items = remote_files(start, end, monthly=monthly, release=release, base_url=base_url)
    return download(
        items,
        to,
        workers=workers,
        policy=policy or Policy(),
        check=netcdf.check_file,
        progress=progress,
    )


def span_of(start: str, end: str) -> tuple[Day, Day]:
    """First and last day; UserError where they are none, or the wrong way round."""
    try:
        first, last = Day(start, "D"), Day(end, "D")
    except ValueError as error:
        raise UserError(f"{start!r} to {end!r}: give ISO days, such as 2019-01-31") from error
    if np.isnat(first) or np.isnat(last) or last < first:
        raise UserError(f"the span {start} to {end} ends before it starts")
    return first, last
