"""Map projections.

The browser has their inverses too, in ``assets/paint.js``, which brings fields onto pixels.

Plane coordinates are scaled so that the equator spans -180..180 in every projection.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from co2net.assets import data_path
from co2net.grid import LatLonGrid, wrap_longitude

Array = NDArray[np.float64]

# Robinson's table: length of a parallel and its distance from the equator, every 5 degrees.
# Robinson (1974), International Yearbook of Cartography 14; as in Snyder (1990), The American
# Cartographer 17(3), 301-305.
_PARALLEL = (
    "1.0000 0.9986 0.9954 0.9900 0.9822 0.9730 0.9600 0.9427 0.9216 0.8962 "
    "0.8679 0.8350 0.7986 0.7597 0.7186 0.6732 0.6213 0.5722 0.5322"
)
_DISTANCE = (
    "0.0000 0.0620 0.1240 0.1860 0.2480 0.3100 0.3720 0.4340 0.4958 0.5571 "
    "0.6176 0.6769 0.7346 0.7903 0.8435 0.8936 0.9394 0.9761 1.0000"
)
_ROBINSON_HEIGHT = 180.0 * 1.3523 / (0.8487 * np.pi)


@dataclass(frozen=True, eq=False)
class Projection:
    """A map projection; `Pseudocylindrical` and `Azimuthal` are the two kinds.

    Parameters
    ----------
    key
        Name in addresses.
    """

    key: str

    def forward(self, lon: ArrayLike, lat: ArrayLike) -> tuple[Array, Array]:
        """Plane coordinates of longitudes (-180..180) and latitudes; NaN where not on the map."""
        raise NotImplementedError

    def inverse(self, x: ArrayLike, y: ArrayLike) -> tuple[Array, Array]:
        """Longitudes and latitudes of plane points; NaN outside the map."""
        raise NotImplementedError

    def lines(self, lines: list[Array]) -> tuple[list[Array], list[Array]]:
        """Project lines of (longitude, latitude), cut where the map ends."""
        raise NotImplementedError

    def outline(self) -> tuple[Array, Array]:
        """Closed edge of the map."""
        raise NotImplementedError

    def labels(self) -> list[tuple[float, float, str, str, str]]:
        """(x, y, text, align, baseline) of the graticule's labels."""
        raise NotImplementedError

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """(x0, y0, x1, y1) of the whole map."""
        raise NotImplementedError

    @property
    def how(self) -> dict[str, Any]:
        """Columns that tell the browser how to invert the projection."""
        raise NotImplementedError

    def box(self, x: Array, y: Array) -> tuple[float, float, float, float] | None:
        """(west, south, east, north) that holds a rectangle of the plane; None outside the map.

        Across the date line west is larger than east.
        """
        xs = np.linspace(x.min(), x.max(), 41)
        ys = np.linspace(y.min(), y.max(), 41)
        lon, lat = self.inverse(xs[None, :], ys[:, None])
        lon, lat = lon[np.isfinite(lon)], lat[np.isfinite(lat)]
        if lon.size == 0:
            return None
        ends = np.sort(lon)
        gaps = np.diff(np.append(ends, ends[0] + 360.0))
        widest = int(gaps.argmax())
        if gaps[widest] < 60.0:  # all around: a box that holds a pole, or the whole map
            west, east = -180.0, 180.0
        else:
            west, east = float(ends[(widest + 1) % ends.size]), float(ends[widest])
        south, north = float(lat.min()), float(lat.max())
        for pole in (-90.0, 90.0):
            px, py = self.forward(0.0, pole)
            if xs[0] <= px <= xs[-1] and ys[0] <= py <= ys[-1]:
                south, north = min(south, pole), max(north, pole)
        return west, south, east, north

    def directions(self, lon: Array, lat: Array) -> tuple[Array, Array]:
        """Steps in the plane of one degree to the east and one to the north, on the sphere.

        Parameters
        ----------
        lon, lat : (P,) degrees

        Returns
        -------
        east, north : (2, P)
            By differences over a hundredth of a degree; NaN outside the map.
        """
        small = 0.01
        lat = np.clip(lat, -89.98, 89.98)
        lon = np.clip(lon, -180.0 + small, 180.0 - small)
        reach = small / 2
        wide = reach / np.cos(np.radians(lat))
        wide = np.minimum(wide, small)
        east = np.subtract(self.forward(lon + wide, lat), self.forward(lon - wide, lat))
        north = np.subtract(self.forward(lon, lat + reach), self.forward(lon, lat - reach))
        return east / (2 * wide * np.cos(np.radians(lat))), north / (2 * reach)

    def graticule(self, step: float = 30.0) -> list[Array]:
        """Meridians and parallels every ``step`` degrees, as lines of (longitude, latitude)."""
        lat, lon = np.linspace(-90, 90, 61), np.linspace(-180, 180, 121)
        meridians = [
            np.column_stack([np.full_like(lat, value), lat])
            for value in np.arange(-180 + step, 180, step)
        ]
        parallels = [
            np.column_stack([lon, np.full_like(lon, value)])
            for value in np.arange(-90 + step, 90, step)
        ]
        return meridians + parallels


