"""Windows: what every model reads, made from any source that gives fields by time.

A window is T frames, equally spaced, the last of which is the target (causal). Its channels are
the same for every network (`channel_names`): the auxiliary variables, the stations' CO2, which
cells have a station, and, where the target is a departure from a prior, that prior. Networks add
what follows from place and clock alone (`co2net.models.base.Stem`).

Targets
-------
``absolute``
    CO2 itself, over the training years' mean and spread. It cannot leave the range of years it
    has seen; it is the document's.
``anomaly``
    CO2 minus the background (climatology plus the level that the stations report).
``residual``
    CO2 minus the optimal interpolation of the stations, which is an input too.

No window reaches across a gap in the data or from one part of a split into another, and every
number learned from data (`Statistics`) comes from training years.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from co2net.assets import atomic_path
from co2net.background import Background
from co2net.errors import UserError
from co2net.grid import LatLonGrid
from co2net.schema import VARIABLES
from co2net.source import FieldSource, Index, StationNetwork

Target = Literal["absolute", "anomaly", "residual"]
Part = Literal["train", "validation", "test"]
TARGETS: tuple[Target, ...] = ("absolute", "anomaly", "residual")
PARTS: tuple[Part, ...] = ("train", "validation", "test")

STATION_CHANNELS = ("station_co2", "station_mask")
PRIOR_CHANNELS: dict[str, tuple[str, ...]] = {
    "absolute": (),
    "anomaly": ("prior_background",),
    "residual": ("prior_background", "prior_interpolation"),
}
WINDS = ("eastward_wind", "northward_wind")

_READ = 32  # frames prepared at a time


def channel_names(variables: tuple[str, ...], target: str) -> tuple[str, ...]:
    """Channels of a window: auxiliary variables, stations, priors of the target."""
    if target not in TARGETS:
        raise UserError(f"target '{target}' is unknown; choose from {', '.join(TARGETS)}")
    return (*variables, *STATION_CHANNELS, *PRIOR_CHANNELS[target])


# -- splits ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Split:
    """Which years train, validate and test.

    Parameters
    ----------
    name : str
    train, validation, test : tuple of (first, last)
        Inclusive ranges of years.

    Raises
    ------
    UserError
        When a year lies in two parts.
    """

    name: str
    train: tuple[tuple[int, int], ...]
    validation: tuple[tuple[int, int], ...]
    test: tuple[tuple[int, int], ...]

    def __post_init__(self) -> None:
        years = [year for part in PARTS for year in self.years(part)]
        if len(set(years)) != len(years):
            raise UserError(f"split '{self.name}': a year lies in two parts")

    def years(self, part: Part) -> list[int]:
        """Years of a part."""
        return [year for first, last in getattr(self, part) for year in range(first, last + 1)]

    def part_of(self, time: NDArray[np.datetime64]) -> NDArray[np.int8]:
        """(N,): 0 train, 1 validation, 2 test, -1 none, of the times' years."""
        years = time.astype("datetime64[Y]").astype(np.int64) + 1970
        out = np.full(years.shape, -1, dtype=np.int8)
        for number, part in enumerate(PARTS):
            out[np.isin(years, self.years(part))] = number
        return out

    def frames(self, source: FieldSource, part: Part) -> Index:
        """Positions of all frames of a part that hold data."""
        inside = self.part_of(source.time) == PARTS.index(part)
        return np.flatnonzero(inside & source.available).astype(np.int64)

    def windows(self, source: FieldSource, part: Part, frames: int = 8, interval: int = 1) -> Index:
        """Target frames of every window that lies wholly inside one part.

        Parameters
        ----------
        frames : int
            Length T of the window.
        interval : int
            Steps of the source between the frames of a window.

        Returns
        -------
        (n,) int64
            Ascending positions of target frames.
        """
        inside = self.part_of(source.time) == PARTS.index(part)
        return complete_windows(inside & source.available, frames, interval)


