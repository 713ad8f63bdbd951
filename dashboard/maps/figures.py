"""The linked Bokeh figures of a page, fed by patches.

All panels of a page draw images from one `ColumnDataSource`, so that a frame is one message:
the projected images for the eye, and the fields themselves for the hover text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from itertools import pairwise
from typing import Any

import numpy as np
from bokeh.events import RangesUpdate, SelectionGeometry, Tap
from bokeh.models import (
    BoxSelectTool,
    ColumnDataSource,
    CrosshairTool,
    CustomJS,
    CustomJSHover,
    HoverTool,
    LinearColorMapper,
    PanTool,
    Range1d,
    Span,
    WheelZoomTool,
)
from bokeh.plotting import figure
from numpy.typing import NDArray

from co2net.grid import LatLonGrid
from co2net.regions import Region
from co2net.source import StationNetwork
from dashboard.maps.projection import Projection, Raster, coastline, projections, raster
from dashboard.theme import TOKENS, palette

_FIT = """
const w = plot.inner_width, h = plot.inner_height
if (!(w > 1 && h > 1)) { return }
const dx = want_x.end - want_x.start, dy = want_y.end - want_y.start
const scale = Math.max(dx / w, dy / h)
const cx = (want_x.start + want_x.end) / 2, cy = (want_y.start + want_y.end) / 2
x_range.setv({start: cx - scale * w / 2, end: cx + scale * w / 2})
y_range.setv({start: cy - scale * h / 2, end: cy + scale * h / 2})
"""
_KEEP = """
want_x.setv({start: x_range.start, end: x_range.end})
want_y.setv({start: y_range.start, end: y_range.end})
"""
# Latitude by the projection's table, then the cell that holds the point.
_LOCATE = """
const x = special_vars.x, y = special_vars.y
const t = geo.data
let k = 1
while (k < t.height.length - 1 && t.height[k] < y) { k++ }
const share = (y - t.height[k - 1]) / (t.height[k] - t.height[k - 1])
const lat = t.lat[k - 1] + share * (t.lat[k] - t.lat[k - 1])
const lon = x / (t.width[k - 1] + share * (t.width[k] - t.width[k - 1]))
"""
_PLACE = (
    _LOCATE
    + """
if (!(Math.abs(lon) <= 180.01)) { return "" }
return Math.abs(lat).toFixed(1) + "°" + (lat < 0 ? "S" : "N") + " "
     + Math.abs(lon).toFixed(1) + "°" + (lon < 0 ? "W" : "E")
"""
)
_VALUE = (
    _LOCATE
    + """
