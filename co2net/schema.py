"""The canonical store: one Zarr layout for every data set, with CF names and units.

A store has the dimensions ``time, lat, lon``: ``co2`` (umol/mol), the auxiliary variables of
`AUXILIARY`, and ``available(time)``, which says which frames hold data (the embedded world spans
2000-2020 and fills its months on demand). The group ``stations`` holds ``co2(time, station)``.

Fields lie packed as 16-bit integers with ``scale_factor`` and ``add_offset`` (CF), in chunks of
`CHUNK`: a map of one frame touches 16 chunks, the whole series of one point one chunk in
every `CHUNK`\\ [0] frames, so that both are fast.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from co2net.assets import atomic_path, provenance
from co2net.errors import UserError
from co2net.grid import LatLonGrid
from co2net.source import Index, StationNetwork

LAYOUT_VERSION = 1
CHUNK = (120, 24, 30)
"""Frames, latitudes and longitudes of a chunk."""

_MISSING = -32768
_EPOCH = "seconds since 1970-01-01 00:00:00"


@dataclass(frozen=True)
class Variable:
    """One variable of the store.

    Parameters
    ----------
    name, units, standard_name, long_name
        CF names; ``units`` as CF writes them.
    low, high
        Range that a packed value can take and that a sound value lies in.
    static
        Whether it has no time.
    """

    name: str
    units: str
    standard_name: str
    long_name: str
    low: float
    high: float
    static: bool = False

    @property
    def scale(self) -> float:
        """Step of the packed values; exact in single precision."""
        return float(2.0 ** np.ceil(np.log2((self.high - self.low) / 65000)))

    @property
    def offset(self) -> float:
        """Value of the packed zero."""
        return float(np.float32((self.high + self.low) / 2))

    def pack(self, values: NDArray[np.floating[Any]]) -> NDArray[np.int16]:
        """To 16-bit integers; NaN becomes the fill value.

        Raises
        ------
        UserError
            When a value lies outside the range: nothing is clipped silently.
        """
        steps = np.subtract(values, self.offset, dtype=np.float64)
        steps *= 1 / self.scale  # a power of two: exact
        np.rint(steps, out=steps)
        low = np.fmin.reduce(steps, axis=None, initial=0.0)  # these pass over NaN
        high = np.fmax.reduce(steps, axis=None, initial=0.0)
        if low < -32767 or high > 32767:
            raise UserError(
                f"{self.name}: values {np.nanmin(values):g} to {np.nanmax(values):g} {self.units} "
                f"leave the store's range {self.low:g} to {self.high:g}; check their units"
            )
        missing = np.isnan(steps)
        if missing.any():
            steps[missing] = _MISSING
        return steps.astype(np.int16)

    def unpack(self, packed: NDArray[np.int16]) -> NDArray[np.float32]:
        """Inverse of `pack`."""
        values = packed.astype(np.float32) * np.float32(self.scale) + np.float32(self.offset)
        return np.where(packed == _MISSING, np.float32(np.nan), values)

    def attributes(self) -> dict[str, Any]:
        """CF attributes of the packed array."""
        return {
            "units": self.units,
            "standard_name": self.standard_name,
            "long_name": self.long_name,
            "scale_factor": np.float32(self.scale).item(),
            "add_offset": np.float32(self.offset).item(),
        }


CO2 = Variable(
    "co2",
    "umol mol-1",
    "mole_fraction_of_carbon_dioxide_in_dry_air",
    "surface CO2 dry-air mole fraction",
    100.0,
    1100.0,
)
_AUXILIARY = (
    Variable("air_pressure", "Pa", "surface_air_pressure", "surface pressure", 4e4, 1.1e5),
    Variable(
        "specific_humidity", "kg kg-1", "specific_humidity", "specific humidity", -0.002, 0.05
    ),
    Variable("air_temperature", "K", "air_temperature", "air temperature", 170.0, 340.0),
    Variable("eastward_wind", "m s-1", "eastward_wind", "eastward wind", -120.0, 120.0),
    Variable("northward_wind", "m s-1", "northward_wind", "northward wind", -120.0, 120.0),
    Variable("geopotential_height", "m", "geopotential_height", "geopotential height", -2000, 9000),
    Variable("surface_altitude", "m", "surface_altitude", "surface altitude", -500, 9000, True),
)
VARIABLES: dict[str, Variable] = {variable.name: variable for variable in (CO2, *_AUXILIARY)}
"""Every variable of a store, by name."""

AUXILIARY: tuple[str, ...] = tuple(variable.name for variable in _AUXILIARY)
"""The auxiliary variables, in the order in which models read them."""


def even_steps(time: NDArray[np.datetime64]) -> bool:
    """Whether times ascend in equal steps, or by one calendar month at the same day and hour."""
    steps = np.unique(np.diff(time))
    if steps.size == 0 or (steps.size == 1 and steps[0] > np.timedelta64(0, "s")):
        return True
    months = time.astype("datetime64[M]")
    within = np.unique(time - months.astype(time.dtype))
    return within.size == 1 and bool((np.diff(months) == np.timedelta64(1, "M")).all())


def create_store(
    path: str | Path,
    grid: LatLonGrid,
    time: NDArray[np.datetime64],
    stations: StationNetwork,
    attrs: Mapping[str, Any],
    variables: Sequence[str] = AUXILIARY,
) -> None:
    """Make an empty store; its frames are filled by `write_frames` in any order.

    Parameters
    ----------
    path
        Folder that does not exist yet.
    grid
        Cells.
    time : (N,) datetime64
        Every frame that the store may ever hold, in equal steps or one a calendar month.
    stations
        Observation sites, all inside the grid.
    attrs
        At least ``title``, ``source``, ``version``, ``licence`` and ``simulated`` (bool).
    variables
        Auxiliary variables the source has; the others are named in ``absent_variables``.

    Raises
    ------
    UserError
        When the path is taken, an attribute is missing, or times or stations are not sound.
    """
    import zarr
    from zarr.codecs import BloscCodec, BloscShuffle
    from zarr.errors import ZarrUserWarning

    path = Path(path)
    if path.exists():
        raise UserError(f"{path} exists already; give another path or remove it")
    lacking = {"title", "source", "version", "licence", "simulated"} - set(attrs)
    if lacking:
        raise UserError(f"store {path}: attributes {', '.join(sorted(lacking))} are missing")
    time = np.asarray(time, dtype="datetime64[s]")
    if not even_steps(time):
        raise UserError(f"store {path}: the time steps are not equal; fill gaps with NaN frames")
    stations.cells(grid)
    absent = [name for name in AUXILIARY if name not in variables]
    with atomic_path(path) as draft:
        root = zarr.create_group(store=str(draft), zarr_format=3)
        root.attrs.update(
            {
                "Conventions": "CF-1.11",
                **attrs,
                "simulated": bool(attrs["simulated"]),
                "layout_version": LAYOUT_VERSION,
                "absent_variables": absent,
                "provenance": provenance(),
            }
        )
        axes = {"time": time.astype(np.int64), "lat": grid.lat, "lon": grid.lon}
        names = {"time": "time", "lat": "latitude", "lon": "longitude"}
        units = {"time": _EPOCH, "lat": "degrees_north", "lon": "degrees_east"}
        for name, values in axes.items():
            array = root.create_array(
                name, data=values, chunks=values.shape, dimension_names=(name,)
            )
            array.attrs.update({"standard_name": names[name], "units": units[name]})
        root["time"].attrs["calendar"] = "proleptic_gregorian"
        flags = root.create_array(
            "available", shape=time.shape, chunks=time.shape, dtype="i1", dimension_names=("time",)
        )
        flags.attrs["long_name"] = "frame holds data"
        height, width = grid.shape
        chunk = (CHUNK[0], min(CHUNK[1], height), min(CHUNK[2], width))
        for name in ("co2", *(name for name in AUXILIARY if name in variables)):
            variable = VARIABLES[name]
            dims, chunks = (
                (("lat", "lon"), grid.shape)
                if variable.static
                else (
                    ("time", "lat", "lon"),
                    chunk,
                )
            )
            shape = grid.shape if variable.static else (time.size, height, width)
            array = root.create_array(
                name,
                shape=shape,
                chunks=chunks,
                dtype="i2",
                fill_value=_MISSING,
                dimension_names=dims,
                compressors=BloscCodec(cname="zstd", clevel=1, shuffle=BloscShuffle.bitshuffle),
            )
            array.attrs.update({**variable.attributes(), "_FillValue": _MISSING})
        create_stations(root, time, stations)
        with warnings.catch_warnings():  # consolidated metadata are an extension of Zarr 3
            warnings.simplefilter("ignore", ZarrUserWarning)
            zarr.consolidate_metadata(str(draft))


def create_stations(root: Any, time: NDArray[np.datetime64], stations: StationNetwork) -> None:
    """Make the group ``stations``, its values missing, in a Zarr group that is being made."""
    group = root.create_group("stations")
    group.attrs["network"] = stations.network
    group.attrs["code"] = list(stations.code)
    group.attrs["name"] = list(stations.name)
    for name, values, unit in (
        ("lat", stations.lat, "degrees_north"),
        ("lon", stations.lon, "degrees_east"),
        ("altitude", stations.altitude, "m"),
    ):
        array = group.create_array(name, data=np.asarray(values), dimension_names=("station",))
        array.attrs["units"] = unit
    axis = group.create_array("time", data=time.astype(np.int64), dimension_names=("time",))
    axis.attrs.update({"standard_name": "time", "units": _EPOCH, "calendar": "proleptic_gregorian"})
    array = group.create_array(
        "co2",
        shape=(time.size, len(stations)),
        chunks=(CHUNK[0] * 8, len(stations)),
        dtype="f4",
        fill_value=float("nan"),
        dimension_names=("time", "station"),
    )
    array.attrs.update(
        {"units": CO2.units, "standard_name": CO2.standard_name, "long_name": "observed CO2"}
    )


def read_stations(root: Any) -> StationNetwork:
    """The sites that `create_stations` wrote."""
    group = root["stations"]
    return StationNetwork(
        code=tuple(group.attrs["code"]),
        name=tuple(group.attrs["name"]),
        lat=group["lat"][:],
        lon=group["lon"][:],
        altitude=group["altitude"][:],
        network=group.attrs["network"],
    )


def write_frames(
    path: str | Path,
    start: int,
    fields: Mapping[str, NDArray[np.floating[Any]]],
    observations: NDArray[np.floating[Any]],
) -> None:
    """Write consecutive frames and mark them as available, last of all.

    A run that is interrupted leaves the frames marked as absent; writing them again mends it.

    Parameters
    ----------
    path
        A store made by `create_store`.
    start
        Position of the first frame on the time axis.
    fields
        Name -> (n, H, W), or (H, W) for static variables; ``co2`` and every variable it has.
    observations : (n, S) umol/mol
        What the stations report; NaN where nothing.
    """
    root = open_zarr(path, mode="r+")
    count = fields["co2"].shape[0]
    span = slice(start, start + count)
    for name in ("co2", *AUXILIARY):
        if name not in root:
            continue
        if name not in fields:
            raise UserError(f"store {path}: frames without {name}, which the store has")
        packed = VARIABLES[name].pack(fields[name])
        root[name][... if VARIABLES[name].static else span] = packed
    root["stations/co2"][span] = np.asarray(observations, dtype=np.float32)
    root["available"][span] = np.ones(count, dtype=np.int8)


class StoreSource:
    """A canonical store as a `FieldSource`.

    Parameters
    ----------
    path
        Folder of the store.

    Raises
    ------
    UserError
        When there is no store, or its layout is not the canonical one.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._root = open_zarr(self.path, mode="r")
        missing = [
            n for n in ("time", "lat", "lon", "available", "co2", "stations") if n not in self._root
        ]
        if missing:
            raise UserError(
                f"{path} is no canonical store: it lacks {', '.join(missing)}; "
                "`co2net data prepare` makes one"
            )

    @cached_property
    def grid(self) -> LatLonGrid:
        """Cells of the fields."""
        return LatLonGrid(self._root["lat"][:], self._root["lon"][:])

    @cached_property
    def time(self) -> NDArray[np.datetime64]:
        """(N,) datetime64[s]."""
        return self._root["time"][:].astype("datetime64[s]")

    @cached_property
    def step(self) -> np.timedelta64:
        """Time between frames."""
        return self.time[1] - self.time[0]

    @property
    def available(self) -> NDArray[np.bool_]:
        """(N,): which frames hold data; read anew, for months are added while others read."""
        return self._root["available"][:].astype(bool)

    @cached_property
    def variables(self) -> tuple[str, ...]:
        """Auxiliary variables that the store has."""
        return tuple(name for name in AUXILIARY if name in self._root)

    @cached_property
    def attrs(self) -> dict[str, Any]:
        """Attributes of the store."""
        return dict(self._root.attrs)

    @cached_property
    def stations(self) -> StationNetwork:
        """Observation sites."""
        return read_stations(self._root)

    @property
    def station_time(self) -> NDArray[np.datetime64]:
        """(N,) datetime64[s]: of the stations' values; those of the fields in a sound store."""
        return self._root["stations/time"][:].astype("datetime64[s]")

    def units(self, name: str) -> str | None:
        """Units that the store states for a variable."""
        return self._root[name].attrs.get("units")

    def read(self, names: Sequence[str], index: Index) -> NDArray[np.float32]:
        """(len(names), len(index), H, W): unpacked fields; static ones repeat."""
        index = np.asarray(index, dtype=np.int64)
        out = np.empty((len(names), index.size, *self.grid.shape), dtype=np.float32)
        for slot, name in zip(out, names, strict=True):
            if name not in self._root:
                raise UserError(f"{self.path} has no {name}")
            variable = VARIABLES[name]
            if variable.static:
                slot[:] = variable.unpack(self._root[name][:])
            else:
                slot[:] = variable.unpack(_frames(self._root[name], index))
        return out

    def point(self, name: str, row: int, column: int) -> NDArray[np.float32]:
        """(N,): the whole series of one cell; NaN where the store holds nothing."""
        return VARIABLES[name].unpack(self._root[name][:, row, column])

    def observations(self, index: Index) -> NDArray[np.float32]:
        """(len(index), S) umol/mol."""
        return _frames(self._root["stations/co2"], np.asarray(index, dtype=np.int64))


