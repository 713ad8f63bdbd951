"""Latitude-longitude grids: cell centres, exact areas, land, distances, interpolation.

Angles are degrees at every interface, longitude runs over -180..180, latitude ascends.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from co2net.assets import data_path
from co2net.errors import UserError

EARTH_RADIUS_M = 6.371e6
"""Mean radius of the Earth (m), that of the TM5 transport model behind CarbonTracker."""

_TOLERANCE = 1e-6


def wrap_longitude(lon: ArrayLike) -> NDArray[np.float64]:
    """Bring longitudes (degrees, any turn) into -180 <= lon < 180."""
    return (np.asarray(lon, dtype=np.float64) + 180.0) % 360.0 - 180.0


def great_circle_km(
    lat1: ArrayLike, lon1: ArrayLike, lat2: ArrayLike, lon2: ArrayLike
) -> NDArray[np.float64]:
    """Great-circle distance (km) between points in degrees, by the haversine formula.

    The four arguments broadcast against each other.
    """
    phi1, phi2 = np.radians(lat1), np.radians(lat2)
    half_dphi = (phi2 - phi1) / 2
    half_dlam = np.radians(np.asarray(lon2) - np.asarray(lon1)) / 2
    h = np.sin(half_dphi) ** 2 + np.cos(phi1) * np.cos(phi2) * np.sin(half_dlam) ** 2
    return 2 * EARTH_RADIUS_M / 1000 * np.arcsin(np.sqrt(np.clip(h, 0, 1)))


@dataclass(frozen=True, eq=False)
class LatLonGrid:
    """A grid of cells between meridians and parallels.

    Parameters
    ----------
    lat : (H,) degrees
        Cell centres, strictly ascending, within -90..90.
    lon : (W,) degrees
        Cell centres, strictly ascending, within -180..180.

    Raises
    ------
    UserError
        When the centres are not as described. Readers convert; `from_coords` does it for
        descending latitudes and longitudes of 0..360.
    """

    lat: NDArray[np.float64]
    lon: NDArray[np.float64]

    def __post_init__(self) -> None:
        for name, limit in (("lat", 90.0), ("lon", 180.0)):
            values = np.array(getattr(self, name), dtype=np.float64)
            if values.ndim != 1 or values.size < 2:
                raise UserError(f"grid: {name} needs one dimension of at least 2 cell centres")
            if not np.all(np.diff(values) > 0) or np.abs(values).max() > limit + _TOLERANCE:
                raise UserError(
                    f"grid: {name} must ascend within -{limit:g}..{limit:g} degrees; "
                    "LatLonGrid.from_coords converts other orders"
                )
            values.setflags(write=False)
            object.__setattr__(self, name, values)

    # -- making grids -------------------------------------------------------------------

    @classmethod
    def regular(cls, nlat: int, nlon: int) -> LatLonGrid:
        """Global grid of equal steps, cells touching both poles and the date line."""
        dlat, dlon = 180.0 / nlat, 360.0 / nlon
        rows, columns = np.arange(nlat, dtype=np.float64), np.arange(nlon, dtype=np.float64)
        return cls(-90 + dlat * (rows + 0.5), -180 + dlon * (columns + 0.5))

    @classmethod
    def ct(cls) -> LatLonGrid:
        """CarbonTracker's global grid: 90 x 120 cells of 2 x 3 degrees."""
        return cls.regular(90, 120)

    @classmethod
    def from_coords(
        cls, lat: ArrayLike, lon: ArrayLike
    ) -> tuple[LatLonGrid, NDArray[np.int64], NDArray[np.int64]]:
        """Grid from coordinates in any order, with the orders that sort a field onto it.

        Parameters
        ----------
        lat, lon : degrees
            Latitudes ascending or descending, longitudes in -180..180 or 0..360.

        Returns
        -------
        grid, lat_order, lon_order
            ``field[..., lat_order, :][..., lon_order]`` lies on ``grid``.
        """
        lat = np.asarray(lat, dtype=np.float64)
        lon = wrap_longitude(lon)
        lat_order, lon_order = np.argsort(lat), np.argsort(lon)
        return cls(lat[lat_order], lon[lon_order]), lat_order, lon_order

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> LatLonGrid:
        """Inverse of `to_dict`."""
        return cls(np.asarray(data["lat"]), np.asarray(data["lon"]))

    def to_dict(self) -> dict[str, list[float]]:
        """Plain lists, for JSON."""
        return {"lat": self.lat.tolist(), "lon": self.lon.tolist()}

    # -- what it is ---------------------------------------------------------------------

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, LatLonGrid)
            and self.shape == other.shape
            and np.allclose(self.lat, other.lat, atol=_TOLERANCE)
            and np.allclose(self.lon, other.lon, atol=_TOLERANCE)
        )

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        dlat, dlon = np.diff(self.lat).mean(), np.diff(self.lon).mean()
        return f"LatLonGrid({self.shape[0]} x {self.shape[1]}, {dlat:g} x {dlon:g} degrees)"

    @cached_property
    def digest(self) -> str:
        """Short fingerprint of the cell centres."""
        centres = np.round(np.concatenate([self.lat, self.lon]), 4).astype("<f8") + 0.0
        return hashlib.sha256(centres.tobytes()).hexdigest()[:12]

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W): numbers of latitudes and longitudes."""
        return self.lat.size, self.lon.size

    @cached_property
    def cyclic(self) -> bool:
        """Whether the cells close the circle of longitude."""
        return bool(np.isclose(self.lon_edges[-1] - self.lon_edges[0], 360.0, atol=1e-3))

    @cached_property
    def lat_edges(self) -> NDArray[np.float64]:
        """(H+1,) degrees: half way between centres, the outer ones clipped to the poles."""
        return np.clip(_edges(self.lat), -90.0, 90.0)

    @cached_property
    def lon_edges(self) -> NDArray[np.float64]:
        """(W+1,) degrees: half way between centres."""
        return _edges(self.lon)

    @cached_property
    def area(self) -> NDArray[np.float64]:
        """(H, W) m2: exact areas, ``R^2 * dlon * (sin(north) - sin(south))``."""
        band = np.diff(np.sin(np.radians(self.lat_edges)))
        width = np.diff(np.radians(self.lon_edges))
        return EARTH_RADIUS_M**2 * band[:, None] * width[None, :]

    @cached_property
    def weights(self) -> NDArray[np.float64]:
        """(H, W): `area` over its mean."""
        return self.area / self.area.mean()

    @cached_property
    def land_fraction(self) -> NDArray[np.float64]:
        """(H, W) 0..1: share of land, from the shipped quarter-degree mask."""
        mask = _land_mask()
        fine = LatLonGrid.regular(*mask.shape)
        rows, columns = overlaps(fine, self)
        return np.clip(rows @ mask @ columns.T, 0.0, 1.0)

    def cell(self, lat: ArrayLike, lon: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Row and column of the cells that hold points (degrees, longitude of any turn).

        Raises
        ------
        UserError
            When a point lies outside a grid that is not global.
        """
        lat = np.asarray(lat, dtype=np.float64)
        west = self.lon_edges[0]
        lon = (np.asarray(lon, dtype=np.float64) - west) % 360.0 + west
        row = np.clip(np.searchsorted(self.lat_edges, lat, side="right") - 1, 0, None)
        row = np.where(lat == self.lat_edges[-1], self.shape[0] - 1, row)
        column = np.searchsorted(self.lon_edges, lon, side="right") - 1
        outside = (lat < self.lat_edges[0]) | (lat > self.lat_edges[-1])
        outside |= ~np.isfinite(lat + lon) | (column >= self.shape[1])
        if np.any(outside):
            raise UserError("grid: a point lies outside the grid; check its latitude and longitude")
        return row.astype(np.int64), column.astype(np.int64)


