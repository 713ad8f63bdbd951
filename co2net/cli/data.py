"""Stores and original files: ``co2net data``."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from co2net.assets import data_path
from co2net.cli.common import (
    JsonOption,
    demo_store,
    emit,
    open_data,
    progress_bar,
    readers,
    show_table,
)
from co2net.errors import UserError

data_app = typer.Typer(help="Stores: what is there, and whether it is sound.", no_args_is_help=True)


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
    emit(
        rows,
        as_json,
        lambda: show_table("Stores", columns, [[row[c] for c in columns] for row in rows]),
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
        show_table("Store", ["", ""], [[key, escape(str(value))] for key, value in short.items()])

    emit(row, as_json, table)


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
    emit(found.to_dict(), as_json, lambda: print("\n".join(found.lines())))
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
    emit(asdict(done), as_json, lambda: print("\n".join(done.lines())))
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
    workers: Annotated[
        int | None,
        typer.Option(
            help="Processes that read. Default: one a processor, 4 at most.", min=1, max=64
        ),
    ] = None,
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
    workers = workers or min(4, os.cpu_count() or 1)
    with progress_bar("CarbonTracker") as progress, readers(scheduler, workers) as (count, pool):
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
    emit(asdict(done), as_json, lambda: print("\n".join(done.lines())))


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
        emit(
            [asdict(one) for one in files], as_json, lambda: print("\n".join(f.url for f in files))
        )
        return
    if to is None:
        raise UserError("fetch cmip6: give --to, the folder for the files, or --list")
    with progress_bar("CMIP6") as progress:
        done = cmip6.fetch(wanted, to, base_url=base_url, workers=workers, progress=progress)
    emit(asdict(done), as_json, lambda: print("\n".join(done.lines())))
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
    emit(asdict(done), as_json, lambda: print("\n".join(done.lines())))


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
    emit(asdict(done), as_json, lambda: print("\n".join(done.lines())))
