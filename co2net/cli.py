"""The command line: thin commands over the library.

Every command prints one line and exits with status 2 for bad input, 1 for a failed check.
"""

from __future__ import annotations

import json
import shutil
import socket
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.markup import escape

from co2net.assets import data_path
from co2net.errors import UserError

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from co2net.naturerun import ObservationConfig
    from co2net.source import FieldSource

app = typer.Typer(
    name="co2net",
    help="Reconstruct surface CO2 everywhere from a few dozen stations and the weather.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
data_app = typer.Typer(help="Stores: what is there, and whether it is sound.", no_args_is_help=True)
app.add_typer(data_app, name="data")

_err = Console(stderr=True)

Progress = Callable[[float, str], None]

DataOption = Annotated[
    Path | None,
    typer.Option("--data", help="Store or archive. Default: the embedded simulated world."),
]
ObservationsOption = Annotated[
    Path | None,
    typer.Option("--observations", help="What the sites measured, from `data prepare obspack`."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]
SeedOption = Annotated[int, typer.Option("--seed", help="Seed of everything random.")]


# -- shared pieces --------------------------------------------------------------------------


def demo_store() -> Path:
    """Where the embedded world's store lies."""
    return data_path("demo", "world.zarr")


def open_data(path: Path | None, observations: Path | None = None) -> FieldSource:
    """Open a store or a nature-run archive; None is the embedded world.

    A file of observations replaces what its stations report.

    Raises
    ------
    UserError
        When there is nothing of the kind.
    """
    if observations is not None:
        from co2net.observations import observed

        return observed(open_data(path), observations)
    if path is None:
        path = demo_store()
        if not path.exists():
            raise UserError("the embedded world is not built yet; run `co2net simulate` (a minute)")
    if (path / "meta.json").is_file():
        from co2net.naturerun import WorldSource

        return WorldSource(path)
    from co2net.schema import open_store

    return open_store(path)


@contextmanager
def progress_bar(label: str) -> Iterator[Progress]:
    """A bar on the terminal, on standard error; silent where that is no terminal."""
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    with Bars(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        console=_err,
        disable=not _err.is_terminal,
    ) as bars:
        task = bars.add_task(label, total=1.0)

        def update(share: float, text: str = "") -> None:
            bars.update(task, completed=share, description=f"{label} {text}".strip())

        yield update


def _print(rows: Any, as_json: bool, table: Callable[[], None]) -> None:
    if as_json:
        print(json.dumps(rows, indent=2, default=str))
    else:
        table()


def _table(title: str, columns: list[str], rows: list[list[Any]]) -> None:
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column)
    for row in rows:
        table.add_row(*(str(cell) for cell in row))
    Console().print(table)


# -- data -----------------------------------------------------------------------------------


@data_app.command("list")
def data_list(as_json: JsonOption = False) -> None:
    """List the stores below the program's data folder.

    Example: co2net data list
    """
    from co2net.stores import describe, find_stores

    rows = []
    for path in find_stores(data_path()):
        card = describe(path)
        row = {"path": path, "title": card.title or card.fault, "first": card.first or None}
        row |= {"last": card.last or None, "frames": card.frames, "simulated": card.simulated}
        rows.append(row)
    columns = ["path", "title", "first", "last", "frames", "simulated"]
    _print(
        rows,
        as_json,
        lambda: _table("Stores", columns, [[row[c] for c in columns] for row in rows]),
    )


@data_app.command("info")
def data_info(
    store: Annotated[Path | None, typer.Argument(help="Store; default the embedded world.")] = None,
    as_json: JsonOption = False,
) -> None:
    """What a person wants to know of a store, on one screen.

    Example: co2net data info
    """
    from co2net.stores import describe

    path = store or demo_store()
    open_data(path)  # one line where there is none
    if (path / "meta.json").is_file():
        raise UserError(f"{path} is an archive of the nature run; give a store")
    card = describe(path)
    if card.fault:
        raise UserError(card.fault)
    whole = [month for month, share in card.months.items() if share == 1]
    row = {
        "path": str(path),
        **{key: getattr(card, key) for key in ("title", "source", "version", "licence")},
        "simulated": card.simulated,
        "first": card.first,
        "last": card.last,
        "frames": card.frames,
        "capacity": card.capacity,
        "step_hours": card.step_hours,
        "grid": str(open_data(path).grid),
        "variables": [one.name for one in card.variables],
        "absent": list(card.absent),
        "stations": card.stations,
        "network": card.network,
        "size_mb": round(card.size / 1e6, 1),
        "whole_months": whole,
        "gaps": [f"{a} to {b}" if a != b else a for a, b in card.gaps],
    }

    def table() -> None:
        short = {**row, "whole_months": _shortened(whole), "gaps": _shortened(row["gaps"])}
        for key in ("variables", "absent"):
            short[key] = ", ".join(row[key])
        _table("Store", ["", ""], [[key, escape(str(value))] for key, value in short.items()])

    _print(row, as_json, table)


def _shortened(items: list[str]) -> str:
    """A list that fits on a line or two."""
    if len(items) <= 8:
        return ", ".join(items)
    return f"{len(items)}: {', '.join(items[:3])} ... {', '.join(items[-3:])}"


@data_app.command("verify")
def data_verify(
    store: Annotated[Path | None, typer.Argument(help="Store; default the embedded world.")] = None,
    full: Annotated[
        bool, typer.Option("--full", help="Read every frame, not a sample of 2000.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Check a store: layout, units, ranges, gaps, stations, CO2 beside NOAA's global means.

    Exit status 1 when something is wrong, with a list of what.

    Example: co2net data verify
    """
    from co2net.datasets.verify import verify

    with progress_bar("verify") as progress:
        found = verify(store or demo_store(), full, progress)
    _print(found.to_dict(), as_json, lambda: print("\n".join(found.lines())))
    raise typer.Exit(1 if found.faults else 0)


fetch_app = typer.Typer(help="Download original files.", no_args_is_help=True)
prepare_app = typer.Typer(help="Bring original files into a store.", no_args_is_help=True)
data_app.add_typer(fetch_app, name="fetch")
data_app.add_typer(prepare_app, name="prepare")


@fetch_app.command("carbontracker")
def fetch_carbontracker(
    start: Annotated[str, typer.Option(help="First day, ISO.")],
    end: Annotated[str, typer.Option(help="Last day, ISO, inclusive.")],
    to: Annotated[Path, typer.Option("--to", help="Folder for the files.")],
    monthly: Annotated[bool, typer.Option("--monthly", help="Monthly means instead.")] = False,
    release: Annotated[str, typer.Option(help="As in the file names.")] = "CT2022",
    base_url: Annotated[
        str | None, typer.Option(help="Mirror: the folder that holds co2_total.")
    ] = None,
    workers: Annotated[int, typer.Option(help="Connections at once.", min=1, max=16)] = 4,
    as_json: JsonOption = False,
) -> None:
    """Download CarbonTracker's files, some 97 MB a day; exit status 1 when some could not be had.

    Example: co2net data fetch carbontracker --start 2019-01-01 --end 2019-01-31 --to ct2022
    """
    from co2net.datasets import carbontracker

    with progress_bar("CarbonTracker") as progress:
        done = carbontracker.fetch(
            start,
            end,
            to,
            monthly=monthly,
            release=release,
            base_url=base_url,
            workers=workers,
            progress=progress,
        )
    _print(asdict(done), as_json, lambda: print("\n".join(done.lines())))
    raise typer.Exit(1 if done.failed else 0)


@prepare_app.command("carbontracker")
def prepare_carbontracker(
    files: Annotated[list[Path], typer.Argument(help="Daily files, or folders that hold them.")],
    out: Annotated[Path, typer.Option("--out", help="Store to make, or to go on with.")],
    start: Annotated[str | None, typer.Option(help="First day of the store, ISO.")] = None,
    end: Annotated[str | None, typer.Option(help="Last day of the store, inclusive.")] = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out and name files that cannot be used.")
    ] = False,
    units: Annotated[
        list[str] | None,
        typer.Option("--units", help="NAME=UNIT for a variable whose files state no unit."),
    ] = None,
    workers: Annotated[int, typer.Option(help="Processes that read.", min=1, max=64)] = 1,
    scheduler: Annotated[
        str | None,
        typer.Option("--scheduler", help="Dask scheduler whose workers read: tcp://host:8786."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Bring CarbonTracker's daily files into a store; run again after an interruption.

    Example: co2net data prepare carbontracker ct2022 --out data/ct2022/surface.zarr
    """
    from co2net.datasets import carbontracker
    from co2net.schema import VARIABLES

    given = dict(item.split("=", 1) for item in units or [] if "=" in item)
    if len(given) != len(units or []) or not set(given) <= set(VARIABLES):
        raise UserError(f"--units wants NAME=UNIT, NAME one of {', '.join(VARIABLES)}")
    with progress_bar("CarbonTracker") as progress, _readers(scheduler, workers) as (count, pool):
        done = carbontracker.prepare(
            files,
            out,
            start=start,
            end=end,
            skip_bad=skip_bad,
            units=given,
            workers=count,
            executor=pool,
            progress=progress,
        )
    _print(asdict(done), as_json, lambda: print("\n".join(done.lines())))


@contextmanager
def _readers(scheduler: str | None, workers: int) -> Iterator[tuple[int, Executor | None]]:
    """How many read at once, and where: the workers of a Dask cluster, or None for here."""
    if scheduler is None:
        yield workers, None
        return
    from co2net import cluster

    with cluster.client(scheduler) as client:
        threads = sum(client.nthreads().values())
        yield max(1, threads), client.get_executor(retries=cluster.RETRIES)


@fetch_app.command("cmip6")
def fetch_cmip6(
    to: Annotated[Path | None, typer.Option("--to", help="Folder for the files.")] = None,
    experiment: Annotated[
        str, typer.Option(help="esm-hist (driven by emissions) or historical (concentrations).")
    ] = "esm-hist",
    member: Annotated[str, typer.Option(help="Variant label.")] = "r1i1p1f1",
    model: Annotated[str, typer.Option("--source", help="Source id of the model.")] = "CanESM5",
    grid: Annotated[str, typer.Option(help="Grid label.")] = "gn",
    variables: Annotated[str, typer.Option(help="Of table Amon.")] = "co2,ta,hus,ua,va,ps",
    start: Annotated[int | None, typer.Option(help="First year.")] = None,
    end: Annotated[int | None, typer.Option(help="Last year.")] = None,
    base_url: Annotated[str | None, typer.Option(help="Another ESGF index.")] = None,
    listing: Annotated[
        bool, typer.Option("--list", help="Print the addresses; fetch nothing.")
    ] = False,
    workers: Annotated[int, typer.Option(help="Connections at once.", min=1, max=16)] = 4,
    as_json: JsonOption = False,
) -> None:
    """Find monthly CMIP6 files at an ESGF index and download them; exit status 1 when some fail.

    Example: co2net data fetch cmip6 --experiment esm-hist --to canesm5
    """
    from co2net.datasets import cmip6

    names = tuple(name for name in variables.split(",") if name)
    wanted = cmip6.Wanted(model, experiment, member, grid, names, start, end)
    if listing:
        files = cmip6.search(wanted, base_url)
        _print(
            [asdict(one) for one in files], as_json, lambda: print("\n".join(f.url for f in files))
        )
        return
    if to is None:
        raise UserError("fetch cmip6: give --to, the folder for the files, or --list")
    with progress_bar("CMIP6") as progress:
        done = cmip6.fetch(wanted, to, base_url=base_url, workers=workers, progress=progress)
    _print(asdict(done), as_json, lambda: print("\n".join(done.lines())))
    raise typer.Exit(1 if done.failed else 0)


@prepare_app.command("cmip6")
def prepare_cmip6(
    files: Annotated[list[Path], typer.Argument(help="Monthly files, or folders that hold them.")],
    out: Annotated[Path, typer.Option("--out", help="Store to make, or to go on with.")],
    start: Annotated[str | None, typer.Option(help="First month, such as 1850-01.")] = None,
    end: Annotated[str | None, typer.Option(help="Last month, inclusive.")] = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out and name files that cannot be used.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Bring CMIP6's monthly files into a store of 2 x 3 degrees; run again after an interruption.

    Example: co2net data prepare cmip6 canesm5 --out data/canesm5/surface.zarr
    """
    from co2net.datasets import cmip6

    with progress_bar("CMIP6") as progress:
        done = cmip6.prepare(files, out, start=start, end=end, skip_bad=skip_bad, progress=progress)
    _print(asdict(done), as_json, lambda: print("\n".join(done.lines())))


@fetch_app.command("obspack")
def fetch_obspack(
    archive: Annotated[
        Path | None, typer.Option("--archive", help="The archive that you downloaded.")
    ] = None,
    to: Annotated[Path | None, typer.Option("--to", help="Folder to make for its files.")] = None,
) -> None:
    """Say how to get ObsPack, whose users agree to its terms first; unpack what was downloaded.

    Example: co2net data fetch obspack --archive obspack_co2_1_GLOBALVIEWplus_v10.0.nc.tar.gz
    --to obspack
    """
    from co2net.datasets import obspack

    if archive is None:
        first, *others = obspack.steps()
        print("\n".join([first, *(f"- {step}" for step in others)]))
        return
    if to is None:
        raise UserError("fetch obspack: give --to, the folder for the files")
    print(obspack.unpack(archive, to))


@prepare_app.command("obspack")
def prepare_obspack(
    files: Annotated[list[Path], typer.Argument(help="Datasets, or folders that hold them.")],
    out: Annotated[Path, typer.Option("--out", help="File of observations to make.")],
    store: Annotated[
        Path | None,
        typer.Option("--store", help="Store whose frames are wanted. Default: the embedded world."),
    ] = None,
    sites: Annotated[
        str | None,
        typer.Option("--sites", help="Codes with commas, or all. Default: the document's 96."),
    ] = None,
    region: Annotated[
        str | None, typer.Option("--region", help="Only sites in it, such as eurasia.")
    ] = None,
    years: Annotated[
        float, typer.Option("--years", help="Least years of data of a site.", min=0.0)
    ] = 0.0,
    mobile: Annotated[
        bool, typer.Option("--mobile", help="Ships and low aircraft too, one site a cell.")
    ] = False,
    local: Annotated[
        bool, typer.Option("--local", help="Values flagged as of local influence too.")
    ] = False,
    hours: Annotated[
        str | None, typer.Option("--hours", help="Hours of the day, such as 12-16.")
    ] = None,
    clock: Annotated[str, typer.Option("--clock", help="utc, local or solar.")] = "local",
    height: Annotated[
        float, typer.Option("--height", help="Height of intakes to prefer (m).")
    ] = 25.0,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out and name files that cannot be read.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Average ObsPack measurements onto the frames of a store.

    Example: co2net data prepare obspack obspack --store data/ct2022/surface.zarr
    --out data/ct2022/stations.obs
    """
    from co2net.datasets import obspack

    selection = obspack.Selection(
        sites=obspack.parse_sites(sites),
        region=region,
        years=years,
        mobile=mobile,
        local=local,
        hours=obspack.parse_hours(hours),
        clock=obspack.parse_clock(clock),
        height=height,
    )
    with progress_bar("ObsPack") as progress:
        done = obspack.prepare(
            files,
            out,
            store=store or demo_store(),
            selection=selection,
            skip_bad=skip_bad,
            progress=progress,
        )
    _print(asdict(done), as_json, lambda: print("\n".join(done.lines())))


# -- the embedded world -----------------------------------------------------------------------


@app.command()
def simulate(
    start: Annotated[str | None, typer.Option(help="First day, ISO.")] = None,
    end: Annotated[str | None, typer.Option(help="Last day, ISO, inclusive.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Store to fill. Default: the embedded world's.")
    ] = None,
    archive: Annotated[
        Path | None,
        typer.Option("--archive", help="Make the 21 years for training here instead (GBs)."),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Print the calibration: value beside target.")
    ] = False,
    noise: Annotated[
        float, typer.Option(help="Error of the stations' values (ppm).", min=0.0, max=50.0)
    ] = 0.2,
    gaps: Annotated[
        float, typer.Option(help="Share of time that a station is silent.", min=0.0, max=1.0)
    ] = 0.0,
    workers: Annotated[int, typer.Option(help="Processes.", min=1, max=64)] = 2,
    as_json: JsonOption = False,
) -> None:
    """Build the embedded simulated world, add months to it, or check its calibration.

    Without options: the demo store, where it is absent. `--check` reads an archive
    (`--archive`, default data/archive) and makes it when it is absent.

    Example: co2net simulate --start 2015-03-01 --end 2015-03-31
    """
    from co2net import naturerun

    if archive is not None or check:
        folder = archive or data_path("archive")
        with progress_bar("21 years") as progress:
            naturerun.build_archive(folder, workers=workers, progress=progress)
        if check:
            with progress_bar("check") as progress:
                rows = naturerun.run_check(folder, progress=progress)
            _print(
                [asdict(row) for row in rows],
                as_json,
                lambda: print(naturerun.format_table(rows)),
            )
            raise typer.Exit(0 if all(row.ok for row in rows) else 1)
        return
    path = out or demo_store()
    if start is None and end is None:
        months = list(naturerun.DEMO_MONTHS)
    elif start is None or end is None:
        raise UserError("simulate: give both --start and --end, as ISO days")
    else:
        months = _months(start, end)
    build_months(path, months, workers, naturerun.ObservationConfig(noise=noise, gaps=gaps))
    print(path)


def build_months(
    path: Path,
    months: list[str],
    workers: int = 2,
    observations: ObservationConfig | None = None,
) -> None:
    """Fill months of the embedded world's store, with a bar."""
    from co2net import naturerun

    with progress_bar("simulated world") as progress:
        naturerun.build_demo(
            path, months, workers=workers, progress=progress, observations=observations
        )


def _months(start: str, end: str) -> list[str]:
    """Months (YYYY-MM) that a span of inclusive days touches."""
    import numpy as np

    first, last = (parse_day(day).astype("datetime64[M]") for day in (start, end))
    if last < first:
        raise UserError(f"the span {start} to {end} ends before it starts")
    return np.arange(first, last + 1).astype(str).tolist()


def parse_day(text: str) -> Any:
    """A day as datetime64[D].

    Raises
    ------
    UserError
        When the text is no ISO day.
    """
    import numpy as np

    try:
        return np.datetime64(text, "D")
    except ValueError:
        raise UserError(f"'{text[:40]}' is no day; write it as 2020-06-01") from None


# -- jobs ------------------------------------------------------------------------------------


jobs_app = typer.Typer(
    help="Long work in the background: it goes on when the terminal closes.", no_args_is_help=True
)
app.add_typer(jobs_app, name="jobs")

JobArgument = Annotated[str, typer.Argument(help="Id of the job, or its number.")]


@jobs_app.command("list")
def jobs_list(as_json: JsonOption = False) -> None:
    """List all jobs, whoever started them.

    Example: co2net jobs list --json
    """
    from co2net.jobs import jobs

    rows = [one.to_dict() for one in jobs()]
    columns = ["id", "name", "state", "progress", "left", "message"]
    _print(
        rows,
        as_json,
        lambda: _table(
            "Jobs",
            columns,
            [[row["id"], escape(row["name"]), row["state"], f"{row['progress']:.0%}",
              _left(row["eta"]), escape(row["message"])] for row in rows],
        ),
    )  # fmt: skip


def _left(seconds: float | None) -> str:
    """A time still to go, for people."""
    if seconds is None:
        return ""
    for unit, size in (("s", 1), ("min", 60), ("h", 3600)):
        if seconds < 100 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86400:.0f} days"


def _show(id: str, as_json: bool) -> None:
    from co2net.jobs import job

    row = job(id).to_dict()
    _print(
        row,
        as_json,
        lambda: _table("Job", ["", ""], [[k, escape(str(v))] for k, v in row.items()]),
    )


@jobs_app.command("submit")
def jobs_submit(
    spec: Annotated[Path, typer.Argument(help="JSON: kind and settings, see docs/jobs.md.")],
    as_json: JsonOption = False,
) -> None:
    """Start a job of any kind from its specification.

    Example: co2net jobs submit prepare.json
    """
    from co2net.jobs import Spec, submit

    try:
        values = json.loads(spec.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{spec} is no JSON: {error}") from None
    if not isinstance(values, dict):
        raise UserError(f"{spec}: write an object with kind and settings")
    _show(submit(Spec.from_dict(values)).id, as_json)


@jobs_app.command("show")
def jobs_show(id: JobArgument, as_json: JsonOption = False) -> None:
    """All there is to know of a job.

    Example: co2net jobs show 7
    """
    _show(id, as_json)


@jobs_app.command("logs")
def jobs_logs(
    id: JobArgument,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until it ends.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", help="Last lines.", min=1)] = 50,
    as_json: JsonOption = False,
) -> None:
    """What a job printed; with --json its lines of progress.

    Example: co2net jobs logs 7 -f
    """
    from co2net.jobs import job

    one = job(id)
    if as_json:
        print(json.dumps(one.history()[-lines:], indent=2))
    elif follow:
        for text in one.follow():
            print(text, end="", flush=True)
    else:
        print("\n".join(one.log_tail(lines)))


@jobs_app.command("cancel")
def jobs_cancel(
    id: JobArgument,
    grace: Annotated[float, typer.Option(help="Seconds until it is killed.", min=0)] = 60,
    as_json: JsonOption = False,
) -> None:
    """End a job; a training writes a checkpoint first.

    Example: co2net jobs cancel 7
    """
    from co2net.jobs import job

    job(id).cancel(grace)
    _show(id, as_json)


@jobs_app.command("resume")
def jobs_resume(id: JobArgument, as_json: JsonOption = False) -> None:
    """Go on with a job that was cancelled, interrupted or failed.

    Example: co2net jobs resume 7
    """
    from co2net.jobs import job

    job(id).resume()
    _show(id, as_json)


@jobs_app.command("rm")
def jobs_rm(id: JobArgument, as_json: JsonOption = False) -> None:
    """Delete a job that has ended, with the results in its folder.

    Example: co2net jobs rm 7
    """
    from co2net.jobs import job

    one = job(id)
    one.remove()
    _print({"removed": one.id}, as_json, lambda: print(f"removed {one.id}"))


# -- models -----------------------------------------------------------------------------------


@app.command("models")
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
        _table("Models", ["name", "presets, parameters", "target", "trained", "reference"], cells)

    _print(rows, as_json, table)


@app.command()
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
    wind_loss: Annotated[float, typer.Option(help="Weight of the wind loss.")] = 0.2,
    precision: Annotated[str, typer.Option(help="auto, bf16 or fp32.")] = "auto",
    validate_every: Annotated[int, typer.Option(help="Steps between validations.")] = 250,
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
    if observations is not None and (job or launcher is not None):
        raise UserError("--observations works in the foreground; leave out --job and --launcher")
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
        "options": dict(_option(text) for text in option or []),
        "split": split,
        "frames": frames,
        "interval": interval,
        "batch": batch,
        "rate": rate,
        "wind_loss": wind_loss,
        "precision": precision,
        "validate_every": validate_every,
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
            nice=nice,
            threads=threads,
            launcher=launcher or "local",
            processes=processes,
            nodes=nodes,
            slurm=dict(_option(text) for text in slurm or []),
        )
        _show(submit(spec).id, as_json)
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
    _print(row, as_json, lambda: _table("Training", ["", ""], [[k, v] for k, v in row.items()]))
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
    _print(row, as_json, lambda: _table("Fitted", ["", ""], [[k, v] for k, v in row.items()]))


def _option(text: str) -> tuple[str, Any]:
    """NAME=VALUE, the value as JSON where it is some, else as text."""
    name, equals, value = text.partition("=")
    if not equals:
        raise UserError(f"option '{text[:60]}': write NAME=VALUE")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value


@app.command()
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
) -> None:
    """Reconstruct a span to Zarr; interrupted and run again, it completes what is missing.

    Example: co2net reconstruct --model co2net-plus --start 2020-06-01 --end 2020-06-30
    --out june.zarr
    """
    from co2net.reconstruct import reconstruct as run

    first, last = str(parse_day(start)), str(parse_day(end))
    if observations is not None and (job or scheduler is not None):
        raise UserError("--observations works in the foreground; leave out --job and --scheduler")
    if job:
        from co2net.jobs import Reconstruct, submit

        spec = Reconstruct(
            model=model,
            start=first,
            end=last,
            out=str(out),
            data=None if data is None else str(data),
            resolution=resolution,
            freq=freq,
            scheduler=scheduler,
        )
        _show(submit(spec).id, as_json=False)
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
    print(out)


@app.command()
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
        settings={"preset": preset, **dict(_option(text) for text in setting or [])},
        runs=None if runs is None else str(runs),
        cases=cases,
        seed=seed,
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
        _err.print(f"note: {note}", highlight=False, markup=False)
    for label, speed in done.speed.items():
        _err.print(f"{label}: {speed:.1f} windows/s", highlight=False, markup=False)
    _print(done.lines, as_json, lambda: print(done.text))


@app.command()
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
    _print(
        {"groups": [asdict(one) for one in groups], "sites": [asdict(one) for one in scores]},
        as_json,
        lambda: _table(
            f"{model} against measurements (ppm)",
            columns,
            [
                [f"{value:.2f}" if isinstance(value, float) else value for value in row]
                for row in ([getattr(one, name) for name in columns] for one in groups)
            ],
        ),
    )


@app.command()
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
    _print(row, as_json, lambda: _table("Benchmark", ["", ""], [[k, v] for k, v in row.items()]))


@app.command()
def dashboard(
    data: DataOption = None,
    host: Annotated[str, typer.Option(help="Address to bind.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port.", min=1, max=65535)] = 5006,
    open_browser: Annotated[bool, typer.Option("--open", help="Open a browser.")] = False,
) -> None:
    """Start the page; the embedded world is built first where it is absent.

    Example: co2net dashboard --port 8080
    """
    _require_free(host, port)
    if data is None:
        _prepare_demo()
    from dashboard.app import serve

    threading.Thread(target=_announce, args=(host, port), daemon=True).start()
    serve(data or demo_store(), host=host, port=port, open_browser=open_browser)


def _prepare_demo() -> None:
    """Build the embedded world where it is absent or was made by another version of it."""
    from co2net import naturerun
    from co2net.schema import open_store
    from co2net.source import whole_months

    path = demo_store()
    if path.exists() and open_store(path).attrs["digest"] != naturerun.WorldConfig().digest:
        _err.print("The embedded world has changed since it was built here; it is built anew.")
        shutil.rmtree(path)
    there = whole_months(open_store(path)) if path.exists() else []
    missing = [month for month in naturerun.DEMO_MONTHS if month not in there]
    if missing:
        _err.print("Building the embedded simulated world, once (about a minute):")
        build_months(path, missing)


def _require_free(host: str, port: int) -> None:
    """Raise a `UserError` where the address cannot be bound."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise UserError(
                f"cannot serve on {host}:{port} ({error.strerror}); choose another --port or "
                "--host (with make: PORT=... HOST=...)"
            ) from None


def _announce(host: str, port: int) -> None:
    """Print the address when the page really answers."""
    shown = "127.0.0.1" if host in ("0.0.0.0", "::") else host
    address = f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"
    while True:
        try:
            with urllib.request.urlopen(f"{address}/ready", timeout=5):
                print(f"co2net answers at {address}", flush=True)
                return
        except OSError:  # not yet
            time.sleep(0.2)


def main() -> None:
    """Run the command line: one line and exit status 2 for bad input and unusable files."""
    try:
        app()
    except UserError as error:
        _fail(str(error))
    except OSError as error:
        if error.filename is None:
            raise
        _fail(f"{error.filename}: {error.strerror}; give a path that can be used")


def _fail(line: str) -> NoReturn:
    _err.print(f"[red]error:[/red] {escape(line)}", highlight=False, soft_wrap=True)
    sys.exit(2)
