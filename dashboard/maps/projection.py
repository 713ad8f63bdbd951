"""Map projections, and the index maps that bring a field onto their pixels.

A field is projected once a projection: `Raster` holds, for every pixel, which cells it shows and
with which weights. A frame then costs one sparse product, and no geometry.

Plane coordinates are scaled so that the equator spans -180..180 in every projection.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from co2net.assets import data_path
from co2net.errors import UserError
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
    """A pseudo-cylindrical projection: parallels are straight, so two functions of latitude do.

    Parameters
    ----------
    key
        Name in addresses.
    lat : (N,) degrees, ascending from -90 to 90
    width : (N,) 0..1
        Length of the parallel over that of the equator.
    height : (N,)
        Ordinate of the parallel, ascending.
    """

    key: str
    lat: Array
    width: Array
    height: Array

    def forward(self, lon: ArrayLike, lat: ArrayLike) -> tuple[Array, Array]:
        """Plane coordinates of longitudes (-180..180) and latitudes in degrees."""
        lat = np.asarray(lat, dtype=np.float64)
        x = np.asarray(lon, dtype=np.float64) * np.interp(lat, self.lat, self.width)
        return x, np.interp(lat, self.lat, self.height)

    def inverse(self, x: ArrayLike, y: ArrayLike) -> tuple[Array, Array]:
        """Longitudes and latitudes of plane points; NaN outside the map."""
        x, y = np.broadcast_arrays(np.asarray(x, np.float64), np.asarray(y, np.float64))
        lat = np.interp(y, self.height, self.lat, left=np.nan, right=np.nan)
        lon = x / np.interp(y, self.height, self.width)
        outside = np.isnan(lat) | (np.abs(lon) > 180.0)
        return np.where(outside, np.nan, lon), np.where(outside, np.nan, lat)

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """(x0, y0, x1, y1) of the whole map."""
        return -180.0, float(self.height[0]), 180.0, float(self.height[-1])

    def outline(self) -> tuple[Array, Array]:
        """Closed edge of the map."""
        lat = np.linspace(-90, 90, 121)
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


@cache
def projections() -> dict[str, Projection]:
    """The projections that the page offers, by key."""
    from scipy.interpolate import CubicSpline

    knots = np.arange(0.0, 91.0, 5.0)
    lat = np.linspace(-90, 90, 721)
    width = CubicSpline(knots, np.array(_PARALLEL.split(), float))(np.abs(lat))
    height = CubicSpline(knots, np.array(_DISTANCE.split(), float))(np.abs(lat)) * np.sign(lat)
    robinson = Projection("robinson", lat, width, _ROBINSON_HEIGHT * height)
    ends = np.array([-90.0, 90.0])
    return {
        "robinson": robinson,
        "platecarree": Projection("platecarree", ends, np.ones(2), ends),
    }


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


@dataclass(frozen=True, eq=False)
class Raster:
    """Which cells every pixel of a map shows.

    Parameters
    ----------
    projection
        Where pixels lie.
    grid
        Where cells lie.
    columns
        Pixels across; the height follows.
    smooth
        Interpolate between cell centres, instead of showing cells.
    part
        (x0, y0, x1, y1) that the pixels cover; None: the whole map.
    """

    projection: Projection
    grid: LatLonGrid
    columns: int
    smooth: bool
    part: tuple[float, float, float, float] | None = None

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """(x0, y0, x1, y1) that the pixels cover."""
        return self.part or self.projection.bounds

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns) of pixels."""
        x0, y0, x1, y1 = self.extent
        return max(2, round(self.columns * (y1 - y0) / (x1 - x0))), self.columns

    @cached_property
    def _map(self) -> tuple[NDArray[np.int64], Any]:
        """Pixels inside the map (flat), and the matrix from cells to them."""
        from scipy.sparse import csr_array

        rows, columns = self.shape
        x0, y0, x1, y1 = self.extent
        x = x0 + (np.arange(columns) + 0.5) * (x1 - x0) / columns
        y = y0 + (np.arange(rows) + 0.5) * (y1 - y0) / rows
        lon, lat = self.projection.inverse(x[None, :], y[:, None])
        pixels = np.flatnonzero(np.isfinite(lon))
        cells, weights = cell_weights(
            self.grid, lon.ravel()[pixels], lat.ravel()[pixels], smooth=self.smooth
        )
        inside = np.isfinite(weights).all(axis=1)
        pixels, cells, weights = pixels[inside], cells[inside], weights[inside]
        taps = cells.shape[1]
        matrix = csr_array(
            (
                weights.ravel().astype(np.float32),
                cells.ravel().astype(np.int32),
                np.arange(0, taps * pixels.size + 1, taps, dtype=np.int32),
            ),
            shape=(pixels.size, self.grid.lat.size * self.grid.lon.size),
        )
        return pixels, matrix

    def project(self, fields: NDArray[np.float32]) -> NDArray[np.float32]:
        """Bring fields onto the pixels.

        Parameters
        ----------
        fields : (n, H, W)

        Returns
        -------
        (n, rows, columns) float32, row 0 in the south; NaN outside the map and the grid
        """
        if fields.shape[1:] != self.grid.shape:
            raise UserError(f"map: a field of shape {fields.shape[1:]} is not on {self.grid}")
        pixels, matrix = self._map
        rows, columns = self.shape
        out = np.full((len(fields), rows * columns), np.nan, dtype=np.float32)
        for image, field in zip(out, fields, strict=True):
            image[pixels] = matrix @ np.ascontiguousarray(field, dtype=np.float32).ravel()
        return out.reshape(len(fields), rows, columns)


def cell_weights(
    grid: LatLonGrid, lon: Array, lat: Array, *, smooth: bool
) -> tuple[NDArray[np.int64], Array]:
    """Cells behind points, and their weights.

    Parameters
    ----------
    lon, lat : (P,) degrees
        Longitudes of any turn.
    smooth
        Four cells around the point, bilinear; else the one cell that holds it.

    Returns
    -------
    cells : (P, 1 or 4)
        Flat cell numbers.
    weights : (P, 1 or 4)
        NaN where the point lies outside a grid that is not global.
    """
    height, width = grid.shape
    west = grid.lon_edges[0]
    lon = (lon - west) % 360.0 + west
    outside = (lat < grid.lat_edges[0]) | (lat > grid.lat_edges[-1]) | (lon > grid.lon_edges[-1])
    if not smooth:
        row = np.clip(np.searchsorted(grid.lat_edges, lat, side="right") - 1, 0, height - 1)
        column = np.clip(np.searchsorted(grid.lon_edges, lon, side="right") - 1, 0, width - 1)
        weights = np.where(outside, np.nan, 1.0)
        return (row * width + column)[:, None], weights[:, None]
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


@cache
def raster(projection: str, grid: LatLonGrid, columns: int, smooth: bool) -> Raster:
    """The one raster of these choices, shared by all sessions."""
    return Raster(projections()[projection], grid, columns, smooth)


def format_point(lat: float, lon: float) -> str:
    """Coordinates for people: ``40.0°N 116.5°E``."""
    lon = float(wrap_longitude(lon))
    return f"{abs(lat):.1f}°{'N' if lat >= 0 else 'S'} {abs(lon):.1f}°{'E' if lon >= 0 else 'W'}"
