"""El Nino: the Nino-3.4 index, composites, and how the equatorial Pacific's CO2 and flux answer.

The index is the anomaly of the surface temperature over 5S-5N, 170-120W about the mean of its
calendar month, in K, with a running mean of three months (Trenberth 1997; NOAA's Oceanic Nino
Index is the same with moving base periods). The temperature is that of the sea where it is known
for many years; else the air's at the lowest level of the data set.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from co2net.assets import data_path
from co2net.errors import UserError
from co2net.inference import TRUTH
from co2net.ocean.basins import NINO
from co2net.ocean.engine import QUANTITIES, STRIDE, sea_mean
from co2net.ocean.statistics import deseasonalised, slope_with_interval

if TYPE_CHECKING:
    from co2net.ocean.engine import Ocean

Array = NDArray[np.float64]
Months = NDArray[np.datetime64]
Progress = Callable[[float, str], None]

THRESHOLD = 0.5
"""K: El Nino above, La Nina below its negative."""
LAGS = 12
"""Months by which CO2 and flux may follow the index."""
FEWEST_MONTHS = 36
PACIFIC = "tropical-pacific"
"""Region whose CO2 and flux answer, unless another is asked for."""


@dataclass(frozen=True)
class Nino:
    """The index.

    Parameters
    ----------
    months : (n,) datetime64[M]
    sst : (n,) degC
        Mean temperature of the box.
    anomaly, smoothed : (n,) K
        About its calendar month; running mean of three months.
    source
        What temperature it is.
    """

    months: Months
    sst: Array
    anomaly: Array
    smoothed: Array
    source: str

    @property
    def phase(self) -> NDArray[np.int64]:
        """(n,) 1 in El Nino, -1 in La Nina, else 0."""
        return (self.smoothed >= THRESHOLD).astype(np.int64) - (self.smoothed <= -THRESHOLD)


@dataclass(frozen=True)
class Response:
    """How a monthly series answers to the index.

    Parameters
    ----------
    lags : (L,)
        Months that the series follows the index.
    slope, low, high : (L,) units K-1
        Regression of the series, without seasons and trend, on the index; 95 % interval.
    correlation : (L,)
    warm, cold
        Mean anomaly of the series in El Nino and La Nina, at lag 0; NaN without any.
    units
        Of the series.
    months : int
        Pairs at lag 0.
    source
        What the series is.
    """

    lags: NDArray[np.int64]
    slope: Array
    low: Array
    high: Array
    correlation: Array
    warm: float
    cold: float
    units: str
    months: int
    source: str = ""


def index_of(months: Months, sst: Array, source: str) -> Nino:
    """The index from monthly temperatures of the box.

    Raises
    ------
    UserError
        When there are fewer than `FEWEST_MONTHS`.
    """
    months = np.asarray(months, dtype="datetime64[M]")
    if months.size < FEWEST_MONTHS:
        raise UserError(
            f"the Nino index needs {FEWEST_MONTHS} months of temperature, there are {months.size}"
        )
    number = months.astype(int)
    anomaly = sst.astype(np.float64)
    for calendar in range(12):
        rows = number % 12 == calendar
        if rows.any():
            anomaly[rows] -= sst[rows].mean()
    smoothed = np.array(
        [anomaly[np.abs(number - here) <= 1].mean() for here in number], dtype=np.float64
    )
    return Nino(months, sst.astype(np.float64), anomaly, smoothed, source)


def nino34(ocean: Ocean, progress: Progress | None = None) -> Nino:
    """The Nino-3.4 index of a data set.

    Raises
    ------
    UserError
        When neither the sea nor the data set has enough years of temperature.
    """
    weights = ocean.weights(NINO)
    fields = ocean.fields
    if not getattr(fields, "climatological", False) and fields.months.size >= FEWEST_MONTHS:
        axis = ocean.engine.source.time[[0, -1]].astype("datetime64[M]")
        months = fields.months[(fields.months >= axis[0]) & (fields.months <= axis[1])]
        sst = np.array([float(sea_mean(ocean.state(month).sst, weights)) for month in months])
        return index_of(months, sst, f"sea surface temperature of the {fields.title}")
    if "air_temperature" not in ocean.engine.source.variables:
        raise UserError("the Nino index needs a surface temperature; the data set has none")
    found = np.array(ocean.months(TRUTH), dtype="datetime64[M]")
    warmth = np.empty(found.size)
    for n, month in enumerate(found):
        times = ocean.times()
        times = times[times.astype("datetime64[M]") == month][::STRIDE]
        warmth[n] = sea_mean(ocean.engine.fields("air_temperature", times), weights).mean() - 273.15
        if progress is not None:
            progress((n + 1) / found.size, str(month))
    return index_of(found, warmth, "air temperature at the lowest level of the data set")


def anomalies(months: Months, values: Array) -> Array:
    """(n,) a monthly series without seasons and trend."""
    number = months.astype(int).astype(np.float64)
    rest = deseasonalised(months, values)
    return rest - np.polyval(np.polyfit(number, rest, 1), number)


def respond(
    nino: Nino, months: Months, values: Array, units: str = "", lags: int = LAGS
) -> Response:
    """How a monthly series answers to the index.

    Parameters
    ----------
    nino
        The index.
    months : (n,) datetime64[M]
    values : (n,)
        NaN where nothing.
    units
        Of the values.
    lags
        Largest lag, months.

    Raises
    ------
    UserError
        When index and series share too few months.
    """
    months = np.asarray(months, dtype="datetime64[M]")
    there = np.isfinite(values)
    months, values = months[there], values[there]
    shared = np.isin(months, nino.months)
    if shared.sum() < FEWEST_MONTHS:
        raise UserError(
            f"the regression on the Nino index needs {FEWEST_MONTHS} months, there are "
            f"{int(shared.sum())}; the archive of 21 years has them (`co2net ocean enso --data`)"
        )
    rest = anomalies(months, values)
    at = dict(zip(nino.months.astype(int).tolist(), nino.smoothed, strict=True))
    rows = np.zeros((4, lags + 1))
    for lag in range(lags + 1):
        index = np.array([at.get(int(m) - lag, np.nan) for m in months.astype(int)])
        good = np.isfinite(index)
        rows[:3, lag] = slope_with_interval(index[good], rest[good])
        rows[3, lag] = np.corrcoef(index[good], rest[good])[0, 1]
    phase = dict(zip(nino.months.astype(int).tolist(), nino.phase, strict=True))
    sign = np.array([phase.get(int(m), 0) for m in months.astype(int)])
    warm, cold = (
        float(rest[sign == side].mean()) if (sign == side).any() else float("nan")
        for side in (1, -1)
    )
    return Response(
        np.arange(lags + 1),
        rows[0],
        rows[1],
        rows[2],
        rows[3],
        warm,
        cold,
        units,
        int(shared.sum()),
    )


def response(
    ocean: Ocean,
    quantity: str = "co2",
    what: str = TRUTH,
    where: str = PACIFIC,
    progress: Progress | None = None,
) -> Response:
    """How a quantity over a region answers to the index of its data set.

    Where the embedded world's store holds too few months, the shipped record of its 21 years is
    taken, if it has the region, the quantity and the name.

    Raises
    ------
    UserError
        When there are too few months.
    """
    nino = nino34(ocean)
    months = np.array(ocean.months(what), dtype="datetime64[M]")
    units = QUANTITIES[quantity].units if quantity in QUANTITIES else ""
    if months.size < FEWEST_MONTHS and ocean.fields.simulated and where == PACIFIC:
        held = getattr(record(), quantity, {}) if quantity in COLUMNS else {}
        if what in held:
            found = respond(nino, record().months, held[what], units)
            return replace(found, source="shipped record of the embedded world, 2000-2020")
    if months.size < FEWEST_MONTHS:
        raise UserError(
            f"the answer to El Nino needs {FEWEST_MONTHS} whole months of {what}, there are "
            f"{months.size}"
        )
    values = ocean.month_series(quantity, what, where, list(months), progress)
    return replace(respond(nino, months, values, units), source=f"{months.size} months of the data")


@dataclass(frozen=True)
class Composite:
    """Maps of a quantity in El Nino and La Nina.

    Parameters
    ----------
    warm, cold : (H, W)
        Mean anomaly over the months of each.
    warm_months, cold_months : (n,) datetime64[M]
        Which these are.
    units
        Of the quantity.
    source
        What the months are of.
    """

    warm: Array
    cold: Array
    warm_months: Months
    cold_months: Months
    units: str
    source: str = ""

    @property
    def difference(self) -> Array:
        """(H, W): El Nino less La Nina."""
        return self.warm - self.cold


def composite(
    nino: Nino, months: Months, fields: NDArray[Any], units: str = "", source: str = ""
) -> Composite:
    """Mean anomalies of monthly maps in El Nino and La Nina.

    The mean of a map over a region is what `respond` finds of the region's mean.

    Parameters
    ----------
    months : (n,) datetime64[M]
    fields : (n, H, W)
        Seasons and trend are taken out cell by cell.
    units, source
        Of the fields.
    """
    months = np.asarray(months, dtype="datetime64[M]")
    if months.size < FEWEST_MONTHS:
        raise UserError(f"composites need {FEWEST_MONTHS} months, there are {months.size}")
    number = months.astype(int)
    x = (number - number.mean())[:, None, None]

    def level(values: Array) -> Array:
        rest = values - values.mean(axis=0)
        return rest - x * (x * rest).sum(axis=0) / (x**2).sum()

    rest = level(fields.astype(np.float64))
    for calendar in range(12):
        rows = number % 12 == calendar
        if rows.any():
            rest[rows] -= rest[rows].mean(axis=0)
    rest = level(rest)  # the seasons of a straight line are none
    phase = dict(zip(nino.months.astype(int).tolist(), nino.phase, strict=True))
    sign = np.array([phase.get(int(m), 0) for m in number])
    empty = np.full(fields.shape[1:], np.nan)
    warm, cold = (rest[sign == s].mean(axis=0) if (sign == s).any() else empty for s in (1, -1))
    return Composite(warm, cold, months[sign == 1], months[sign == -1], units, source)


# -- the shipped record ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Record:
    """Monthly means of the tropical Pacific over 21 years, for truth and models.

    Parameters
    ----------
    months : (n,) datetime64[M]
    co2 : name -> (n,) umol mol-1
    flux : name -> (n,) mol m-2 yr-1
    """

    months: Months
    co2: dict[str, Array]
    flux: dict[str, Array]


COLUMNS = ("month", "what", "co2", "flux")


@cache
def record() -> Record:
    """The shipped series of the embedded world, made by ``co2net ocean enso`` on its archive.

    Raises
    ------
    UserError
        When there is no such file.
    """
    path = data_path("ocean", "enso.csv")
    if not path.is_file():
        raise UserError(f"no record at {path}; `co2net ocean enso --data ARCHIVE` makes one")
    with path.open(encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(line for line in handle if not line.startswith("#")))
    months = np.array(sorted({row["month"] for row in rows}), dtype="datetime64[M]")
    names = list(dict.fromkeys(row["what"] for row in rows))

    def series(column: str, what: str) -> Array:
        held = {row["month"]: float(row[column]) for row in rows if row["what"] == what}
        return np.array([held.get(str(month), np.nan) for month in months])

    return Record(
        months,
        {name: series("co2", name) for name in names},
        {name: series("flux", name) for name in names},
    )
