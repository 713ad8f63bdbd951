"""Optimal interpolation from what the stations reported over a whole window.

With departures ``d`` of S stations from the climatology at the T frames of a window, last frame
first, ``C`` their covariance (TS x TS) and ``c`` that of the cells at the last frame with them,
field, level and gain are those of `co2net.background`: ordinary kriging, with one level for the
window, that of the days around: what the area mean does within a day belongs to the anomaly. Air
that passed a station a day ago is elsewhere now; the covariances between then and now know where
it usually went.

Several hundred predictors and a few independent weather situations a month make most of a sample
covariance chance (a fit on all pairs is worse on years it has not seen than on its own by a
fifth). So here

- anomalies are split into a *slow* part, the mean over the same hour of the days around, and the
  *fast* rest; each has its covariances, tapered with the distance by a length of its own (Gaspari
  and Cohn 1999, eq. 4.10), for weather reaches less far than what lasts for weeks: localisation
  by scale (Buehner and Shlyaeva 2015, *Tellus* A 67, 28027). Each is a Schur product of positive
  semidefinite matrices, and so is their sum;
- covariances differ by the hour of the day and, with one T x T block a lag, are the same wherever
  a pair of hours stands in the window: the covariance between hours h and h - k serves all;
- a ridge in proportion to each station's variance keeps ``C`` positive definite.

Lengths and ridge are chosen on blocks of the training frames that were held out; no frame outside
``index`` is ever read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from co2net.assets import atomic_path, provenance
from co2net.background import (
    Background,
    Gains,
    error_variance,
    gaspari_cohn,
    kriging,
    station_distances,
)
from co2net.errors import UserError
from co2net.source import FieldSource, Index

Float = NDArray[np.float32]
Progress = Callable[[float, str], None]

FRAMES = 8
"""Frames of a window: a day of three-hourly ones."""
SLOW_DAYS = 3
"""Days before and after that the slow part is a mean of."""

_TENSORS, _ABOUT = "interpolation-window.safetensors", "interpolation-window.json"
_BLOCK = 480  # frames read at a time
_FOLDS = 6  # blocks in time; the second and the fifth are held out
_SLOW_KM = (7000.0, 10000.0, 14000.0, np.inf)
_FAST_KM = (2500.0, 4000.0, 6000.0, 9000.0, np.inf)
_RIDGE = (1e-3, 2e-3, 4e-3, 8e-3, 1.6e-2, 6.4e-2, 0.256)
_GAINS_KEPT = 64
_STEPS = 32767.0  # correlations are kept in 16 bits


@dataclass(frozen=True, eq=False)
class WindowInterpolation:
    """Optimal interpolation over a window; fields are told in the patterns of a background.

    With Q hour slots and P patterns of the background, S stations and T frames:

    Parameters
    ----------
    background
        Climatology, trend, patterns and stations.
    step : int
        Seconds between the frames of a window.
    cross : (Q, T, 1 + P, S)
        Covariances of a constant and the patterns at slot q with the departures k frames before
        (umol/mol)^2.
    deviation : (Q, S)
        Standard deviations of the departures (umol/mol).
    correlation : (Q, T, S, S)
        Correlations of departures at slot q (rows) with those k frames before (columns).
    ridge : float
        Share of each variance that is added to the diagonal.
    notes
        Settings chosen and scores on the held-out training blocks.
    """

    background: Background
    step: int
    cross: Float
    deviation: Float
    correlation: Float
    ridge: float
    notes: dict[str, Any]
    _gains: Gains = field(default_factory=lambda: Gains(_GAINS_KEPT), repr=False)

    # -- learning -----------------------------------------------------------------------

    @classmethod
    def fit(
        cls,
        source: FieldSource,
        index: Index,
        background: Background,
        frames: int = FRAMES,
        progress: Progress | None = None,
    ) -> WindowInterpolation:
        """Learn from training frames.

        Parameters
        ----------
        source
            Truth and observations. Where a station is silent its cell's truth stands in.
        index
            Training frames, ascending.
        background
            Fitted on the same frames.
        frames : int
            Length T of the window.
        progress
            Told the share done and what is going on.

        Raises
        ------
        UserError
            When there are fewer than 48 whole windows, or the truth has gaps.
        """
        tell = progress or (lambda share, text: None)
        sample = _Sample(source, np.asarray(index, dtype=np.int64), background, frames, tell)
        blocks = _FOLDS * np.arange(sample.ends.size) // max(sample.ends.size, 1)
        held = np.isin(blocks, (1, 4))
        slots = background.slots.size
        fit, test = _Sums(slots, sample), _Sums(slots, sample)
        for slot in range(slots):
            mine = sample.slot[sample.ends] == slot
            anomaly = sample.anomalies(sample.ends[mine])
            slow = sample.slow(anomaly, sample.ends[mine])
            for sums, chosen in ((fit, ~held[mine]), (test, held[mine])):
                sums.add(slot, sample.ends[mine][chosen], anomaly[chosen], slow[chosen])
            tell(0.2 + 0.7 * (slot + 1) / slots, "covariances")
        absent = background.slots[fit.count + test.count == 0]
        if absent.size:
            raise UserError(
                "interpolation-window: the training frames hold no whole window that ends at "
                f"{_clock(absent[0])} UTC; give whole days, one after the other"
            )
        slow_km, fast_km, ridge, scores = _choose(fit, test)
        fit.join(test)
        cross, covariance = fit.tapered(slow_km, fast_km)
        variance = np.diagonal(covariance[:, 0], axis1=-2, axis2=-1)
        deviation = np.sqrt(np.maximum(variance, 1e-12)).astype(np.float32)
        correlation = covariance / deviation[:, None, :, None]
        correlation /= deviation[sample.before][:, :, None, :]
        np.einsum("qss->qs", correlation[:, 0])[:] = 1.0  # of a station that never varies, too
        correlation = np.round(np.clip(correlation, -1, 1) * _STEPS) / _STEPS
        ridge = max(ridge, 1e-3 - _lowest(correlation, sample.before))
        notes = {
            "windows": int(sample.ends.size),
            "slow_days": SLOW_DAYS,
            "slow_taper_km": None if np.isinf(slow_km) else slow_km,
            "fast_taper_km": None if np.isinf(fast_km) else fast_km,
            "held_out_rmse_ppm": scores,
            "data": {k: source.attrs.get(k) for k in ("title", "version", "digest", "simulated")},
            "provenance": provenance(),
        }
        tell(1.0, "fitted")
        return cls(
            background,
            int(source.step / np.timedelta64(1, "s")),
            cross.astype(np.float16).astype(np.float32),
            deviation,
            correlation.astype(np.float32),
            float(ridge),
            notes,
        )

    # -- using --------------------------------------------------------------------------

    @property
    def frames(self) -> int:
        """Length T of the window."""
        return self.cross.shape[1]

    @property
    def size(self) -> int:
        """Trained values beside those of the background."""
        return self.cross.size + self.deviation.size + self.correlation.size + 1

    def estimate(self, times: ArrayLike, observations: Float, noise: Float | None = None) -> Float:
        """(n, H, W) umol/mol at the last frames of windows.

        Parameters
        ----------
        times : (n,) datetime64
            Of the last frames.
        observations : (n, T, S) umol/mol
            Of the windows, last frame last. NaN where a station is silent: its row and column
            leave the covariance, which is exact. Where no station reports in the whole window the
            result is the climatology at the level of the training years' trend.
        noise : (n, T, S) umol/mol or None
            Standard errors of the observations, NaN where not known: their squares are added to
            the diagonal of the covariance.
        """
        times = np.atleast_1d(np.asarray(times, dtype="datetime64[s]"))
        back = np.arange(self.frames)[::-1] * np.timedelta64(self.step, "s")
        observations = np.asarray(observations, dtype=np.float32)
        sites = len(self.background.stations)
        if observations.shape != (times.size, self.frames, sites):
            raise UserError(
                f"interpolation-window: observations of shape {observations.shape} for "
                f"{times.size} windows of {self.frames} frames and {sites} stations"
            )
        in_time = self.background.departures(
            (times[:, None] - back).ravel(), observations.reshape(-1, sites)
        ).reshape(observations.shape)
        departure = in_time[:, ::-1].reshape(times.size, -1)  # last frame first, as in C
        there = np.isfinite(departure)
        errors = None if noise is None else noise[:, ::-1].reshape(departure.shape)
        slot = self.background.slot(times)
        level = np.empty(times.size, dtype=np.float32)
        amounts = np.zeros((times.size, self.cross.shape[2]), dtype=np.float32)
        for n in range(times.size):
            if not there[n].any():
                level[n] = self.background.trend_at(times[n : n + 1])[0]
                continue
            error = error_variance(errors, n, there[n])
            weights, gain = self._gain(int(slot[n]), there[n], error)
            values = departure[n, there[n]]
            level[n] = weights @ values
            amounts[n] = gain @ (values - level[n])
        out = (amounts[:, 1:] @ self.background.patterns).reshape(-1, *self.background.grid.shape)
        out += self.background.climatology(times)
        out += (level + amounts[:, 0])[:, None, None]
        return out

    def covariance(self, slot: int) -> NDArray[np.float64]:
        """(TS, TS) (umol/mol)^2: of a window's departures that ends at a slot, ridge included."""
        return _window_covariance(self.correlation, self.deviation, self._before, slot, self.ridge)

    def _gain(
        self, slot: int, there: NDArray[np.bool_], error: NDArray[np.float64] | None
    ) -> tuple[Float, Float]:
        """Level weights (s,) and gain (1 + P, s) of the s values that there are."""

        def moments() -> tuple[NDArray[np.floating[Any]], NDArray[np.floating[Any]]]:
            cross = self.cross[slot].swapaxes(0, 1).reshape(self.cross.shape[2], -1)[:, there]
            return self.covariance(slot)[np.ix_(there, there)], cross

        return self._gains.find((slot, there.tobytes()), moments, error)

    @cached_property
    def _before(self) -> NDArray[np.int64]:
        return _slots_before(self.background, self.step, self.frames)

    # -- keeping ------------------------------------------------------------------------

    def to_tensors(self) -> dict[str, NDArray[Any]]:
        """Arrays for a safetensors file; `fit` has rounded them, so that saving loses nothing."""
        return {
            "cross": self.cross.astype(np.float16),
            "deviation": self.deviation,
            "correlation": np.round(self.correlation * _STEPS).astype(np.int16),
            "step": np.array([self.step], dtype=np.int64),
            "ridge": np.array([self.ridge], dtype=np.float64),
        }

    @cached_property
    def digest(self) -> str:
        """Short fingerprint of everything that decides a result."""
        hasher = hashlib.sha256(self.background.digest.encode())
        for name, values in sorted(self.to_tensors().items()):
            hasher.update(name.encode() + np.ascontiguousarray(values).tobytes())
        return hasher.hexdigest()[:12]

    def save(self, folder: str | Path) -> None:
        """Write tensors and, last, JSON beside the background, each atomically."""
        from safetensors.numpy import save_file

        folder = Path(folder)
        with atomic_path(folder / _TENSORS) as draft:
            tensors = {k: np.ascontiguousarray(v) for k, v in self.to_tensors().items()}
            save_file(tensors, str(draft))
        about = {"digest": self.digest, "background": self.background.digest, "notes": self.notes}
        with atomic_path(folder / _ABOUT) as draft:
            draft.write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: str | Path, background: Background) -> WindowInterpolation:
        """Read what `save` wrote.

        Raises
        ------
        UserError
            When a file is missing or damaged, or was fitted with another background.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        folder = Path(folder)
        try:
            about = json.loads((folder / _ABOUT).read_text(encoding="utf-8"))
            tensors = load_file(str(folder / _TENSORS))
            found = cls(
                background,
                int(tensors["step"][0]),
                tensors["cross"].astype(np.float32),
                tensors["deviation"],
                (tensors["correlation"].astype(np.float64) / _STEPS).astype(np.float32),
                float(tensors["ridge"][0]),
                about["notes"],
            )
            digest = about["digest"]
        except FileNotFoundError as error:
            raise UserError(
                f"no interpolation-window in {folder}: {error.filename or error}; fit one with "
                "`co2net train --model interpolation-window`"
            ) from None
        except (ValueError, KeyError, SafetensorError) as error:
            raise UserError(f"interpolation-window in {folder} is damaged: {error}") from None
        if found.digest != digest:
            raise UserError(
                f"interpolation-window in {folder} does not belong to its JSON or its background"
            )
        return found


# -- learning ---------------------------------------------------------------------------


def _clock(seconds: int) -> str:
    return f"{seconds // 3600:02d}:{seconds % 3600 // 60:02d}"


def _slots_before(background: Background, step: int, frames: int) -> NDArray[np.int64]:
    """(Q, T): hour slot of the frame that lies k steps before one at slot q."""
    seconds = background.slots[:, None] - step * np.arange(frames)
    return background.slot(np.mod(seconds, 86400).ravel().astype("datetime64[s]")).reshape(
        seconds.shape
    )


class _Sample:
    """Training frames: levels, departures, windows, and anomalies as they are asked for.

    Positions are those in ``index``.
    """

    def __init__(
        self,
        source: FieldSource,
        index: Index,
        background: Background,
        frames: int,
        tell: Progress,
    ) -> None:
        self.source, self.index, self.background = source, index, background
        self.times = source.time[index]
        self.slot = background.slot(self.times)
        self.before = _slots_before(background, int(source.step / np.timedelta64(1, "s")), frames)
        self.weights = (source.grid.weights / source.grid.weights.size).ravel().astype(np.float32)
        ends = np.arange(frames - 1, index.size)
        self.ends = ends[index[ends] - index[ends - frames + 1] == frames - 1]
        if self.ends.size < 48:
            raise UserError(
                f"interpolation-window: {self.ends.size} whole windows of {frames} training "
                "frames are too few; give at least 48"
            )
        cells = background.cells
        self.level = np.empty(index.size, dtype=np.float32)
        departure = np.empty((index.size, cells.size), dtype=np.float32)
        number = max(1, round(index.size / _BLOCK))
        for done, block in enumerate(np.array_split(np.arange(index.size), number), start=1):
            fields = self._less_climatology(block)
            self.level[block] = fields @ self.weights
            seen = background.departures(self.times[block], source.observations(index[block]))
            departure[block] = np.where(np.isnan(seen), fields[:, cells], seen)
            tell(0.2 * done / number, "departures")
        self.level = self.slow(self.level, np.arange(index.size))
        departure -= self.level[:, None]
        slow = np.empty_like(departure)
        for slot in range(background.slots.size):
            mine = np.flatnonzero(self.slot == slot)
            slow[mine] = self.slow(departure[mine], mine)
        self.parts = {"all": departure, "slow": slow, "fast": departure - slow}

    def _less_climatology(self, rows: Index) -> Float:
        """(n, N): truth less climatology."""
        truth = self.source.read(["co2"], self.index[rows])[0].reshape(rows.size, -1)
        if not np.isfinite(truth).all():
            raise UserError(f"interpolation-window: the truth has gaps near {self.times[rows[0]]}")
        return truth - self.background.climatology(self.times[rows]).reshape(rows.size, -1)

    def anomalies(self, rows: Index) -> Float:
        """(n, N): departures of the truth from climatology and level."""
        out = np.empty((rows.size, self.weights.size), dtype=np.float32)
        for start in range(0, rows.size, _BLOCK):
            part = slice(start, start + _BLOCK)
            out[part] = self._less_climatology(rows[part]) - self.level[rows[part], None]
        return out

    def slow(self, values: Float, rows: Index) -> Float:
        """(n, ...): means over the rows, which are the values', within `SLOW_DAYS` of each."""
        day = max(np.timedelta64(1, "D"), self.source.step)
        times, reach = self.times[rows], SLOW_DAYS * day
        first = np.searchsorted(times, times - reach)
        after = np.searchsorted(times, times + reach, side="right")
        out = np.empty_like(values)
        for n in range(rows.size):
            out[n] = values[first[n] : after[n]].mean(axis=0)
        return out