def _frames(array: Any, index: Index) -> NDArray[Any]:
    """Rows of an array: as one slice where they are consecutive, else as they come."""
    if index.size and np.all(np.diff(index) == 1):
        return array[int(index[0]) : int(index[-1]) + 1]
    return array.oindex[index]


def open_zarr(path: str | Path, mode: str) -> Any:
    """Open a Zarr folder; UserError where there is none."""
    import zarr
    from zarr.errors import BaseZarrError

    if not Path(path).is_dir():
        raise UserError(f"no store at {path}; `co2net data list` shows what there is")
    try:
        return zarr.open_group(str(path), mode=mode)  # type: ignore[arg-type]
    except (BaseZarrError, FileNotFoundError, ValueError) as error:
        raise UserError(f"{path} is no Zarr store ({type(error).__name__})") from error


def open_store(path: str | Path) -> StoreSource:
    """Open a canonical store for reading."""
    return StoreSource(path)


def validate(source: StoreSource) -> list[str]:
    """Check a store against the schema.

    Returns
    -------
    list of str
        One line a fault; empty when the store is sound.
    """
    faults = []
    if not even_steps(source.time):
        faults.append("time: steps are not equal")
    for name in ("title", "source", "version", "licence", "simulated"):
        if name not in source.attrs:
            faults.append(f"attributes: {name} is missing")
    available = np.flatnonzero(source.available)
    if available.size == 0:
        return [*faults, "available: no frame holds data"]
    probe = available[np.linspace(0, available.size - 1, min(16, available.size)).astype(int)]
    for name in ("co2", *source.variables):
        variable = VARIABLES[name]
        units = source.units(name)
        if units != variable.units:
            faults.append(f"{name}: units are {units!r}, not {variable.units!r}")
        values = source.read([name], probe)
        if np.isnan(values).any():
            faults.append(f"{name}: {np.isnan(values).mean():.1%} of the values are missing")
        low, high = np.nanmin(values), np.nanmax(values)
        if low < variable.low or high > variable.high:
            faults.append(f"{name}: {low:g} to {high:g} {variable.units} is out of range")
    return faults
