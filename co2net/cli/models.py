"""Models, from training to fields: ``co2net models``, ``train``, ``reconstruct``."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from co2net.assets import data_path
from co2net.cli.common import (
    DataOption,
    JsonOption,
    ObservationsOption,
    SeedOption,
    emit,
    name_value,
    open_data,
    parse_day,
    progress_bar,
    show_table,
)
from co2net.cli.jobs import show_job
from co2net.errors import UserError

if TYPE_CHECKING:
    from co2net.source import FieldSource


def list_models(as_json: JsonOption = False) -> None:
    """List the registry: every model with its presets, parameters and reference.

    Example: co2net models
    """
    from co2net import models

    trained = set(models.available())
    rows: list[dict[str, Any]] = []
    for name in models.names():
        family = models.info(name)
        rows.append(
            {
                "name": name,
                "parameters": models.parameter_counts(name),
                "target": family.target,
                "trained": name in trained,
                "description": family.description,
                "reference": family.reference,
            }
        )
    for name in sorted(trained - set(models.names())):
        known = models.load(name).info
        rows.append(
            {
                "name": name,
                "parameters": {known.preset or "fitted": known.parameters},
                "target": known.target,
                "trained": True,
                "description": known.description,
                "reference": known.reference,
            }
        )

    def table() -> None:
        cells = [
            [
                row["name"],
                "  ".join(
                    f"{size} {count / 1e6:.1f} M" for size, count in row["parameters"].items()
                ),
                row["target"],
                "yes" if row["trained"] else "",
                row["reference"],
            ]
            for row in rows
        ]
        columns = ["name", "presets, parameters", "target", "trained", "reference"]
        show_table("Models", columns, cells)

    emit(rows, as_json, table)


def train(
    model: Annotated[str, typer.Option("--model", help="Network of the registry.")] = "co2net-plus",
    preset: Annotated[str, typer.Option("--preset", help="Size: XS, S, B or L.")] = "S",
    data: Annotated[
        Path | None,
        typer.Option("--data", help="Store or archive. Default: the 21 years in data/archive."),
    ] = None,
    observations: ObservationsOption = None,
    run: Annotated[Path | None, typer.Option("--run", help="Folder of the run.")] = None,
    steps: Annotated[int | None, typer.Option(help="Budget in steps.")] = None,
    epochs: Annotated[float | None, typer.Option(help="Budget in epochs.")] = None,
    minutes: Annotated[float | None, typer.Option(help="Budget in minutes.")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with --run from its last checkpoint.")
    ] = False,
    target: Annotated[
        str | None, typer.Option(help="absolute, anomaly or residual; default the model's own.")
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option("--option", help="Option of the network, NAME=VALUE; may be repeated."),
    ] = None,
    split: Annotated[str, typer.Option(help="Years: carbontracker or cmip6.")] = "carbontracker",
    frames: Annotated[int, typer.Option(help="Frames of a window.")] = 8,
    interval: Annotated[int, typer.Option(help="Steps of the data between its frames.")] = 1,
    batch: Annotated[int, typer.Option(help="Windows a step.")] = 8,
    rate: Annotated[
        float | None, typer.Option(help="Peak learning rate; default the model's own.")
    ] = None,
    decay: Annotated[
        float | None, typer.Option(help="Weight decay of matrices; default the model's own.")
    ] = None,
    warmup: Annotated[float, typer.Option(help="Share of the budget in which the rate rises.")] = (
        0.03
    ),
    clip: Annotated[
        float | None, typer.Option(help="Largest norm of the gradient; default the model's own.")
    ] = None,
    ema: Annotated[float, typer.Option(help="Decay of the averaged weights.")] = 0.998,
    station_gain: Annotated[
        float | None, typer.Option(help="Factor on the stations' channels; default the target's.")
    ] = None,
    wind_loss: Annotated[float, typer.Option(help="Weight of the wind loss.")] = 0.2,
    precision: Annotated[str, typer.Option(help="auto, bf16 or fp32.")] = "auto",
    validate_every: Annotated[int, typer.Option(help="Steps between validations.")] = 250,
    validation_windows: Annotated[int, typer.Option(help="Windows of a validation.")] = 96,
    checkpoint_every: Annotated[int, typer.Option(help="Steps between checkpoints.")] = 250,
    patience: Annotated[int, typer.Option(help="Validations without gain; 0: never stop.")] = 0,
    seed: SeedOption = 0,
    job: Annotated[
        bool, typer.Option("--job", help="In the background; `co2net jobs` shows it.")
    ] = False,
    nice: Annotated[int, typer.Option(help="With --job: niceness.", min=0, max=19)] = 10,
    threads: Annotated[int | None, typer.Option(help="With --job: threads.", min=1)] = None,
    launcher: Annotated[
        str | None,
        typer.Option("--launcher", help="As a job, through local, torchrun or slurm."),
    ] = None,
    processes: Annotated[
        int, typer.Option("--processes", help="With --launcher: processes of a node.", min=1)
    ] = 1,
    nodes: Annotated[int, typer.Option("--nodes", help="With slurm: nodes.", min=1)] = 1,
    slurm: Annotated[
        list[str] | None,
        typer.Option("--slurm", help="With slurm: NAME=VALUE for submitit; may be repeated."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Train a network into a run folder; --resume goes on to the same end, bit for bit.

    interpolation-window, kriging, interpolation and climatology are fitted on the training years.

    With --job it goes on when the terminal closes. --launcher torchrun --processes 4 trains with
    four processes of this machine, --launcher slurm on a cluster; both are jobs. Under a
    `torchrun` of your own, every process takes its share of the batch.

    Example: co2net train --model co2net --preset S --steps 5000 --run runs/first
    """
    from co2net import training

    if data is None and not data_path("archive", "meta.json").is_file():
        raise UserError(
            "training needs the 21 years of the embedded world; make them with "
            "`co2net simulate --archive data/archive` (minutes, 1.4 GB), or give --data"
        )
    if resume and run is None:
        raise UserError("--resume needs --run, the folder to go on with")
    from co2net.models.interpolation import STATISTICAL

    if model in STATISTICAL:
        if resume or job or launcher is not None:
            raise UserError(
                f"{model} is fitted in minutes, in one go; leave out --resume and --job"
            )
        given = open_data(data or data_path("archive"), observations)
        _fit(model, given, split, run, frames, seed, as_json)
        return
    budget = {"steps": steps, "epochs": epochs, "minutes": minutes}
    if not any(budget.values()):
        budget["epochs"] = 1
    settings = {
        **budget,
        "model": model,
        "preset": preset,
        "target": target,
        "options": dict(name_value(text) for text in option or []),
        "split": split,
        "frames": frames,
        "interval": interval,
        "batch": batch,
        "rate": rate,
        "decay": decay,
        "warmup": warmup,
        "clip": clip,
        "ema": ema,
        "station_gain": station_gain,
        "wind_loss": wind_loss,
        "precision": precision,
        "validate_every": validate_every,
        "validation_windows": validation_windows,
        "checkpoint_every": checkpoint_every,
        "patience": patience,
        "seed": seed,
    }
    if job or launcher is not None:
        from co2net.jobs import Train, submit

        place = None if run is None else str(run)
        store = None if data is None else str(data)
        spec = Train(
            config={} if resume else settings,
            run=place,
            resume=resume,
            data=store,
            observations=None if observations is None else str(observations),
            nice=nice,
            threads=threads,
            launcher=launcher or "local",
            processes=processes,
            nodes=nodes,
            slurm=dict(name_value(text) for text in slurm or []),
        )
        show_job(submit(spec).id, as_json)
        return
    source = open_data(data or data_path("archive"), observations)
    cache = data_path("cache", "frames")
    if resume:
        assert run is not None
        with progress_bar(run.name) as progress:
            result = training.resume(source, run, progress, cache_dir=cache)
    else:
        config = training.TrainConfig.from_dict(settings)
        run = run or Path("runs") / f"{model}-{preset}-{datetime.now():%Y%m%d-%H%M%S}"
        with progress_bar(f"{model} {preset}") as progress:
            result = training.train(config, source, run, progress, cache_dir=cache)
    row = {"run": str(run), **asdict(result)}
    emit(row, as_json, lambda: show_table("Training", ["", ""], [[k, v] for k, v in row.items()]))
    raise typer.Exit(0 if result.finished else 130)


