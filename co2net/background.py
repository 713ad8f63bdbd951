"""What the stations say without a network: climatology, level, and optimal interpolation.

The field at a time is taken apart as ``co2 = climatology + level + anomaly``:

- **climatology**: at every cell, harmonics of the day of the year for every hour of the day;
- **level**: one number a time, the area mean of what the climatology leaves: the trend and its
  swings from year to year;
- **anomaly**: the weather's and the fluxes' part, of area mean zero.

The climatology and the covariances of the anomalies are learned from training frames. At any
other time the stations give the level by generalised least squares and the anomaly by optimal
interpolation (OI, ordinary kriging with empirical covariances; Gandin 1963; Daley 1991,
*Atmospheric Data Analysis*, ch. 4). With departures ``d = obs - climatology`` at the stations
that report, ``C`` their covariance and ``c`` that of the cells with them,

    level   = 1' C^-1 d / (1' C^-1 1)
    field   = climatology + level + c C^-1 (d - level)

Covariances differ by season and hour of the day, for a nocturnal boundary layer is no afternoon:
each class is shrunk towards the mean over all classes as if ``kappa`` more frames had been seen.
Covariances between places far apart are tapered (Gaspari and Cohn 1999, eq. 4.10), for there they
are mostly chance. Errors that a source reports of its observations (`co2net.source.noise_of`) are
added to the diagonal of ``C``, unless ``C`` was learned from that kind of observations and holds
their mean already. ``kappa``, the taper's length and the ridge on ``C`` are chosen on blocks of
the training frames that were held out; no frame outside ``index`` is ever read.
"""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.polynomial.polynomial import polyval
from numpy.typing import ArrayLike, NDArray

from co2net.assets import atomic_path, data_path, provenance
from co2net.errors import UserError
from co2net.grid import EARTH_RADIUS_M, LatLonGrid
from co2net.source import FieldSource, Index, StationNetwork, noise_of

Float = NDArray[np.float32]
Progress = Callable[[float, str], None]

HARMONICS = 4
"""Harmonics of the year in the climatology."""
SEASONS = 4
"""Classes of season of the covariances; between their middles these are interpolated."""
CLIMATOLOGY_RANK = 48
"""Patterns in which the climatology's coefficients are kept."""
COVARIANCE_RANK = 128
"""Patterns in which the covariances of cells with stations are kept."""

_BLOCK = 480  # frames read at a time
_FOLDS = 6  # blocks in time; the second and the fifth are held out
_SEASON_STEPS = 6  # steps between two seasons at which gains are formed
_KAPPA = (0.0, 30.0, 100.0, 300.0, 1000.0, 3000.0, 1e5)
_RIDGE = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
_TAPER_KM = (2000.0, 3000.0, 4500.0, 6500.0, 10000.0, np.inf)
_GAINS_KEPT = 512


def default_background_path() -> Path:
    """Folder of the background that the shipped networks were trained against."""
    return data_path("checkpoints", "background")


