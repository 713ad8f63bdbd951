"""Ours timed against a plain reference: ``co2net bench``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from co2net.assets import data_path
from co2net.cli.common import (
    DataOption,
    JsonOption,
    emit,
    open_data,
    progress_bar,
    show_table,
)
from co2net.cli.page import served
from co2net.errors import UserError


def bench(
    what: Annotated[str, typer.Argument(help="world, infer, train or page.")],
    model: Annotated[str, typer.Option("--model", help="Network to time.")] = "co2net-plus",
    preset: Annotated[
        str | None,
        typer.Option("--preset", help="Size, untrained; else the checkpoint's, XS for train."),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(help="Of page this part: step, visit, play, sessions or leak. Repeat."),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Of page a few minutes' worth.")] = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Time ours against a plain reference in the same run; the figure to quote is `speedup`.

    Example: co2net bench page --only step --json
    """
    from co2net import bench as benches

    if what == "world":
        row = benches.bench_world()
    elif what == "page":
        row = _page(data, only or [], quick)
    elif what == "infer":
        from co2net import models

        known = models.load(model)
        if not isinstance(known, models.NetworkReconstructor):
            raise UserError(f"bench infer: {model} is no network; choose one of `co2net models`")
        row = benches.bench_infer(open_data(data), known, preset)
    elif what == "train":
        row = benches.bench_train(open_data(data), model, preset or "XS")
    else:
        raise UserError(f"bench '{what[:40]}': choose world, infer, train or page")
    emit(row, as_json, lambda: show_table("Benchmark", ["", ""], _lines(row)))


def _page(data: Path | None, only: list[str], quick: bool) -> dict[str, Any]:
    """The page of a server in a process of its own, in a headless browser."""
    from co2net.inference import Engine
    from dashboard import bench as pages

    pages.check(only)  # what is wrong is said before anything is started
    with served(data) as (address, process), progress_bar("page") as update:
        engine = Engine(open_data(data), cache_dir=data_path("cache"))
        sizes = pages.QUICK if quick else pages.Sizes()
        return pages.bench_page(engine, address, process, only, sizes, update)


def _lines(row: dict[str, Any], above: str = "") -> list[list[Any]]:
    """Name and value of all numbers, those within others by both names."""
    lines: list[list[Any]] = []
    for name, value in row.items():
        if isinstance(value, dict):
            lines += _lines(value, f"{above}{name} ")
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            for number, one in enumerate(value):
                lines += _lines(one, f"{above}{name} {number} ")
        else:
            shown = f"{value:.4g}" if isinstance(value, float) else value
            lines.append([above + name, shown])
    return lines
