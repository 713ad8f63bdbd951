"""Acidity: pH and the saturation of aragonite from pCO2 and alkalinity, and the risk to reefs.

The carbonate system is solved by ``PyCO2SYS`` (Humphreys et al. 2022, doi:10.5194/gmd-15-15-2022)
with its default constants: carbonic acid of Lueker et al. (2000), bisulphate of Dickson (1990),
total boron of Uppstroem (1974), on the total pH scale. Nutrients are taken as none. Alkalinity
follows from temperature and salinity (Lee et al. 2006) where the product has none.

Uncertainty is propagated by ``PyCO2SYS`` through its derivatives, from independent standard errors
of pCO2 and alkalinity, and of the dissociation constants (Orr et al. 2018).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from co2net.errors import UserError
from co2net.grid import LatLonGrid
from co2net.inference import TRUTH
from co2net.ocean.basins import reefs as known_reefs
from co2net.ocean.fields import SeaState
from co2net.ocean.statistics import deseasonalised, slope_with_interval
from co2net.regions import Region

if TYPE_CHECKING:
    from co2net.ocean.engine import Ocean

Array = NDArray[np.float64]
Progress = Callable[[float, str], None]

PCO2_SD = 17.0
"""uatm: standard error of a month's pCO2 where the product states none; the median kriging error of
the SOCATv4 fields of July 2010."""
RISK = (4.0, 3.5, 3.0)
"""Saturation states of aragonite below which waters are 'adequate', 'low' and 'extremely low' for
the growth of reefs (Guinotte, Buddemeier and Kleypas 2003, doi:10.1007/s00338-003-0331-4); above
the first they are 'optimal'."""
RISK_LABELS = ("optimal", "adequate", "low", "extremely-low")

_LEE = {
    # Lee et al. (2006), doi:10.1029/2006GL027207, table 1: constant; salinity - 35, its square;
    # temperature - reference, its square; reference (degC); longitude factor; standard error
    "subtropics": (2305.0, 58.66, 2.32, -1.41, 0.040, 20.0, 0.0, 8.6),
    "equatorial upwelling Pacific": (2294.0, 64.88, 0.39, -4.52, -0.232, 29.0, 0.0, 7.5),
    "North Atlantic": (2305.0, 53.97, 2.74, -1.16, -0.040, 20.0, 0.0, 6.4),
    "North Pacific": (2305.0, 53.23, 1.85, -14.72, -0.158, 20.0, 0.062, 8.7),
    "Southern Ocean": (2305.0, 52.48, 2.85, -0.49, 0.086, 20.0, 0.0, 8.4),
}


def alkalinity(
    sst: ArrayLike, salinity: ArrayLike, lat: ArrayLike, lon: ArrayLike
) -> tuple[Array, Array]:
    """Total alkalinity of the surface and its standard error, umol kg-1 (Lee et al. 2006).

    Zones as in their figure 1: the equatorial upwelling Pacific (20S-20N and 75-110W, 10S-10N and
    110-140W), the rest between 30S and 30N, the Southern Ocean south of 30S, and north of 30N
    the Pacific (120E-100W) and the rest, the Atlantic's. Where the water is outside the range of
    temperatures of its zone the equation of the zone is used as it stands; in the subtropics colder
    than 20 degC that of the neighbouring ocean. The Arctic is outside the relation: take it as an
    extrapolation there.

    Parameters
    ----------
    sst : degC
    salinity : 1
    lat, lon : degrees
        Broadcast against the others.
    """
    sst, salinity, lat, lon = np.broadcast_arrays(
        *(np.asarray(v, dtype=np.float64) for v in (sst, salinity, lat, lon))
    )
    east = lon % 360.0
    pacific = (east >= 120.0) & (east <= 260.0)
    upwelling = (np.abs(lat) <= 20) & (east >= 250) & (east <= 285) & (sst > 18)
    upwelling |= (np.abs(lat) <= 10) & (east >= 220) & (east <= 250) & (sst > 18)
    warm = (np.abs(lat) <= 30) & (sst >= 20)
    south = lat < 0
    zone = np.select(
        [upwelling, warm, south, pacific],
        [
            list(_LEE).index(name)
            for name in (
                "equatorial upwelling Pacific", "subtropics", "Southern Ocean", "North Pacific",
            )
        ],
        list(_LEE).index("North Atlantic"),
    )  # fmt: skip
    table = np.array(list(_LEE.values()))[zone]
    constant, s1, s2, t1, t2, reference, along, error = np.moveaxis(table, -1, 0)
    ds, dt = salinity - 35.0, sst - reference
    value = constant + s1 * ds + s2 * ds**2 + t1 * dt + t2 * dt**2 + along * dt * east
    return value, np.where(np.isfinite(value), error, np.nan)


_ALONE = Lock()
"""PyCO2SYS differentiates by autograd, whose tape is one for all threads: two that solve at once
get each other's derivatives, and their iteration need not end."""


