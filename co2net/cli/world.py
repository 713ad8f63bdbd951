"""The embedded simulated world: ``co2net simulate``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from co2net.assets import data_path
from co2net.cli.common import (
    JsonOption,
    demo_store,
    emit,
    parse_day,
    progress_bar,
)
from co2net.errors import UserError

if TYPE_CHECKING:
    from co2net.naturerun import ObservationConfig


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
            emit(
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