SPLITS: dict[str, Split] = {
    "carbontracker": Split(
        "carbontracker",
        train=((2002, 2018),),
        validation=((2001, 2001), (2019, 2019)),
        test=((2000, 2000), (2020, 2020)),
    ),
    "cmip6": Split(
        "cmip6",
        train=((1865, 1999),),
        validation=((1860, 1864), (2000, 2004)),
        test=((1850, 1859), (2005, 2014)),
    ),
}
"""The document's splits (table 3-2); the embedded world uses CarbonTracker's."""


def split(name: str) -> Split:
    """The split of a name."""
    if name not in SPLITS:
        raise UserError(f"split '{name}' is unknown; choose from {', '.join(SPLITS)}")
    return SPLITS[name]


def complete_windows(usable: NDArray[np.bool_], frames: int, interval: int = 1) -> Index:
    """Positions at which a window of usable frames ends.

    Between the first and the last frame of a window every step must be usable, so that windows
    with an interval do not jump over a gap.
    """
    if frames < 1 or interval < 1:
        raise UserError("windows: frames and interval must be at least 1")
    span = (frames - 1) * interval + 1
    total = np.concatenate([[0], np.cumsum(usable)])
    ends = np.arange(span - 1, usable.size, dtype=np.int64)
    return ends[total[ends + 1] - total[ends + 1 - span] == span]


# -- clock -------------------------------------------------------------------------------


def clock(time: NDArray[np.datetime64]) -> NDArray[np.float32]:
    """(..., 2): fractions of the UTC day and of the calendar year, 0..1."""
    seconds = time.astype("datetime64[s]")
    day = seconds.astype("datetime64[D]")
    year = seconds.astype("datetime64[Y]")
    length = (year + 1).astype("datetime64[s]") - year.astype("datetime64[s]")
    of_day = (seconds - day) / np.timedelta64(1, "D")
    of_year = (seconds - year.astype("datetime64[s]")) / length
    return np.stack([of_day, of_year], axis=-1).astype(np.float32)


# -- statistics --------------------------------------------------------------------------


