"""Ours timed against a plain reference: ``co2net bench``."""

from __future__ import annotations

from typing import Annotated

import typer

from co2net.cli.common import (
    DataOption,
    JsonOption,
    emit,
    open_data,
    show_table,
)
from co2net.errors import UserError


def bench(
    what: Annotated[str, typer.Argument(help="world, infer, train or page.")],
    model: Annotated[str, typer.Option("--model", help="Network to time.")] = "co2net-plus",
    preset: Annotated[
        str | None,
        typer.Option("--preset", help="Size, untrained; else the checkpoint's, XS for train."),
    ] = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Time ours against a plain reference in the same run; the figure to quote is `speedup`.

    Example: co2net bench infer --model co2net-plus --json
    """
    from co2net import bench as benches

    if what == "world":
        row = benches.bench_world()
    elif what == "page":
        from dashboard.bench import bench_page

        row = bench_page()
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
    emit(row, as_json, lambda: show_table("Benchmark", ["", ""], [[k, v] for k, v in row.items()]))
