"""Named regions of the Earth, and their masks on any grid."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from co2net.assets import data_path
from co2net.errors import UserError
from co2net.grid import LatLonGrid

Surface = Literal["all", "land", "ocean"]

_SAMPLES = 6  # points a side; boxes on whole degrees are then exact on cells of 2 x 3 degrees


@dataclass(frozen=True)
class Region:
    """Polygons on the sphere, all of their surface or only its land or ocean.

    Parameters
    ----------
    key : str
        Name in addresses, files and the command line.
    name_en, name_zh : str
        Names for people.
    polygons : tuple of (V, 2) arrays
        Rings of (longitude, latitude) in degrees, edges straight in these coordinates. A
        polygon across the date line goes on beyond 180. Empty: the whole globe.
    surface : {'all', 'land', 'ocean'}
        Which part of the cells counts.
    """

    key: str
    name_en: str
    name_zh: str
    polygons: tuple[NDArray[np.float64], ...] = ()
    surface: Surface = "all"

    def mask(self, grid: LatLonGrid) -> NDArray[np.float64]:
        """(H, W) 0..1: the share of every cell that lies in the region."""
        inside = _coverage(self.polygons, grid) if self.polygons else np.ones(grid.shape)
        if self.surface == "land":
            return inside * grid.land_fraction
        if self.surface == "ocean":
            return inside * (1.0 - grid.land_fraction)
        return inside

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """(west, south, east, north) in degrees; east may exceed 180 across the date line."""
        if not self.polygons:
            return -180.0, -90.0, 180.0, 90.0
        points = np.concatenate(self.polygons)
        (west, south), (east, north) = points.min(axis=0), points.max(axis=0)
        return float(west), float(south), float(east), float(north)


def box_region(west: float, south: float, east: float, north: float) -> Region:
    """Region of a box that a person drew; its key ``box:w,s,e,n`` gives it back.

    Raises
    ------
    UserError
        When the box has no width or height or lies outside the globe.
    """
    values = (west, south, east, north)
    if not (
        np.all(np.isfinite(values))
        and -90 <= south < north <= 90
        and -180 <= west <= 180
        and -180 <= east <= 180
        and west != east
    ):
        raise UserError(
            f"box {west:g},{south:g},{east:g},{north:g}: give west,south,east,north in degrees, "
            "latitudes ascending within -90..90, longitudes within -180..180"
        )
    parallels = f"{_degrees(south, 'SN')}-{_degrees(north, 'SN')}"
    meridians = f"{_degrees(west, 'WE')}-{_degrees(east, 'WE')}"
    label = f"{parallels}, {meridians}"
    if east < west:  # across the date line
        east += 360.0
    ring = np.array([[west, south], [east, south], [east, north], [west, north]])
    key = "box:" + ",".join(f"{value:g}" for value in values)
    return Region(key, label, label, (ring,))


@cache
def regions() -> dict[str, Region]:
    """All named regions of ``data/regions.geojson``, in its order."""
    return read_regions(data_path("regions.geojson"))


def read_regions(path: Path) -> dict[str, Region]:
    """The regions of a GeoJSON file, by key and in its order."""
    with path.open(encoding="utf-8") as handle:
        features = json.load(handle)["features"]
    found = {}
    for feature in features:
        properties, geometry = feature["properties"], feature["geometry"]
        rings = [] if geometry is None else geometry["coordinates"]
        if geometry is not None and geometry["type"] == "Polygon":
            rings = [rings]
        found[properties["key"]] = Region(
            key=properties["key"],
            name_en=properties["name_en"],
            name_zh=properties["name_zh"],
            polygons=tuple(np.asarray(polygon[0], dtype=np.float64) for polygon in rings),
            surface=properties["surface"],
        )
    return found


def region(key: str) -> Region:
    """The region of a key: a name of `regions`, or ``box:west,south,east,north``.

    Raises
    ------
    UserError
        When there is no such region.
    """
    if key.startswith("box:"):
        try:
            west, south, east, north = (float(word) for word in key[4:].split(","))
        except ValueError:
            raise UserError(
                f"region '{key[:60]}': write box:west,south,east,north in degrees"
            ) from None
        return box_region(west, south, east, north)
    if key not in regions():
        raise UserError(f"region '{key[:60]}' is unknown; choose from {', '.join(regions())}")
    return regions()[key]


def _degrees(value: float, signs: str) -> str:
    return f"{abs(value):.4g}°" + ("" if value == 0 else signs[int(value > 0)])


def _coverage(polygons: tuple[NDArray[np.float64], ...], grid: LatLonGrid) -> NDArray[np.float64]:
    """Share of every cell inside any of the polygons, from a lattice of points a cell."""
    offsets = (np.arange(_SAMPLES) + 0.5) / _SAMPLES
    lat = (grid.lat_edges[:-1, None] + np.diff(grid.lat_edges)[:, None] * offsets).ravel()
    lon = (grid.lon_edges[:-1, None] + np.diff(grid.lon_edges)[:, None] * offsets).ravel()
    inside = np.zeros((lat.size, lon.size), dtype=bool)
    for ring in polygons:
        for turn in (-360.0, 0.0, 360.0):
            inside |= _in_ring(ring, lat[:, None], lon[None, :] + turn)
    height, width = grid.shape
    return inside.reshape(height, _SAMPLES, width, _SAMPLES).mean(axis=(1, 3))


def _in_ring(
    ring: NDArray[np.float64], lat: NDArray[np.float64], lon: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Even-odd rule: how many edges a ray to the east crosses."""
    inside = np.zeros(np.broadcast_shapes(lat.shape, lon.shape), dtype=bool)
    for (x1, y1), (x2, y2) in zip(ring, np.roll(ring, -1, axis=0), strict=True):
        if y1 == y2:
            continue
        crosses = (y1 > lat) != (y2 > lat)
        inside ^= crosses & (lon < (x2 - x1) * (lat - y1) / (y2 - y1) + x1)
    return inside