@dataclass(frozen=True)
class Carbonate:
    """What a solved carbonate system gives, arrays of one shape.

    Parameters
    ----------
    ph, aragonite
        pH on the total scale, and the saturation state of aragonite.
    ph_sd, aragonite_sd
        Their standard errors; NaN where none were asked for.
    """

    ph: Array
    aragonite: Array
    ph_sd: Array
    aragonite_sd: Array


def solve(
    pco2: ArrayLike,
    alkali: ArrayLike,
    sst: ArrayLike,
    salinity: ArrayLike,
    errors: tuple[ArrayLike, ArrayLike] | None = None,
    of_constants: bool = False,
) -> Carbonate:
    """pH and aragonite saturation of surface water; NaN gives NaN.

    Parameters
    ----------
    pco2 : uatm
    alkali : umol kg-1
        Total alkalinity.
    sst : degC
    salinity : 1
    errors : (uatm, umol kg-1)
        Standard errors of pCO2 and alkalinity, to be propagated. None: no errors are given.
    of_constants
        Whether the errors hold those of the dissociation constants too (Orr et al. 2018), which
        are the same everywhere and drop out of differences and trends. Ten times the work.
    """
    import PyCO2SYS as pyco2

    inputs = (pco2, alkali, sst, salinity, *(errors or ()))
    arrays = np.broadcast_arrays(*(np.asarray(v, dtype=np.float64) for v in inputs))
    shape = arrays[0].shape
    flat = [np.atleast_1d(v).ravel() for v in arrays]
    good = np.logical_and.reduce([np.isfinite(v) for v in flat])
    out = np.full((4, good.size), np.nan)
    if good.any():
        p, a, t, s, *sd = (v[good] for v in flat)
        wanted: dict[str, Any] = {}
        names = ["pH", "saturation_aragonite"]
        if sd:
            known = {"par1": sd[1], "par2": sd[0]}
            known |= pyco2.uncertainty_OEDG18 if of_constants else {}
            wanted = {"uncertainty_into": list(names), "uncertainty_from": known}
            names += [f"u_{name}" for name in names]
        settings = {"par1_type": 1, "par2_type": 4, "opt_buffers_mode": 0}
        with _ALONE:
            solved = pyco2.sys(par1=a, par2=p, temperature=t, salinity=s, **settings, **wanted)
        for row, name in enumerate(names):
            out[row, good] = solved[name]
    return Carbonate(*out.reshape(4, *shape))


