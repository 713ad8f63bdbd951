"""Ordinary kriging of the stations' departures with an exponential covariance on the sphere.

At the frame's time alone, departures ``d`` of the stations from the climatology are the level
plus a stationary field of covariance

    C(x, y) = sill * exp(-arc(x, y) / length)

plus a nugget at each station (its noise, and what differs within a cell). The arc is that along
the great circle; of it the exponential, being completely monotone, is positive definite on the
sphere for every length (Gneiting 2013, *Bernoulli* 19, 1327-1349), which many a covariance of the
plane is not. Level and gain are those of ordinary kriging (`co2net.background.kriging`; Cressie
1993, *Statistics for Spatial Data*, ch. 3).

Sill, length and nugget are fitted for every hour of the day, for the boundary layer of the night
is shallow, by restricted maximum likelihood (Patterson and Thompson 1971): with S stations and the
mean ``M`` of ``d d'`` over the training frames of the hour,

    -2 l / n = log|C| + log(1' C^-1 1) + tr(P M),   P = C^-1 - C^-1 1 1' C^-1 / (1' C^-1 1)

(nugget in ``C``), so that no frame is read again while the likelihood climbs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from co2net.assets import atomic_path, provenance
from co2net.background import Background, Gains, error_variance, station_distances
from co2net.errors import UserError
from co2net.grid import EARTH_RADIUS_M
from co2net.source import FieldSource, Index

Float = NDArray[np.float32]
Progress = Callable[[float, str], None]

_FILE = "kriging.json"
_BLOCK = 480  # frames read at a time
_DAYS = 800  # of the sample that is fitted
_LENGTH_KM = (50.0, 20000.0)
_GAINS_KEPT = 24


def exponential(arc: NDArray[np.floating[Any]], sill: float, length: float) -> NDArray[np.float64]:
    """``sill * exp(-arc / length)``; arc and length in the same unit."""
    return np.asarray(sill * np.exp(-np.asarray(arc, dtype=np.float64) / length))


@dataclass(frozen=True, eq=False)
class Kriging:
    """Exponential kriging about a background's climatology.

    With Q hour slots and S stations:

    Parameters
    ----------
    background
        Climatology, trend, hour slots and stations.
    sill, nugget : (Q,) (umol/mol)^2
    length : (Q,) km
    notes
        Data, frames and likelihood.
    """

    background: Background
    sill: NDArray[np.float64]
    length: NDArray[np.float64]
    nugget: NDArray[np.float64]
    notes: dict[str, Any]
    _gains: Gains = field(default_factory=lambda: Gains(_GAINS_KEPT), repr=False)

    frames = 1

    # -- learning -----------------------------------------------------------------------

    @classmethod
    def fit(
        cls,
        source: FieldSource,
        index: Index,
        background: Background,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> Kriging:
        """Learn from a sample of the training days.

        Parameters
        ----------
        source
            Observations. Where a station is silent its cell's truth stands in.
        index
            Training frames; no others are read.
        background
            Fitted on the same frames.
        seed
            Of the sample.
        progress
            Told the share done and what is going on.

        Raises
        ------
        UserError
            When there are fewer than three stations, or the truth has gaps.
        """
        tell = progress or (lambda share, text: None)
        index = np.asarray(index, dtype=np.int64)
        cells = background.cells
        if cells.size < 3 or index.size == 0:
            raise UserError(
                f"kriging: {cells.size} stations and {index.size} training frames are too few to "
                "fit a covariance; three stations are the least"
            )
        day = source.time[index].astype("datetime64[D]")
        days = np.random.default_rng(seed).permutation(np.unique(day))[:_DAYS]
        index = index[np.isin(day, days)]
        slots = background.slots.size
        moments, count = np.zeros((slots, cells.size, cells.size)), np.zeros(slots)
        number = max(1, round(index.size / _BLOCK))
        for done, block in enumerate(np.array_split(index, number), start=1):
            times, seen = source.time[block], source.observations(block)
            if np.isnan(seen).any():
                truth = source.read(["co2"], block)[0].reshape(block.size, -1)[:, cells]
                seen = np.where(np.isnan(seen), truth, seen)
            departure = background.departures(times, seen).astype(np.float64)
            if not np.isfinite(departure).all():
                raise UserError(f"kriging: the truth has gaps near {times[0]}")
            slot = background.slot(times)
            for q in np.unique(slot):
                moments[q] += departure[slot == q].T @ departure[slot == q]
                count[q] += (slot == q).sum()
            tell(0.7 * done / number, "departures")
        arc = arcs(background)[cells]
        fitted = np.ones((slots, 3))
        likelihood = np.zeros(slots)
        pooled = moments.sum(axis=0) / count.sum()
        for q in range(slots):  # an hour that the sample lacks takes the mean over all
            mean = moments[q] / count[q] if count[q] else pooled
            fitted[q], likelihood[q] = fit_exponential(mean, arc)
            tell(0.7 + 0.3 * (q + 1) / slots, "likelihood")
        notes = {
            "frames": int(index.size),
            "minus_2_log_likelihood_per_frame": [round(float(v), 3) for v in likelihood],
            "data": {k: source.attrs.get(k) for k in ("title", "version", "digest", "simulated")},
            "provenance": provenance(),
        }
        sill, length, nugget = fitted.T.copy()
        return cls(background, sill, length, nugget, notes)

    # -- using --------------------------------------------------------------------------

    @property
    def size(self) -> int:
        """Trained values beside those of the background."""
        return self.sill.size + self.length.size + self.nugget.size

    def estimate(self, times: ArrayLike, observations: Float, noise: Float | None = None) -> Float:
        """(n, H, W) umol/mol: kriging of the stations that report.

        Parameters
        ----------
        times : (n,) datetime64
        observations : (n, S) umol/mol
            NaN where a station is silent: it is left out. Where none reports the result is the
            climatology at the level of the training years' trend.
        noise : (n, S) umol/mol or None
            Standard errors of the observations, NaN where not known; their squares come on top
            of the nugget.
        """
        times = np.atleast_1d(np.asarray(times, dtype="datetime64[s]"))
        departure = self.background.departures(times, observations)
        slot, there = self.background.slot(times), np.isfinite(departure)
        out = self.background.climatology(times)
        flat = out.reshape(times.size, -1)
        for n in range(times.size):
            if not there[n].any():
                flat[n] += np.float32(self.background.trend_at(times[n : n + 1])[0])
                continue
            error = error_variance(noise, n, there[n])
            weights, gain = self._gain(int(slot[n]), there[n], error)
            values = departure[n, there[n]]
            level = weights @ values
            flat[n] += level + gain @ (values - level)
        return out

    def covariance(self, slot: int) -> NDArray[np.float64]:
        """(S, S) (umol/mol)^2: of the stations' departures at a slot, nugget included."""
        arc = self._arcs[self.background.cells]
        found = exponential(arc, self.sill[slot], self.length[slot])
        return found + self.nugget[slot] * np.eye(arc.shape[0])

    def _gain(
        self, slot: int, there: NDArray[np.bool_], error: NDArray[np.float64] | None
    ) -> tuple[Float, Float]:
        """Level weights (s,) and gain (N, s) of the s stations that report."""

        def moments() -> tuple[NDArray[np.floating[Any]], NDArray[np.floating[Any]]]:
            cross = exponential(self._arcs[:, there], self.sill[slot], self.length[slot])
            return self.covariance(slot)[np.ix_(there, there)], cross

        return self._gains.find((slot, there.tobytes()), moments, error)

    @cached_property
    def _arcs(self) -> NDArray[np.float64]:
        return arcs(self.background)

    # -- keeping ------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """What decides a result, for JSON, which keeps double precision whole."""
        names = ("sill", "length", "nugget")
        return {name: [float(v) for v in getattr(self, name)] for name in names}

    @cached_property
    def digest(self) -> str:
        """Short fingerprint of everything that decides a result."""
        text = self.background.digest + json.dumps(self.to_dict())
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def save(self, folder: str | Path) -> None:
        """Write ``kriging.json`` beside the background, atomically."""
        about = {
            "digest": self.digest,
            "background": self.background.digest,
            **self.to_dict(),
            "notes": self.notes,
        }
        with atomic_path(Path(folder) / _FILE) as draft:
            draft.write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: str | Path, background: Background) -> Kriging:
        """Read what `save` wrote.

        Raises
        ------
        UserError
            When the file is missing or damaged, or was fitted with another background.
        """
        path = Path(folder) / _FILE
        try:
            about = json.loads(path.read_text(encoding="utf-8"))
            sill, length, nugget = (
                np.array(about[name], dtype=np.float64) for name in ("sill", "length", "nugget")
            )
            found = cls(background, sill, length, nugget, about["notes"])
            digest = about["digest"]
        except FileNotFoundError:
            raise UserError(
                f"no kriging in {folder}; fit it with `co2net train --model kriging`"
            ) from None
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{path} is damaged: {error}") from None
        if found.digest != digest:
            raise UserError(f"{path} was changed, or fitted with another background")
        return found


