"""A headless browser of this machine: for pictures of the page, measurements and tests."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from co2net.errors import UserError

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-quic",
)
"""Chromium asks nobody for anything."""
HOW_TO_INSTALL = (
    "this needs Playwright and Chromium: `pip install playwright` and `apt-get install chromium "
    "fonts-noto-cjk` (or `playwright install --with-deps chromium`), or name a browser in "
    "$CO2NET_CHROMIUM"
)


def chromium() -> str | None:
    """Path of a browser that is installed; None leaves the choice to Playwright."""
    named = os.environ.get("CO2NET_CHROMIUM")
    return named or shutil.which("chromium") or shutil.which("chromium-browser")


@contextmanager
def launched() -> Iterator[Browser]:
    """A headless Chromium, closed at the end.

    Raises
    ------
    UserError
        When Playwright or the browser is not there; it says how to install them.
    """
    try:
        from playwright.sync_api import Error, sync_playwright
    except ModuleNotFoundError:
        raise UserError(HOW_TO_INSTALL) from None
    with sync_playwright() as playwright:
        try:
            found = playwright.chromium.launch(executable_path=chromium(), args=list(ARGUMENTS))
        except Error as error:
            line = str(error).strip().splitlines()[0][:200]
            raise UserError(f"{HOW_TO_INSTALL} ({line})") from None
        try:
            yield found
        finally:
            found.close()