def maps(
    state: SeaState,
    pco2: NDArray[Any],
    grid: LatLonGrid,
    where: NDArray[np.bool_],
    with_errors: bool = False,
) -> dict[str, Array]:
    """Maps (H, W) of ph, aragonite and alkalinity, NaN outside ``where``.

    Parameters
    ----------
    state
        Temperature, salinity, and alkalinity where it is known.
    pco2 : (H, W) uatm
    where : (H, W)
        The sea.
    with_errors
        Also ph_sd and aragonite_sd: errors of pCO2 and alkalinity cell by cell, and that of the
        constants once, at the mean state, for it hardly varies.
    """
    alkali, alkali_sd = alkalinity(state.sst, state.salinity, grid.lat[:, None], grid.lon[None, :])
    if state.alkalinity is not None:
        alkali = state.alkalinity
    sea = np.where(where, pco2, np.nan)
    sd = np.broadcast_to(PCO2_SD if state.pco2_sd is None else state.pco2_sd, sea.shape)
    errors = (sd, alkali_sd) if with_errors else None
    found = solve(sea, alkali, state.sst, state.salinity, errors)
    out = {
        "ph": found.ph,
        "aragonite": found.aragonite,
        "alkalinity": np.where(where, alkali, np.nan),
    }
    if with_errors:
        middle = [float(np.nanmean(np.where(where, v, np.nan)))
                  for v in (pco2, alkali, state.sst, state.salinity)]  # fmt: skip
        p, a, t, s = middle
        constant = solve(p, a, t, s, errors=(0.0, 0.0), of_constants=True)
        out["ph_sd"] = np.hypot(found.ph_sd, constant.ph_sd)
        out["aragonite_sd"] = np.hypot(found.aragonite_sd, constant.aragonite_sd)
    return out


def propagated(
    state: SeaState, pco2_sd: NDArray[Any], grid: LatLonGrid, where: NDArray[np.bool_]
) -> Array:
    """(H, W): the standard error of pH that one of pCO2 alone gives, NaN outside ``where``.

    Parameters
    ----------
    state
        Pressure, temperature, salinity, and alkalinity where it is known.
    pco2_sd : (H, W) uatm
    where : (H, W)
        The sea.
    """
    alkali, _ = alkalinity(state.sst, state.salinity, grid.lat[:, None], grid.lon[None, :])
    if state.alkalinity is not None:
        alkali = state.alkalinity
    pco2 = np.where(where, state.pco2, np.nan)
    return solve(pco2, alkali, state.sst, state.salinity, errors=(pco2_sd, 0.0)).ph_sd


# -- reefs --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Trend:
    """A straight line through a series without its seasons: change per decade, 95 % interval."""

    per_decade: float
    low: float
    high: float


@dataclass(frozen=True)
class ReefWatch:
    """Acidity of the mean water of a reef; arrays (n,) over the months.

    Parameters
    ----------
    region
        Box of the reef.
    months : datetime64[M]
    ph, aragonite
        Of the mean water of the months.
    ph_sd, aragonite_sd : float
        Standard errors of a month's value, from those of pCO2 and alkalinity. The error of the
        dissociation constants, alike in all months and places, is left out.
    ph_trend, aragonite_trend
        Over the months; NaN where they span less than `SHORTEST_TREND` years.
    risk : int
        0 to 3: how many thresholds of `RISK` the mean of the last twelve months lies below.
    """

    region: Region
    months: NDArray[np.datetime64]
    ph: Array
    aragonite: Array
    ph_sd: float
    aragonite_sd: float
    ph_trend: Trend
    aragonite_trend: Trend
    risk: int

    @property
    def risk_label(self) -> str:
        """Key of the risk, one of `RISK_LABELS`."""
        return RISK_LABELS[self.risk]


SHORTEST_TREND = 5.0
"""Years that the months must span for a trend."""


def risk_of(saturation: float) -> int:
    """0 to 3: how many thresholds of `RISK` a saturation state lies below."""
    return int(sum(saturation < limit for limit in RISK))


def watch(
    ocean: Ocean,
    what: str = TRUTH,
    reefs: dict[str, Region] | None = None,
    months: Sequence[str | np.datetime64] | None = None,
    progress: Progress | None = None,
) -> list[ReefWatch]:
    """Acidity of reefs over months; kept in the ocean's memory for the next call.

    Parameters
    ----------
    ocean
        Data set, models and sea.
    what
        ``truth`` or a model, whose monthly error in the air's pCO2 is then the sea's too.
    reefs
        Boxes; by default those of `co2net.ocean.basins.reefs`.
    months
        By default every month of the sea between the data set's first and last; of a model those
        it can give.
    progress
        Told the share done.
    """
    places = known_reefs() if reefs is None else reefs
    chosen = _months(ocean, what, months)
    if chosen.size == 0:
        raise UserError(f"there is no whole month of {what}; add one with `co2net simulate`")
    key = ("watch", what, ocean.digest(what), tuple(places), tuple(chosen.astype(int)))
    return ocean.kept(key, lambda: _watched(ocean, what, places, chosen, progress))