@dataclass(frozen=True, eq=False)
class Pseudocylindrical(Projection):
    """Parallels are straight, so two functions of latitude are all there is to know.

    Parameters
    ----------
    lat : (N,) degrees, ascending from -90 to 90
    width : (N,) 0..1
        Length of the parallel over that of the equator.
    height : (N,)
        Ordinate of the parallel, ascending.
    """

    lat: Array
    width: Array
    height: Array

    def forward(self, lon: ArrayLike, lat: ArrayLike) -> tuple[Array, Array]:
        """See `Projection.forward`."""
        lat = np.asarray(lat, dtype=np.float64)
        x = np.asarray(lon, dtype=np.float64) * np.interp(lat, self.lat, self.width)
        return x, np.interp(lat, self.lat, self.height)

    def inverse(self, x: ArrayLike, y: ArrayLike) -> tuple[Array, Array]:
        """See `Projection.inverse`."""
        x, y = np.broadcast_arrays(np.asarray(x, np.float64), np.asarray(y, np.float64))
        lat = np.interp(y, self.height, self.lat, left=np.nan, right=np.nan)
        width = np.interp(y, self.height, self.width)
        lon = np.divide(x, width, out=np.where(x == 0, 0.0, np.inf), where=width > 0)
        outside = np.isnan(lat) | (np.abs(lon) > 180.0 + 1e-9)  # the edge belongs to the map
        lon = np.clip(lon, -180.0, 180.0)
        return np.where(outside, np.nan, lon), np.where(outside, np.nan, lat)

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """See `Projection.bounds`."""
        return -180.0, float(self.height[0]), 180.0, float(self.height[-1])

    @property
    def how(self) -> dict[str, Any]:
        """See `Projection.how`."""
        return {"lat": self.lat, "width": self.width, "height": self.height}

    def outline(self) -> tuple[Array, Array]:
        """See `Projection.outline`."""
        lat = np.degrees(np.arcsin(np.sin(np.linspace(-np.pi / 2, np.pi / 2, 241))))
        east, west = self.forward(180.0, lat), self.forward(-180.0, lat[::-1])
        x = np.concatenate([east[0], west[0], east[0][:1]])
        y = np.concatenate([east[1], west[1], east[1][:1]])
        return x, y

    def lines(self, lines: list[Array]) -> tuple[list[Array], list[Array]]:
        """Project lines of (longitude, latitude), cut where they cross the date line."""
        xs, ys = [], []
        for line in lines:
            for piece in cut_at_date_line(line):
                x, y = self.forward(piece[:, 0], piece[:, 1])
                xs.append(x)
                ys.append(y)
        return xs, ys

    def box(self, x: Array, y: Array) -> tuple[float, float, float, float] | None:
        """See `Projection.box`; meridians are taken at the middle of the rectangle."""
        _, y0, _, y1 = self.bounds
        low, high = np.clip([y.min(), y.max()], y0, y1)
        middle = np.interp((low + high) / 2, self.height, self.width)
        if middle == 0:
            return None
        west, east = np.clip(np.array([x.min(), x.max()]) / middle, -180.0, 180.0)
        south, north = np.interp([low, high], self.height, self.lat)
        return float(west), float(south), float(east), float(north)

    def labels(self) -> list[tuple[float, float, str, str, str]]:
        """Latitudes at the western edge, longitudes below the southern one."""
        found = []
        for lat in (-60, -30, 0, 30, 60):
            x, y = self.forward(-180.0, lat)
            found.append((float(x) - 2, float(y), _degrees(lat, "N", "S"), "right", "middle"))
        bottom = float(self.height[0]) - 2
        if self.width[0] > 0.2:
            for lon in range(-120, 180, 60):
                x, _ = self.forward(lon, -90.0)
                found.append((float(x), bottom, _degrees(lon, "E", "W"), "center", "top"))
        return found


