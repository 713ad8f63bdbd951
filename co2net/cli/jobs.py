"""Long work in the background: ``co2net jobs``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from co2net.cli.common import (
    JsonOption,
    emit,
    show_table,
)
from co2net.errors import UserError

jobs_app = typer.Typer(
    help="Long work in the background: it goes on when the terminal closes.", no_args_is_help=True
)

JobArgument = Annotated[str, typer.Argument(help="Id of the job, or its number.")]


@jobs_app.command("list")
def jobs_list(as_json: JsonOption = False) -> None:
    """List all jobs, whoever started them.

    Example: co2net jobs list --json
    """
    from co2net.jobs import jobs

    rows = [one.to_dict() for one in jobs()]
    columns = ["id", "name", "state", "progress", "left", "message"]
    emit(
        rows,
        as_json,
        lambda: show_table(
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


def show_job(id: str, as_json: bool) -> None:
    from co2net.jobs import job

    row = job(id).to_dict()
    emit(
        row,
        as_json,
        lambda: show_table("Job", ["", ""], [[k, escape(str(v))] for k, v in row.items()]),
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
    show_job(submit(Spec.from_dict(values)).id, as_json)


@jobs_app.command("show")
def jobs_show(id: JobArgument, as_json: JsonOption = False) -> None:
    """All there is to know of a job.

    Example: co2net jobs show 7
    """
    show_job(id, as_json)


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
    show_job(id, as_json)


@jobs_app.command("resume")
def jobs_resume(id: JobArgument, as_json: JsonOption = False) -> None:
    """Go on with a job that was cancelled, interrupted or failed.

    Example: co2net jobs resume 7
    """
    from co2net.jobs import job

    job(id).resume()
    show_job(id, as_json)


@jobs_app.command("rm")
def jobs_rm(id: JobArgument, as_json: JsonOption = False) -> None:
    """Delete a job that has ended, with the results in its folder.

    Example: co2net jobs rm 7
    """
    from co2net.jobs import job

    one = job(id)
    one.remove()
    emit({"removed": one.id}, as_json, lambda: print(f"removed {one.id}"))