class _Sums:
    """Sums over windows, by slot, of products of anomalies and departures, slow and fast apart.

    Kept of the cells' products: their amounts in the patterns after every taper that is tried,
    which is all that `tapered` needs.
    """

    def __init__(self, slots: int, sample: _Sample) -> None:
        self.sample = sample
        ones = np.ones((1, sample.weights.size))
        patterns = np.concatenate([ones, sample.background.patterns.astype(np.float64)])
        weighted = patterns * sample.weights
        self.norm = weighted @ patterns.T
        self.project = np.linalg.solve(self.norm, weighted).astype(np.float32)
        self.distance = station_distances(sample.background.grid, sample.background.stations)
        finite = {*_SLOW_KM, *_FAST_KM} - {np.inf}
        self.taper = {km: gaspari_cohn(self.distance, km) for km in finite}
        sites, frames = self.distance.shape[1], sample.before.shape[1]
        shape = (slots, frames, patterns.shape[0], sites)
        self.count = np.zeros(slots)
        self.square = np.zeros(slots)
        self.inside = np.zeros((slots, patterns.shape[0], patterns.shape[0]))
        self.cross = {
            **{("slow", km): np.zeros(shape, dtype=np.float32) for km in _SLOW_KM},
            **{("fast", km): np.zeros(shape, dtype=np.float32) for km in _FAST_KM},
            ("all", np.inf): np.zeros(shape, dtype=np.float32),
        }
        self.covariance = {part: np.zeros((slots, frames, sites, sites)) for part in sample.parts}

    def add(self, slot: int, ends: Index, anomaly: Float, slow: Float) -> None:
        """Count windows that end at rows ``ends`` of a slot, given (n, N) anomalies there."""
        amounts = anomaly @ self.project.T
        fast = anomaly - slow
        self.count[slot] += ends.size
        self.square[slot] += float(np.einsum("tn,tn,n->", anomaly, anomaly, self.sample.weights))
        self.inside[slot] += amounts.T.astype(np.float64) @ amounts
        for lag in range(self.sample.before.shape[1]):
            seen = {part: values[ends - lag] for part, values in self.sample.parts.items()}
            self.cross["all", np.inf][slot, lag] += amounts.T @ seen["all"]
            for part, cells, lengths in (("slow", slow, _SLOW_KM), ("fast", fast, _FAST_KM)):
                products = cells.T @ seen[part]
                for km in lengths:
                    tapered = products * self.taper[km] if km in self.taper else products
                    self.cross[part, km][slot, lag] += self.project @ tapered
            for part, values in self.sample.parts.items():
                self.covariance[part][slot, lag] += values[ends].T @ seen[part]

    def join(self, other: _Sums) -> None:
        """Add the sums over other windows."""
        self.count += other.count
        for key in self.cross:
            self.cross[key] += other.cross[key]
        for part in self.covariance:
            self.covariance[part] += other.covariance[part]

    def tapered(self, slow_km: float, fast_km: float) -> tuple[Float, NDArray[np.float64]]:
        """Cross (Q, T, P, S) and station covariances (Q, T, S, S) with both tapers."""
        divisor = np.maximum(self.count, 1)[:, None, None, None]
        near = self.distance[self.sample.background.cells]
        cross = (self.cross["slow", slow_km] + self.cross["fast", fast_km]) / divisor
        covariance = self.covariance["slow"] * gaspari_cohn(near, slow_km)
        covariance = covariance + self.covariance["fast"] * gaspari_cohn(near, fast_km)
        return cross.astype(np.float32), covariance / divisor


