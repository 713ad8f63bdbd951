"""What the exports of all pages share: names in the page's language, captions, and writing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from co2net import export
from co2net.evaluation.cases import Case
from co2net.layers import DIFFERENCE, derived, display
from co2net.regions import Region
from dashboard.i18n import Translator
from dashboard.maps.projection import Azimuthal, projection
from dashboard.service import Service
from dashboard.state import ViewState
from dashboard.wording import Wording

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

ALL = (*export.FIGURE_FORMATS, *export.DATA_FORMATS)
"""Formats of what is a figure and data."""
Offers = Mapping[str, tuple[str, ...]]
"""What can be had of a page, and in which formats."""
MOST_ANIMATED = 120
"""Frames of an animation; a longer span is animated in larger steps."""


class Exports(Wording):
    """A view without a visitor. Each of ``offers`` is a method that writes a file and names it.

    Figures are in the page's language; where no font of the machine has Chinese letters they are
    in English, and say why.
    """

    offers: ClassVar[Offers]

    def __init__(self, service: Service, state: ViewState) -> None:
        self.service = service
        self._speechless = state.lang == "zh" and not export.use_fonts()
        if self._speechless:
            names = [name for name in ViewState.param.values(False) if name != "name"]
            kept = {name: getattr(state, name) for name in names}
            state = ViewState(state.world, **(kept | {"lang": "en"}))
        self.state, self.t = state, Translator(state.lang)

    # -- words --------------------------------------------------------------------------

    def note(self, attrs: Mapping[str, Any]) -> str:
        """The small line below a figure."""
        words = [str(attrs["source"]), str(attrs["history"])]
        if attrs["simulated"] == "true":
            words.insert(0, self.t("map.simulated"))
        if self._speechless:
            words.append("labels in English: this machine has no font with Chinese letters")
        return " · ".join(words)

    def labels(self, data: xr.Dataset) -> dict[str, str]:
        """What the models of some data are called."""
        names = [one.attrs["model"] for one in data.data_vars.values() if "model" in one.attrs]
        special = {export.OBSERVED: self.t("stations.observed")}
        return {name: special.get(name) or self.layer_name(name) for name in names}

    def words(self, data: xr.Dataset, title: Sequence[str], x: str = "", y: str = "") -> Any:
        """Texts of a chart: parts of its title, what its axes measure, and the rest."""
        return export.Words(
            " · ".join(part for part in title if part),
            x,
            y,
            self.labels(data),
            self.note(data.attrs),
        )

    def place(self, chosen: Region) -> str:
        """What a region is called."""
        name = chosen.name_zh if self.state.lang == "zh" else chosen.name_en
        return self.t.or_else(f"region.{chosen.key}", name)

    # -- writing ------------------------------------------------------------------------

    def write(self, path: Path, data: xr.Dataset, draw: Callable[[xr.Dataset], Figure]) -> None:
        """Write data, or the figure that is drawn of them."""
        if path.suffix[1:] in export.FIGURE_FORMATS:
            export.save_figure(draw(data), path, data.attrs)
        else:
            export.save_data(data, path)

    # -- maps ---------------------------------------------------------------------------

    def limits(self, layer: str, frame: int) -> tuple[float, float]:
        """Of a layer's colours, as on the page."""
        state = self.state
        if layer.startswith(DIFFERENCE) and state.spread is not None:
            return -state.spread, state.spread
        if display(layer).unit == "ppm" and not derived(layer) and state.co2 is not None:
            return state.co2
        return self.service.limits(layer, frame)

    def look(self, attrs: Mapping[str, Any], place: Region) -> export.Look:
        """How the maps look: as on the page."""
        state = self.state
        chosen = projection(state.projection, state.centre)
        centre = (chosen.lat0, chosen.lon0) if isinstance(chosen, Azimuthal) else (0.0, 0.0)
        return export.Look(state.projection, centre, place, state.stations, note=self.note(attrs))

    def panel(
        self,
        layer: str,
        time: np.datetime64,
        values: NDArray[np.floating[Any]],
        limits: tuple[float, float],
        place: Region | None = None,
    ) -> export.Panel:
        """A map of a field in the schema's units."""
        index = int(np.searchsorted(self.service.source.time, time))
        title = self.layer_name(layer)
        return export.panel_of(
            self.service.engine,
            layer,
            time,
            values,
            limits,
            title if place is None else f"{title} · {self.place(place)}",
            f"{self.quantity(layer)} ({display(layer).unit})",
            self.caption(layer, index),
        )

    def animate(
        self,
        path: Path,
        layers: Sequence[str],
        frames: NDArray[np.int64],
        limits: Sequence[tuple[float, float]],
        place: Region,
    ) -> str:
        """The maps of layers side by side, frame after frame; every n-th where there are many."""
        engine = self.service.engine
        times = self.service.source.time[frames[:: -(-frames.size // MOST_ANIMATED)]]
        attrs = export.about(engine, layers, place.name_en)
        scales = dict(zip(layers, limits, strict=True))
        export.animate(
            engine,
            layers,
            times,
            lambda layer, time, values: self.panel(layer, time, values, scales[layer], place),
            path,
            self.look(attrs, place),
            attrs,
        )
        first, last = (np.datetime_as_string(t, unit="D") for t in times[[0, -1]])
        return export.file_name(layers[-1], first, last, suffix="gif")


def dates(case: Case) -> str:
    """Days of a case, or the months that it compares."""
    return ", ".join(case.months) or f"{case.start} – {case.end}"
