"""The page: ``co2net dashboard``."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from co2net.cli.common import (
    DataOption,
    demo_store,
    err,
    progress_bar,
)
from co2net.cli.world import build_months
from co2net.errors import UserError


def dashboard(
    data: DataOption = None,
    host: Annotated[str, typer.Option(help="Address to bind.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port.", min=1, max=65535)] = 5006,
    open_browser: Annotated[bool, typer.Option("--open", help="Open a browser.")] = False,
    ocean: Annotated[
        list[Path] | None,
        typer.Option(help="Product of pCO2 and sea surface temperature for Oceans; repeatable."),
    ] = None,
    screenshots: Annotated[
        Path | None, typer.Option(help="Write pictures of every page there instead, and end.")
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(help="Of the pictures those of such names, as explore-* or *-dark-zh-390."),
    ] = None,
    height: Annotated[
        int | None,
        typer.Option(help="Of the pictures; the whole page without it.", min=200, max=6000),
    ] = None,
) -> None:
    """Start the page; the embedded world is built first where it is absent.

    Example: co2net dashboard --port 8080
    """
    if screenshots is not None:
        _photograph(data, screenshots, only or [], height)
        return
    _require_free(host, port)
    if data is None:
        _prepare_demo()
    from dashboard.app import serve

    store, sea = data or demo_store(), None
    if ocean:
        from co2net.ocean.readers import read_product
        from co2net.schema import open_store

        sea = read_product(ocean, open_store(store).grid)
    threading.Thread(target=_announce, args=(host, port), daemon=True).start()
    serve(store, host=host, port=port, open_browser=open_browser, sea=sea)


def _photograph(data: Path | None, folder: Path, only: list[str], height: int | None) -> None:
    """Pictures of the pages of a server in a process of its own."""
    from dashboard import screenshots

    screenshots.shots(only)  # what is wrong is said before anything is started
    with served(data) as (address, _), progress_bar("pictures") as update:
        made = screenshots.take(address, folder, only, height, update)
    err.print(f"{len(made)} pictures in {folder}", highlight=False, soft_wrap=True)


@contextmanager
def served(data: Path | None) -> Iterator[tuple[str, int]]:
    """A server of the page in a process of its own: its address, and the process.

    Raises
    ------
    UserError
        When it cannot be started.
    """
    if data is None:
        _prepare_demo()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "co2net.cli", "dashboard", "--port", str(port)]
    before = signal.signal(signal.SIGTERM, _leave)
    server = subprocess.Popen(
        [*command, "--data", str(data or demo_store())], stdout=subprocess.DEVNULL
    )
    address = f"http://127.0.0.1:{port}"
    try:
        while not _answers(address):
            if server.poll() is not None:
                raise UserError("the page could not be started; the lines above say why")
            time.sleep(0.2)
        yield address, server.pid
    finally:
        server.terminate()
        server.wait()
        signal.signal(signal.SIGTERM, before)


def _leave(number: int, _: object) -> NoReturn:
    """End as an error would, so that server and browser are closed on the way out."""
    sys.exit(128 + number)


def _prepare_demo() -> None:
    """Build the embedded world where it is absent or was made by another version of it."""
    from co2net import naturerun
    from co2net.schema import open_store
    from co2net.source import whole_months

    path = demo_store()
    if path.exists() and open_store(path).attrs["digest"] != naturerun.WorldConfig().digest:
        err.print("The embedded world has changed since it was built here; it is built anew.")
        shutil.rmtree(path)
    there = whole_months(open_store(path)) if path.exists() else []
    missing = [month for month in naturerun.DEMO_MONTHS if month not in there]
    if missing:
        err.print("Building the embedded simulated world, once (about a minute):")
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
    while not _answers(address):
        time.sleep(0.2)
    print(f"co2net answers at {address}", flush=True)


def _answers(address: str) -> bool:
    """Whether the page is there."""
    try:
        with urllib.request.urlopen(f"{address}/ready", timeout=5):
            return True
    except OSError:
        return False