@dataclass(frozen=True, eq=False)
class Background:
    """Climatology, level and optimal interpolation from stations, learned from training years.

    With H x W = N cells, S stations, R and P patterns, Q hour slots and E seasons:

    Parameters
    ----------
    grid, stations
        Cells and sites it was fitted on.
    slots : (Q,) seconds of the day
        Hours that the climatology knows; another hour takes the nearest.
    climatology_patterns : (R, N), climatology_weights : (Q * F, R)
        Their product holds the F coefficients (1, cos, sin, cos 2, ...) of each slot (umol/mol).
    patterns : (P, N)
        What the anomalies of the cells are made of.
    cross : (E, Q, P, S)
        Covariances of the patterns with the stations' departures (umol/mol)^2.
    covariance : (E, Q, S, S)
        Covariances of the stations' departures, noise included (umol/mol)^2.
    trend : (K,)
        Polynomial of the level over the training span mapped to -1..1.
    span : (2,) datetime64[s]
        First and last training frame.
    notes
        Settings chosen and scores on the held-out training blocks.
    """

    grid: LatLonGrid
    stations: StationNetwork
    slots: NDArray[np.int64]
    climatology_patterns: Float
    climatology_weights: Float
    patterns: Float
    cross: Float
    covariance: Float
    trend: NDArray[np.float64]
    span: NDArray[np.datetime64]
    notes: dict[str, Any]
    _gains: Gains = field(default_factory=lambda: Gains(_GAINS_KEPT), repr=False)

    # -- learning -----------------------------------------------------------------------

    @classmethod
    def fit(
        cls, source: FieldSource, index: Index, seed: int = 0, progress: Progress | None = None
    ) -> Background:
        """Learn from training frames, in two passes over them in slices.

        Parameters
        ----------
        source
            Truth and observations. Where a station is silent its cell's truth stands in.
        index
            Training frames, ascending.
        seed
            Of the random projections that compress the covariances.
        progress
            Told the share done and what is going on.

        Raises
        ------
        UserError
            When there are fewer than 48 frames, or the truth has gaps.
        """
        index = np.asarray(index, dtype=np.int64)
        if index.size < 48:
            raise UserError(
                f"background: {index.size} training frames are too few; give at least 48"
            )
        tell = progress or (lambda share, text: None)
        times = source.time[index]
        slots = _slots(times)
        weights = (source.grid.weights / source.grid.weights.size).ravel().astype(np.float32)
        blocks = np.array_split(np.arange(index.size), max(1, round(index.size / _BLOCK)))

        def truth(block: NDArray[np.int64]) -> Float:
            values = source.read(["co2"], index[block])[0].reshape(block.size, -1)
            if not np.isfinite(values).all():
                raise UserError(f"background: the truth has gaps near {times[block[0]]}")
            return values - np.float32(base)

        base = 0.0
        base = float((truth(blocks[0][:1]) @ weights)[0])
        design = _design(times, slots)
        moments = np.zeros((design.shape[1], source.grid.weights.size))
        mean = np.empty(index.size)
        for number, block in enumerate(blocks):
            values = truth(block)
            moments += design[block].T @ values
            mean[block] = values @ weights
            tell(0.4 * (number + 1) / len(blocks), "climatology")

        span = times[[0, -1]]
        trend = _fit_trend(times, mean, span)
        moments -= (design.T @ polyval(_scaled(times, span), trend))[:, None]
        (patterns, loadings), rank_loss = _compress(
            _solve_climatology(design, moments), weights, CLIMATOLOGY_RANK
        )
        trend[0] += base

        row, column = source.stations.cells(source.grid)
        cells = row * source.grid.shape[1] + column
        fit_sums = _Moments(slots.size, weights.size, cells.size)
        held_sums = _Moments(slots.size, weights.size, cells.size)
        fold = np.arange(index.size) * _FOLDS // index.size
        held = np.isin(fold, (1, 4))
        season, share = _season(times)
        season = (season + (share >= 0.5)) % SEASONS
        slot = _slot(times, slots)
        for number, block in enumerate(blocks):
            values = truth(block)
            anomaly = values - _product(_product(design[block], loadings), patterns)
            level = anomaly @ weights
            observed = source.observations(index[block]) - np.float32(base)
            departure = np.where(np.isnan(observed), values[:, cells], observed)
            departure -= values[:, cells] - anomaly[:, cells] + level[:, None]
            anomaly -= level[:, None]
            for sums, chosen in ((fit_sums, ~held[block]), (held_sums, held[block])):
                sums.add(season[block], slot[block], chosen, anomaly, departure)
            tell(0.4 + 0.45 * (number + 1) / len(blocks), "covariances")

        distance = station_distances(source.grid, source.stations)
        kappa, ridge, taper, scores = _choose(fit_sums, held_sums, weights, distance)
        tell(0.95, "compressing")
        fit_sums.join(held_sums)
        cross, covariance = fit_sums.shrunk(kappa)
        cross *= gaspari_cohn(distance, taper)
        covariance *= gaspari_cohn(distance[cells], taper)
        covariance = _ridged(covariance, ridge)
        cell_patterns, pattern_cross, kept = _compress_cross(cross, covariance, weights, seed)
        notes = {
            "harmonics": HARMONICS,
            "frames": int(index.size),
            "kappa": kappa,
            "ridge": ridge,
            "taper_km": None if np.isinf(taper) else taper,
            "held_out_rmse_ppm": scores,
            "climatology_rank_loss_ppm": rank_loss,
            "explained_share_kept": kept,
            "data": {k: source.attrs.get(k) for k in ("title", "version", "digest", "simulated")},
            "provenance": provenance(),
        }
        if noise_of(source, index[:1]) is not None:
            notes["noise_included"] = True
        tell(1.0, "background fitted")
        return cls(
            source.grid,
            source.stations,
            slots,
            patterns,
            loadings,
            cell_patterns,
            pattern_cross,
            covariance,
            trend,
            span,
            notes,
        )

    # -- using --------------------------------------------------------------------------

    def climatology(self, times: ArrayLike) -> Float:
        """(n, H, W) umol/mol: the usual deviation from the level at times of the year and day."""
        times = np.atleast_1d(np.asarray(times, dtype="datetime64[s]"))
        weights = _product(_design(times, self.slots), self.climatology_weights)
        fields = _product(weights, self.climatology_patterns)
        return fields.reshape(-1, *self.grid.shape)

    def level(self, times: ArrayLike, observations: Float) -> Float:
        """(n,) umol/mol: area mean over what the climatology explains, from the stations.

        The weights are those of generalised least squares with the covariance over all classes,
        restricted to the stations that report; they sum to one, so that a shift of all stations
        shifts the level by the same. Where none reports, the level is the trend of the training
        years, held at its last value after them and its first before.
        """
        times = np.atleast_1d(np.asarray(times, dtype="datetime64[s]"))
        return self._level(times, self.departures(times, observations))

    def field(self, times: ArrayLike, observations: Float) -> Float:
        """(n, H, W) umol/mol: the background, climatology + level."""
        times = np.atleast_1d(np.asarray(times, dtype="datetime64[s]"))
        return self.climatology(times) + self.level(times, observations)[:, None, None]

    def interpolate(
        self, times: ArrayLike, observations: Float, noise: Float | None = None
    ) -> Float:
        """(n, H, W) umol/mol: optimal interpolation of the stations that report.

        Parameters
        ----------
        times : (n,) datetime64
        observations : (n, S) umol/mol
            NaN where a station is silent: its row and column leave the covariance.
        noise : (n, S) umol/mol or None
            Standard errors of the observations, NaN where not known: their squares are added to
            the diagonal of the covariance.
        """
        times = np.atleast_1d(np.asarray(times, dtype="datetime64[s]"))
        departure = self.departures(times, observations)
        season, share = _season(times)
        step = np.round(share * _SEASON_STEPS).astype(np.int64)
        slot = self.slot(times)
        there = np.isfinite(departure)
        level = np.empty(times.size, dtype=np.float32)
        amounts = np.zeros((times.size, self.patterns.shape[0]), dtype=np.float32)
        for n in range(times.size):
            if not there[n].any():
                level[n] = self.trend_at(times[n : n + 1])[0]
                continue
            error = error_variance(noise, n, there[n])
            weights, gain = self._gain(int(season[n]), int(step[n]), int(slot[n]), there[n], error)
            values = departure[n, there[n]]
            level[n] = weights @ values
            amounts[n] = gain @ (values - level[n])
        out = (amounts @ self.patterns).reshape(-1, *self.grid.shape)
        out += self.climatology(times)
        out += level[:, None, None]
        return out

    def departures(self, times: ArrayLike, observations: Float) -> Float:
        """(n, S) umol/mol: observations (n, S) at ``times`` (n,) less the climatology there."""
        times = np.atleast_1d(np.asarray(times, dtype="datetime64[s]"))
        observations = np.asarray(observations, dtype=np.float32)
        if observations.shape != (times.size, len(self.stations)):
            raise UserError(
                f"background: observations of shape {observations.shape} for {times.size} times "
                f"and {len(self.stations)} stations; they must be those it was fitted with"
            )
        weights = _product(_design(times, self.slots), self.climatology_weights)
        return observations - _product(weights, self.climatology_patterns[:, self.cells])

    def trend_at(self, times: ArrayLike) -> NDArray[np.float64]:
        """(n,) umol/mol: level of the training years' trend, held beyond them."""
        held = np.clip(np.asarray(times, dtype="datetime64[s]"), self.span[0], self.span[1])
        return np.asarray(polyval(_scaled(held, self.span), self.trend), dtype=np.float64)

    def slot(self, times: ArrayLike) -> NDArray[np.int64]:
        """(n,): number of the hour slot that is nearest to each time."""
        return _slot(np.asarray(times, dtype="datetime64[s]"), self.slots)

    @cached_property
    def cells(self) -> NDArray[np.int64]:
        """(S,): flat positions of the stations' cells."""
        row, column = self.stations.cells(self.grid)
        return row * self.grid.shape[1] + column

    # -- keeping ------------------------------------------------------------------------

    def to_tensors(self) -> dict[str, NDArray[Any]]:
        """Arrays for a safetensors file, under 4 MB on CarbonTracker's grid.

        The climatology's patterns and the cross-covariances are kept in half precision, the
        anomalies' patterns in 127ths (`fit` has rounded them already, so that nothing changes
        when a background is saved), station covariances as upper triangles in single precision.
        """
        upper = np.triu_indices(len(self.stations))
        return {
            "lat": self.grid.lat,
            "lon": self.grid.lon,
            "station_lat": np.asarray(self.stations.lat, dtype=np.float64),
            "station_lon": np.asarray(self.stations.lon, dtype=np.float64),
            "station_altitude": np.asarray(self.stations.altitude, dtype=np.float64),
            "slots": self.slots,
            "climatology_patterns": self.climatology_patterns.astype(np.float16),
            "climatology_weights": self.climatology_weights,
            "patterns": np.round(self.patterns * 127).astype(np.int8),
            "cross": self.cross.astype(np.float16),
            "covariance": np.ascontiguousarray(self.covariance[..., upper[0], upper[1]]),
            "trend": self.trend,
            "span": self.span.astype("datetime64[s]").astype(np.int64),
        }

    def to_dict(self) -> dict[str, Any]:
        """What goes beside the tensors, for JSON."""
        return {
            "code": list(self.stations.code),
            "name": list(self.stations.name),
            "network": self.stations.network,
            "notes": self.notes,
        }

    @classmethod
    def from_tensors(cls, tensors: dict[str, NDArray[Any]], about: dict[str, Any]) -> Background:
        """Inverse of `to_tensors` and `to_dict`."""
        count = tensors["station_lat"].size
        upper = np.triu_indices(count)
        packed = tensors["covariance"]
        covariance = np.empty((*packed.shape[:-1], count, count), dtype=np.float32)
        covariance[..., upper[0], upper[1]] = packed
        covariance[..., upper[1], upper[0]] = packed
        return cls(
            LatLonGrid(tensors["lat"], tensors["lon"]),
            StationNetwork(
                tuple(about["code"]),
                tuple(about["name"]),
                tensors["station_lat"],
                tensors["station_lon"],
                tensors["station_altitude"],
                about["network"],
            ),
            tensors["slots"],
            tensors["climatology_patterns"].astype(np.float32),
            tensors["climatology_weights"],
            (tensors["patterns"].astype(np.float64) / 127).astype(np.float32),
            tensors["cross"].astype(np.float32),
            covariance,
            tensors["trend"],
            tensors["span"].astype("datetime64[s]"),
            about["notes"],
        )

    @cached_property
    def digest(self) -> str:
        """Short fingerprint of everything that decides a result."""
        hasher = hashlib.sha256()
        for name, values in sorted(self.to_tensors().items()):
            hasher.update(name.encode() + np.ascontiguousarray(values).tobytes())
        return hasher.hexdigest()[:12]

    def save(self, folder: str | Path) -> None:
        """Write ``background.safetensors`` and, last, ``background.json``, each atomically."""
        from safetensors.numpy import save_file

        folder = Path(folder)
        with atomic_path(folder / "background.safetensors") as draft:
            tensors = {k: np.ascontiguousarray(v) for k, v in self.to_tensors().items()}
            save_file(tensors, str(draft))
        with atomic_path(folder / "background.json") as draft:
            text = json.dumps({"digest": self.digest, **self.to_dict()}, indent=1)
            draft.write_text(text + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: str | Path) -> Background:
        """Read what `save` wrote.

        Raises
        ------
        UserError
            When a file is missing or damaged, or the two do not belong together.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        folder = Path(folder)
        try:
            about = json.loads((folder / "background.json").read_text(encoding="utf-8"))
            found = cls.from_tensors(load_file(str(folder / "background.safetensors")), about)
        except FileNotFoundError as error:
            raise UserError(f"no background in {folder}: {error.filename or error}") from None
        except (ValueError, KeyError, SafetensorError) as error:
            raise UserError(f"background in {folder} is damaged: {error}") from None
        if found.digest != about["digest"]:
            raise UserError(f"background in {folder}: tensors and JSON do not belong together")
        return found

    # -- parts --------------------------------------------------------------------------

    @cached_property
    def _pooled(self) -> NDArray[np.float64]:
        return self.covariance.mean(axis=(0, 1), dtype=np.float64)

    def _level(self, times: NDArray[np.datetime64], departure: Float) -> Float:
        level = np.empty(times.size, dtype=np.float32)
        there = np.isfinite(departure)
        patterns, which = np.unique(there, axis=0, return_inverse=True)
        for number, pattern in enumerate(patterns):
            rows = which.ravel() == number
            if not pattern.any():
                level[rows] = self.trend_at(times[rows])
                continue
            weights = self._gain(-1, 0, 0, pattern)[0]
            level[rows] = departure[rows][:, pattern] @ weights
        return level

    def _gain(
        self,
        season: int,
        step: int,
        slot: int,
        there: NDArray[np.bool_],
        error: NDArray[np.float64] | None = None,
    ) -> tuple[Float, Float]:
        """Level weights (s,) and gain (P, s) for the s stations that report.

        Season -1 stands for the covariance over all classes.
        """

        def moments() -> tuple[NDArray[np.floating[Any]], NDArray[np.floating[Any]]]:
            if season < 0:
                return self._pooled[np.ix_(there, there)], np.empty((0, there.sum()))
            share = step / _SEASON_STEPS
            after = (season + 1) % self.covariance.shape[0]

            def between(values: Float) -> NDArray[np.float64]:
                first, second = values[season, slot], values[after, slot]
                return first * (1 - share) + second.astype(np.float64) * share

            return between(self.covariance)[np.ix_(there, there)], between(self.cross)[:, there]

        return self._gains.find((season, step, slot, there.tobytes()), moments, error)


class Gains:
    """What `kriging` gave for the stations that report; the latest are kept. Safe for threads.

    Parameters
    ----------
    most : int
        How many are kept.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: OrderedDict[Hashable, tuple[Float, Float]] = OrderedDict()
        self._lock = Lock()

    def find(
        self,
        key: Hashable,
        moments: Callable[[], tuple[NDArray[np.floating[Any]], NDArray[np.floating[Any]]]],
        error: NDArray[np.float64] | None = None,
    ) -> tuple[Float, Float]:
        """Level weights (s,) and gain (n, s).

        Parameters
        ----------
        key
            Of all that ``moments`` depends on.
        moments
            Gives covariance (s, s) and cross (n, s), where they are wanted.
        error : (s,)
            Variances of the observations' errors. They are others at every frame, so that
            nothing is kept.
        """
        if error is None:
            with self._lock:
                if key in self._kept:
                    self._kept.move_to_end(key)
                    return self._kept[key]
        covariance, cross = moments()
        weights, gain = kriging(covariance if error is None else covariance + np.diag(error), cross)
        result = weights.astype(np.float32), gain.astype(np.float32)
        if error is None:
            with self._lock:
                self._kept[key] = result
                while len(self._kept) > self._most:
                    self._kept.popitem(last=False)
        return result