@dataclass(frozen=True, eq=False)
class Azimuthal(Projection):
    """The hemisphere about a point, stereographic or orthographic; the radius of the map is 180.

    Snyder (1987), Map Projections: A Working Manual, USGS Professional Paper 1395, sections 20-21.

    Parameters
    ----------
    lat0, lon0 : degrees
        Centre.
    perspective
        Orthographic: the globe from afar; else stereographic, which keeps angles.
    """

    lat0: float
    lon0: float
    perspective: bool

    @property
    def _centre(self) -> Array:
        return _unit(np.array(self.lon0), np.array(self.lat0))

    def forward(self, lon: ArrayLike, lat: ArrayLike) -> tuple[Array, Array]:
        """See `Projection.forward`; NaN on the far hemisphere."""
        lon, lat = np.broadcast_arrays(np.asarray(lon, np.float64), np.asarray(lat, np.float64))
        x, y, near = self._plane(np.radians(lon - self.lon0), np.radians(lat))
        hidden = near < -1e-9
        return np.where(hidden, np.nan, x), np.where(hidden, np.nan, y)

    def _plane(self, lon: Array, lat: Array) -> tuple[Array, Array, Array]:
        """Plane coordinates of radians from the centre's meridian, and cosine of the distance."""
        sin0, cos0 = np.sin(np.radians(self.lat0)), np.cos(np.radians(self.lat0))
        near = sin0 * np.sin(lat) + cos0 * np.cos(lat) * np.cos(lon)
        scale = 180.0 if self.perspective else 180.0 / (1.0 + np.maximum(near, 0.0))
        x = scale * np.cos(lat) * np.sin(lon)
        y = scale * (cos0 * np.sin(lat) - sin0 * np.cos(lat) * np.cos(lon))
        return x, y, near

    def inverse(self, x: ArrayLike, y: ArrayLike) -> tuple[Array, Array]:
        """See `Projection.inverse`."""
        x, y = np.broadcast_arrays(np.asarray(x, np.float64), np.asarray(y, np.float64))
        radius = np.hypot(x, y) / 180.0
        inside = radius <= 1.0 + 1e-12
        safe = np.where(inside, np.minimum(radius, 1.0), 0.0)
        distance = np.arcsin(safe) if self.perspective else 2 * np.arctan(safe)
        sin0, cos0 = np.sin(np.radians(self.lat0)), np.cos(np.radians(self.lat0))
        # Direction (x, y) / radius; at the centre any will do.
        east = np.divide(x / 180.0, radius, out=np.zeros_like(radius), where=radius > 0)
        north = np.divide(y / 180.0, radius, out=np.ones_like(radius), where=radius > 0)
        sin, cos = np.sin(distance), np.cos(distance)
        lat = np.degrees(np.arcsin(np.clip(cos * sin0 + north * sin * cos0, -1, 1)))
        lon = self.lon0 + np.degrees(np.arctan2(east * sin, cos * cos0 - north * sin * sin0))
        lon = wrap_longitude(lon)
        return np.where(inside, lon, np.nan), np.where(inside, lat, np.nan)

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """See `Projection.bounds`."""
        return -180.0, -180.0, 180.0, 180.0

    @property
    def how(self) -> dict[str, Any]:
        """See `Projection.how`."""
        kind = "orthographic" if self.perspective else "stereographic"
        return {"kind": [kind], "lat0": [self.lat0], "lon0": [self.lon0]}

    def outline(self) -> tuple[Array, Array]:
        """See `Projection.outline`."""
        turn = np.linspace(0, 2 * np.pi, 241)
        return 180.0 * np.cos(turn), 180.0 * np.sin(turn)

    def lines(self, lines: list[Array]) -> tuple[list[Array], list[Array]]:
        """Project lines of (longitude, latitude), cut at the edge of the hemisphere."""
        xs, ys = [], []
        for line in lines:
            points = _unit(line[:, 0], line[:, 1])
            near = points @ self._centre
            seen = near >= 0
            if not seen.any():
                continue
            edges = np.flatnonzero(np.diff(seen.astype(int)))
            cuts = []
            for i in edges:  # where the great circle between two points meets the edge
                share = near[i] / (near[i] - near[i + 1])
                cut = points[i] + share * (points[i + 1] - points[i])
                cuts.append(cut / np.linalg.norm(cut))
            bounds = [0, *(edges + 1), len(points)]
            for n, (a, b) in enumerate(pairwise(bounds)):
                if not seen[a]:
                    continue
                run = [points[a:b]]
                if n > 0:
                    run.insert(0, cuts[n - 1][None])
                if n < len(cuts):
                    run.append(cuts[n][None])
                whole = np.concatenate(run)
                if len(whole) < 2:
                    continue
                lat = np.arcsin(np.clip(whole[:, 2], -1, 1))
                lon = np.arctan2(whole[:, 1], whole[:, 0]) - np.radians(self.lon0)
                x, y, _ = self._plane(lon, lat)
                xs.append(x)
                ys.append(y)
        return xs, ys

    def labels(self) -> list[tuple[float, float, str, str, str]]:
        """Around a pole longitudes along the edge; else both along the middle lines."""
        found = []
        if abs(self.lat0) == 90.0:
            for lon in range(-180, 180, 30):
                x, y = self.forward(lon, 0.0)
                found.append((1.05 * float(x), 1.05 * float(y), lon))
            named = [(x, y, _degrees(lon, "E", "W"), "center", "middle") for x, y, lon in found]
            step = -30 if self.lat0 < 0 else 30
            for lat in (step, 2 * step):
                x, y = self.forward(15.0, lat)
                named.append((float(x), float(y), _degrees(lat, "N", "S"), "center", "middle"))
            return named
        lon0 = 30 * round(self.lon0 / 30)
        places = [(lon0, lat, _degrees(lat, "N", "S")) for lat in (-60, -30, 30, 60)]
        places += [(lon, 0, _degrees(lon, "E", "W")) for lon in range(-180, 180, 30)]
        named = []
        for lon, lat, text in places:
            x, y = self.forward(lon, lat)
            if np.hypot(x, y) < 172:
                named.append((float(x) + 2, float(y) + 2, text, "left", "bottom"))
        return named


