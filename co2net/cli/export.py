"""Files of what the page shows: ``co2net export``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from co2net.assets import data_path
from co2net.cli.common import DataOption, err, open_data, parse_day, progress_bar
from co2net.errors import UserError

if TYPE_CHECKING:
    from co2net.inference import Engine

export_app = typer.Typer(no_args_is_help=True, help="Maps, series and case studies as files.")

OutOption = Annotated[
    Path, typer.Option("--out", help="File: .png, .pdf, .nc or .csv says the format.")
]
ModelsOption = Annotated[
    str | None, typer.Option("--models", help="Names, separated by commas; all by default.")
]


@export_app.command("map")
def export_map(
    out: OutOption,
    time: Annotated[str, typer.Option(help="UTC, such as 2020-06-16T13:30.")],
    layers: Annotated[
        str,
        typer.Option(
            help="Separated by commas: truth, a model, diff:MODEL, anomaly:MODEL, weather."
        ),
    ] = "truth",
    place: Annotated[str, typer.Option("--region", help="Region to outline and show.")] = "global",
    projection: Annotated[
        str, typer.Option(help="robinson, platecarree, mollweide, north, south, orthographic.")
    ] = "robinson",
    data: DataOption = None,
) -> None:
    """Maps of layers at one time, on one scale a kind; or the fields themselves.

    Example: co2net export map --time 2020-06-16T13:30 --layers truth,co2net-plus --out map.pdf
    """
    import numpy as np

    from co2net import export
    from co2net.layers import LIMITS, derived, sample_limits
    from co2net.regions import region
    from co2net.source import frame_index

    names = [name for name in layers.split(",") if name]
    engine = _engine(data, names)
    try:
        stamp = np.datetime64(time.removesuffix("Z"), "s")
    except ValueError:
        raise UserError(f"'{time[:40]}' is no time; write it as 2020-06-16T13:30") from None
    index = int(frame_index(engine.source, stamp)[0])
    found = export.fields_dataset(engine, names, stamp)
    chosen = region(place)
    if out.suffix[1:] in export.FIGURE_FORMATS:
        panels = []
        for name, field in zip(names, found.data_vars.values(), strict=True):
            kind = derived(name)
            limits = LIMITS[kind] if kind else sample_limits(engine.source, name, index)
            panels.append(export.panel_of(engine, name, stamp, field.values[0], limits))
        note = f"{found.attrs['source']} · {found.attrs['history']}"
        look = export.Look(projection, place=chosen, note=note)
        export.save_figure(export.map_figure(engine, panels, look), out, found.attrs)
    else:
        export.save_data(found, out)
    _done(out)


@export_app.command("series")
def export_series(
    out: OutOption,
    start: Annotated[str, typer.Option(help="First day.")],
    end: Annotated[str, typer.Option(help="Last day.")],
    models: ModelsOption = None,
    place: Annotated[str, typer.Option("--region", help="Its area mean.")] = "global",
    point: Annotated[
        str | None, typer.Option(help="LAT,LON: the cell that holds it, instead of a region.")
    ] = None,
    data: DataOption = None,
) -> None:
    """CO2 of the truth and of models over a region or at a point.

    Example: co2net export series --start 2020-06-03 --end 2020-06-23 --region siberia --out s.csv
    """
    from co2net import export

    engine = _engine(data, models.split(",") if models else None)
    first, last = parse_day(start), parse_day(end)
    source = engine.source
    inside = (source.time >= first) & (source.time < last + 1) & source.available
    if not inside.any():
        raise UserError(f"the data hold nothing from {first} to {last}")
    where = None
    if point is not None:
        try:
            lat, lon = (float(part) for part in point.split(","))
        except ValueError:
            raise UserError(f"point '{point[:40]}': write it as 19.5,-155.6") from None
        where = lat, lon
    names = ["truth", *(models.split(",") if models else engine.names())]
    with progress_bar("series") as progress:
        found = export.series_dataset(engine, names, source.time[inside], where, place, progress)
    title = f"{found.attrs['place']} · {first} to {last}"
    _save(out, found, export.series_figure, title)


@export_app.command("case")
def export_case(
    key: Annotated[str, typer.Argument(help="Key of a case of data/cases.yml.")],
    out: OutOption,
    models: ModelsOption = None,
    scores: Annotated[
        bool, typer.Option("--scores", help="First, last, change and scores, no series.")
    ] = False,
    data: DataOption = None,
) -> None:
    """Daily means of a case study over its region, or its scores.

    Example: co2net export case siberian-uptake --models co2net-plus,vit --out siberia.pdf
    """
    from co2net import export
    from co2net.evaluation.cases import case_series, load_cases

    cases = {case.key: case for case in load_cases()}
    if key not in cases:
        raise UserError(f"there is no case '{key[:40]}'; there are {', '.join(cases)}")
    engine = _engine(data, models.split(",") if models else None)
    names = models.split(",") if models else engine.names()
    with progress_bar(key) as progress:
        found = case_series(engine, cases[key], names, progress=progress)
    if scores:
        if out.suffix[1:] not in export.DATA_FORMATS:
            raise UserError(f"{out}: scores are written as {' or '.join(export.DATA_FORMATS)}")
        export.save_data(export.case_scores_dataset(engine, found), out)
        _done(out)
        return
    table = export.case_dataset(engine, found)
    _save(out, table, export.series_figure, table.attrs["title"])


def _engine(data: Path | None, names: list[str] | None) -> Engine:
    """The engine of a store, with the models that are named or all that are shipped."""
    from co2net.inference import Engine

    engine = Engine(open_data(data), cache_dir=data_path("cache"))
    known = {"truth", *engine.names()}
    for name in names or ():
        layer = name.rpartition(":")[2]
        if layer not in known and layer not in engine.source.variables:
            raise UserError(f"there is no '{name[:40]}'; there are {', '.join(sorted(known))}")
    return engine


def _save(out: Path, data: Any, draw: Any, title: str) -> None:
    from co2net import export

    if out.suffix[1:] in export.FIGURE_FORMATS:
        simulated = " · simulated" if data.attrs["simulated"] == "true" else ""
        note = f"{data.attrs['source']} · {data.attrs['history']}{simulated}"
        words = export.Words(title, "UTC", "surface CO2 (ppm)", note=note)
        export.save_figure(draw(data, words), out, data.attrs)
    else:
        export.save_data(data, out)
    _done(out)


def _done(out: Path) -> None:
    err.print(f"wrote {out}", highlight=False, soft_wrap=True)
