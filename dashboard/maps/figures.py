"""The linked Bokeh figures of a page, and what a frame sends to them.

Bokeh has ranges, tools and what the mouse can be over. Fields, coast, graticule, outlines, the dots
of stations and the wind are painted by ``assets/paint.js`` on canvases of our own below and above
Bokeh's, which therefore need not paint when a frame comes: the fields of all panels are one patch
of one `ColumnDataSource` that no glyph draws. The hover text reads the same fields.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import lru_cache
from html import escape
from itertools import pairwise
from pathlib import Path
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
from dashboard.maps.projection import Projection, coastline, projection
from dashboard.theme import TOKENS, palette

PAINT = Path(__file__).parents[1] / "assets" / "paint.js"
"""What paints the fields in the browser."""
_COLOURS = ("sea", "coast", "graticule", "muted", "text", "surface")
_LINES = ("coast_x", "coast_y", "graticule_x", "graticule_y", "edge_x", "edge_y", "labels")
_MARKS = ("cases_x", "cases_y", "region_x", "region_y", "case_names", "point")

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
# The inverse of `Projection.forward`: a table of latitude, or the formulas of a hemisphere.
_LOCATE = """
const x = special_vars.x, y = special_vars.y
const t = geo.data
let lat = NaN, lon = NaN
if (t.kind) {
  const rad = Math.PI / 180, r = Math.hypot(x, y) / 180
  if (r <= 1) {
    const c = t.kind[0] === "orthographic" ? Math.asin(r) : 2 * Math.atan(r)
    const s0 = Math.sin(t.lat0[0] * rad), c0 = Math.cos(t.lat0[0] * rad)
    const e = r > 0 ? x / 180 / r : 0, n = r > 0 ? y / 180 / r : 1
    lat = Math.asin(Math.max(-1, Math.min(1, Math.cos(c) * s0 + n * Math.sin(c) * c0))) / rad
    lon = t.lon0[0] + Math.atan2(e * Math.sin(c), Math.cos(c) * c0 - n * Math.sin(c) * s0) / rad
    lon = ((lon + 180) % 360 + 360) % 360 - 180
  }
} else {
  let k = 1
  while (k < t.height.length - 1 && t.height[k] < y) { k++ }
  const share = (y - t.height[k - 1]) / (t.height[k] - t.height[k - 1])
  lat = t.lat[k - 1] + share * (t.lat[k] - t.lat[k - 1])
  lon = x / (t.width[k - 1] + share * (t.width[k] - t.width[k - 1]))
}
"""
_PLACE = (
    _LOCATE
    + """
if (!(Math.abs(lon) <= 180.01 && Math.abs(lat) <= 90)) { return "" }
return Math.abs(lat).toFixed(1) + "°" + (lat < 0 ? "S" : "N") + " "
     + Math.abs(lon).toFixed(1) + "°" + (lon < 0 ? "W" : "E")
"""
)
# Write the number v of a role.
_WRITE = """
if (!Number.isFinite(v)) { return "–" }
const how = style.data
const n = how.role.indexOf(role)
const sign = how.signed[n] && v > 0 ? "+" : ""
return (sign + v.toFixed(how.digits[n])).replace("-", "−") + " " + how.unit[n]
"""
_VALUE = (
    _LOCATE
    + """
if (!(Math.abs(lon) <= 180.01 && Math.abs(lat) <= 90)) { return "–" }
let i = 0, j = 0
while (i < rows.length - 2 && rows[i + 1] <= lat) { i++ }
while (j < columns.length - 2 && columns[j + 1] <= lon) { j++ }
const cell = frame.data["cell_" + role][0]
const v = cell[i * (columns.length - 1) + j]
"""
    + _WRITE
)
_DOT = (
    """
