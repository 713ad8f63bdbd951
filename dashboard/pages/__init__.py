"""Pages. Adding one is adding a module and its line in `registry`.

A page is listed in the rail under ``page.KEY`` of the language files, with the icon ``KEY`` of
``assets/shell.js``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Protocol

from panel.viewable import Viewable

if TYPE_CHECKING:
    from dashboard.numbers import Numbers
    from dashboard.session import Session
    from dashboard.state import ViewState, Word, World


FURNITURE = frozenset({"bar", "inspector", "drawer"})
"""What a page can have around it: the time bar, the inspector, and the drawer of map settings."""


class View(Protocol):
    """One page in one session."""

    board: Viewable
    toolbar: Viewable
    furniture: frozenset[str]
    """Which of `FURNITURE` stands around the page; the board gets the room of the others."""
    inspector_open: bool
    """Whether the inspector is open when the page is first seen."""

    @property
    def title(self) -> str:
        """Title of the browser's window."""

    def update(self, changed: set[str]) -> None:
        """Follow the view's state; ``changed`` names the parameters that are new.

        ``models`` among them says that the models on offer may be others than before, ``months``
        that the frames with data are.
        """

    def judged(self) -> tuple[str, ...]:
        """Models whose numbers and series the inspector shows."""

    def judged_now(self, numbers: Numbers) -> None:
        """Take the numbers of a new frame."""


@dataclass(frozen=True)
class Page:
    """A page that the rail offers.

    Parameters
    ----------
    key
        Its name in addresses, language files and icons.
    build
        Makes its view in a session, when the visitor first opens it.
    words
        What its address holds besides the words that all pages share: by name, what checks one.
        The view finds them in ``ViewState.details``. Names are the page's own.
    """

    key: str
    build: Callable[[Session], View]
    words: Mapping[str, Word] = field(default_factory=dict)


def one_model(word: str, world: World) -> str:
    """Check the word ``model`` of pages that show one: its name."""
    if word not in world.models:
        raise ValueError(word)
    return word


def shown_model(state: ViewState, world: World) -> str:
    """The model that such a page shows; the first where the address names none."""
    word = state.details.get("model", "")
    return word if word in world.models else (*world.models, "")[0]


@cache
def registry() -> dict[str, Page]:
    """All pages, in the order of the rail."""
    from dashboard.pages import (
        benchmarks,
        cases,
        compare,
        data,
        explore,
        oceans,
        stations,
        training,
    )

    modules = (explore, compare, cases, oceans, stations, benchmarks, training, data)
    return {module.PAGE.key: module.PAGE for module in modules}


def words() -> dict[str, Mapping[str, Word]]:
    """Words of the addresses of single pages; see `Page`."""
    return {key: page.words for key, page in registry().items()}
