"""The plain app that the page is measured against: four GeoViews maps and a slider.

``python -m dashboard.bench.plain FIELDS PORT``
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

WHERE = ".bk-Figure"
"""What holds one map each in the browser."""


def write_fields(path: Path, **arrays: Any) -> None:
    """Keep what the app shows: ``fields`` (panels, frames, H, W), ``lat``, ``lon``, ``limits``
    and ``size``, pixels of a map."""
    np.savez(path, allow_pickle=False, **arrays)


def app(what: dict[str, NDArray[Any]]) -> Any:
    """Four Robinson maps of fields that lie in memory, each a `holoviews.DynamicMap`.

    They draw the images alone: no coast, no stations, no numbers.
    """
    import geoviews as gv
    import holoviews as hv
    import panel as pn
    from cartopy import crs

    from co2net.colours import palette

    fields, (width, height) = what["fields"], what["size"].tolist()
    slider = pn.widgets.IntSlider(name="frame", start=0, end=fields.shape[1] - 1)

    def panel(number: int) -> Any:
        def draw(frame: int) -> Any:
            data = (what["lon"], what["lat"], fields[number, frame])
            image = gv.Image(data, ["lon", "lat"], "co2", crs=crs.PlateCarree())
            return image.opts(
                projection=crs.Robinson(),
                cmap=list(palette("sequential")),
                clim=tuple(what["limits"].tolist()),
                frame_width=width,
                frame_height=height,
            )

        return hv.DynamicMap(pn.bind(draw, slider))

    maps = [panel(number) for number in range(len(fields))]
    return pn.Column(slider, hv.Layout(maps).cols(2))


def main() -> None:
    """Serve it."""
    import holoviews as hv
    import panel as pn

    hv.extension("bokeh")
    with np.load(sys.argv[1], allow_pickle=False) as file:
        what = {name: file[name] for name in file.files}
    pn.serve({"/": lambda: app(what)}, port=int(sys.argv[2]), address="127.0.0.1", show=False)


if __name__ == "__main__":
    main()
