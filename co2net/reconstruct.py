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
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from co2net.assets import atomic_path, provenance
from co2net.errors import UserError
from co2net.grid import LatLonGrid, bilinear
from co2net.inference import TRUTH, Engine, source_digest
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

    Returns
    -------
    Path
        ``out``.

    Raises
    ------
    UserError
        When the span, resolution or step is not sound, a frame is missing, the output is
        something else or was made with other settings, or cannot be written.
    """
    engine = Engine(source, [] if model == TRUTH else [model], memory_mb=128)
    name = TRUTH if model == TRUTH else engine.names()[0]
    out = Path(out)
    frames = _frames(engine, name, start, end, around=freq is not None)
    times = frames if freq is None else _regular(start, end, freq)
    grid = engine.grid if resolution is None else _regular_grid(resolution)
    settings = {
        "model": name,
        "model_digest": name if name == TRUTH else engine.model(name).info.digest,
        "data_digest": source_digest(engine.source),
        "start": start,
        "end": end,
        "grid": grid.digest,
        "freq": freq,
    }
    step = times[1] - times[0] if times.size > 1 else np.timedelta64(86400, "s")
    frames_per_day = max(1, int(np.timedelta64(86400, "s") / step))
    try:
        root = _open(out, engine, settings, grid, times, frames_per_day)
        blocks = np.flatnonzero(root["done"][:] == 0)
        for count, block in enumerate(blocks):
            span = slice(block * frames_per_day, min((block + 1) * frames_per_day, times.size))
            fields = _at(engine, name, frames, times[span])
            if grid != engine.grid:
                fields = bilinear(fields, engine.grid, grid).astype(np.float32)
            root["co2"][span] = fields
            root["done"][block : block + 1] = 1
            if progress is not None:
                done = root["done"].shape[0] - blocks.size + count + 1
                progress(done / root["done"].shape[0], str(times[span][-1])[:10])
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"cannot write {out}: {reason}; give another --out") from None
    return out


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
) -> Any:
    """Open an output that was begun with the same settings, or make one in one stroke."""
    import zarr
    from zarr.errors import BaseZarrError

    if not out.exists():
        _create(out, engine, settings, grid, times, block)
    for rest in out.rglob("*.partial"):  # chunks that a killed run had begun
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
