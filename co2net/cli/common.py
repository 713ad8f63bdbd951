"""What the commands share: options, progress, and how results are printed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from co2net.assets import data_path
from co2net.errors import UserError

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from co2net.source import FieldSource

err = Console(stderr=True)

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
        console=err,
        disable=not err.is_terminal,
    ) as bars:
        task = bars.add_task(label, total=1.0)

        def update(share: float, text: str = "") -> None:
            bars.update(task, completed=share, description=f"{label} {text}".strip())

        yield update


def emit(rows: Any, as_json: bool, table: Callable[[], None]) -> None:
    if as_json:
        print(json.dumps(rows, indent=2, default=str))
    else:
        table()


def show_table(title: str, columns: list[str], rows: list[list[Any]]) -> None:
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(str(cell) for cell in row))
    Console().print(table)


@contextmanager
def readers(scheduler: str | None, workers: int) -> Iterator[tuple[int, Executor | None]]:
    """How many read at once, and where: the workers of a Dask cluster, or None for here."""
    if scheduler is None:
        yield workers, None
        return
    from co2net import cluster

    with cluster.client(scheduler) as client:
        threads = sum(client.nthreads().values())
        yield max(1, threads), client.get_executor(retries=cluster.RETRIES)


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


def name_value(text: str) -> tuple[str, Any]:
    """NAME=VALUE, the value as JSON where it is some, else as text."""
    name, equals, value = text.partition("=")
    if not equals:
        raise UserError(f"option '{text[:60]}': write NAME=VALUE")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value