def _edges(centres: NDArray[np.float64]) -> NDArray[np.float64]:
    inner = (centres[1:] + centres[:-1]) / 2
    first, last = 2 * centres[0] - inner[0], 2 * centres[-1] - inner[-1]
    return np.concatenate([[first], inner, [last]])


def _overlap(
    coarse: NDArray[np.float64], fine: NDArray[np.float64], *, sine: bool
) -> NDArray[np.float64]:
    """(coarse cells, fine cells): the share of each coarse cell that a fine cell covers."""
    if sine:
        coarse, fine = np.sin(np.radians(coarse)), np.sin(np.radians(fine))
    high = np.minimum(coarse[1:, None], fine[None, 1:])
    low = np.maximum(coarse[:-1, None], fine[None, :-1])
    return np.clip(high - low, 0, None) / np.diff(coarse)[:, None]


def overlaps(
    source: LatLonGrid, target: LatLonGrid
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(H', H) and (W', W): the share of each target cell that a source cell covers, a side each."""
    rows = _overlap(target.lat_edges, source.lat_edges, sine=True)
    turns = [
        _overlap(target.lon_edges, source.lon_edges + turn, sine=False)
        for turn in (-360.0, 0.0, 360.0)
    ]
    return rows, np.sum(turns, axis=0)


def area_mean(field: ArrayLike, source: LatLonGrid, target: LatLonGrid) -> NDArray[np.float64]:
    """(..., H', W'): mean over the part of each target cell that has values; NaN without any.

    Parameters
    ----------
    field : (..., H, W)
        Values on ``source``; NaN where there are none.
    """
    field = np.asarray(field, dtype=np.float64)
    if field.shape[-2:] != source.shape:
        raise UserError(f"area_mean: field of shape {field.shape[-2:]} is not on {source}")
    rows, columns = overlaps(source, target)
    there = np.isfinite(field)
    total = rows @ np.where(there, field, 0.0) @ columns.T
    weight = rows @ there.astype(np.float64) @ columns.T
    return np.where(weight > 1e-9, total / np.maximum(weight, 1e-9), np.nan)


@cache
def _land_mask() -> NDArray[np.float32]:
    """(720, 1440): 1 on land, a quarter of a degree, from -90 and -180."""
    with np.load(data_path("coastline", "land_mask.npz"), allow_pickle=False) as file:
        rows, columns = file["shape"]
        bits = np.unpackbits(file["bits"], count=int(rows * columns))
    return bits.reshape(rows, columns).astype(np.float32)


def bilinear(field: ArrayLike, source: LatLonGrid, target: LatLonGrid) -> NDArray[np.float64]:
    """Interpolate fields between cell centres, across the date line, flat beyond the last row.

    Parameters
    ----------
    field : (..., H, W)
        Values on ``source``; NaN spreads to the target cells that would use it.
    source, target
        The grids. A ``source`` that is not cyclic is held flat beyond its edges.

    Returns
    -------
    (..., H', W') float64
    """
    field = np.asarray(field, dtype=np.float64)
    if field.shape[-2:] != source.shape:
        raise UserError(f"bilinear: field of shape {field.shape[-2:]} is not on {source}")
    lon = source.lon
    if source.cyclic:
        lon = np.concatenate([[lon[-1] - 360.0], lon, [lon[0] + 360.0]])
        field = np.concatenate([field[..., -1:], field, field[..., :1]], axis=-1)
    i, fi = _bracket(source.lat, target.lat)
    j, fj = _bracket(lon, target.lon)
    rows = field[..., i, :] * (1 - fi)[:, None] + field[..., i + 1, :] * fi[:, None]
    return rows[..., j] * (1 - fj) + rows[..., j + 1] * fj


def _bracket(
    points: NDArray[np.float64], targets: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    low = np.clip(np.searchsorted(points, targets, side="right") - 1, 0, points.size - 2)
    share = (targets - points[low]) / (points[low + 1] - points[low])
    return low, np.clip(share, 0.0, 1.0)
