"""Models held against truth and measurements: ``co2net evaluate``, ``validate``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from co2net.assets import data_path
from co2net.cli.common import (
    DataOption,
    JsonOption,
    ObservationsOption,
    SeedOption,
    emit,
    err,
    name_value,
    open_data,
    parse_day,
    progress_bar,
    show_table,
)


def evaluate(
    models: Annotated[
        str | None,
        typer.Option("--models", help="Names or folders, with commas. Default: all there are."),
    ] = None,
    seeds: Annotated[
        bool, typer.Option("--seeds", help="With the other seeds of these models, NAME@SEED.")
    ] = False,
    data: Annotated[
        Path | None,
        typer.Option("--data", help="Store or archive. Default: data/archive, else the store."),
    ] = None,
    observations: ObservationsOption = None,
    split: Annotated[
        str, typer.Option("--split", help="test, validation or train: years of the paper's split.")
    ] = "test",
    periods: Annotated[
        str | None,
        typer.Option("--periods", help="Instead: years, months, days, FIRST/LAST, with commas."),
    ] = None,
    regions: Annotated[
        str | None,
        typer.Option("--regions", help="More regions than the named ones: box:w,s,e,n, no commas."),
    ] = None,
    every: Annotated[int, typer.Option("--every", help="Score every n-th frame.", min=1)] = 9,
    withhold: Annotated[
        str | None,
        typer.Option("--withhold", help="Score stations withdrawn from the input: share or codes."),
    ] = None,
    folds: Annotated[
        int, typer.Option("--folds", help="The same for all stations, in so many patches.", min=0)
    ] = 0,
    table: Annotated[
        str | None,
        typer.Option("--table", help="The document's 3-3, 3-4, ... 3-8 or fig3-8 on this data."),
    ] = None,
    budget: Annotated[
        str,
        typer.Option("--budget", help="Of a table's trainings; `shipped` collects what is there."),
    ] = "200 steps",
    preset: Annotated[str, typer.Option("--preset", help="Size of a table's networks.")] = "XS",
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", help="Training setting of a table's rows, NAME=VALUE; repeatable."),
    ] = None,
    runs: Annotated[
        Path | None, typer.Option("--runs", help="Folder of a table's runs. Default: OUT/.parts.")
    ] = None,
    cases: Annotated[bool, typer.Option(help="Score the case studies too.")] = True,
    seed: SeedOption = 0,
    out: Annotated[Path, typer.Option("--out", help="Folder of results.")] = Path("results"),
    page: Annotated[
        Path | None, typer.Option("--page", help="Page over all results. Default: OUT/results.md.")
    ] = None,
    publish: Annotated[
        bool,
        typer.Option("--publish", help="Into data/benchmarks, docs/results.md and the READMEs."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Score models: maps by year and region with intervals, case studies, stations, tables.

    Writes tidy CSV, JSON provenance and Markdown; stopped and run again, it goes on.

    Example: co2net evaluate --models co2net-plus,interpolation --split test --out results
    """
    from co2net.evaluation import report
    from co2net.evaluation import request as evaluation
    from co2net.evaluation.tables import TrainingStopped

    asked = evaluation.Request(
        models=None if models is None else models.split(","),
        seeds=seeds,
        split=split,
        periods=None if periods is None else periods.split(","),
        regions=() if regions is None else regions.split(),
        every=every,
        withhold=withhold,
        folds=folds,
        table=table,
        budget=budget,
        settings={"preset": preset, **dict(name_value(text) for text in setting or [])},
        runs=None if runs is None else str(runs),
        cases=cases,
        seed=seed,
        observations=None if observations is None else str(observations),
    )
    asked.check()
    root = data_path().resolve().parent
    if publish:
        out, page = data_path("benchmarks"), root / "docs" / "results.md"
    archive = data_path("archive")
    if data is None and (archive / "meta.json").is_file():
        data = archive
    with progress_bar("evaluate") as progress:
        try:
            done = evaluation.run(
                asked,
                open_data(data),
                out,
                page,
                asked.command(data, out, page, publish),
                progress,
                cache_dir=data_path("cache", "frames"),
            )
        except TrainingStopped:
            raise typer.Exit(130) from None
    if publish:
        report.publish(root, out)
    for note in done.notes:
        err.print(f"note: {note}", highlight=False, markup=False)
    for label, speed in done.speed.items():
        err.print(f"{label}: {speed:.1f} windows/s", highlight=False, markup=False)
    emit(done.lines, as_json, lambda: print(done.text))


def validate(
    model: Annotated[str, typer.Option("--model", help="Name, or a run or checkpoint folder.")],
    observations: Annotated[
        Path, typer.Option("--observations", help="What the sites measured (`prepare obspack`).")
    ],
    start: Annotated[str, typer.Option("--start", help="First day, ISO.")],
    end: Annotated[str, typer.Option("--end", help="Last day, ISO, inclusive.")],
    data: DataOption = None,
    folds: Annotated[
        int, typer.Option("--folds", help="Withhold sites in so many turns.", min=0)
    ] = 0,
    every: Annotated[int, typer.Option("--every", help="Take every n-th frame.", min=1)] = 1,
    out: Annotated[Path | None, typer.Option("--out", help="CSV, one line a site.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Hold a model against measurements: at sites, at withheld sites, near coasts apart, season.

    Example: co2net validate --model interpolation --data data/ct2022/surface.zarr
    --observations data/ct2022/stations.obs --start 2020-01-01 --end 2020-12-31 --folds 10
    """
    from co2net import models
    from co2net.evaluation import validation

    source = open_data(data, observations)
    with progress_bar(model) as progress:
        scores = validation.validate(
            models.load(model),
            source,
            str(parse_day(start)),
            str(parse_day(end)),
            count=folds,
            every=every,
            progress=progress,
        )
    if out is not None:
        validation.write_csv(scores, out)
    groups = validation.groups(scores)
    columns = ["group", "withheld", "sites", "n", "rmse", "bias", "season_bias"]
    emit(
        {"groups": [asdict(one) for one in groups], "sites": [asdict(one) for one in scores]},
        as_json,
        lambda: show_table(
            f"{model} against measurements (ppm)",
            columns,
            [
                [f"{value:.2f}" if isinstance(value, float) else value for value in row]
                for row in ([getattr(one, name) for name in columns] for one in groups)
            ],
        ),
    )
