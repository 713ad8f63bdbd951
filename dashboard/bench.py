"""Time of a step of the page against a plain GeoViews app, both measured in the same run."""

from __future__ import annotations

from typing import Any

import numpy as np

from co2net.bench import alternate
from co2net.grid import LatLonGrid
from co2net.source import StationNetwork


def bench_page(steps: int = 10, rounds: int = 3) -> dict[str, Any]:
    """Milliseconds of the server for a step of four Robinson maps.

    Both project four fields and bring them into a Bokeh document as its messages would carry
    them; the time of the browser is not counted. The reference is four `geoviews.Image`, each
    fed by a `holoviews.streams.Pipe` and projected by GeoViews.
    """
    import geoviews as gv
    import holoviews as hv
    from bokeh.document import Document
    from cartopy import crs

    from dashboard.maps.figures import MapFigures

    grid = LatLonGrid.ct()
    rng = np.random.default_rng(0)
    fields = 400 + rng.normal(size=(steps, 4, *grid.shape)).astype(np.float32)
    roles = ("a", "b", "c", "d")
    nowhere = StationNetwork((), (), np.empty(0), np.empty(0), np.empty(0), "none")
    maps = MapFigures(roles, grid, nowhere, 720, lambda *_: None, lambda *_: None)
    maps.set_projection("robinson", smooth=False)
    ours_document = Document()
    for plot in maps.figures:
        ours_document.add_root(plot)
    sent = _collect(ours_document)

    def ours() -> None:
        for frame in fields:
            maps.show(maps.raster.project(frame), frame)
            sent()

    hv.extension("bokeh")
    renderer = hv.renderer("bokeh")
    theirs_document = Document()
    pipes = []
    for field in fields[0]:
        pipe = hv.streams.Pipe(data=field)
        image = hv.DynamicMap(
            lambda data: gv.Image(
                (grid.lon, grid.lat, data), ["lon", "lat"], crs=crs.PlateCarree()
            ).opts(projection=crs.Robinson()),
            streams=[pipe],
        )
        plot = renderer.get_plot(image, doc=theirs_document)
        theirs_document.add_root(plot.state)
        pipes.append(pipe)
    also_sent = _collect(theirs_document)

    def theirs() -> None:
        for frame in fields:
            for pipe, field in zip(pipes, frame, strict=True):
                pipe.send(field)
            also_sent()

    fast, slow = alternate(ours, theirs, rounds)
    return {
        "benchmark": "page",
        "panels": 4,
        "projection": "robinson",
        "ours_ms_per_step": 1000 * fast / steps,
        "theirs_ms_per_step": 1000 * slow / steps,
        "reference": "geoviews.Image fed by Pipe, projected by GeoViews; server side",
        "speedup": slow / fast,
    }


def _collect(document: Any) -> Any:
    """A function that serialises what changed in a document since it was last called."""
    from bokeh.document.events import DocumentPatchedEvent
    from bokeh.protocol import Protocol

    events: list[Any] = []

    def note(event: Any) -> None:
        if isinstance(event, DocumentPatchedEvent):
            events.append(event)

    document.on_change(note)

    def send() -> None:
        message = Protocol().create("PATCH-DOC", list(events))
        assert message.content_json
        events.clear()

    return send
