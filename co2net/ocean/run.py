"""Runs over months: fields of the ocean to a Zarr store, sums and series to a table.

A run that was interrupted, by whatever, goes on when it is started again with the same settings:
in a store, the months that are written are noted in it; beside a table, its parts wait in a file of
lines until all are there.
"""

from __future__ import annotations

import csv
import json
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from co2net.assets import atomic_path, provenance
from co2net.errors import UserError
from co2net.inference import TRUTH, source_digest
from co2net.ocean import acidity, enso, sink
from co2net.ocean.engine import QUANTITIES, Ocean
from co2net.ocean.fields import as_month

Progress = Callable[[float, str], None]

FLUX = ("flux", "delta_pco2", "pco2_air")
PH = ("ph", "ph_sd", "aragonite", "aragonite_sd", "alkalinity")
_LONG = {"ph_sd": "standard error of pH", "aragonite_sd": "standard error of the saturation state"}
_EPOCH = "seconds since 1970-01-01 00:00:00"


def months_between(ocean: Ocean, whats: Sequence[str], start: str | None, end: str | None) -> list:
    """Months (YYYY-MM) from the first to the last that all of them can give.

    Raises
    ------
    UserError
        When a month of the span is not there, or there is none at all.
    """
    shared = sink.shared_months(ocean, whats)
    first = as_month(start[:7]) if start else as_month(shared[0])
    last = as_month(end[:7]) if end else as_month(shared[-1])
    chosen = [month for month in shared if first <= as_month(month) <= last]
    if not chosen:
        raise UserError(
            f"no whole month from {first} to {last}; there are {shared[0]} to {shared[-1]}"
        )
    return chosen


def settings_of(ocean: Ocean, whats: Sequence[str], **more: Any) -> dict[str, Any]:
    """What results depend on; a run is continued only where all of it is the same."""
    digests = {w: ocean.engine.model(w).info.digest for w in whats if w != TRUTH}
    return {
        "models": list(whats),
        "model_digests": digests,
        "data_digest": source_digest(ocean.engine.source),
        "ocean": f"{ocean.fields.title}: {ocean.fields.source}",
        "flux_settings": asdict(ocean.settings),
        "stride": ocean.stride,
        **more,
    }


# -- stores -------------------------------------------------------------------------------------