let i = 0, j = 0
while (i < rows.length - 2 && rows[i + 1] <= lat) { i++ }
while (j < columns.length - 2 && columns[j + 1] <= lon) { j++ }
const cell = frame.data["cell_" + role][0]
const v = cell[i * (columns.length - 1) + j]
if (!Number.isFinite(v)) { return "–" }
const how = style.data
const n = how.role.indexOf(role)
const sign = how.signed[n] && v > 0 ? "+" : ""
return (sign + v.toFixed(how.digits[n])).replace("-", "−") + " " + how.unit[n]
"""
)


class MapFigures:
    """Figures of one page, with shared ranges, cross hair and data.

    Parameters
    ----------
    roles
        Names of the panels.
    grid
        Cells of the fields.
    stations
        Observation sites to mark.
    columns
        Pixels across the equator.
    on_tap : callable (lat, lon)
    on_box : callable (west, south, east, north)
    on_view
        Called when the view has moved; the caller asks `look` once that has settled.
    """

    def __init__(
        self,
        roles: Sequence[str],
        grid: LatLonGrid,
        stations: StationNetwork,
        columns: int,
        on_tap: Callable[[float, float], None],
        on_box: Callable[[float, float, float, float], None],
        on_view: Callable[[], None] | None = None,
    ) -> None:
        self.roles = tuple(roles)
        self.grid = grid
        self.columns = columns
        self._stations = stations
        self._on_tap, self._on_box, self._on_view = on_tap, on_box, on_view
        self.projection: Projection = projections()["robinson"]
        self._smooth = True
        self.raster = raster(self.projection.key, grid, columns, True)
        """The index map of the current view; its `Raster.project` is safe in any thread."""
        self._labels: dict[str, tuple[str, str, int, bool]] = {}
        # Bokeh keeps arrays of one cell a column, so an image is one cell.
        empty = np.full((2, 2), np.nan, dtype=np.float32)
        cells = np.full(grid.shape, np.nan, dtype=np.float32)
        self.frame = ColumnDataSource(
            {f"image_{role}": [empty] for role in roles}
            | {f"cell_{role}": [cells.ravel()] for role in roles}
            | {f"hover_{role}": [0.0] for role in roles}
            | {"x": [0.0], "y": [0.0], "dw": [1.0], "dh": [1.0]}
        )
        self._style = ColumnDataSource(
            {
                "role": list(roles),
                "digits": [2] * len(roles),
                "unit": ["ppm"] * len(roles),
                "signed": [False] * len(roles),
            }
        )
        self._geo = ColumnDataSource({"lat": [], "width": [], "height": []})
        self._coast = ColumnDataSource({"x": [], "y": []})
        self._graticule = ColumnDataSource({"x": [], "y": []})
        self._outline = ColumnDataSource({"x": [], "y": []})
        self._region = ColumnDataSource({"x": [], "y": []})
        self._point = ColumnDataSource({"x": [], "y": []})
        self._sites = ColumnDataSource(
            {"x": [], "y": [], "code": [], "name": [], "place": [], "altitude": []}
        )
        self.mappers = {
            role: LinearColorMapper(
                palette=palette("sequential"), low=0.0, high=1.0, nan_color="rgba(0,0,0,0)"
            )
            for role in roles
        }
        self._x_range, self._y_range = Range1d(-185, 185), Range1d(-95, 95)
        self._want_x, self._want_y = Range1d(-185, 185), Range1d(-95, 95)
        self._crosshair = (
            Span(dimension="width", line_dash="dotted", line_width=1),
            Span(dimension="height", line_dash="dotted", line_width=1),
        )
        self._hovers: list[HoverTool] = []
        self._site_hovers: list[HoverTool] = []
        self._boxes: list[BoxSelectTool] = []
        self._pans: list[PanTool] = []
        self._site_glyphs: list[Any] = []
        self._themed: list[tuple[Any, str, str]] = [
            (span, "line_color", "muted") for span in self._crosshair
        ]
        self._shared_formatters = self._formatters()
        self.figures = [self._figure(role) for role in roles]
        self._link_view()

    # -- building -----------------------------------------------------------------------

    def _figure(self, role: str) -> figure:
        plot = figure(
            x_range=self._x_range,
            y_range=self._y_range,
            sizing_mode="stretch_both",
            toolbar_location=None,
            tools="",
            min_border=0,
            outline_line_color=None,
            min_width=50,
            min_height=50,
            lod_threshold=None,
            name=f"map-{role}",
        )
        plot.axis.visible = False
        plot.grid.visible = False
        plot.background_fill_alpha = 0
        plot.border_fill_alpha = 0
        sphere = plot.patch("x", "y", source=self._outline, line_color=None, level="image")
        image = plot.image(
            image=f"image_{role}",
            x="x",
            y="y",
            dw="dw",
            dh="dh",
            source=self.frame,
            color_mapper=self.mappers[role],
            level="image",
        )
        lines = {
            "graticule": plot.multi_line(
                "x", "y", source=self._graticule, line_width=0.6, line_alpha=0.22
            ),
            "coast": plot.multi_line("x", "y", source=self._coast, line_width=0.8, line_alpha=0.85),
            "edge": plot.line("x", "y", source=self._outline, line_width=1.5),
            "region": plot.multi_line(
                "x", "y", source=self._region, line_width=2.2, line_color="#ff2d78"
            ),
        }
        sites = plot.scatter(
            "x",
            "y",
            source=self._sites,
            size=5.5 if len(self.roles) == 1 else 4,
            fill_color="#ffffff",
            line_color="#000000",
            line_width=1,
            name="stations",
        )
        sites.nonselection_glyph = None
        plot.scatter(
            "x",
            "y",
            source=self._point,
            marker="circle_x",
            size=15,
            line_width=2,
            fill_color=None,
            line_color="#ff2d78",
        )
        self._themed += [
            (sphere.glyph, "fill_color", "sea"),
            (lines["graticule"].glyph, "line_color", "graticule"),
            (lines["coast"].glyph, "line_color", "coast"),
            (lines["edge"].glyph, "line_color", "muted"),
        ]
        hover = HoverTool(
            renderers=[image], attachment="horizontal", formatters=self._shared_formatters
        )
        site_hover = HoverTool(renderers=[sites], attachment="vertical")
        box = BoxSelectTool(renderers=[])
        pan = PanTool()
        wheel = WheelZoomTool(zoom_on_axis=False)
        plot.add_tools(
            pan, wheel, box, hover, site_hover, CrosshairTool(overlay=list(self._crosshair))
        )
        plot.toolbar.active_drag = pan
        plot.toolbar.active_scroll = wheel
        self._hovers.append(hover)
        self._site_hovers.append(site_hover)
        self._boxes.append(box)
        self._pans.append(pan)
        self._site_glyphs.append(sites)
        plot.on_event(Tap, self._tapped)
        plot.on_event(SelectionGeometry, self._boxed)
        return plot

    def _formatters(self) -> dict[str, Any]:
        """What writes coordinates and values in the hover text, in the browser."""
        common = {"geo": self._geo, "frame": self.frame, "style": self._style}
        edges = {"rows": self.grid.lat_edges.tolist(), "columns": self.grid.lon_edges.tolist()}
        found: dict[str, Any] = {"$x": CustomJSHover(args=common, code=_PLACE)}
        for role in self.roles:
            found[f"@hover_{role}"] = CustomJSHover(
                args=common | edges | {"role": role}, code=_VALUE
            )
        return found

    def _link_view(self) -> None:
        """Keep the aspect of the map whatever the size of the window."""
        first = self.figures[0]
        ranges = {
            "x_range": self._x_range,
            "y_range": self._y_range,
            "want_x": self._want_x,
            "want_y": self._want_y,
        }
        fit = CustomJS(args={"plot": first} | ranges, code=_FIT)
        for name in ("inner_width", "inner_height"):
            first.js_on_change(name, fit)
        for wanted in (self._want_x, self._want_y):
            for name in ("start", "end"):
                wanted.js_on_change(name, fit)
        keep = CustomJS(args=ranges, code=_KEEP)
        for plot in self.figures:
            plot.js_on_event(RangesUpdate, keep)

        for axis in (self._x_range, self._y_range):
            axis.on_change("start", self._moved)
            axis.on_change("end", self._moved)

    def _moved(self, name: str, old: float, new: float) -> None:
        if self._on_view is not None:
            self._on_view()

    def look(self) -> bool:
        """Choose the part of the map that `raster` covers; whether it is another one.

        Close by, the pixels go to what is seen and a margin around it.
        """
        seen, west, part = self._x_range, self.projection.bounds[0], None
        width, height = seen.end - seen.start, self._y_range.end - self._y_range.start
        if width < -west:
            x0, y0, x1, y1 = self.projection.bounds
            view = (
                float(np.clip(seen.start, x0, x1)),
                float(np.clip(self._y_range.start, y0, y1)),
                float(np.clip(seen.end, x0, x1)),
                float(np.clip(self._y_range.end, y0, y1)),
            )
            part = self.raster.part
            inside = part is not None and (
                part[0] <= view[0]
                and part[1] <= view[1]
                and part[2] >= view[2]
                and part[3] >= view[3]
                and part[2] - part[0] < 2.5 * width
                and part[3] - part[1] < 2.5 * height
            )
            if not inside:
                part = (
                    max(view[0] - 0.4 * width, x0),
                    max(view[1] - 0.4 * height, y0),
                    min(view[2] + 0.4 * width, x1),
                    min(view[3] + 0.4 * height, y1),
                )
                if part[2] - part[0] < 1 or part[3] - part[1] < 1:
                    part = None
        if part == self.raster.part:
            return False
        if part is None:
            self.raster = raster(self.projection.key, self.grid, self.columns, self._smooth)
        else:
            self.raster = Raster(self.projection, self.grid, self.columns, self._smooth, part)
        return True

    # -- events -------------------------------------------------------------------------

    def _tapped(self, event: Tap) -> None:
        lon, lat = self.projection.inverse(event.x, event.y)
        if np.isfinite(lon):
            self._on_tap(float(lat), float(lon))

    def _boxed(self, event: SelectionGeometry) -> None:
        if not event.final or event.geometry.get("type") != "rect":
            return
        shape = event.geometry
        _, y0, _, y1 = self.projection.bounds
        low, high = sorted((shape["y0"], shape["y1"]))
        y = np.clip([low, high], y0, y1)
        middle = np.clip((low + high) / 2, y0, y1)
        _, lat = self.projection.inverse(np.zeros(2), y)
        width = np.interp(middle, self.projection.height, self.projection.width)
        lon = np.clip(np.sort([shape["x0"], shape["x1"]]) / width, -180.0, 180.0)
        if lat[1] - lat[0] > 0.5 and lon[1] - lon[0] > 0.5:
            self._on_box(float(lon[0]), float(lat[0]), float(lon[1]), float(lat[1]))

    # -- what a frame changes -----------------------------------------------------------

    def show(self, images: NDArray[np.float32], fields: NDArray[np.float32]) -> None:
        """Put a frame on screen: one patch of one data source.

        Parameters
        ----------
        images : (panels, rows, columns)
            What `raster` made of the fields.
        fields : (panels, H, W)
        """
        x0, y0, x1, y1 = self.raster.extent
        place = {"x": x0, "y": y0, "dw": x1 - x0, "dh": y1 - y0}
        patches: dict[str, list[tuple[int, Any]]] = {k: [(0, v)] for k, v in place.items()}
        for role, image, field in zip(self.roles, images, fields, strict=True):
            patches[f"image_{role}"] = [(0, image)]
            patches[f"cell_{role}"] = [(0, field.ravel())]
        self.frame.patch(patches)

    # -- what a choice changes ----------------------------------------------------------

    def set_projection(self, key: str, *, smooth: bool) -> None:
        """Redraw lines and sites; the next frame brings the images."""
        self._smooth = smooth
        self.raster = raster(key, self.grid, self.columns, smooth)
        if self.projection.key == key and len(self._coast.data["x"]):
            self.look()
            return
        self.projection = chosen = projections()[key]
        empty = np.full((2, 2), np.nan, dtype=np.float32)
        self.frame.data = dict(self.frame.data) | {f"image_{role}": [empty] for role in self.roles}
        self._geo.data = {"lat": chosen.lat, "width": chosen.width, "height": chosen.height}
        for source, lines in (
            (self._coast, coastline()),
            (self._graticule, chosen.graticule()),
        ):
            xs, ys = chosen.lines(lines)
            source.data = {"x": xs, "y": ys}
        x, y = chosen.outline()
        self._outline.data = {"x": x, "y": y}
        x, y = chosen.forward(self._stations.lon, self._stations.lat)
        self._sites.data = {
            "x": x,
            "y": y,
            "code": list(self._stations.code),
            "name": list(self._stations.name),
            "place": [
                f"{abs(lat):.1f}°{'S' if lat < 0 else 'N'} {abs(lon):.1f}°{'W' if lon < 0 else 'E'}"
                for lat, lon in zip(self._stations.lat, self._stations.lon, strict=True)
            ],
            "altitude": [f"{value:.0f} m" for value in self._stations.altitude],
        }

    def set_scale(self, role: str, low: float, high: float, *, diverging: bool) -> None:
        """Colours and limits of one panel."""
        mapper = self.mappers[role]
        colours = palette("diverging" if diverging else "sequential")
        if (mapper.low, mapper.high, tuple(mapper.palette)) != (low, high, colours):
            mapper.update(low=low, high=high, palette=list(colours))

    def set_hover(self, labels: Mapping[str, tuple[str, str, int, bool]], site: str) -> None:
        """Text of the hover: for every role its label, unit, decimals and whether signed."""
        if dict(labels) == self._labels:
            return
        self._labels = dict(labels)
        self._style.data = {
            "role": list(self.roles),
            "unit": [labels[role][1] for role in self.roles],
            "digits": [labels[role][2] for role in self.roles],
            "signed": [labels[role][3] for role in self.roles],
        }
        rows = [(labels[role][0], f"@hover_{role}{{custom}}") for role in self.roles]
        text = _tooltip("$x{custom}", rows)
        for hover in self._hovers:
            hover.tooltips = text
        for hover in self._site_hovers:
            hover.tooltips = _tooltip(site, [("@code", "@name"), ("@place", "@altitude")])

    def set_stations(self, visible: bool) -> None:
        """Show or hide the sites."""
        for glyph in self._site_glyphs:
            glyph.visible = visible

    def set_region(self, region: Region) -> None:
        """Outline a region."""
        rings = [np.vstack([ring, ring[:1]]) for ring in region.polygons]
        dense = [_densify(ring) for ring in rings]
        xs, ys = self.projection.lines(dense)
        self._region.data = {"x": xs, "y": ys}

    def set_point(self, point: tuple[float, float] | None) -> None:
        """Mark the chosen point."""
        if point is None:
            self._point.data = {"x": [], "y": []}
            return
        x, y = self.projection.forward(point[1], point[0])
        self._point.data = {"x": [float(x)], "y": [float(y)]}

    def fit(self, region: Region | None = None) -> None:
        """Bring a region, or the whole map, into view."""
        x0, y0, x1, y1 = self.projection.bounds
        if region is not None and region.polygons:
            west, south, east, north = region.bounds
            if east > 180.0 or east - west > 180.0:
                west, east = -180.0, 180.0
            lon, lat = np.meshgrid(np.linspace(west, east, 9), np.linspace(south, north, 9))
            x, y = self.projection.forward(lon, lat)
            x0, y0, x1, y1 = x.min(), y.min(), x.max(), y.max()
            pad = 0.25 * max(x1 - x0, y1 - y0, 16.0)
            west, south, east, north = self.projection.bounds
            x0, x1 = max(x0 - pad, west), min(x1 + pad, east)
            y0, y1 = max(y0 - pad, south), min(y1 + pad, north)
        self._want(x0 - 3.0, y0 - 3.0, x1 + 3.0, y1 + 3.0)

    def zoom(self, factor: float) -> None:
        """Come closer to the middle of the view, or go away from it."""
        x, y = self._want_x, self._want_y
        dx, dy = (x.end - x.start) / 2 / factor, (y.end - y.start) / 2 / factor
        cx, cy = (x.start + x.end) / 2, (y.start + y.end) / 2
        if 2 < dx < 400:
            self._want(cx - dx, cy - dy, cx + dx, cy + dy)

    def _want(self, x0: float, y0: float, x1: float, y1: float) -> None:
        self._want_x.update(start=float(x0), end=float(x1))
        self._want_y.update(start=float(y0), end=float(y1))

    def set_drawing(self, drawing: bool) -> None:
        """Let a drag draw a box, or move the map."""
        for plot, box, pan in zip(self.figures, self._boxes, self._pans, strict=True):
            plot.toolbar.active_drag = box if drawing else pan

    def set_theme(self, theme: str) -> None:
        """Colours of the lines."""
        for model, name, role in self._themed:
            setattr(model, name, TOKENS[theme][role])


def _tooltip(head: str, rows: Sequence[tuple[str, str]]) -> str:
    """HTML of a hover text: a line, and a table below it."""
    cells = "".join(
        f'<tr><td style="padding-right:10px;color:#52606d">{escape(label)}</td>'
        f'<td style="text-align:right;font-weight:600;white-space:nowrap">{value}</td></tr>'
        for label, value in rows
    )
    return (
        '<div style="font-size:12px;line-height:1.4;color:#17202a;'
        'font-variant-numeric:tabular-nums">'
        f"<div>{escape(head)}</div><table>{cells}</table></div>"
    )


def _densify(ring: NDArray[np.float64], step: float = 2.0) -> NDArray[np.float64]:
    """Points every ``step`` degrees along the edges, which are straight in degrees."""
    pieces = []
    for start, end in pairwise(ring):
        count = max(2, int(np.abs(end - start).max() / step) + 1)
        pieces.append(np.linspace(start, end, count)[:-1])
    return np.vstack([*pieces, ring[-1:]])