const v = frame.data["site_" + role][0][special_vars.index]
"""
    + _WRITE
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
        on_tap: Callable[[float, float], None],
        on_box: Callable[[float, float, float, float], None],
        on_view: Callable[[], None] | None = None,
    ) -> None:
        self.roles = tuple(roles)
        self._labelled = len(self.roles) == 1  # small maps have no room for it
        self._dot = 8 if len(self.roles) == 1 else 5
        self.grid = grid
        self._stations = stations
        self._on_tap, self._on_box, self._on_view = on_tap, on_box, on_view
        self.projection: Projection = projection("robinson")
        self.extent = self.projection.bounds
        """(x0, y0, x1, y1) of the plane for what is drawn where the view is; see `look`."""
        self._labels: dict[str, tuple[str, str, int, bool]] = {}
        # Bokeh keeps arrays of one cell a column, so a field is one cell.
        cells = np.full(grid.lat.size * grid.lon.size, np.nan, dtype=np.float32)
        dots = np.full(len(stations), np.nan, dtype=np.float32)
        nothing = np.array([], dtype=np.float32)
        self.frame = ColumnDataSource(
            {f"cell_{role}": [cells] for role in roles}
            | {f"site_{role}": [dots] for role in roles}
            | {"wind_x": [nothing], "wind_y": [nothing]}
        )
        self._style = ColumnDataSource(
            {
                "role": list(roles),
                "digits": [2] * len(roles),
                "unit": ["ppm"] * len(roles),
                "signed": [False] * len(roles),
                "smooth": [True] * len(roles),
            }
            | {name: [TOKENS["light"][name]] * len(roles) for name in _COLOURS}
        )
        # What the mouse can be over: the rectangle around the map, which is not seen.
        self._area = ColumnDataSource(
            {"image": [np.full((2, 2), np.nan, np.float32)]}
            | {name: [0.0] for name in ("x", "y", "dw", "dh")}
            | {f"hover_{role}": [0.0] for role in roles}
        )
        self._geo = ColumnDataSource({"lat": [], "width": [], "height": []})
        # Lines of the map and labels of the graticule, and what a visitor chooses; one cell each.
        self._lines = ColumnDataSource({name: [[]] for name in _LINES})
        self._marks = ColumnDataSource({name: [[]] for name in _MARKS})
        self._theme = "light"
        self._fitted = (0.0, 0.0, 185.0)
        self._site_label = ""
        of_sites = ("x", "y", "code", "name", "place", "altitude", "value")
        self._sites = ColumnDataSource({name: [] for name in of_sites})
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
        self._formatters = self._hover_formatters()
        self.figures = [self._figure(role) for role in roles]
        self._link_view()
        self._link_painter()

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
            title=None,
            min_width=50,
            min_height=50,
            lod_threshold=None,
            name=f"map-{role}",
            x_axis_type=None,  # Bokeh measures the labels of hidden axes at every frame
            y_axis_type=None,
        )
        plot.background_fill_alpha = 0
        plot.border_fill_alpha = 0
        area = plot.image(
            image="image", x="x", y="y", dw="dw", dh="dh", source=self._area, global_alpha=0.0
        )
        sites = plot.scatter(
            "x",
            "y",
            source=self._sites,
            size=self._dot,
            fill_alpha=0.0,  # painted with the field
            line_alpha=0.0,
            name="stations",
        )
        hover = HoverTool(renderers=[area], attachment="horizontal", formatters=self._formatters)
        told = {"frame": self.frame, "style": self._style, "role": role}
        site_hover = HoverTool(
            renderers=[sites],
            attachment="vertical",
            formatters={"@value": CustomJSHover(args=told, code=_DOT)},
        )
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

    def _hover_formatters(self) -> dict[str, Any]:
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

    def _link_painter(self) -> None:
        """Have the fields painted; the first size of a figure starts it."""
        grid = self.grid
        paint = CustomJS(
            args={
                "plots": self.figures,
                "roles": list(self.roles),
                "frame": self.frame,
                "mappers": [self.mappers[role] for role in self.roles],
                "style": self._style,
                "geo": self._geo,
                "lines": self._lines,
                "chosen": self._marks,
                "labelled": self._labelled,
                "sites": self._sites,
                "dots": self._site_glyphs,
                "size": self._dot,
                "rows": grid.lat_edges.tolist(),
                "columns": grid.lon_edges.tolist(),
                "lat": grid.lat.tolist(),
                "lon": grid.lon.tolist(),
            },
            code=PAINT.read_text(encoding="utf-8"),
        )
        self.figures[0].js_on_change("inner_width", paint)

    def _moved(self, name: str, old: float, new: float) -> None:
        if self._on_view is not None:
            self._on_view()

    def look(self) -> bool:
        """Choose the `extent` for the view; whether it is another one.

        It is the map, or close by what is seen and a margin around it.
        """
        seen, bounds = self._x_range, self.projection.bounds
        x0, y0, x1, y1 = extent = bounds
        width, height = seen.end - seen.start, self._y_range.end - self._y_range.start
        if width < -x0:
            view = (
                float(np.clip(seen.start, x0, x1)),
                float(np.clip(self._y_range.start, y0, y1)),
                float(np.clip(seen.end, x0, x1)),
                float(np.clip(self._y_range.end, y0, y1)),
            )
            part = self.extent
            inside = (
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
            if part[2] - part[0] >= 1 and part[3] - part[1] >= 1:
                extent = part
        other, self.extent = extent != self.extent, extent
        return other

    # -- events -------------------------------------------------------------------------

    def _tapped(self, event: Tap) -> None:
        lon, lat = self.projection.inverse(event.x, event.y)
        if np.isfinite(lon):
            self._on_tap(float(lat), float(lon))

    def _boxed(self, event: SelectionGeometry) -> None:
        if not event.final or event.geometry.get("type") != "rect":
            return
        shape = event.geometry
        x, y = (np.array([shape[f"{axis}0"], shape[f"{axis}1"]]) for axis in "xy")
        found = self.projection.box(x, y)
        if found is None:
            return
        west, south, east, north = found
        if north - south > 0.5 and (east - west) % 360.0 > 0.5:
            self._on_box(west, south, east, north)

    # -- what a frame changes -----------------------------------------------------------

    def show(
        self,
        fields: NDArray[np.float32],
        sites: NDArray[np.float32] | None = None,
        wind: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None,
        keep: Collection[str] = (),
    ) -> None:
        """Put a frame on screen: one patch of one data source.

        Parameters
        ----------
        fields : (panels, H, W)
        sites : (panels, S)
            What fills the dots of the stations, in the units of the panels.
        wind
            Of `dashboard.maps.wind.streaks`; None: none.
        keep
            Panels that stay as they are.
        """
        x, y = wind if wind is not None else (np.array([]), np.array([]))
        columns = {"wind_x": x.astype(np.float32), "wind_y": y.astype(np.float32)}
        for n, role in enumerate(self.roles):
            if role not in keep:
                columns[f"cell_{role}"] = fields[n].ravel()
                if sites is not None:
                    columns[f"site_{role}"] = sites[n]
        if wind is None and not self.frame.data["wind_x"][0].size:
            del columns["wind_x"], columns["wind_y"]
        self.frame.patch({name: [(0, values)] for name, values in columns.items()})

    # -- what a choice changes ----------------------------------------------------------

    def set_projection(
        self, key: str, *, smooth: bool, centre: tuple[float, float] | None = None
    ) -> None:
        """Redraw lines and sites; the fields follow by themselves, the wind with a frame."""
        chosen = projection(key, centre)
        self._tell(smooth=smooth)
        if self.projection is chosen and len(self._lines.data["coast_x"][0]):
            return
        self.projection = chosen
        x0, y0, x1, y1 = self.extent = chosen.bounds
        place = {"x": x0, "y": y0, "dw": x1 - x0, "dh": y1 - y0}
        self._area.patch({name: [(0, value)] for name, value in place.items()})
        nothing = [(0, np.array([], dtype=np.float32))]
        self.frame.patch({"wind_x": nothing, "wind_y": nothing})
        self._geo.data = chosen.how
        self._lines.data = _map_lines(chosen)
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
            "value": np.zeros(len(x)),
        }

    def _tell(self, **words: Any) -> None:
        """Tell the painter what is the same for all panels, when it is another."""
        data = self._style.data
        if any(data[name][0] != word for name, word in words.items()):
            many = {name: [word] * len(self.roles) for name, word in words.items()}
            self._style.data = dict(data) | many

    def set_scale(self, role: str, low: float, high: float, *, diverging: bool) -> None:
        """Colours and limits of one panel."""
        mapper = self.mappers[role]
        colours = palette("diverging" if diverging else "sequential")
        if (mapper.low, mapper.high, tuple(mapper.palette)) != (low, high, colours):
            mapper.update(low=low, high=high, palette=list(colours))

    def set_hover(self, labels: Mapping[str, tuple[str, str, int, bool]], site: str) -> None:
        """Text of the hover: for every role its label, unit, decimals and whether signed."""
        if (dict(labels), site) == (self._labels, self._site_label):
            return
        self._labels, self._site_label = dict(labels), site
        self._style.data = dict(self._style.data) | {
            "unit": [labels[role][1] for role in self.roles],
            "digits": [labels[role][2] for role in self.roles],
            "signed": [labels[role][3] for role in self.roles],
        }
        self._write_hover()

    def _write_hover(self) -> None:
        if not self._labels:
            return
        rows = [(self._labels[role][0], f"@hover_{role}{{custom}}") for role in self.roles]
        text = tooltip("$x{custom}", rows, self._theme)
        for hover in self._hovers:
            hover.tooltips = text
        for role, hover in zip(self.roles, self._site_hovers, strict=True):
            name, unit, *_ = self._labels[role]
            rows = [("@code", "@name"), ("@place", "@altitude")]
            if unit == "ppm":
                rows.append((name, "@value{custom}"))
            hover.tooltips = tooltip(self._site_label, rows, self._theme)

    def set_stations(self, visible: bool) -> None:
        """Show or hide the sites."""
        for glyph in self._site_glyphs:
            glyph.visible = visible

    def set_region(self, region: Region) -> None:
        """Outline a region."""
        rings = [_densify(np.vstack([ring, ring[:1]])) for ring in region.polygons]
        self._mark(region=_joined(*self.projection.lines(rings)))

    def set_cases(self, cases: Sequence[tuple[str, Region]]) -> None:
        """Outline the regions of cases, with their names."""
        xs: list[Any] = []
        ys: list[Any] = []
        names: list[tuple[float, float, str]] = []
        for name, place in cases:
            for ring in place.polygons:
                closed = _densify(np.vstack([ring, ring[:1]]))
                found = self.projection.lines([closed])
                xs, ys = xs + found[0], ys + found[1]
                if found[0]:
                    x, y = np.concatenate(found[0]), np.concatenate(found[1])
                    names.append((float(x.min()), float(y.max()), name))
        self._mark(cases=_joined(xs, ys), case_names=names)

    def set_point(self, point: tuple[float, float] | None) -> None:
        """Mark the chosen point."""
        place = () if point is None else self.projection.forward(point[1], point[0])
        self._mark(point=[float(value) for value in place])

    def _mark(self, **marks: Any) -> None:
        """Show what is chosen; lines are pairs of x and y."""
        columns: dict[str, Any] = {}
        for name, mark in marks.items():
            if isinstance(mark, tuple):
                columns |= {f"{name}_x": [mark[0]], f"{name}_y": [mark[1]]}
            else:
                columns[name] = [mark]
        self._marks.data = dict(self._marks.data) | columns

    @property
    def moved(self) -> bool:
        """Whether the view is another than `fit` chose."""
        return not np.allclose(self.view, self._fitted, atol=0.3)

    @property
    def view(self) -> tuple[float, float, float]:
        """(x, y, half width) of what is wanted on screen."""
        x, y = self._want_x, self._want_y
        return (x.start + x.end) / 2, (y.start + y.end) / 2, (x.end - x.start) / 2

    def go(self, view: tuple[float, float, float]) -> None:
        """Bring a `view` on screen."""
        x, y, reach = view
        self._want(x - reach, y - reach / 4, x + reach, y + reach / 4)

    def fit(self, region: Region | None = None) -> None:
        """Bring a region, or the whole map, into view."""
        x0, y0, x1, y1 = self.projection.bounds
        if region is not None and region.polygons:
            west, south, east, north = region.bounds
            if east > 180.0 or east - west > 180.0:
                west, east = -180.0, 180.0
            lon, lat = np.meshgrid(np.linspace(west, east, 9), np.linspace(south, north, 9))
            x, y = self.projection.forward(lon, lat)
            x, y = x[np.isfinite(x)], y[np.isfinite(y)]
            if x.size:  # else the region is on the far side
                x0, y0, x1, y1 = x.min(), y.min(), x.max(), y.max()
                pad = 0.25 * max(x1 - x0, y1 - y0, 16.0)
                west, south, east, north = self.projection.bounds
                x0, x1 = max(x0 - pad, west), min(x1 + pad, east)
                y0, y1 = max(y0 - pad, south), min(y1 + pad, north)
        margin = 13.0 if self._labelled else 3.0
        self._want(x0 - margin, y0 - margin, x1 + 3.0, y1 + 3.0)
        self._fitted = self.view

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

    def set_theme(self, theme: str, coast: str = "coast") -> None:
        """Colours of lines and texts; ``coast`` names that of the coast."""
        self._theme = theme
        self._write_hover()
        token = TOKENS[theme]
        self._tell(**{name: token[name] for name in _COLOURS} | {"coast": token[coast]})
        for span in self._crosshair:
            span.line_color = token["muted"]


@lru_cache(maxsize=16)
def _map_lines(chosen: Projection) -> dict[str, list[Any]]:
    """Columns of what a projection draws, the same for all visitors."""
    columns: dict[str, list[Any]] = {"labels": [list(chosen.labels())]}
    x, y = chosen.outline()
    for name, (xs, ys) in {
        "coast": chosen.lines(coastline()),
        "graticule": chosen.lines(chosen.graticule()),
        "edge": ([x], [y]),
    }.items():
        joined = _joined(xs, ys)
        columns |= {f"{name}_x": [joined[0]], f"{name}_y": [joined[1]]}
    return columns


def _joined(
    xs: Sequence[NDArray[np.float64]], ys: Sequence[NDArray[np.float64]]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Lines one after the other, with NaN in between."""
    gap = [np.nan]
    x, y = ([part for line in lines for part in (line, gap)] for lines in (xs, ys))
    return (
        np.concatenate([*x, []]).astype(np.float32),
        np.concatenate([*y, []]).astype(np.float32),
    )


def tooltip(head: str, rows: Sequence[tuple[str, str]], theme: str) -> str:
    """HTML of a hover text in the colours of a theme: a line, and a table below it."""
    token = TOKENS[theme]
    cells = "".join(
        f'<tr><td style="padding-right:10px;color:{token["muted"]}">{escape(label)}</td>'
        f'<td style="text-align:right;font-weight:600;white-space:nowrap">{value}</td></tr>'
        for label, value in rows
    )
    return (
        '<div style="font-size:calc(var(--size, 13px) * .92);line-height:1.4;'
        "margin:-5px;padding:5px 8px;"
        f"color:{token['text']};background:{token['surface']};"
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