def _unit(lon: Array, lat: Array) -> Array:
    """(P, 3): unit vectors of degrees."""
    lon, lat = np.radians(lon), np.radians(lat)
    cos = np.cos(lat)
    return np.stack([cos * np.cos(lon), cos * np.sin(lon), np.sin(lat)], axis=-1)


def _degrees(value: float, positive: str, negative: str) -> str:
    """``60°W``; zero and 180 have no side."""
    side = "" if value == 0 or abs(value) == 180 else positive if value > 0 else negative
    return f"{abs(value):g}°{side}"


PROJECTIONS = ("robinson", "platecarree", "mollweide", "north", "south", "orthographic")
"""Keys of the projections that the page offers."""
GLOBE = (15.0, 15.0)
"""Latitude and longitude in the middle of the globe until another is chosen."""


@cache
def projections() -> dict[str, Projection]:
    """The projections that the page offers, by key; see `projection` for the globe turned."""
    from scipy.interpolate import CubicSpline

    knots = np.arange(0.0, 91.0, 5.0)
    lat = np.linspace(-90, 90, 721)
    width = CubicSpline(knots, np.array(_PARALLEL.split(), float))(np.abs(lat))
    height = CubicSpline(knots, np.array(_DISTANCE.split(), float))(np.abs(lat)) * np.sign(lat)
    robinson = Pseudocylindrical("robinson", lat, width, _ROBINSON_HEIGHT * height)
    ends = np.array([-90.0, 90.0])
    # Mollweide: even steps of its auxiliary angle, for near the poles latitude is not smooth.
    angle = np.linspace(-np.pi / 2, np.pi / 2, 1441)
    area = np.degrees(np.arcsin(np.clip((2 * angle + np.sin(2 * angle)) / np.pi, -1, 1)))
    area[[0, -1]] = ends
    reach = np.cos(angle)
    reach[[0, -1]] = 0.0
    found = (
        robinson,
        Pseudocylindrical("platecarree", ends, np.ones(2), ends),
        Pseudocylindrical("mollweide", area, reach, 90.0 * np.sin(angle)),
        Azimuthal("north", 90.0, 0.0, False),
        Azimuthal("south", -90.0, 0.0, False),
        Azimuthal("orthographic", *GLOBE, True),
    )
    return {one.key: one for one in found}


@lru_cache(maxsize=32)
def projection(key: str, centre: tuple[float, float] | None = None) -> Projection:
    """A projection; the globe with ``centre`` (latitude, longitude) in the middle."""
    if key == "orthographic" and centre is not None and centre != GLOBE:
        return Azimuthal(key, *centre, True)
    return projections()[key]


