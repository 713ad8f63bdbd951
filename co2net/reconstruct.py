"""Bulk reconstruction: a span of days to one CF-clean Zarr that any tool opens.

The output is written in blocks of a day, and each is noted in the output itself once it is
whole. A run that was interrupted, by whatever, is continued by running it again: blocks that are
noted are not computed anew.

A resolution or a time step other than the data set's is had by interpolating the reconstructed
field: bilinear between cell centres, across the date line; linear between frames. The models
learned one grid and one step, and this invents no detail; the output's attribute
``resampling`` says so.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from co2net.assets import atomic_path, provenance
from co2net.errors import UserError
from co2net.grid import LatLonGrid, bilinear
from co2net.inference import TRUTH, Engine, source_digest
from co2net.observations import how_opened, reopened
from co2net.schema import CO2
from co2net.source import FieldSource

if TYPE_CHECKING:
    from co2net.models.base import Reconstructor

Progress = Callable[[float, str], None]

_EPOCH = "seconds since 1970-01-01 00:00:00"
_UNITS = {"h": 3600, "min": 60, "D": 86400}


def reconstruct(
    model: str | Path | Reconstructor,
    source: FieldSource,
    start: str,
    end: str,
    out: str | Path,
    resolution: float | None = None,
    freq: str | None = None,
    progress: Progress | None = None,
    scheduler: str | None = None,
) -> Path:
    """Write the fields of a model, or the truth, over a span of days.

    Parameters
    ----------
    model
        Name, checkpoint or run folder, reconstructor, or ``truth``.
    source
        Data set.
    start, end
        First and last day, inclusive, ``YYYY-MM-DD``.
    out
        Folder of the Zarr store: ``co2(time, lat, lon)`` in umol/mol, single precision.
        One that was begun with the same settings is continued.
    resolution
        Cell size in degrees that divides 180. None: the data set's grid.
    freq
        Time step such as ``1h`` or ``30min``: the times lie half a step from midnight on, as
        the three-hourly frames do. None: the data set's frames.
    progress
        Told the share done, and the day.
    scheduler
        Address of a Dask scheduler: its workers, who must see data set, model and ``out`` under
        the same paths, compute the days. None: this process does.

    Returns
    -------
    Path
        ``out``.

    Raises
    ------
    UserError
        When the span, resolution or step is not sound, a frame is missing, the output is
        something else or was made with other settings, or cannot be written; or when the
        cluster cannot do it.
    """
    span = _Span(model, source, start, end, Path(out), resolution, freq)
    try:
        blocks = np.flatnonzero(span.root["done"][:] == 0).tolist()
        done = span.root["done"].shape[0] - len(blocks)
        for count, block in enumerate(_written(span, blocks, scheduler), start=done + 1):
            if progress is not None:
                progress(count / span.root["done"].shape[0], span.day(block))
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"cannot write {out}: {reason}; give another --out") from None
    return span.out


def _written(span: _Span, blocks: list[int], scheduler: str | None) -> Iterator[int]:
    """Write blocks, here or on a cluster, and name each when it is on the disk."""
    if scheduler is None:
        for block in blocks:
            span.write(block)
            yield block
        return
    from co2net import cluster

    with cluster.client(scheduler) as client:
        yield from cluster.each(client, _write_there, blocks, span.order())


def _write_there(order: tuple[Any, ...], block: int) -> None:
    """Write a block in a worker of a cluster."""
    _known_span(order).write(block)


@lru_cache(maxsize=2)
def _known_span(order: tuple[Any, ...]) -> _Span:
    """A worker opens data set and model once, whatever the number of days."""
    model, how, *rest = order
    return _Span(model, reopened(how), *rest, alone=False)


class _Span:
    """A reconstruction that was begun; its blocks can be written in any order, by anyone.

    The arguments are those of `reconstruct`; ``alone`` says that no other process writes now.
    """

    def __init__(
        self,
        model: str | Path | Reconstructor,
        source: FieldSource,
        start: str,
        end: str,
        out: Path,
        resolution: float | None,
        freq: str | None,
        *,
        alone: bool = True,
    ) -> None:
        self.model, self.source, self.out = model, source, out
        self._rest = (start, end, out, resolution, freq)
        self.engine = engine = Engine(source, [] if model == TRUTH else [model], memory_mb=128)
        self.name = TRUTH if model == TRUTH else engine.names()[0]
        self.frames = _frames(engine, self.name, start, end, around=freq is not None)
        self.times = self.frames if freq is None else _regular(start, end, freq)
        self.grid = engine.grid if resolution is None else _regular_grid(resolution)
        settings = {
            "model": self.name,
            "model_digest": TRUTH if model == TRUTH else engine.model(self.name).info.digest,
            "data_digest": source_digest(source),
            "start": start,
            "end": end,
            "grid": self.grid.digest,
            "freq": freq,
        }
        step = self.times[1] - self.times[0] if self.times.size > 1 else np.timedelta64(86400, "s")
        self.block = max(1, int(np.timedelta64(86400, "s") / step))
        try:
            self.root = _open(out, engine, settings, self.grid, self.times, self.block, alone)
        except OSError as error:
            reason = error.strerror or error
            raise UserError(f"cannot write {out}: {reason}; give another --out") from None

    def order(self) -> tuple[Any, ...]:
        """What another process needs to open the same.

        Raises
        ------
        UserError
            When data set or model do not lie on a disk.
        """
        if not isinstance(self.model, str | Path):
            raise UserError("a cluster reads the model from a disk; give its path")
        model = str(self.model)
        if Path(model).exists():
            model = str(Path(model).absolute())
        start, end, out, *rest = self._rest
        return model, how_opened(self.source), start, end, out.absolute(), *rest

    def day(self, block: int) -> str:
        """The day of a block."""
        return str(self.times[min((block + 1) * self.block, self.times.size) - 1])[:10]

    def write(self, block: int) -> None:
        """Compute the fields of a block, and note that they are there."""
        span = slice(block * self.block, min((block + 1) * self.block, self.times.size))
        fields = _at(self.engine, self.name, self.frames, self.times[span])
        if self.grid != self.engine.grid:
            fields = bilinear(fields, self.engine.grid, self.grid).astype(np.float32)
        self.root["co2"][span] = fields
        self.root["done"][block : block + 1] = 1


def _frames(
    engine: Engine, model: str, start: str, end: str, around: bool
) -> NDArray[np.datetime64]:
    """The frames of the days, and where they can be had the one before and the one after."""
    try:
        first, last = np.datetime64(start, "D"), np.datetime64(end, "D") + 1
    except ValueError:
        raise UserError(f"span {start} to {end}: write days as YYYY-MM-DD") from None
    if first >= last:
        raise UserError(f"span {start} to {end}: the end lies before the start")
    axis = engine.source.time
    inside = axis[(axis >= first) & (axis < last)]
    if inside.size == 0:
        raise UserError(
            f"span {start} to {end}: the data set runs from {str(axis[0])[:10]} to "
            f"{str(axis[-1])[:10]}"
        )
    engine.check(model, inside)
    if around:
        step = engine.source.step
        near = np.array([inside[0] - step, inside[-1] + step])
        inside = np.union1d(inside, near[np.isin(near, engine.times(model))])
    return inside


def _regular(start: str, end: str, freq: str) -> NDArray[np.datetime64]:
    number = freq.rstrip("hminD")
    unit = freq[len(number) :]
    if unit not in _UNITS or not (number or "1").isdigit() or int(number or "1") == 0:
        raise UserError(f"freq '{freq}': write a number and h, min or D, such as 1h or 30min")
    step = np.timedelta64(int(number or "1") * _UNITS[unit], "s")
    first = np.datetime64(start, "s") + step // 2
    return np.arange(first, np.datetime64(end, "s") + np.timedelta64(86400, "s"), step)


def _regular_grid(resolution: float) -> LatLonGrid:
    rows = 180 / resolution if resolution > 0 else 0
    if not 2 <= rows <= 1800 or abs(rows - round(rows)) > 1e-6:
        raise UserError(f"resolution {resolution:g}: give degrees that divide 180, 0.1 to 90")
    return LatLonGrid.regular(round(rows), 2 * round(rows))


def _at(
    engine: Engine,
    model: str,
    frames: NDArray[np.datetime64],
    times: NDArray[np.datetime64],
) -> NDArray[np.float32]:
    """(n, H, W): fields at any times, linear between frames, held before and after them."""
    after = np.clip(np.searchsorted(frames, times), 0, frames.size - 1)
    before = np.where(frames[after] > times, np.maximum(after - 1, 0), after)
    low, high = before.min(), after.max()
    fields = engine.fields(model, frames[low : high + 1])
    gap = np.maximum((frames[after] - frames[before]) / np.timedelta64(1, "s"), 1)
    share = ((times - frames[before]) / np.timedelta64(1, "s") / gap)[:, None, None]
    share = np.clip(share, 0, 1).astype(np.float32)
    return fields[before - low] * (1 - share) + fields[after - low] * share


def _open(
    out: Path,
    engine: Engine,
    settings: dict[str, Any],
    grid: LatLonGrid,
    times: NDArray[np.datetime64],
    block: int,
    alone: bool,
) -> Any:
    """Open an output that was begun with the same settings, or make one in one stroke."""
    import zarr
    from zarr.errors import BaseZarrError

    if not out.exists():
        _create(out, engine, settings, grid, times, block)
    for rest in out.rglob("*.partial") if alone else ():  # chunks that a killed run had begun
        rest.unlink(missing_ok=True)
    try:
        root = zarr.open_group(str(out), mode="r+")
        begun = json.loads(root.attrs["settings"])  # type: ignore[arg-type]
    except (BaseZarrError, FileNotFoundError, NotADirectoryError, KeyError, ValueError):
        raise UserError(
            f"{out} exists and is no reconstruction; give another --out or remove it"
        ) from None
    if begun != settings:
        differ = [k for k in settings if begun.get(k) != settings[k]]
        raise UserError(
            f"{out} was begun with another {', '.join(differ)}; give another --out or remove it"
        )
    return root


def _create(
    out: Path,
    engine: Engine,
    settings: dict[str, Any],
    grid: LatLonGrid,
    times: NDArray[np.datetime64],
    block: int,
) -> None:
    import zarr
    from zarr.codecs import BloscCodec, BloscShuffle

    source, model = engine.source.attrs, settings["model"]
    resampling = []
    if grid != engine.grid:
        resampling.append(f"bilinear in space from {engine.grid!r}")
    if settings["freq"] is not None:
        resampling.append(
            f"linear in time from frames every {engine.source.step}, held at the ends"
        )
    info = engine.model(model).info if model in engine.names() else None
    with atomic_path(out) as draft:
        root = zarr.create_group(store=str(draft), zarr_format=3)
        root.attrs.update(
            {
                "Conventions": "CF-1.11",
                "title": f"Surface CO2, {info.title if info else model}, "
                f"{settings['start']} to {settings['end']}",
                "source": f"{model} on {source.get('title')}",
                "model": model,
                "model_digest": settings["model_digest"],
                "model_trained_on": json.dumps(info.trained_on if info else {}),
                "data_version": str(source.get("version")),
                "data_digest": settings["data_digest"],
                "licence": str(source.get("licence")),
                "simulated": bool(source.get("simulated")),
                "resampling": "; ".join(resampling) or "none",
                "history": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} co2net reconstruct",
                "provenance": json.dumps(provenance()),
                "settings": json.dumps(settings),
            }
        )
        for name, standard, units, values in (
            ("time", "time", _EPOCH, times.astype("datetime64[s]").astype(np.int64)),
            ("lat", "latitude", "degrees_north", grid.lat),
            ("lon", "longitude", "degrees_east", grid.lon),
        ):
            axis = root.create_array(
                name, data=values, chunks=values.shape, dimension_names=(name,)
            )
            axis.attrs.update({"standard_name": standard, "units": units, "axis": name[0].upper()})
        root["time"].attrs["calendar"] = "proleptic_gregorian"
        root["lat"].attrs["axis"], root["lon"].attrs["axis"] = "Y", "X"
        co2 = root.create_array(
            "co2",
            shape=(times.size, *grid.shape),
            chunks=(min(block, times.size), *grid.shape),
            dtype="f4",
            fill_value=float("nan"),
            dimension_names=("time", "lat", "lon"),
            compressors=BloscCodec(cname="zstd", clevel=3, shuffle=BloscShuffle.bitshuffle),
        )
        co2.attrs.update(
            {
                "units": CO2.units,
                "standard_name": CO2.standard_name,
                "long_name": CO2.long_name,
                "cell_methods": "time: point area: mean",
                "coordinates": "time lat lon",
            }
        )
        done = root.create_array(
            "done",
            shape=(-(-times.size // block),),
            chunks=(1,),
            dtype="i1",
            fill_value=0,
            dimension_names=("block",),
        )
        done.attrs.update({"long_name": "days that are written", "frames": block})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # consolidation is not yet in the Zarr 3 text
            zarr.consolidate_metadata(str(draft))