def error_variance(
    noise: Float | None, row: int, there: NDArray[np.bool_]
) -> NDArray[np.float64] | None:
    """(s,) (umol/mol)^2: of the errors of a row of observations, those that are ``there``.

    Zero where an error is not known; None where none is, or where there is no ``noise`` at all.
    """
    if noise is None:
        return None
    found = np.nan_to_num(np.square(noise[row, there], dtype=np.float64))
    return found if found.any() else None


def kriging(
    covariance: NDArray[np.floating[Any]], cross: NDArray[np.floating[Any]]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weights of the level and gain of the anomalies, for ordinary kriging.

    Parameters
    ----------
    covariance : (s, s)
        Of the observations' departures, noise included; positive definite.
    cross : (n, s)
        Of the wanted values with the departures.

    Returns
    -------
    weights : (s,)
        ``C^-1 1 / (1' C^-1 1)``; they sum to one.
    gain : (n, s)
        ``c C^-1``.
    """
    from scipy.linalg import cho_factor, cho_solve

    factor = cho_factor(np.asarray(covariance, dtype=np.float64), lower=True)
    ones = cho_solve(factor, np.ones(covariance.shape[0]))
    gain = cho_solve(factor, np.asarray(cross, dtype=np.float64).T).T
    return ones / ones.sum(), gain


# -- time -------------------------------------------------------------------------------


def _year_fraction(times: NDArray[np.datetime64]) -> NDArray[np.float64]:
    """0..1: share of the calendar year gone."""
    start = times.astype("datetime64[Y]")
    second = np.timedelta64(1, "s")
    length = ((start + 1).astype("datetime64[s]") - start.astype("datetime64[s]")) / second
    return ((times - start.astype("datetime64[s]")) / second) / length


def _slots(times: NDArray[np.datetime64]) -> NDArray[np.int64]:
    """Hours of the day (s) that the frames fall on; one only where they are too many."""
    seconds = np.unique(times.astype("datetime64[s]").astype(np.int64) % 86400)
    return seconds if seconds.size <= 24 else seconds[:1]


def _slot(times: NDArray[np.datetime64], slots: NDArray[np.int64]) -> NDArray[np.int64]:
    """Number of the nearest slot, round the clock."""
    seconds = times.astype("datetime64[s]").astype(np.int64) % 86400
    distance = np.abs(seconds[:, None] - slots[None, :])
    return np.argmin(np.minimum(distance, 86400 - distance), axis=1)


def _season(times: NDArray[np.datetime64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Season whose middle came last (0: mid-January), and the share of the way to the next."""
    phase = (_year_fraction(times) - 1 / 24) % 1.0 * SEASONS
    season = np.minimum(phase.astype(np.int64), SEASONS - 1)
    return season, phase - season


def _design(times: NDArray[np.datetime64], slots: NDArray[np.int64]) -> Float:
    """(n, Q * F): the year's harmonics in the columns of the hour's slot, zero elsewhere."""
    angle = 2 * np.pi * _year_fraction(times)[:, None] * np.arange(1, HARMONICS + 1)
    waves = np.stack([np.cos(angle), np.sin(angle)], axis=2).reshape(times.size, -1)
    features = np.concatenate([np.ones((times.size, 1)), waves], axis=1).astype(np.float32)
    out = np.zeros((times.size, slots.size, features.shape[1]), dtype=np.float32)
    out[np.arange(times.size), _slot(times, slots)] = features
    return out.reshape(times.size, -1)


def _scaled(times: NDArray[np.datetime64], span: NDArray[np.datetime64]) -> NDArray[np.float64]:
    """Times on -1..1 over a span."""
    second = np.timedelta64(1, "s")
    return 2 * ((times - span[0]) / second) / ((span[1] - span[0]) / second) - 1


def _fit_trend(
    times: NDArray[np.datetime64], mean: NDArray[np.float64], span: NDArray[np.datetime64]
) -> NDArray[np.float64]:
    """Polynomial beside harmonics of the year; constant where the span is under 1.5 years."""
    years = (span[1] - span[0]) / np.timedelta64(31_557_600, "s")
    degree = 0 if years < 1.5 else min(3, 1 + int(years // 5))
    angle = 2 * np.pi * _year_fraction(times)[:, None] * np.arange(1, HARMONICS + 1)
    powers = _scaled(times, span)[:, None] ** np.arange(degree + 1)
    if degree == 0:
        return np.array([mean.mean()])
    columns = np.concatenate([powers, np.cos(angle), np.sin(angle)], axis=1)
    return np.linalg.lstsq(columns, mean, rcond=None)[0][: degree + 1]


# -- linear algebra ---------------------------------------------------------------------


def _product(first: Float, second: Float) -> Float:
    return np.matmul(first, second, dtype=np.float32)


def _solve_climatology(design: Float, moments: NDArray[np.float64]) -> NDArray[np.float64]:
    """(Q * F, N) coefficients; a light ridge on the waves serves spans of less than a year."""
    gram = design.T.astype(np.float64) @ design
    width = 2 * HARMONICS + 1
    count = gram.diagonal()[::width]
    penalty = 1e-4 * np.repeat(count, width)
    penalty[::width] = 1e-9 * count
    return np.asarray(np.linalg.solve(gram + np.diag(penalty), moments), dtype=np.float64)


def _compress(
    matrix: NDArray[np.float64], weights: Float, rank: int
) -> tuple[tuple[Float, Float], float]:
    """Leading patterns (R, N), rounded to half precision, and loadings (M, R) of a matrix (M, N).

    Returns also the root of the area-weighted mean square that is lost, summed over the rows.
    """
    root = np.sqrt(np.maximum(weights, weights.max() * 1e-3)).astype(np.float64)
    _, _, vectors = np.linalg.svd(matrix * root, full_matrices=False)
    patterns = vectors[:rank] / root
    patterns /= np.abs(patterns).max(axis=1, keepdims=True)
    patterns = patterns.astype(np.float16).astype(np.float64)
    loadings = np.linalg.lstsq((patterns * root).T, (matrix * root).T, rcond=None)[0].T
    lost = matrix - loadings @ patterns
    loss = float(np.sqrt((lost**2 @ weights.astype(np.float64)).sum()))
    return (patterns.astype(np.float32), loadings.astype(np.float32)), round(loss, 4)


def _compress_cross(
    cross: Float, covariance: Float, weights: Float, seed: int
) -> tuple[Float, Float, float]:
    """Patterns (P, N) in which every class's interpolation lies best, and cross on them.

    The patterns are the leading left vectors of ``c C^-1/2`` over all classes: with departures
    of covariance C these are the interpolated anomalies. Also the share of their variance kept.
    """
    seasons, slots, cells, sites = cross.shape
    root = np.sqrt(np.maximum(weights, weights.max() * 1e-3))
    whitened = np.empty((cells, seasons * slots * sites), dtype=np.float32)
    for number, (season, slot) in enumerate(np.ndindex(seasons, slots)):
        values, vectors = np.linalg.eigh(covariance[season, slot].astype(np.float64))
        half = (vectors / np.sqrt(values)).astype(np.float32)
        part = slice(number * sites, (number + 1) * sites)
        whitened[:, part] = (cross[season, slot] @ half) * root[:, None]
    rank = min(COVARIANCE_RANK, *whitened.shape)
    sketch = np.random.default_rng(seed).standard_normal((whitened.shape[1], rank + 16))
    basis = whitened @ sketch.astype(np.float32)
    for _ in range(4):  # subspace iteration (Halko, Martinsson and Tropp 2011)
        basis, _ = np.linalg.qr(whitened @ (whitened.T @ np.linalg.qr(basis)[0]))
    left, _, _ = np.linalg.svd(basis.T @ whitened, full_matrices=False)
    vectors = (basis @ left[:, :rank]).T
    kept = float(np.sum((vectors @ whitened) ** 2, dtype=np.float64))
    kept /= float(np.sum(whitened**2, dtype=np.float64)) or 1.0
    patterns = vectors / root
    patterns /= np.abs(patterns).max(axis=1, keepdims=True)
    patterns = (np.round(patterns * 127) / 127).astype(np.float32)
    weighted = patterns * root
    solve = np.linalg.solve(weighted.astype(np.float64) @ weighted.T, weighted * root)
    loadings = np.einsum("pn,eqns->eqps", solve.astype(np.float32), cross, optimize=True)
    return patterns, loadings.astype(np.float16).astype(np.float32), round(kept, 5)


class _Moments:
    """Sums over frames, by season and slot, of products of anomalies and departures."""

    def __init__(self, slots: int, cells: int, sites: int) -> None:
        self.count = np.zeros((SEASONS, slots))
        self.square = np.zeros((SEASONS, slots, cells), dtype=np.float32)
        self.cross = np.zeros((SEASONS, slots, cells, sites), dtype=np.float32)
        self.covariance = np.zeros((SEASONS, slots, sites, sites), dtype=np.float32)

    def add(
        self,
        season: NDArray[np.int64],
        slot: NDArray[np.int64],
        chosen: NDArray[np.bool_],
        anomaly: Float,
        departure: Float,
    ) -> None:
        """Count each chosen frame in its nearest season."""
        for e, q in np.unique(np.stack([season, slot])[:, chosen], axis=1).T:
            rows = chosen & (season == e) & (slot == q)
            a, d = anomaly[rows], departure[rows]
            self.count[e, q] += a.shape[0]
            self.square[e, q] += np.einsum("tn,tn->n", a, a)
            self.cross[e, q] += a.T @ d
            self.covariance[e, q] += d.T @ d

    def join(self, other: _Moments) -> None:
        """Add the sums of other frames."""
        for name in ("count", "square", "cross", "covariance"):
            getattr(self, name).__iadd__(getattr(other, name))

    def shrunk(self, kappa: float, cells: Index | None = None) -> tuple[Float, Float]:
        """Cross (E, Q, n, S) and station covariances (E, Q, S, S), shrunk to the mean class.

        ``C = (sum + kappa * mean) / (n + kappa)``; a class without frames takes the mean.
        """
        total = self.count.sum()
        count = self.count + kappa
        empty = count == 0
        divisor = np.where(empty, 1, count).astype(np.float32)[:, :, None, None]
        extra = np.where(empty, 1, kappa).astype(np.float32)[:, :, None, None]
        out = []
        for sums in (self.cross if cells is None else self.cross[:, :, cells], self.covariance):
            mean = (sums.sum(axis=(0, 1), dtype=np.float64) / total).astype(np.float32)
            out.append((sums + extra * mean) / divisor)
        return out[0], out[1]


def _ridged(covariance: Float, ridge: float) -> Float:
    """Add a share of the mean variance to the diagonals."""
    sites = covariance.shape[-1]
    mean = np.trace(covariance, axis1=-2, axis2=-1)[..., None, None] / sites
    return covariance + np.float32(ridge) * mean * np.eye(sites, dtype=np.float32)


def station_distances(grid: LatLonGrid, stations: StationNetwork) -> Float:
    """(N, S) km: straight through the Earth, from every cell to the stations' cells.

    Chords rather than arcs keep a taper of three dimensions positive definite on the sphere.
    """
    lat, lon = (np.radians(v).ravel() for v in np.meshgrid(grid.lat, grid.lon, indexing="ij"))
    points = np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=1)
    row, column = stations.cells(grid)
    sites = points[row * grid.shape[1] + column]
    square = np.maximum(2 - 2 * points @ sites.T, 0)
    return (EARTH_RADIUS_M / 1000 * np.sqrt(square)).astype(np.float32)


def gaspari_cohn(distance: Float, length: float) -> Float:
    """Compactly supported correlation: 1 at zero, 5/24 at ``length``, 0 from twice that on.

    Gaspari and Cohn (1999), *Q. J. R. Meteorol. Soc.* 125, eq. 4.10. An infinite length gives 1.
    """
    r = np.minimum(np.asarray(distance, dtype=np.float64) / length, 2.0)
    near = ((-0.25 * r + 0.5) * r + 0.625) * r**3 - 5 / 3 * r**2 + 1
    far = (((r / 12 - 0.5) * r + 0.625) * r + 5 / 3) * r**2 - 5 * r + 4 - 2 / 3 / np.maximum(r, 1)
    return np.where(r < 1, near, far).astype(np.float32)


def _choose(
    fit: _Moments, held: _Moments, weights: Float, distance: Float
) -> tuple[float, float, float, dict[str, float]]:
    """Kappa, ridge and taper with the least area-weighted square error on held-out frames.

    With the gain G that also holds the level, the error of ``G d`` has the mean square
    ``<a a> - 2 G <d a> + G <d d> G'``: the sums suffice, no frame is read again. One setting at
    a time is varied, twice round.
    """
    cells = np.linspace(0, weights.size - 1, min(weights.size, 1200)).astype(np.int64)
    sites = np.argmin(distance, axis=0)  # the stations' own cells
    area = weights[cells].astype(np.float64)
    area /= area.sum()
    total = held.count.sum()
    known: dict[tuple[float, float, float], float] = {}

    def score(kappa: float, ridge: float, taper: float) -> float:
        if (kappa, ridge, taper) not in known:
            cross, covariance = fit.shrunk(kappa, cells)
            cross *= gaspari_cohn(distance[cells], taper)
            covariance = _ridged(covariance * gaspari_cohn(distance[sites], taper), ridge)
            square = 0.0
            for e, q in zip(*np.nonzero(held.count), strict=True):
                level, gain = kriging(covariance[e, q], cross[e, q])
                gain = gain + (1 - gain.sum(axis=1, keepdims=True)) * level
                error = held.square[e, q][cells].astype(np.float64)
                error -= 2 * np.einsum("ns,ns->n", gain, held.cross[e, q][cells])
                error += np.einsum("ns,ns->n", gain @ held.covariance[e, q], gain)
                square += area @ error
            known[kappa, ridge, taper] = float(np.sqrt(max(square, 0.0) / total))
        return known[kappa, ridge, taper]

    kappa, ridge, taper = 300.0, 1e-2, np.inf
    for _ in range(2):
        taper = min(_TAPER_KM, key=lambda value: score(kappa, ridge, value))
        kappa = min(_KAPPA, key=lambda value: score(value, ridge, taper))
        ridge = min(_RIDGE, key=lambda value: score(kappa, value, taper))
    plain = np.einsum("eqn,n->", held.square[:, :, cells].astype(np.float64), area)
    scores = {
        "without_stations": round(float(np.sqrt(plain / total)), 4),
        "interpolation": round(score(kappa, ridge, taper), 4),
        "interpolation_one_class": round(score(max(_KAPPA), ridge, taper), 4),
        "interpolation_without_taper": round(score(kappa, ridge, np.inf), 4),
    }
    return kappa, ridge, taper, scores