@dataclass(frozen=True)
class Statistics:
    """What normalises a window; from training years only.

    Parameters
    ----------
    variables : (K,) str
        Auxiliary variables, in the order of the channels.
    centre : (K, H, W) float32
        Mean of every cell over the sample; zero for winds (calm air stays zero), the mean over
        cells for static variables. Cell means keep the weather visible where terrain or climate
        would swamp it in half precision.
    scale : (K,) float32
        Root mean square departure from the centre, area-weighted; of static variables over cells.
    co2_mean, co2_scale : umol/mol
        Mean and spread of CO2.
    anomaly_scale, residual_scale : umol/mol
        Root mean square departure of CO2 from background and from interpolation; NaN without a
        background.
    station_gain : float
        Factor on the stations' channels: the root of all cells over those with a station. They
        are zero nearly everywhere; with it their mean square over the globe is like the other
        channels', and networks learn to read them in a third of the steps (docs/models.md). 1
        for networks trained before it was known.
    """

    variables: tuple[str, ...]
    centre: NDArray[np.float32]
    scale: NDArray[np.float32]
    co2_mean: float
    co2_scale: float
    anomaly_scale: float
    residual_scale: float
    station_gain: float = 1.0

    @classmethod
    def fit(
        cls,
        source: FieldSource,
        index: Index,
        background: Background | None = None,
        days: int = 80,
        seed: int = 0,
        gain: float = 1.0,
    ) -> Statistics:
        """Learn from a sample of days.

        Parameters
        ----------
        source
            Fields.
        index : (n,)
            Training frames; no others are read.
        background
            Adds the scales of anomaly and residual.
        days : int
            Size of the sample, drawn with ``seed``.
        gain : float
            Factor on ``station_gain``.

        Raises
        ------
        UserError
            When there are no training frames.
        """
        if len(index) == 0:
            raise UserError("statistics: the data set holds no frames of the training years")
        variables = tuple(source.variables)
        day = source.time[index].astype("datetime64[D]")
        unique = np.unique(day)
        rng = np.random.default_rng(seed)
        chosen = np.sort(rng.permutation(unique)[:days])
        weights = source.grid.weights
        height, width = source.grid.shape
        total = np.zeros((len(variables), height, width))
        square = np.zeros_like(total)
        count = 0
        co2, anomaly, residual = _Moments(weights), _Moments(weights), _Moments(weights)
        for one in chosen:
            frames = np.asarray(index)[day == one]
            values = source.read([*variables, "co2"], frames).astype(np.float64)
            total += values[:-1].sum(axis=1)
            square += (values[:-1] ** 2).sum(axis=1)
            count += frames.size
            co2.add(values[-1])
            if background is not None:
                times, seen = source.time[frames], source.observations(frames)
                anomaly.add(values[-1] - background.field(times, seen))
                residual.add(values[-1] - background.interpolate(times, seen))
        centre = total / count
        for k, name in enumerate(variables):
            if name in WINDS:
                centre[k] = 0.0
            elif VARIABLES[name].static:
                centre[k] = np.mean(weights * centre[k])
        spread = square / count - 2 * centre * (total / count) + centre**2
        scale = np.sqrt(np.mean(weights * np.clip(spread, 0, None), axis=(1, 2)))
        return cls(
            variables=variables,
            centre=centre.astype(np.float32),
            scale=np.where(scale > 0, scale, 1.0).astype(np.float32),
            co2_mean=co2.mean,
            co2_scale=co2.deviation,
            anomaly_scale=anomaly.rms,
            residual_scale=residual.rms,
            station_gain=gain * _station_gain(source),
        )

    def target_scale(self, target: str) -> float:
        """Scale (umol/mol) of a target."""
        scales = {
            "absolute": self.co2_scale,
            "anomaly": self.anomaly_scale,
            "residual": self.residual_scale,
        }
        return scales[target]

    def save(self, path: Path) -> None:
        """Write ``path`` (safetensors; the numbers in its header)."""
        from safetensors.numpy import save_file

        header = {
            "variables": list(self.variables),
            "co2_mean": self.co2_mean,
            "co2_scale": self.co2_scale,
            "anomaly_scale": self.anomaly_scale,
            "residual_scale": self.residual_scale,
            "station_gain": self.station_gain,
        }
        with atomic_path(path) as draft:
            save_file(
                {"centre": self.centre, "scale": self.scale},
                draft,
                metadata={"statistics": json.dumps(header)},
            )

    @classmethod
    def load(cls, path: Path) -> Statistics:
        """Inverse of `save`."""
        from safetensors import safe_open

        with safe_open(path, framework="numpy") as file:
            header = json.loads(file.metadata()["statistics"])
            arrays = {name: file.get_tensor(name) for name in ("centre", "scale")}
        header["variables"] = tuple(header["variables"])
        return cls(**arrays, **header)


def _station_gain(source: FieldSource) -> float:
    """Root of the number of cells over the number of those with a station; 1 without stations."""
    row, column = source.stations.cells(source.grid)
    height, width = source.grid.shape
    return float(np.sqrt(height * width / max(np.unique(row * width + column).size, 1)))


class _Moments:
    """Area-weighted mean and spread of fields that come in pieces."""

    def __init__(self, weights: NDArray[np.float64]) -> None:
        self._weights = weights
        self._count = 0
        self._sum = self._square = 0.0

    def add(self, fields: NDArray[np.floating[Any]]) -> None:
        self._count += fields.size
        self._sum += float(np.sum(self._weights * fields))
        self._square += float(np.sum(self._weights * np.square(fields, dtype=np.float64)))

    @property
    def mean(self) -> float:
        return self._sum / self._count if self._count else float("nan")

    @property
    def rms(self) -> float:
        return float(np.sqrt(self._square / self._count)) if self._count else float("nan")

    @property
    def deviation(self) -> float:
        return float(np.sqrt(max(self._square / self._count - self.mean**2, 0.0)))


