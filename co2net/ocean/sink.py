"""The ocean sink: sums over basins, and what of them is the reconstruction's own error.

A model's flux differs from the truth's because its CO2 does; the sea, the wind and the transfer
law are the same. That difference is known at every `co2net.ocean.engine.STRIDE`\\ th frame, and
its mean is the part of a model's sink that is its own error. The interval says how far the mean of
those samples may be from that of all frames: 1.96 standard errors, the memory between samples
counted. Several models give the spread of an ensemble besides.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from co2net.assets import atomic_path
from co2net.errors import UserError
from co2net.inference import TRUTH
from co2net.ocean import flux
from co2net.ocean.basins import basins
from co2net.ocean.statistics import NORMAL_95, standard_error

if TYPE_CHECKING:
    import pandas as pd

    from co2net.ocean.engine import Ocean

Progress = Callable[[float, str], None]


@dataclass(frozen=True)
class SinkRow:
    """The flux of a region in a month or a year, PgC yr-1, positive into the atmosphere.

    Parameters
    ----------
    region
        Key of `co2net.ocean.basins.basin`.
    period
        ``YYYY-MM``, or ``YYYY``: the mean of the months that are there.
    what
        ``truth`` or a model.
    flux
        A sink is negative.
    error
        The part that is the reconstruction's own: model minus truth; zero for the truth.
    low, high
        95 % interval of ``flux``, from the sampling of that part.
    spread
        Standard deviation over the models; NaN for the truth and for a single model.
    months
        How many of the period's months are there: 1 for a month, up to 12 for a year.
    """

    region: str
    period: str
    what: str
    flux: float
    error: float
    low: float
    high: float
    spread: float
    months: int


@dataclass(frozen=True)
class SinkTable:
    """Rows of a table of sinks."""

    rows: list[SinkRow]

    def frame(self) -> pd.DataFrame:
        """As a table of pandas."""
        import pandas as pd

        return pd.DataFrame([asdict(row) for row in self.rows])

    def to_csv(self, path: str | Path) -> None:
        """Write a table, units in the first line."""
        with atomic_path(path) as draft, draft.open("w", encoding="utf-8", newline="") as handle:
            handle.write("# flux, error, low, high, spread in PgC yr-1, positive into the air\n")
            self.frame().to_csv(handle, index=False, float_format="%.6g")


@dataclass(frozen=True)
class MonthSums:
    """Sums of a month over regions, (R,) PgC yr-1: flux, own error, and its standard error."""

    flux: list[float]
    error: list[float]
    error_sd: list[float]


def month_sums(
    ocean: Ocean, what: str, month: str, regions: Sequence[str], progress: Progress | None = None
) -> MonthSums:
    """Sums of the flux of truth or a model over regions in a month."""
    weights = [ocean.weights(key) for key in regions]
    field = ocean.month("flux", what, month, progress)
    total = [float(flux.integral(field, weight)) for weight in weights]
    if what == TRUTH:
        nothing = [0.0] * len(regions)
        return MonthSums(total, nothing, nothing)
    samples = ocean.error("flux", what, month)[1]
    series = [np.atleast_1d(flux.integral(samples, weight)) for weight in weights]
    return MonthSums(total, [float(s.mean()) for s in series], [standard_error(s) for s in series])


def sink(
    ocean: Ocean,
    whats: Sequence[str] = (TRUTH,),
    regions: Sequence[str] | None = None,
    months: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> SinkTable:
    """Sums of the flux over regions by month and year.

    Parameters
    ----------
    ocean
        Data set, models and sea.
    whats
        ``truth`` and models.
    regions
        Keys; by default the ocean and its basins.
    months
        ``YYYY-MM``; by default those that all of ``whats`` can give.
    progress
        Told the share done; what it raises ends the work.
    """
    places = list(basins() if regions is None else regions)
    chosen = list(months) if months is not None else shared_months(ocean, whats)
    sums: dict[tuple[str, str], MonthSums] = {}
    total = len(whats) * len(chosen)
    for n, (what, month) in enumerate((w, m) for w in whats for m in chosen):

        def part(share: float, text: str, done: int = n) -> None:
            if progress is not None:
                progress((done + share) / total, text)

        sums[what, month] = month_sums(ocean, what, month, places, part)
        part(1.0, f"{what} {month}")
    return table(sums, places)


def shared_months(ocean: Ocean, whats: Sequence[str]) -> list[str]:
    """Months that truth and models can all give.

    Raises
    ------
    UserError
        When there is none.
    """
    common = set(ocean.months(TRUTH)).intersection(*(ocean.months(what) for what in whats))
    if not common:
        raise UserError(
            "no whole month is there for all of them; in the embedded world `co2net simulate` adds "
            "months"
        )
    return sorted(common)


def table(sums: dict[tuple[str, str], MonthSums], regions: Sequence[str]) -> SinkTable:
    """Rows by region, period and name, years among the periods, from the sums of months.

    A year is the mean of its months by their days; their sampling errors are independent.
    """
    whats = list(dict.fromkeys(what for what, _ in sums))
    months = sorted({month for _, month in sums})
    years = sorted({month[:4] for month in months})
    periods = {month: [month] for month in months}
    periods |= {year: [m for m in months if m[:4] == year] for year in years}
    rows = []
    for number, key in enumerate(regions):
        for period, parts in periods.items():
            found = {
                what: _mean([sums[what, m] for m in parts if (what, m) in sums], parts, number)
                for what in whats
                if all((what, m) in sums for m in parts)
            }
            models = [f for what, (f, _, _) in found.items() if what != TRUTH]
            spread = float(np.std(models, ddof=1)) if len(models) > 1 else float("nan")
            for what, (mean, error, sd) in found.items():
                wide = NORMAL_95 * sd
                rows.append(
                    SinkRow(
                        key, period, what, mean, error, mean - wide, mean + wide,
                        float("nan") if what == TRUTH else spread, len(parts),
                    )
                )  # fmt: skip
    return SinkTable(rows)


def _mean(
    sums: Sequence[MonthSums], months: Sequence[str], number: int
) -> tuple[float, float, float]:
    days = np.array([_days(month) for month in months], dtype=np.float64)
    share = days / days.sum()
    flux_, error, sd = (
        np.array([getattr(s, name)[number] for s in sums]) for name in ("flux", "error", "error_sd")
    )
    return (
        float((flux_ * share).sum()),
        float((error * share).sum()),
        float(np.sqrt(((sd * share) ** 2).sum())),
    )


def _days(month: str) -> int:
    first = np.datetime64(month, "M")
    return int(((first + 1).astype("datetime64[D]") - first.astype("datetime64[D]")).astype(int))


def given(
    ocean: Ocean, regions: Sequence[str] | None = None, years: Sequence[int] | None = None
) -> SinkTable:
    """The yearly and monthly flux that the embedded world's transport was given, as the truth's.

    Needs no months in the store.

    Raises
    ------
    UserError
        For a sea that is not the embedded world's.
    """
    month_flux = getattr(ocean.fields, "month_flux", None)
    if month_flux is None:
        raise UserError("only the embedded world's transport was given a flux; sum the truth's")
    places = list(basins() if regions is None else regions)
    weights = [ocean.weights(key) for key in places]
    sums = {}
    for month in ocean.fields.months:
        if years is None or int(str(month)[:4]) in years:
            field = month_flux(month)
            nothing = [0.0] * len(places)
            total = [float(flux.integral(field, weight)) for weight in weights]
            sums[TRUTH, str(month)] = MonthSums(total, nothing, nothing)
    return table(sums, places)
