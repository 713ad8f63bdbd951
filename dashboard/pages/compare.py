"""Compare: the truth and up to five models, how they differ, and which is best where."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import panel_material_ui as pmui
from bokeh.models import ColumnDataSource, HoverTool, LinearColorMapper, Range1d

from co2net.diagnostics import hexbin
from co2net.layers import DIFFERENCE
from dashboard.components import growing
from dashboard.maps.figures import tooltip
from dashboard.numbers import Numbers, SpanNumbers, judge_span, strips
from dashboard.pages import Page
from dashboard.pages.maps import Arrangement, MapView
from dashboard.plots import chart, paint, pane
from dashboard.service import Latest
from dashboard.state import MOST, World
from dashboard.theme import line, palette

if TYPE_CHECKING:
    from dashboard.session import Session

LETTERS = "abcde"
HEXAGONS = 44
"""Across a scatter plot."""
BELOW = ("difference", "scatter", "swipe")


def _below(word: str, world: World) -> str:
    if word not in BELOW[1:]:
        raise ValueError(word)
    return word


def _side(word: str, world: World) -> str:
    if word not in ("truth", *world.models):
        raise ValueError(word)
    return word


class CompareView(MapView):
    """Maps of CO2, and below them differences or scatter plots; or two maps and a slider."""

    inspector_open = False

    def __init__(self, session: Session) -> None:
        self._spanning: Latest[Any] = Latest(session.service.slow, session.deliver)
        self._asked: tuple[Any, ...] = ()
        self._found: SpanNumbers | None = None
        self._drawn: tuple[Any, ...] = ()
        self._errors: dict[Arrangement, tuple[Any, ColumnDataSource, list[Any], Any]] = {}
        self._scatters: dict[Arrangement, list[tuple[Any, ColumnDataSource, Any]]] = {}
        super().__init__(session)

    @property
    def title(self) -> str:
        """See `dashboard.pages.View`."""
        return " · ".join(self.session.layer_name(name) for name in ("truth", *self.judged()))

    @property
    def _mode(self) -> str:
        return self.session.state.details.get("below", BELOW[0])

    def _sides(self) -> tuple[str, str]:
        details, models = self.session.state.details, self.session.state.models
        there = ("truth", *self.session.world.models)
        left = details.get("left", "truth")
        right = details.get("right", models[0] if models else "truth")
        return tuple(side if side in there else "truth" for side in (left, right))  # type: ignore[return-value]

    def arrangement(self) -> Arrangement:
        """See `MapView`."""
        if self._mode == "swipe":
            return Arrangement("swipe", ("left", "right"))
        letters = tuple(LETTERS[: len(self.session.state.models)])
        if self._mode == "scatter":
            plots = tuple(f"scatter_{letter}" for letter in letters)
            return Arrangement("compare", ("truth", *letters), plots)
        below = tuple(f"difference_{letter}" for letter in letters)
        return Arrangement("compare", ("truth", *letters, *below))

    def layers(self) -> tuple[str, ...]:
        """Truth, models, and differences where there are maps of them."""
        models = self.session.state.models
        if self._mode == "swipe":
            return self._sides()
        if self._mode == "scatter":
            return ("truth", *models)
        return ("truth", *models, *(DIFFERENCE + name for name in models))

    def judged(self) -> tuple[str, ...]:
        """All models."""
        return self.session.state.models

    # -- controls -----------------------------------------------------------------------

    def controls(self) -> list[Any]:
        """Which models, and what stands below them."""
        session = self.session
        t, world = session.t, session.world
        self._models = pmui.MultiChoice(
            label=t("tools.models"),
            width=190,
            margin=0,
            options={session.layer_name(name): name for name in world.models},
            value=list(session.state.models),
            max_items=MOST,
            value_label=self._short(),
            sx={"& .MuiOutlinedInput-input": {"padding": ".42em 1em"}},
            stylesheets=[growing(190), ".MuiInputLabel-root { background: none !important }"],
            css_classes=["pick-models"],
        )
        self._models.param.watch(self._chosen, "value")
        below = {t(f"tools.below_{key}"): key for key in BELOW}
        self._below = self.choose("below", t("tools.below"), below, 120, BELOW[0])
        sides = {session.layer_name(name): name for name in ("truth", *world.models)}
        left, right = self._sides()
        self._pair = [
            self.choose("left", t("tools.left"), sides, 130, left),
            self.choose("right", t("tools.right"), sides, 130, right),
        ]
        return [self._models, self._below, *self._pair]

    def _short(self) -> str:
        """The models in few letters."""
        t = self.session.t
        return ", ".join(t.model(name, short=True) for name in self.session.state.models)

    def _chosen(self, event: Any) -> None:
        names = tuple(event.new or ())[:MOST]
        if not names:  # one at least
            self._models.value = list(self.session.state.models)
        elif names != self.session.state.models:
            self.session.state.models = names

    def sync(self) -> None:
        """See `MapView`."""
        swipe = self._mode == "swipe"
        models = list(self.session.state.models)
        self._models.param.update(value=models, value_label=self._short(), visible=not swipe)
        self._below.value = self._mode
        for widget, side in zip(self._pair, self._sides(), strict=True):
            widget.visible = swipe
            widget.value = side

    # -- what is no map -----------------------------------------------------------------

    def aside(self, arrangement: Arrangement) -> Any:
        """Error by latitude, below the truth."""
        if arrangement.layout != "compare":
            return None
        t = self.session.t
        plot = chart("error-by-latitude", "RMSE (ppm)", t("map.latitude"))
        plot.y_range = Range1d(-90, 90)
        plot.yaxis.ticker = [-90, -60, -30, 0, 30, 60, 90]
        source = ColumnDataSource({"lat": [], **{letter: [] for letter in LETTERS}})
        lines = [plot.line(letter, "lat", source=source, line_width=1.8) for letter in LETTERS]
        hover = HoverTool(renderers=lines[:1], mode="hline")
        plot.add_tools(hover)
        self._errors[arrangement] = plot, source, lines, hover
        return pane(plot)

    def plots(self, arrangement: Arrangement) -> list[Any]:
        """A scatter plot a model, all on the same axes."""
        t = self.session.t
        panes, made = [], []
        shared = Range1d(0, 1)
        for n, role in enumerate(arrangement.plots):
            plot = chart(role, t("map.truth_ppm"), t("map.model_ppm") if n == 0 else "")
            plot.x_range = plot.y_range = shared
            plot.ygrid.visible = False
            source = ColumnDataSource(
                {"image": [np.full((2, 2), np.nan)], "at": [0.0], "size": [1.0]}
            )
            mapper = LinearColorMapper(
                palette=palette("sequential"), low=0, high=1, nan_color="rgba(0,0,0,0)"
            )
            plot.image(
                image="image",
                x="at",
                y="at",
                dw="size",
                dh="size",
                source=source,
                color_mapper=mapper,
            )
            plot.line([-1e4, 1e4], [-1e4, 1e4], line_dash=[4, 4], line_color="#ff2d78")
            made.append((plot, source, mapper))
            panes.append(pane(plot))
        self._scatters[arrangement] = made
        return panes

    def plot_titles(self) -> list[dict[str, Any]]:
        """What the scatter plots show."""
        if not self._arrangement.plots:
            return []
        found, session = self._found, self.session
        note = "" if found is None or found.whole else session.t("shell.computing")
        when = "" if found is None else session.span_name(found.stretch)
        if when and session.service.simulated:
            when += " · " + session.t("map.simulated")
        return [
            {
                "title": session.t("map.against_truth", model=session.layer_name(name)),
                "when": when,
                "note": note,
            }
            for name in session.state.models
        ]

    # -- following the state ------------------------------------------------------------

    def update(self, changed: set[str]) -> None:
        """See `dashboard.pages.View`."""
        super().update(changed)
        if self._arrangement in self._errors:
            theme = self.session.state.theme
            paint(self._errors[self._arrangement][0], theme)
            for plot, *_ in self._scatters.get(self._arrangement, ()):
                paint(plot, theme)
            if not self.session.bar.playing:
                self._ask()
            self._show_span()

    def _ask(self) -> None:
        session = self.session
        wanted = self.judged(), session.stretch(), session.state.region
        if wanted == self._asked:
            return
        self._asked = wanted

        def tell(found: SpanNumbers) -> None:
            session.deliver(partial(self._judged_span, wanted, found))

        work = partial(
            judge_span,
            session.service,
            *wanted,
            tell=tell,
            stale=lambda: session.closed or self._asked != wanted,
        )
        self._spanning.submit(work, lambda found: None, session.service.workers(wanted[0]))

    def _judged_span(self, wanted: tuple[Any, ...], found: SpanNumbers) -> None:
        if wanted != self._asked:
            return
        self._found = found
        self._drawn = ()
        if self.session.view is self:
            self._show_span()

    def _show_span(self) -> None:
        found, session = self._found, self.session
        self._show_strips()
        if found is None or self._arrangement not in self._errors:
            return
        theme = session.state.theme
        drawn = self._arrangement, theme, session.state.models
        if drawn == self._drawn:  # another frame of the same span
            return
        self._drawn = drawn
        _, source, lines, hover = self._errors[self._arrangement]
        models = session.state.models
        grid = session.service.source.grid
        blank = np.full(grid.lat.size, np.nan)
        columns = {
            letter: found.errors.get(name, blank)
            for letter, name in zip(LETTERS, models, strict=False)
        }
        source.data = {"lat": grid.lat} | {k: columns.get(k, blank) for k in LETTERS}
        top = max([1.0, *(float(np.nanmax(v)) for v in found.errors.values())])
        plot = self._errors[self._arrangement][0]
        plot.x_range.update(start=0.0, end=1.05 * top)
        rows = []
        for letter, name, drawn in zip(LETTERS, models, lines, strict=False):
            style = line(name, theme)
            drawn.glyph.update(line_color=style.colour, line_dash=list(style.dash))
            rows.append((session.layer_name(name), f"@{letter}{{0.00}} ppm"))
        hover.tooltips = tooltip("@lat{0.0}°", rows, theme)
        colours = list(palette("sequential"))
        scatters = self._scatters.get(self._arrangement, ())
        for (plot, source, mapper), name in zip(scatters, models, strict=False):
            counts = found.points.get(name)
            if counts is None:
                continue
            low, high = found.limits
            counts = hexbin(counts, HEXAGONS)
            seen = np.where(counts > 0, np.log10(np.maximum(counts, 1)), np.nan)
            source.data = {
                "image": [seen.astype(np.float32)],
                "at": [low],
                "size": [high - low],
            }
            mapper.update(palette=colours, low=0.0, high=max(float(np.nanmax(seen)), 0.1))
            plot.x_range.update(start=low, end=high)
        titles = self.maps.facts.get("titles", [])
        head = titles[: len(self._arrangement.maps)]
        self.maps.tell(titles=[*head, *self.plot_titles()])

    def _show_strips(self) -> None:
        session = self.session
        if self._arrangement.layout != "compare":
            return
        found = self._found if self._found and self._asked[2:] == (session.state.region,) else None
        self.maps.tell(
            strips=strips(
                session.numbers,
                found,
                session.state.models,
                session.regions(),
                session.t,
                session.state.theme,
                session.span_name(session.stretch()),
            )
        )

    def judged_now(self, numbers: Numbers) -> None:
        """See `dashboard.pages.View`."""
        titles = [dict(title) for title in self.maps.facts.get("titles", [])]
        for title, layer in zip(titles, self.layers(), strict=False):
            blank = (self.session.t("map.absent"), self.session.t("shell.computing"))
            if layer.startswith(DIFFERENCE) and title["note"] not in blank:
                title["note"] = self._note(layer)
        self.maps.tell(titles=titles)
        self._show_strips()


PAGE = Page("compare", CompareView, {"below": _below, "left": _side, "right": _side})