def _fit(
    model: str,
    source: FieldSource,
    split: str,
    run: Path | None,
    frames: int,
    seed: int,
    as_json: bool,
) -> None:
    """Fit a method without a network on the training years of a split."""
    from co2net import windows
    from co2net.models.interpolation import fit_statistical

    years = windows.split(split)
    index = years.frames(source, "train")
    if index.size == 0:
        (first, last), *_ = years.train
        raise UserError(
            f"the data set holds no frame of the training years {first}-{last} of the split "
            f"'{split}'; give a store that does, or another --split"
        )
    run = run or Path("runs") / f"{model}-{datetime.now():%Y%m%d-%H%M%S}"
    with progress_bar(model) as progress:
        info = fit_statistical(
            model, source, index, run, frames=frames, seed=seed, progress=progress
        ).info
    row = {
        "run": str(run),
        "model": model,
        "frames": int(index.size),
        "parameters": info.parameters,
        "digest": info.digest,
    }
    emit(row, as_json, lambda: show_table("Fitted", ["", ""], [[k, v] for k, v in row.items()]))


def reconstruct(
    model: Annotated[str, typer.Option("--model", help="Name, or a run or checkpoint folder.")],
    start: Annotated[str, typer.Option("--start", help="First day, ISO.")],
    end: Annotated[str, typer.Option("--end", help="Last day, ISO, inclusive.")],
    out: Annotated[Path, typer.Option("--out", help="Zarr folder to write.")],
    data: DataOption = None,
    observations: ObservationsOption = None,
    resolution: Annotated[
        float | None, typer.Option("--resolution", help="Degrees of a finer grid.")
    ] = None,
    freq: Annotated[str | None, typer.Option("--freq", help="Finer times, such as 1h.")] = None,
    scheduler: Annotated[
        str | None,
        typer.Option("--scheduler", help="Dask scheduler whose workers do it: tcp://host:8786."),
    ] = None,
    job: Annotated[
        bool, typer.Option("--job", help="In the background; `co2net jobs` shows it.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Reconstruct a span to Zarr; interrupted and run again, it completes what is missing.

    Example: co2net reconstruct --model co2net-plus --start 2020-06-01 --end 2020-06-30
    --out june.zarr
    """
    from co2net.reconstruct import reconstruct as run

    first, last = str(parse_day(start)), str(parse_day(end))
    if job:
        from co2net.jobs import Reconstruct, submit

        spec = Reconstruct(
            model=model,
            start=first,
            end=last,
            out=str(out),
            data=None if data is None else str(data),
            observations=None if observations is None else str(observations),
            resolution=resolution,
            freq=freq,
            scheduler=scheduler,
        )
        show_job(submit(spec).id, as_json)
        return
    source = open_data(data, observations)
    with progress_bar(model) as progress:
        run(
            model,
            source,
            first,
            last,
            out,
            resolution=resolution,
            freq=freq,
            progress=progress,
            scheduler=scheduler,
        )
    emit({"out": str(out)}, as_json, lambda: print(out))
