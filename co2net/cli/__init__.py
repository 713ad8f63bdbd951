"""The command line: thin commands over the library, one module a group.

Every command prints one line and exits with status 2 for bad input, 1 for a failed check.
"""

from __future__ import annotations

import sys
from typing import NoReturn

import typer
from rich.markup import escape

from co2net.cli.bench import bench
from co2net.cli.common import err
from co2net.cli.data import data_app
from co2net.cli.export import export_app
from co2net.cli.jobs import jobs_app
from co2net.cli.models import list_models, reconstruct, train
from co2net.cli.ocean import ocean_app
from co2net.cli.page import dashboard
from co2net.cli.scores import evaluate, validate
from co2net.cli.world import simulate
from co2net.errors import UserError

app = typer.Typer(
    name="co2net",
    help="Reconstruct surface CO2 everywhere from a few dozen stations and the weather.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(data_app, name="data")
app.add_typer(jobs_app, name="jobs")
app.add_typer(ocean_app, name="ocean")
app.add_typer(export_app, name="export")
app.command("models")(list_models)
for _command in (simulate, train, reconstruct, evaluate, validate, bench, dashboard):
    app.command()(_command)


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
    err.print(f"[red]error:[/red] {escape(line)}", highlight=False, soft_wrap=True)
    sys.exit(2)