# -- reading -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Batch:
    """Windows ready for a network (n of them).

    Parameters
    ----------
    inputs : (n, C, T, H, W) float16
        Normalised channels, in the order of `WindowReader.channels`.
    clock : (n, T, 2) float32
        Fractions of the day and of the year of every frame.
    target : (n, H, W) float16 or None
        Normalised target of the last frame, where the truth was asked for.
    prior : (n, H, W) float32 umol/mol
        What the scaled output is added to.
    """

    inputs: NDArray[np.float16]
    clock: NDArray[np.float32]
    target: NDArray[np.float16] | None
    prior: NDArray[np.float32]


@dataclass(frozen=True)
class Frames:
    """Frames of a source, normalised; what windows are put together from.

    Parameters
    ----------
    moving : (n, M, H, W) float16
        Channels that change with time, at the places `WindowReader.slots` of a window.
    stations : (n, 2, cells) float16
        Departure and mask at the cells `WindowReader.station_cells`.
    target : (n, H, W) float16 or None
    prior : (n, H, W) float32 umol/mol
    """

    moving: NDArray[np.float16]
    stations: NDArray[np.float16]
    target: NDArray[np.float16] | None
    prior: NDArray[np.float32]


class WindowReader:
    """Reads windows of one source.

    Parameters
    ----------
    source
        Fields.
    statistics
        Normalisation; its variables must be in the source.
    target : {'absolute', 'anomaly', 'residual'}
    background
        Needed unless the target is absolute.
    frames, interval : int
        Length T of the window and steps between its frames.

    Raises
    ------
    UserError
        When grid, variables or stations do not fit.
    """

    def __init__(
        self,
        source: FieldSource,
        statistics: Statistics,
        target: str,
        background: Background | None = None,
        frames: int = 8,
        interval: int = 1,
    ) -> None:
        absent = [name for name in statistics.variables if name not in source.variables]
        if absent:
            raise UserError(
                f"the data set lacks {', '.join(absent)}, which the model was trained with; "
                "use another data set or train a model on this one"
            )
        if statistics.centre.shape[1:] != source.grid.shape:
            raise UserError(
                f"the model was trained on {statistics.centre.shape[1]} x "
                f"{statistics.centre.shape[2]} cells, the data set has {source.grid.shape[0]} x "
                f"{source.grid.shape[1]}; regrid the data or train a model on this grid"
            )
        if target != "absolute":
            if background is None:
                raise UserError(f"target '{target}' needs a background; fit one first")
            require_same_stations(background.grid, background.stations, source)
        self.source, self.statistics, self.background = source, statistics, background
        self.target, self.frames, self.interval = target, frames, interval
        self.channels = channel_names(statistics.variables, target)
        self.scale = statistics.target_scale(target)
        static = [VARIABLES[name].static for name in statistics.variables]
        self._still = [k for k, is_static in enumerate(static) if is_static]
        self._moving = [k for k, is_static in enumerate(static) if not is_static]

    @cached_property
    def offsets(self) -> Index:
        """(T,): steps from the target frame to the frames of its window, ending in 0."""
        return np.arange(1 - self.frames, 1, dtype=np.int64) * self.interval

    @property
    def known(self) -> int:
        """Number of auxiliary variables; the stations' channels follow them."""
        return len(self.statistics.variables)

    @property
    def slots(self) -> list[int]:
        """(M,): channels of a window that change with time, the stations' two apart."""
        return [*self._moving, *range(self.known + 2, len(self.channels))]

    @property
    def moving(self) -> list[int]:
        """Auxiliary variables that change with time; the first of `slots`."""
        return self._moving

    @property
    def still(self) -> list[int]:
        """Channels of a window that do not change."""
        return self._still

    @cached_property
    def _cells(self) -> tuple[Index, Index, NDArray[np.float64]]:
        """Station cells without repeats, and (S, cells) 0/1: which station lies in which."""
        row, column = self.source.stations.cells(self.source.grid)
        flat = row * self.source.grid.shape[1] + column
        unique, place = np.unique(flat, return_inverse=True)
        member = np.zeros((flat.size, unique.size))
        member[np.arange(flat.size), place] = 1.0
        return unique, flat, member

    @property
    def station_cells(self) -> Index:
        """(cells,): flat positions of the cells that have a station."""
        return self._cells[0]

    @cached_property
    def terrain(self) -> NDArray[np.float16]:
        """(static variables, H, W), normalised: the channels `still`."""
        first = np.flatnonzero(self.source.available)[:1]
        names = [self.statistics.variables[k] for k in self._still]
        values = self.source.read(names, first)[:, 0] if names else np.empty((0, 1, 1))
        centre = self.statistics.centre[self._still]
        scale = self.statistics.scale[self._still]
        return ((values - centre) / scale[:, None, None]).astype(np.float16)

    def read(self, index: Index, truth: bool = True) -> Batch:
        """Windows that end at the given frames.

        Parameters
        ----------
        index : (n,)
            Target frames.
        truth : bool
            Whether the target is wanted; without it CO2 is never read.

        Raises
        ------
        UserError
            When a frame of a window is not in the data set.
        """
        index = np.asarray(index, dtype=np.int64)
        wanted = index[:, None] + self.offsets
        usable = self.source.available
        broken = (wanted < 0).any(axis=1) | ~usable[np.maximum(wanted, 0)].all(axis=1)
        if broken.any():
            raise UserError(
                f"the window of {self.source.time[index[broken][0]]} is not complete: the model "
                f"reads {self.frames} frames up to it; start later or add the earlier frames"
            )
        unique, place = np.unique(wanted, return_inverse=True)
        place = place.reshape(wanted.shape)
        found = self._fetch(unique, truth)
        height, width = self.source.grid.shape
        inputs = np.zeros((*wanted.shape, len(self.channels), height, width), dtype=np.float16)
        inputs[:, :, self._still] = self.terrain
        stations = np.zeros((*wanted.shape, 2, height * width), dtype=np.float16)
        slots = self.slots
        for n, t in np.ndindex(*wanted.shape):
            inputs[n, t, slots] = found.moving[place[n, t]]
            stations[n, t][:, self.station_cells] = found.stations[place[n, t]]
        inputs[:, :, self.known : self.known + 2] = stations.reshape(
            *wanted.shape, 2, height, width
        )
        last = place[:, -1]
        return Batch(
            inputs=inputs.transpose(0, 2, 1, 3, 4),
            clock=clock(self.source.time[wanted]),
            target=None if found.target is None else found.target[last],
            prior=found.prior[last],
        )

    def _fetch(self, unique: Index, truth: bool) -> Frames:
        """Frames in pieces of neighbours, put together."""
        runs = np.split(unique, np.flatnonzero(np.diff(unique) != 1) + 1)
        parts = [
            self.prepare(run[start : start + _READ], truth)
            for run in runs
            for start in range(0, run.size, _READ)
        ]
        targets = [part.target for part in parts if part.target is not None]
        return Frames(
            np.concatenate([part.moving for part in parts]),
            np.concatenate([part.stations for part in parts]),
            np.concatenate(targets) if truth else None,
            np.concatenate([part.prior for part in parts]),
        )

    def weather(self, index: Index, extra: tuple[str, ...] = ()) -> tuple[Any, Any]:
        """Auxiliary variables that move, normalised, and others as they are, in one reading.

        Returns
        -------
        (n, M', H, W) float16, (len(extra), n, H, W) float32
        """
        statistics = self.statistics
        moving = [statistics.variables[k] for k in self._moving]
        values = self.source.read([*moving, *extra], index)
        centre = statistics.centre[self._moving, None]
        scale = statistics.scale[self._moving, None, None, None]
        normal = ((values[: len(moving)] - centre) / scale).astype(np.float16)
        return normal.swapaxes(0, 1), values[len(moving) :]

    def prepare(self, index: Index, truth: bool = True) -> Frames:
        """Normalised frames at ``index`` (n,).

        A matrix product may round differently for another number of rows: who needs the same
        bits again must ask for the same frames together.
        """
        weather, rest = self.weather(index, ("co2",) if truth else ())
        priors, stations, prior = self.observed(index)
        return Frames(
            np.concatenate([weather, priors], axis=1),
            stations,
            self.normalised(rest[0], prior) if truth else None,
            np.broadcast_to(prior, (index.size, *self.source.grid.shape)),
        )

    def observed(
        self, index: Index
    ) -> tuple[NDArray[np.float16], NDArray[np.float16], NDArray[np.float32]]:
        """What the stations say: prior channels (n, P, H, W), station cells (n, 2, cells), prior.

        The prior is (n, H, W) or (1, 1, 1), in umol/mol.
        """
        observed = self.source.observations(index).astype(np.float32)
        priors, prior, reference = self._prior(index, observed)
        stations = self._station_cells(observed, reference).astype(np.float16)
        return priors.astype(np.float16).swapaxes(0, 1), stations, prior

    def normalised(
        self, co2: NDArray[np.float32], prior: NDArray[np.float32]
    ) -> NDArray[np.float16]:
        """(n, H, W): the target."""
        return ((co2 - prior) / np.float32(self.scale)).astype(np.float16)

    def _prior(
        self, index: Index, observed: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Prior channels; the prior and what stations are compared with (umol/mol)."""
        statistics = self.statistics
        if self.target == "absolute":
            mean = np.full((1, 1, 1), statistics.co2_mean, dtype=np.float32)
            none = np.empty((0, index.size, *self.source.grid.shape), dtype=np.float32)
            return none, mean, mean
        assert self.background is not None
        times = self.source.time[index]
        field = self.background.field(times, observed)
        scale = np.float32(statistics.anomaly_scale)
        weights = self.source.grid.weights.astype(np.float32)
        level = np.mean(field * weights, axis=(1, 2), keepdims=True)
        priors = [(field - level) / scale]
        prior = field
        if self.target == "residual":
            prior = self.background.interpolate(times, observed)
            priors.append((prior - field) / scale)
        return np.stack(priors), prior, field

    def _station_cells(
        self, observed: NDArray[np.float32], reference: NDArray[np.float32]
    ) -> NDArray[np.float64]:
        """(n, 2, cells): departure of the stations that report from the reference, and mask.

        Both times `Statistics.station_gain`. Stations in one cell are averaged; where none
        reports both are zero.
        """
        _, station_cell, member = self._cells
        count = observed.shape[0]
        flat = np.broadcast_to(reference, (count, *self.source.grid.shape)).reshape(count, -1)
        scales = self.statistics
        scale = scales.co2_scale if self.target == "absolute" else scales.anomaly_scale
        departure = (observed - flat[:, station_cell]) / np.float32(scale)
        seen = np.isfinite(departure)
        number = seen @ member
        mean = (np.where(seen, departure, 0.0) @ member) / np.maximum(number, 1.0)
        return np.stack([mean, number > 0], axis=1) * self.statistics.station_gain


def require_same_stations(grid: LatLonGrid, stations: StationNetwork, source: FieldSource) -> None:
    """Check that a source has the cells and sites that something was learned for."""
    if grid != source.grid:
        raise UserError(f"the background is for {grid}, the data set has {source.grid}")
    if stations.code != source.stations.code:
        raise UserError(
            "the stations of the data set are not those of the background; "
            "fit a background on this data set"
        )