def arcs(background: Background) -> NDArray[np.float64]:
    """(N, S) km: along great circles, from every cell to the stations' cells."""
    chord = station_distances(background.grid, background.stations).astype(np.float64)
    radius = EARTH_RADIUS_M / 1000
    return 2 * radius * np.arcsin(np.minimum(chord / (2 * radius), 1.0))


def fit_exponential(
    moments: NDArray[np.float64], arc: NDArray[np.float64]
) -> tuple[tuple[float, float, float], float]:
    """Sill, length and nugget of greatest restricted likelihood, and -2 l / n there.

    Parameters
    ----------
    moments : (S, S)
        Mean of ``d d'`` over frames.
    arc : (S, S) km
        Between the stations.
    """
    from scipy.linalg import cho_factor, cho_solve
    from scipy.optimize import minimize

    variance = max(float(np.trace(moments)) / arc.shape[0], 1e-9)

    def value(logs: NDArray[np.float64]) -> float:
        sill, length, nugget = np.exp(logs)
        covariance = exponential(arc, sill, length) + nugget * np.eye(arc.shape[0])
        factor = cho_factor(covariance, lower=True)
        ones = cho_solve(factor, np.ones(arc.shape[0]))
        solved = cho_solve(factor, moments)
        total = ones.sum()
        fit = np.trace(solved) - ones @ moments @ ones / total
        return float(2 * np.log(np.diag(factor[0])).sum() + np.log(total) + fit)

    low, high = np.log(variance) - 12, np.log(variance) + 5
    bounds = [(low, high), tuple(np.log(_LENGTH_KM)), (low, high)]
    starts = [np.log([0.7 * variance, km, 0.3 * variance]) for km in (400.0, 2000.0)]
    tries = [minimize(value, start, method="L-BFGS-B", bounds=bounds) for start in starts]
    best = min(tries, key=lambda found: found.fun)
    sill, length, nugget = (float(v) for v in np.exp(best.x))
    return (sill, length, nugget), float(best.fun)
