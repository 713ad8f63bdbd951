"""Oceans: ``co2net ocean flux``, ``ph``, ``sink``, ``enso``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from co2net.cli.common import (
    DataOption,
    JsonOption,
    emit,
    name_value,
    open_data,
    progress_bar,
    show_table,
)
from co2net.errors import UserError

if TYPE_CHECKING:
    from co2net.ocean import Ocean

ocean_app = typer.Typer(
    help="Oceans: air-sea flux, acidity, sink, El Nino. Flux is positive into the atmosphere.",
    no_args_is_help=True,
)

ModelOption = Annotated[
    str, typer.Option("--model", help="truth, or a model's name or folder; several with commas.")
]
StartOption = Annotated[
    str | None, typer.Option("--start", help="First month, YYYY-MM. Default: the first whole one.")
]
EndOption = Annotated[
    str | None, typer.Option("--end", help="Last month, inclusive. Default: the last whole one.")
]
SeaOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--ocean",
        help="Product of pCO2 and sea surface temperature: NetCDF file or folder; may be repeated. "
        "Default: the embedded world's own simulated ocean.",
    ),
]
VariableOption = Annotated[
    list[str] | None,
    typer.Option("--variable", help="Variable of the product, such as pco2=NAME; repeatable."),
]
UnitOption = Annotated[
    list[str] | None,
    typer.Option("--unit", help="Its unit where the file states none: pco2=uatm; repeatable."),
]
YearOption = Annotated[
    int | None, typer.Option("--year", help="Year that the product's months stand for.")
]
LawOption = Annotated[
    str | None, typer.Option("--law", help="Transfer velocity: wanninkhof2014, nightingale2000 ...")
]
HeightOption = Annotated[
    float | None, typer.Option("--wind-height", help="Height of the data set's wind (m).")
]
StrideOption = Annotated[
    int, typer.Option("--every", help="Compare model and truth on every n-th frame.", min=1)
]


def _open(
    data: Path | None,
    models: str,
    sea: list[Path] | None,
    variables: list[str] | None,
    units: list[str] | None,
    year: int | None,
    law: str | None,
    wind_height: float | None,
    every: int = 9,
) -> tuple[Ocean, list[str]]:
    """The ocean on a data set, and the names that are asked for."""
    from dataclasses import replace

    from co2net.inference import TRUTH, Engine
    from co2net.ocean import Ocean
    from co2net.ocean.readers import read_product

    asked = [name.strip() for name in models.split(",") if name.strip()]
    if not asked:
        raise UserError("--model: name truth or a model")
    source = open_data(data)
    engine = Engine(source, [name for name in asked if name != TRUTH], memory_mb=128)
    names = [TRUTH if name == TRUTH else Path(name).name for name in asked]
    fields = None
    if sea:
        mapped, stated = _pairs(variables), _pairs(units)
        fields = read_product(sea, engine.grid, mapped, stated, year)
    ocean = Ocean(engine, fields, stride=every)
    changed: dict[str, Any] = {} if law is None else {"law": law}
    if wind_height is not None:
        changed["wind_height"] = wind_height
    if changed:
        ocean.settings = replace(ocean.settings, **changed)
    return ocean, names


def _pairs(items: list[str] | None) -> dict[str, str]:
    return {name: str(value) for name, value in (name_value(item) for item in items or [])}


def _one(names: list[str]) -> str:
    if len(names) != 1:
        raise UserError("--model: a store holds one model; name one, or truth")
    return names[0]


@ocean_app.command()
def flux(
    out: Annotated[Path, typer.Option("--out", help="Zarr folder to write.")],
    model: ModelOption = "truth",
    start: StartOption = None,
    end: EndOption = None,
    data: DataOption = None,
    frames: Annotated[
        bool, typer.Option("--frames", help="Every frame instead of monthly means.")
    ] = False,
    sea: SeaOption = None,
    variable: VariableOption = None,
    unit: UnitOption = None,
    year: YearOption = None,
    law: LawOption = None,
    wind_height: HeightOption = None,
    every: StrideOption = 9,
) -> None:
    """Flux (mol m-2 yr-1), delta-pCO2 and pCO2 of the air to Zarr; run again, it goes on.

    Example: co2net ocean flux --model co2net --start 2020-06 --end 2020-07 --out flux.zarr
    """
    from co2net.ocean import run

    ocean, names = _open(data, model, sea, variable, unit, year, law, wind_height, every)
    what = _one(names)
    months = run.months_between(ocean, [what], start, end)
    with progress_bar(f"flux, {what}") as progress:
        run.write_flux(ocean, what, months, out, frames, progress)
    print(out)


@ocean_app.command()
def ph(
    out: Annotated[Path, typer.Option("--out", help="Zarr folder to write.")],
    model: ModelOption = "truth",
    start: StartOption = None,
    end: EndOption = None,
    data: DataOption = None,
    sea: SeaOption = None,
    variable: VariableOption = None,
    unit: UnitOption = None,
    year: YearOption = None,
    every: StrideOption = 9,
) -> None:
    """PH, aragonite saturation, their standard errors and alkalinity by month to Zarr.

    Example: co2net ocean ph --start 2020-06 --end 2020-07 --out ph.zarr
    """
    from co2net.ocean import run

    ocean, names = _open(data, model, sea, variable, unit, year, None, None, every)
    what = _one(names)
    months = run.months_between(ocean, [what], start, end)
    with progress_bar(f"pH, {what}") as progress:
        run.write_ph(ocean, what, months, out, progress)
    print(out)


@ocean_app.command()
def sink(
    out: Annotated[Path, typer.Option("--out", help="Table (CSV) to write.")],
    model: ModelOption = "truth",
    start: StartOption = None,
    end: EndOption = None,
    data: DataOption = None,
    regions: Annotated[
        str | None,
        typer.Option("--regions", help="Keys with blanks between. Default: the ocean's basins."),
    ] = None,
    sea: SeaOption = None,
    variable: VariableOption = None,
    unit: UnitOption = None,
    year: YearOption = None,
    law: LawOption = None,
    wind_height: HeightOption = None,
    every: StrideOption = 9,
    as_json: JsonOption = False,
) -> None:
    """Sums over basins in PgC/yr by month and year, with the reconstruction's own part.

    Example: co2net ocean sink --model truth,co2net,vit --out sink.csv
    """
    from co2net.ocean import basins, run

    ocean, names = _open(data, model, sea, variable, unit, year, law, wind_height, every)
    places = regions.split() if regions else list(basins())
    months = run.months_between(ocean, names, start, end)
    with progress_bar("sink") as progress:
        table = run.write_sink(ocean, names, months, places, out, progress)
    frame = table.frame()
    years = frame[frame.period.str.len() == 4]

    def show() -> None:
        rows = [
            [r.region, f"{r.period} ({r.months})", r.what, f"{r.flux:+.3f}", f"{r.error:+.4f}",
             f"{r.low:+.3f} .. {r.high:+.3f}"]
            for r in years.itertuples()
        ]  # fmt: skip
        heads = ["region", "year (months)", "what", "PgC/yr", "own error", "95 %"]
        show_table(f"Sea to air, {ocean.fields.title}", heads, rows)

    plain = frame.astype(object).where(frame.notna(), None)  # JSON knows no NaN
    emit(plain.to_dict("records"), as_json, show)


@ocean_app.command()
def enso(
    out: Annotated[Path, typer.Option("--out", help="Table (CSV) to write.")],
    model: ModelOption = "truth",
    start: StartOption = None,
    end: EndOption = None,
    data: DataOption = None,
    region: Annotated[
        str, typer.Option("--region", help="Whose CO2 and flux answer.")
    ] = "tropical-pacific",
    sea: SeaOption = None,
    variable: VariableOption = None,
    unit: UnitOption = None,
    year: YearOption = None,
    law: LawOption = None,
    wind_height: HeightOption = None,
    every: StrideOption = 9,
    maps: Annotated[
        Path | None,
        typer.Option("--maps", help="Also maps (.npz): El Nino and La Nina, of CO2 and flux."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Monthly CO2 and flux of the equatorial Pacific, and how they answer to the Nino-3.4 index.

    Example: co2net ocean enso --data data/archive --model truth,co2net --out enso.csv
    """
    import numpy as np

    from co2net.ocean import composites, run
    from co2net.ocean.engine import QUANTITIES
    from co2net.ocean.enso import nino34, respond

    ocean, names = _open(data, model, sea, variable, unit, year, law, wind_height, every)
    months = run.months_between(ocean, names, start, end)
    index = nino34(ocean)
    with progress_bar("El Nino") as progress:
        series = run.write_enso(ocean, names, months, region, out, progress)
    if maps is not None:
        with progress_bar("maps of El Nino") as progress:
            composites.write(ocean, names, months, maps, progress)
    rows: list[dict[str, Any]] = []
    for what, by_quantity in series.items():
        for quantity, values in by_quantity.items():
            units = QUANTITIES[quantity].units
            answer = respond(index, np.array(months, dtype="datetime64[M]"), values, units)
            best = int(np.argmax(np.abs(answer.correlation)))
            rows.append(
                {
                    "what": what,
                    "quantity": quantity,
                    "units": f"{units} K-1",
                    "months": answer.months,
                    "lag": best,
                    "slope": float(answer.slope[best]),
                    "low": float(answer.low[best]),
                    "high": float(answer.high[best]),
                    "correlation": float(answer.correlation[best]),
                    "warm": answer.warm,
                    "cold": answer.cold,
                }
            )

    def show() -> None:
        heads = ["what", "quantity", "lag (months)", "slope", "95 %", "r", "El Nino", "La Nina"]
        cells = [
            [r["what"], r["quantity"], r["lag"], f"{r['slope']:+.4g} {r['units']}",
             f"{r['low']:+.3g} .. {r['high']:+.3g}", f"{r['correlation']:+.2f}",
             f"{r['warm']:+.3g}", f"{r['cold']:+.3g}"]
            for r in rows
        ]  # fmt: skip
        show_table(f"Answer of {region} to Nino-3.4 ({index.source})", heads, cells)

    emit(rows, as_json, show)