def write_flux(
    ocean: Ocean,
    what: str,
    months: Sequence[str],
    out: str | Path,
    frames: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Flux, difference of pressures and pressure of the air: means of months, or every frame.

    Parameters
    ----------
    what
        ``truth`` or a model.
    months
        ``YYYY-MM``.
    out
        Folder of the Zarr store: flux (mol m-2 yr-1, positive into the air), delta_pco2 and
        pco2_air (uatm), each (time, lat, lon), NaN on land.
    frames
        Every frame instead of means.
    """
    if not frames:
        blocks = [np.array([as_month(month)]).astype("datetime64[s]") for month in months]

        def means(number: int) -> dict[str, NDArray[Any]]:
            return {q: ocean.month(q, what, months[number])[None] for q in FLUX}

        return _write(ocean, what, blocks, FLUX, means, out, "month", progress)
    times = ocean.times(what)
    held = times.astype("datetime64[D]")
    wanted = np.isin(times.astype("datetime64[M]"), [as_month(month) for month in months])
    days = [times[held == day] for day in np.unique(held[wanted])]

    def of_day(number: int) -> dict[str, NDArray[Any]]:
        return {q: ocean.frames(q, what, days[number]) for q in FLUX}

    return _write(ocean, what, days, FLUX, of_day, out, "day", progress)


def write_ph(
    ocean: Ocean,
    what: str,
    months: Sequence[str],
    out: str | Path,
    progress: Progress | None = None,
) -> Path:
    """pH, saturation of aragonite, their standard errors, and alkalinity by month, as Zarr."""
    blocks = [np.array([as_month(month)]).astype("datetime64[s]") for month in months]

    def maps(number: int) -> dict[str, NDArray[Any]]:
        month = months[number]
        pco2 = ocean.followed(what, month)
        found = acidity.maps(ocean.state(month), pco2, ocean.grid, ocean.sea > 0, True)
        return {name: found[name][None] for name in PH}

    return _write(ocean, what, blocks, PH, maps, out, "month", progress)


def _write(
    ocean: Ocean,
    what: str,
    blocks: Sequence[NDArray[np.datetime64]],
    names: Sequence[str],
    compute: Callable[[int], dict[str, NDArray[Any]]],
    out: str | Path,
    unit: str,
    progress: Progress | None,
) -> Path:
    """Compute blocks that are not yet written, each noted once it is whole."""
    import zarr
    from zarr.errors import BaseZarrError

    out = Path(out)
    times = np.concatenate(blocks)
    settings = settings_of(
        ocean, [what], names=list(names), first=str(times[0]), last=str(times[-1]),
        count=int(times.size), block=unit,
    )  # fmt: skip
    try:
        if not out.exists():
            _create(ocean, out, settings, names, times, blocks)
        try:
            root: Any = zarr.open_group(str(out), mode="r+")
            begun = json.loads(root.attrs["settings"])
        except (BaseZarrError, FileNotFoundError, NotADirectoryError, KeyError, ValueError):
            raise UserError(
                f"{out} exists and is no run of the ocean; give another --out"
            ) from None
        _require_same(out, begun, settings)
        starts = np.concatenate([[0], np.cumsum([block.size for block in blocks])])
        for number in range(len(blocks)):
            if root["done"][number] == 0:
                for name, values in compute(number).items():
                    root[name][starts[number] : starts[number + 1]] = values
                root["done"][number : number + 1] = 1
            if progress is not None:
                progress((number + 1) / len(blocks), str(blocks[number][-1])[:10])
    except OSError as error:
        raise UserError(
            f"cannot write {out}: {error.strerror or error}; give another --out"
        ) from None
    return out


def _require_same(out: Path, begun: dict[str, Any], settings: dict[str, Any]) -> None:
    differ = [key for key in settings if begun.get(key) != settings[key]]
    if differ:
        raise UserError(f"{out} was begun with another {', '.join(differ)}; give another --out")


def _create(
    ocean: Ocean,
    out: Path,
    settings: dict[str, Any],
    names: Sequence[str],
    times: NDArray[np.datetime64],
    blocks: Sequence[NDArray[np.datetime64]],
) -> None:
    import zarr
    from zarr.codecs import BloscCodec, BloscShuffle

    source, grid = ocean.engine.source.attrs, ocean.grid
    with atomic_path(out) as draft:
        root = zarr.create_group(store=str(draft), zarr_format=3)
        root.attrs.update(
            {
                "Conventions": "CF-1.11",
                "title": f"Ocean CO2, {settings['models'][0]} on {source.get('title')}",
                "sign": "positive flux is into the atmosphere",
                "ocean": settings["ocean"],
                "ocean_note": ocean.fields.note,
                "licence": str(source.get("licence")),
                "simulated": bool(source.get("simulated") or ocean.fields.simulated),
                "history": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} co2net ocean",
                "provenance": json.dumps(provenance()),
                "settings": json.dumps(settings),
            }
        )
        seconds = times.astype("datetime64[s]").astype(np.int64)
        for name, standard, units, values in (
            ("time", "time", _EPOCH, seconds),
            ("lat", "latitude", "degrees_north", grid.lat),
            ("lon", "longitude", "degrees_east", grid.lon),
        ):
            axis = root.create_array(
                name, data=values, chunks=values.shape, dimension_names=(name,)
            )
            axis.attrs.update({"standard_name": standard, "units": units})
        root["time"].attrs["calendar"] = "proleptic_gregorian"
        for name in names:
            array = root.create_array(
                name,
                shape=(times.size, *grid.shape),
                chunks=(max(block.size for block in blocks), *grid.shape),
                dtype="f4",
                fill_value=float("nan"),
                dimension_names=("time", "lat", "lon"),
                compressors=BloscCodec(cname="zstd", clevel=3, shuffle=BloscShuffle.bitshuffle),
            )
            known = QUANTITIES.get(name)
            array.attrs.update(
                {
                    "units": known.units if known else "1",
                    "long_name": known.label if known else _LONG[name],
                }
            )
        root.create_array(
            "done",
            shape=(len(blocks),),
            chunks=(1,),
            dtype="i1",
            fill_value=0,
            dimension_names=("block",),
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # consolidation is not yet in the Zarr 3 text
            zarr.consolidate_metadata(str(draft))


# -- tables -------------------------------------------------------------------------------------


class Parts:
    """Results of a run that goes on where it broke off: lines of JSON beside the table.

    Parameters
    ----------
    out
        The table; the parts wait in ``.NAME.parts`` beside it.
    settings
        What they depend on.

    Raises
    ------
    UserError
        When parts of other settings wait there, or the folder cannot be written.
    """

    def __init__(self, out: str | Path, settings: dict[str, Any]) -> None:
        out = Path(out)
        self.path = out.with_name(f".{out.name}.parts")
        self.held: dict[tuple[str, str], dict[str, Any]] = {}
        try:
            out.parent.mkdir(parents=True, exist_ok=True)
            if self.path.is_file():
                self._read(out, settings)
            else:
                self.path.write_text(json.dumps(settings) + "\n", encoding="utf-8")
        except OSError as error:
            reason = error.strerror or error
            raise UserError(f"cannot write {out}: {reason}; give another --out") from None

    def _read(self, out: Path, settings: dict[str, Any]) -> None:
        whole = self.path.read_text(encoding="utf-8")
        lines = whole.splitlines()[: whole.count("\n")]  # a line that was cut off is no part
        _require_same(out, json.loads(lines[0]) if lines else {}, json.loads(json.dumps(settings)))
        for line in lines[1:]:
            part = json.loads(line)
            self.held[part["what"], part["month"]] = part["values"]
        with atomic_path(self.path) as draft:
            draft.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")

    def add(self, what: str, month: str, values: dict[str, Any]) -> None:
        """Note a part."""
        self.held[what, month] = values
        with self.path.open("a", encoding="utf-8") as handle:
            handle.write(json.dumps({"what": what, "month": month, "values": values}) + "\n")

    def finish(self) -> None:
        """The table is written: the parts are no longer needed."""
        self.path.unlink(missing_ok=True)


def _each(
    whats: Sequence[str],
    months: Sequence[str],
    parts: Parts,
    compute: Callable[[str, str], dict[str, Any]],
    progress: Progress | None,
) -> None:
    total = len(whats) * len(months)
    for done, (what, month) in enumerate(((w, m) for w in whats for m in months), start=1):
        if (what, month) not in parts.held:
            parts.add(what, month, compute(what, month))
        if progress is not None:
            progress(done / total, f"{what} {month}")


def write_sink(
    ocean: Ocean,
    whats: Sequence[str],
    months: Sequence[str],
    regions: Sequence[str],
    out: str | Path,
    progress: Progress | None = None,
) -> sink.SinkTable:
    """Sums over regions by month and year, as a table (CSV)."""
    settings = settings_of(ocean, whats, months=list(months), regions=list(regions))
    parts = Parts(out, settings)

    def compute(what: str, month: str) -> dict[str, Any]:
        return asdict(sink.month_sums(ocean, what, month, regions))

    _each(whats, months, parts, compute, progress)
    sums = {key: sink.MonthSums(**values) for key, values in parts.held.items()}
    table = sink.table(sums, regions)
    table.to_csv(out)
    parts.finish()
    return table


def write_enso(
    ocean: Ocean,
    whats: Sequence[str],
    months: Sequence[str],
    where: str,
    out: str | Path,
    progress: Progress | None = None,
) -> dict[str, dict[str, NDArray[np.float64]]]:
    """Monthly means of CO2 and flux over a region, as a table (CSV): name -> quantity -> (n,)."""
    settings = settings_of(ocean, whats, months=list(months), where=where)
    parts = Parts(out, settings)

    def compute(what: str, month: str) -> dict[str, Any]:
        return {q: float(ocean.month_series(q, what, where, [month])[0]) for q in enso.COLUMNS[2:]}

    _each(whats, months, parts, compute, progress)
    with atomic_path(out) as draft, draft.open("w", encoding="utf-8", newline="") as handle:
        about = f"means over {where}; co2 umol mol-1, flux mol m-2 yr-1, positive into the air"
        handle.write(f"# {about}; {ocean.engine.source.attrs.get('title')}\n")
        writer = csv.writer(handle)
        writer.writerow(enso.COLUMNS)
        for what in whats:
            for month in months:
                values = parts.held[what, month]
                writer.writerow([month, what, f"{values['co2']:.4f}", f"{values['flux']:.5f}"])
    parts.finish()
    return {
        what: {
            q: np.array([parts.held[what, month][q] for month in months]) for q in enso.COLUMNS[2:]
        }
        for what in whats
    }