def _window_covariance(
    blocks: NDArray[np.floating[Any]],
    deviation: NDArray[np.floating[Any]],
    before: NDArray[np.int64],
    slot: int,
    ridge: float,
) -> NDArray[np.float64]:
    """(TS, TS): ``blocks`` (Q, T, S, S) by later slot and lag, put together for one window."""
    frames, sites = blocks.shape[1:3]
    parts = np.empty((frames, sites, frames, sites))
    for later, earlier in product(range(frames), repeat=2):
        if later <= earlier:
            block = blocks[before[slot, later], earlier - later].astype(np.float64)
            parts[later, :, earlier] = block
            parts[earlier, :, later] = block.T
    out = parts.reshape(frames * sites, -1)
    out = (out + out.T) / 2
    out[np.diag_indices_from(out)] *= 1 + ridge
    spread = deviation[before[slot]].ravel().astype(np.float64)
    return out * spread[:, None] * spread


def _lowest(correlation: NDArray[np.float64], before: NDArray[np.int64]) -> float:
    """Least eigenvalue of the windows' correlations, without ridge.

    It can be negative where frames are few: the blocks of a window are means over windows that end
    at different hours, and rounding adds to it.
    """
    ones = np.ones((before.shape[0], correlation.shape[-1]))
    return min(
        float(np.linalg.eigvalsh(_window_covariance(correlation, ones, before, q, 0.0))[0])
        for q in range(before.shape[0])
    )