def _watched(
    ocean: Ocean,
    what: str,
    places: dict[str, Region],
    chosen: NDArray[np.datetime64],
    progress: Progress | None,
) -> list[ReefWatch]:
    """See `watch`."""
    states, pressures = [], []
    for n, month in enumerate(chosen):
        states.append(ocean.state(month))
        pressures.append(ocean.followed(what, month))
        if progress is not None:
            progress(0.8 * (n + 1) / chosen.size, str(month))
    waters = [_waters(ocean, place, states, pressures) for place in places.values()]
    pco2, alkali, sst, salinity, pco2_sd, alkali_sd = np.stack(waters, axis=1)
    found = solve(pco2, alkali, sst, salinity)
    mean = [values.mean(axis=1) for values in (pco2, alkali, sst, salinity)]
    errors = (pco2_sd.mean(axis=1), alkali_sd.mean(axis=1))
    typical = solve(mean[0], mean[1], mean[2], mean[3], errors=errors)
    if progress is not None:
        progress(1.0, "solved")
    return [
        ReefWatch(
            region=place,
            months=chosen,
            ph=found.ph[n],
            aragonite=found.aragonite[n],
            ph_sd=float(typical.ph_sd[n]),
            aragonite_sd=float(typical.aragonite_sd[n]),
            ph_trend=_trend(chosen, found.ph[n]),
            aragonite_trend=_trend(chosen, found.aragonite[n]),
            risk=risk_of(float(found.aragonite[n][-12:].mean())),
        )
        for n, place in enumerate(places.values())
    ]


def _months(
    ocean: Ocean, what: str, months: Sequence[str | np.datetime64] | None
) -> NDArray[np.datetime64]:
    if months is not None:
        return np.array(months, dtype="datetime64[M]")
    if what != TRUTH:
        return np.array(ocean.months(what), dtype="datetime64[M]")
    axis = ocean.engine.source.time[[0, -1]].astype("datetime64[M]")
    known = ocean.fields.months
    return known[(known >= axis[0]) & (known <= axis[1])]


def _waters(
    ocean: Ocean, place: Region, states: Sequence[SeaState], pressures: Sequence[Array]
) -> Array:
    """(6, months): means over the sea of a place of pCO2, alkalinity, temperature and salinity,
    and the standard errors of the first two."""
    weights = ocean.weights(place) * np.isfinite(states[0].pco2)
    rows, columns = np.nonzero(weights)
    if rows.size == 0:
        raise UserError(f"nothing is known of the sea in {place.name_en}")
    share = weights[rows, columns] / weights[rows, columns].sum()
    lat, lon = ocean.grid.lat[rows], ocean.grid.lon[columns]
    out = np.empty((6, len(states)))
    for n, (state, pressure) in enumerate(zip(states, pressures, strict=True)):
        sst, salinity = state.sst[rows, columns], state.salinity[rows, columns]
        alkali, error = alkalinity(sst, salinity, lat, lon)
        if state.alkalinity is not None:
            alkali = state.alkalinity[rows, columns]
        sd = PCO2_SD if state.pco2_sd is None else state.pco2_sd[rows, columns]
        fields = (pressure[rows, columns], alkali, sst, salinity, sd, error)
        out[:, n] = [float((field * share).sum()) for field in fields]
    return out


def _trend(months: NDArray[np.datetime64], values: Array) -> Trend:
    years = months.astype(int) / 12.0
    if years[-1] - years[0] < SHORTEST_TREND or values.size < 24:
        return Trend(np.nan, np.nan, np.nan)
    slope, low, high = slope_with_interval(years, deseasonalised(months, values))
    return Trend(10 * slope, 10 * low, 10 * high)
