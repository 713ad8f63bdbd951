"""Exports: ``/export/WHAT.FORMAT?ADDRESS`` gives a view's maps, series or animation as a file.

The address is that of the page, so a file can be had again, or by a script. Work is done by
`co2net.export` in a thread; the event loop only hands out the result.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tornado.web import RequestHandler

from co2net import export
from co2net.errors import UserError
from co2net.layers import DIFFERENCE, SPREAD, TRUTH, derived, display
from co2net.regions import region
from dashboard.i18n import Translator
from dashboard.maps.projection import Azimuthal, projection
from dashboard.pages import registry, words
from dashboard.service import Service
from dashboard.state import ViewState, World, in_order, parse
from dashboard.wording import Wording

log = logging.getLogger(__name__)

FORMATS = {
    "map": (*export.FIGURE_FORMATS, *export.DATA_FORMATS),
    "series": (*export.FIGURE_FORMATS, *export.DATA_FORMATS),
    "animation": export.ANIMATION_FORMATS,
}
"""What can be had, and as what."""
TYPES = {
    "png": "image/png",
    "pdf": "application/pdf",
    "gif": "image/gif",
    "nc": "application/x-netcdf",
    "csv": "text/csv; charset=utf-8",
}
MOST_ANIMATED = 120
"""Frames of an animation; a longer span is animated in larger steps."""


class Handler(RequestHandler):
    """Answers a request for an export."""

    def initialize(self, service: Service) -> None:
        """Take what all sessions share."""
        self._service = service

    async def get(self, what: str, suffix: str) -> None:
        """Make the file and send it."""
        work = partial(make, self._service, what, suffix, self.request.query)
        loop = asyncio.get_running_loop()
        try:
            name, content = await loop.run_in_executor(self._service.slow, work)
        except UserError as error:
            self.set_status(400)
            self.set_header("Content-Type", "text/plain; charset=utf-8")
            self.finish(str(error))
            return
        self.set_header("Content-Type", TYPES[suffix])
        self.set_header("Content-Disposition", f'attachment; filename="{name}"')
        self.set_header("X-Content-Type-Options", "nosniff")
        self.finish(content)


def make(service: Service, what: str, suffix: str, query: str) -> tuple[str, bytes]:
    """Name and content of a file; safe in any thread.

    Raises
    ------
    UserError
        When the address cannot be used or a field cannot be had.
    """
    if suffix not in FORMATS.get(what, ()):
        known = ", ".join(f"{name}.{kind}" for name, kinds in FORMATS.items() for kind in kinds)
        raise UserError(f"there is no export {what[:20]}.{suffix[:10]}; there are {known}")
    world = World(service.source, tuple(registry()), in_order(service.engine.names()), words())
    values, faults = parse(query, world)
    if faults:
        raise UserError(f"the address has values that cannot be used: {faults[0].name}")
    view = _View(service, ViewState(world, **values))
    with TemporaryDirectory(prefix="co2net-") as folder:
        path = Path(folder) / f"export.{suffix}"
        name = getattr(view, what)(path)
        return name, path.read_bytes()


class _View(Wording):
    """A view without a visitor."""

    def __init__(self, service: Service, state: ViewState) -> None:
        self.service, self.state, self.t = service, state, Translator(state.lang)
        # Matplotlib's own font has no Chinese letters.
        self._drawn = self if state.lang == "en" else self._in_english()

    def _in_english(self) -> _View:
        names = ViewState.param.values(False)
        kept = {name: getattr(self.state, name) for name in names if name != "name"}
        return _View(self.service, ViewState(self.state.world, **(kept | {"lang": "en"})))

    @property
    def _time(self) -> np.datetime64:
        return self.service.source.time[self.state.frame]

    def _layers(self) -> tuple[str, ...]:
        state = self.state
        if state.page == "compare":
            return (TRUTH, *state.models, *(DIFFERENCE + name for name in state.models))
        return (SPREAD + ",".join(state.models) if state.show == SPREAD else state.show,)

    def _names(self) -> tuple[str, ...]:
        """The truth and the models of the series."""
        shown = (name.rpartition(":")[2] for name in self._layers()[:1])
        known = [name for name in (*shown, *self.state.models) if name in self.state.world.models]
        return (TRUTH, *dict.fromkeys(known))

    def _span(self) -> NDArray[np.int64]:
        """Frames with data within the span about the time."""
        source, index = self.service.source, self.state.frame
        reach = int(np.timedelta64(12 * self.state.span, "h") / source.step)
        frames = np.arange(max(0, index - reach), min(source.time.size, index + reach + 1))
        return frames[source.available[frames]]

    def _limits(self, layer: str) -> tuple[float, float]:
        state = self.state
        if layer.startswith(DIFFERENCE) and state.spread is not None:
            return -state.spread, state.spread
        if display(layer).unit == "ppm" and not derived(layer) and state.co2 is not None:
            return state.co2
        return self.service.limits(layer, state.frame)

    def _look(self, attrs: dict[str, Any]) -> export.Look:
        state = self.state
        chosen = projection(state.projection, state.centre)
        centre = (chosen.lat0, chosen.lon0) if isinstance(chosen, Azimuthal) else (0.0, 0.0)
        return export.Look(
            state.projection,
            centre,
            region(state.region),
            state.stations,
            note=f"{attrs['source']} · {attrs['history']}",
        )

    def _panel(
        self,
        layer: str,
        time: np.datetime64,
        values: NDArray[np.floating[Any]],
        sites: NDArray[np.float32] | None = None,
    ) -> export.Panel:
        index = int(np.searchsorted(self.service.source.time, time))
        named = self._drawn
        panel = export.panel_of(
            self.service.engine,
            layer,
            time,
            values,
            self._limits(layer),
            f"{named.layer_name(layer)} · {named.region_name()}",
            f"{named.quantity(layer)} ({display(layer).unit})",
            named.caption(layer, index),
        )
        panel.sites = sites
        return panel

    def map(self, path: Path) -> str:
        """The maps of the page at the time: a figure, or the fields themselves."""
        engine, layers, time = self.service.engine, self._layers(), self._time
        stamp = np.datetime_as_string(time, unit="m")
        name = export.file_name(*(layers if len(layers) == 1 else ("compare",)), stamp,
                                suffix=path.suffix[1:])  # fmt: skip
        attrs = export.about(engine, layers, self._drawn.region_name())
        attrs["title"] += f" at {stamp} UTC"
        if path.suffix[1:] in export.FIGURE_FORMATS:
            frame = self.service.frame(
                layers, self.state.frame, patience=None, wind=self.state.wind
            )
            for fault in frame.faults.values():
                raise UserError(fault)
            look = self._look(attrs)
            look.wind = frame.wind
            panels = []
            for layer, field, sites in zip(layers, frame.fields, frame.sites, strict=True):
                shown = display(layer)
                plain = (field - shown.shift) / shown.factor
                panels.append(self._panel(layer, time, plain, sites))
            export.save_figure(export.map_figure(engine, panels, look), path, attrs)
            return name
        data = export.fields_dataset(engine, layers[0], time)
        if len(layers) > 1:
            for layer in layers:
                one = export.fields_dataset(engine, layer, time)
                for key in one.data_vars:
                    data[f"{key}_{layer.rpartition(':')[2].replace('-', '_')}"] = one[key]
            data = data.drop_vars("co2")
            data.attrs |= attrs
        export.save_data(data, path)
        return name

    def series(self, path: Path) -> str:
        """Series of the truth and the models at the point, or over the region, in the span."""
        engine, state = self.service.engine, self.state
        times = self.service.source.time[self._span()]
        names = self._names()
        data = export.series_dataset(engine, names, times, state.point, state.region)
        where = state.region if state.point is None else "point{:.1f}_{:.1f}".format(*state.point)
        stamp = np.datetime_as_string(times[0], unit="D")
        name = export.file_name("series", where, stamp, suffix=path.suffix[1:])
        if path.suffix[1:] in export.FIGURE_FORMATS:
            labels = [self._drawn.layer_name(one) for one in names]
            title = data.attrs["place"]
            note = f"{data.attrs['source']} · {data.attrs['history']}"
            if self.service.simulated:
                note = "simulated · " + note
            figure = export.series_figure(data, title, labels, note)
            export.save_figure(figure, path, data.attrs)
        else:
            export.save_data(data, path)
        return name

    def animation(self, path: Path) -> str:
        """The map over the span."""
        engine, layer = self.service.engine, self._layers()[0]
        frames = self._span()
        times = self.service.source.time[frames[:: -(-frames.size // MOST_ANIMATED)]]
        attrs = export.about(engine, [layer], self._drawn.region_name())
        export.animate(
            engine, layer, times, lambda t, v: self._panel(layer, t, v), path, self._look(attrs)
        )
        first, last = (np.datetime_as_string(t, unit="D") for t in times[[0, -1]])
        return export.file_name(layer, first, last, suffix="gif")