def _choose(fit: _Sums, held: _Sums) -> tuple[float, float, float, dict[str, float]]:
    """Tapers and ridge with the least area-weighted square error on held-out windows.

    With the gain G that also holds the level, the error of ``G d`` within constant and patterns has
    the mean square ``tr W (<a a'> - 2 G <d a'> + G <d d'> G')``, W their products over the sphere.
    The sums suffice; no frame is read again. One setting at a time is varied, twice round.
    """
    used = np.flatnonzero((held.count > 0) & (fit.count > 0)).tolist()
    total = held.count[used].sum()
    before = held.sample.before
    ones = np.ones((before.shape[0], held.distance.shape[1]))
    outside = held.square[used].sum() - np.einsum("qpr,pr->", held.inside[used], held.norm)
    known: dict[tuple[float, float, float], float] = {}

    def joined(cross: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        return cross.swapaxes(0, 1).reshape(cross.shape[1], -1).astype(np.float64)

    def score(slow_km: float, fast_km: float, ridge: float) -> float:
        if (slow_km, fast_km, ridge) not in known:
            cross, blocks = fit.tapered(slow_km, fast_km)
            square = outside
            for q in used:
                covariance = _window_covariance(blocks, ones, before, q, ridge)
                try:
                    weights, gain = kriging(covariance, joined(cross[q]))
                except np.linalg.LinAlgError:  # not definite: too few frames for this ridge
                    square = np.inf
                    break
                gain = gain - gain.sum(axis=1, keepdims=True) * weights
                gain[0] += weights
                seen = joined(held.cross["all", np.inf][q])
                among = _window_covariance(held.covariance["all"], ones, before, q, 0.0)
                error = held.inside[q] - gain @ seen.T - seen @ gain.T + gain @ among @ gain.T
                square += float(np.sum(error * held.norm))
            known[slow_km, fast_km, ridge] = float(np.sqrt(max(square, 0.0) / total))
        return known[slow_km, fast_km, ridge]

    slow_km, fast_km, ridge = 10000.0, 6000.0, 4e-3
    if used:
        for _ in range(2):
            fast_km = min(_FAST_KM, key=lambda value: score(slow_km, value, ridge))
            slow_km = min(_SLOW_KM, key=lambda value: score(value, fast_km, ridge))
            ridge = min(_RIDGE, key=lambda value: score(slow_km, fast_km, value))
    scores = {
        "without_stations": round(float(np.sqrt(held.square[used].sum() / max(total, 1))), 4),
        "interpolation_window": round(score(slow_km, fast_km, ridge), 4),
        "interpolation_window_without_taper": round(score(np.inf, np.inf, ridge), 4),
    }
    return slow_km, fast_km, ridge, scores