def cut_at_date_line(line: Array) -> list[Array]:
    """Split a line of (longitude, latitude) so that no piece jumps across the map.

    Longitudes may run on beyond 180 (or over 0..360); every piece comes back within -180..180
    and reaches the edge of the map where it was cut.
    """
    lon = np.unwrap(np.asarray(line[:, 0], dtype=np.float64), period=360.0)
    lat = np.asarray(line[:, 1], dtype=np.float64)
    turn = np.floor((lon + 180.0) / 360.0)
    # A point exactly on an edge belongs to the side of its neighbours.
    on_edge = (lon + 180.0) % 360.0 == 0
    if on_edge.any() and not on_edge.all():
        known = np.flatnonzero(~on_edge)
        nearest = known[np.abs(np.arange(lon.size)[:, None] - known).argmin(axis=1)]
        low = (lon + 180.0) / 360.0
        turn = np.where(on_edge, np.clip(turn[nearest], low - 1, low), turn)
    pieces, start = [], 0
    head: list[list[float]] = []
    for i in range(lon.size - 1):
        if turn[i] == turn[i + 1]:
            continue
        edge = 360.0 * max(turn[i], turn[i + 1]) - 180.0
        span = lon[i + 1] - lon[i]
        share = 0.5 if span == 0 else np.clip((edge - lon[i]) / span, 0.0, 1.0)
        cut = lat[i] + share * (lat[i + 1] - lat[i])
        body = np.column_stack([lon[start : i + 1], lat[start : i + 1]])
        piece = np.vstack([*head, body, [edge, cut]]) if head else np.vstack([body, [edge, cut]])
        pieces.append(piece - [360.0 * turn[i], 0.0])
        head, start = [[edge, cut]], i + 1
    body = np.column_stack([lon[start:], lat[start:]])
    piece = np.vstack([*head, body]) if head else body
    pieces.append(piece - [360.0 * turn[-1], 0.0])
    return [piece for piece in pieces if len(piece) > 1]


@cache
def coastline() -> list[Array]:
    """Lines of (longitude, latitude) in degrees, from the shipped file."""
    with np.load(data_path("coastline", "coastline.npz"), allow_pickle=False) as file:
        points, lengths = file["points"] / 100.0, file["lengths"]
    return np.split(points, np.cumsum(lengths)[:-1])


def cell_weights(grid: LatLonGrid, lon: Array, lat: Array) -> tuple[NDArray[np.int64], Array]:
    """The four cells around points, and their bilinear weights.

    Parameters
    ----------
    lon, lat : (P,) degrees
        Longitudes of any turn.

    Returns
    -------
    cells : (P, 4)
        Flat cell numbers.
    weights : (P, 4)
        NaN where the point lies outside a grid that is not global.
    """
    height, width = grid.shape
    west = grid.lon_edges[0]
    lon = (lon - west) % 360.0 + west
    outside = (lat < grid.lat_edges[0]) | (lat > grid.lat_edges[-1]) | (lon > grid.lon_edges[-1])
    centres = grid.lon
    if grid.cyclic:
        centres = np.concatenate([[centres[-1] - 360], centres, [centres[0] + 360]])
    i = np.clip(np.searchsorted(grid.lat, lat, side="right") - 1, 0, height - 2)
    j = np.clip(np.searchsorted(centres, lon, side="right") - 1, 0, centres.size - 2)
    u = np.clip((lat - grid.lat[i]) / (grid.lat[i + 1] - grid.lat[i]), 0, 1)
    v = np.clip((lon - centres[j]) / (centres[j + 1] - centres[j]), 0, 1)
    left, right = ((j - 1) % width, j % width) if grid.cyclic else (j, j + 1)
    cells = np.stack(
        [i * width + left, i * width + right, (i + 1) * width + left, (i + 1) * width + right], 1
    )
    weights = np.stack([(1 - u) * (1 - v), (1 - u) * v, u * (1 - v), u * v], 1)
    return cells, np.where(outside[:, None], np.nan, weights)


def format_point(lat: float, lon: float) -> str:
    """Coordinates for people: ``40.0°N 116.5°E``."""
    lon = float(wrap_longitude(lon))
    return f"{abs(lat):.1f}°{'N' if lat >= 0 else 'S'} {abs(lon):.1f}°{'E' if lon >= 0 else 'W'}"
