"""Fields of the ocean by name and time, for truth and models: what the page and the commands ask.

An `Ocean` joins a data set, its models and what is known of the sea. Sea fields are monthly, and
a month's value holds for the month; wind, pressure and CO2 are those of the frame. A model's
error in CO2 is therefore an error in the flux, and a month of a model is the month of the truth
plus the mean difference over every `STRIDE`\\ th frame.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from co2net.errors import UserError
from co2net.inference import TRUTH, Engine
from co2net.naturerun.ocean import LEAST_SEA
from co2net.ocean import flux
from co2net.ocean.basins import basin
from co2net.ocean.fields import OceanFields, SeaState, as_month
from co2net.ocean.simulated import own_ocean
from co2net.regions import Region
from co2net.source import frame_index

Float = NDArray[np.float32]
Double = NDArray[np.float64]
Times = NDArray[np.datetime64]
Progress = Callable[[float, str], None]

STRIDE = 9
"""Frames between those on which a model and the truth are compared in a month: with three-hourly
ones, all hours of the day in turn."""
_CHUNK = 40
_BATCH = 4
_KEPT = 160  # results kept in memory, 43 to 430 kB each on the grid of 2 x 3 degrees
_KEPT_SAMPLES = 16  # months of differences at frames, 1.2 MB each


@dataclass(frozen=True)
class Quantity:
    """One thing that can be shown of the ocean.

    Parameters
    ----------
    key, units, label
        Its name in addresses, CF units, and for people.
    diverging : bool
        Whether zero is the middle of its scale.
    of_model : bool
        Whether it differs between truth and models.
    monthly_only : bool
        Whether there is one map a month.
    """

    key: str
    units: str
    label: str
    diverging: bool = False
    of_model: bool = False
    monthly_only: bool = False


QUANTITIES: dict[str, Quantity] = {
    q.key: q
    for q in (
        Quantity("flux", "mol m-2 yr-1", "air-sea CO2 flux, positive into the air", True, True),
        Quantity("delta_pco2", "uatm", "pCO2 of the sea minus that of the air", True, True),
        Quantity("pco2_air", "uatm", "pCO2 of the surface air", of_model=True),
        Quantity("pco2_sea", "uatm", "pCO2 of the surface sea", monthly_only=True),
        Quantity("co2", "umol mol-1", "surface CO2 over the sea", of_model=True),
        Quantity("ph", "1", "surface pH, total scale", of_model=True, monthly_only=True),
        Quantity(
            "aragonite", "1", "saturation state of aragonite", of_model=True, monthly_only=True
        ),
        Quantity(
            "ph_error", "1", "error of pH from that of the CO2", of_model=True, monthly_only=True
        ),
        Quantity("alkalinity", "umol kg-1", "total alkalinity", monthly_only=True),
        Quantity("sst", "degC", "sea surface temperature", monthly_only=True),
        Quantity("salinity", "1", "practical salinity", monthly_only=True),
        Quantity("ice", "1", "share of the sea under ice", monthly_only=True),
        Quantity("transfer", "cm h-1", "gas transfer velocity"),
    )
}
"""Everything that can be asked for, by key."""

_OF_STATE = {"pco2_sea": "pco2", "sst": "sst", "salinity": "salinity", "ice": "ice"}
_FORCING = ("eastward_wind", "northward_wind", "air_pressure", "air_temperature")
_OF_AIR = ("co2", "pco2_air", "delta_pco2", "flux")


class Ocean:
    """Fields of the ocean on a data set. All methods may be called from several threads.

    Parameters
    ----------
    engine
        Data set and models.
    fields
        The sea. None: the embedded world's own, for a store of it.
    settings
        Transfer law and the like. None: those that belong to ``fields``.
    stride
        Frames between those on which a model and the truth are compared in a month.

    Raises
    ------
    UserError
        When the data set has no wind, or no sea is known for it.
    """

    def __init__(
        self,
        engine: Engine,
        fields: OceanFields | None = None,
        settings: flux.FluxSettings | None = None,
        stride: int = STRIDE,
    ) -> None:
        source = engine.source
        self.stride = stride
        lacking = [n for n in ("eastward_wind", "northward_wind") if n not in source.variables]
        if lacking:
            raise UserError(
                f"the data set has no {' and '.join(lacking)}; a flux needs the wind over the sea"
            )
        known = fields if fields is not None else own_ocean(source)
        if known is None:
            raise UserError(
                "nothing is known of the sea for this data set; give a product of pCO2 and sea "
                "surface temperature with --ocean"
            )
        if known.grid != engine.grid:
            raise UserError(f"the sea lies on {known.grid!r}, the data on {engine.grid!r}")
        self.engine = engine
        self.fields: OceanFields = known
        self.settings = settings or known.settings
        share = 1.0 - self.grid.land_fraction
        self.sea: Double = np.where(share >= LEAST_SEA, share, 0.0) * self.grid.area
        """(H, W) m2 of sea in every cell."""
        self._kept: OrderedDict[Hashable, Any] = OrderedDict()
        self._samples: OrderedDict[Hashable, Any] = OrderedDict()
        self._lock = Lock()

    @property
    def grid(self) -> Any:
        """Cells of every field."""
        return self.engine.grid

    # -- when -------------------------------------------------------------------------------

    def times(self, what: str = TRUTH) -> Times:
        """(n,) the frames of a model, or of the truth, of whose month the sea is known."""
        times = self.engine.times(what)
        return times[np.isin(times.astype("datetime64[M]"), self.fields.months)]

    def months(self, what: str = TRUTH) -> list[str]:
        """Months (YYYY-MM) of which every frame is there, but for a model's first window."""
        axis = self.engine.source.time.astype("datetime64[M]")
        names, held = np.unique(axis, return_counts=True)
        there = dict(zip(*np.unique(self.times(what).astype("datetime64[M]"), return_counts=True),
                         strict=True))  # fmt: skip
        lost = 0 if what == TRUTH else 2 * STRIDE
        return [
            str(m) for m, n in zip(names, held, strict=True) if there.get(m, 0) >= max(1, n - lost)
        ]

    # -- fields -----------------------------------------------------------------------------

    def field(self, quantity: str, what: str, time: ArrayLike) -> Float:
        """(H, W): one field; see `frames`."""
        return self.frames(quantity, what, np.asarray(time))[0]

    def frames(
        self, quantity: str, what: str, times: ArrayLike, progress: Progress | None = None
    ) -> Float:
        """(n, H, W): a quantity at frames of the data set, NaN on land.

        Parameters
        ----------
        quantity
            Key of `QUANTITIES`; of those with one map a month, that of the month.
        what
            ``truth`` or a model.
        times : (n,) datetime64
        progress
            Told the share done; what it raises ends the work.

        Raises
        ------
        UserError
            When a frame cannot be had, or the sea is not known in its month.
        """
        _known(quantity)
        wanted = np.atleast_1d(np.asarray(times, dtype="datetime64[s]"))
        out = np.full((wanted.size, *self.grid.shape), np.nan, dtype=np.float32)
        if not QUANTITIES[quantity].monthly_only:
            self.engine.check(what if quantity in _OF_AIR else TRUTH, wanted)
        done = 0
        for month, rows in self._by_month(wanted):
            if QUANTITIES[quantity].monthly_only:
                out[rows] = self.month(quantity, what, month)
            else:
                out[rows] = self._air(quantity, what, wanted[rows], self._state(month))
            done += rows.size
            if progress is not None:
                progress(done / wanted.size, str(wanted[rows[-1]]))
        return out

    def month(
        self, quantity: str, what: str, month: str | np.datetime64, progress: Progress | None = None
    ) -> Float:
        """(H, W): mean of a quantity over a month, NaN on land; kept for the next call.

        The truth's flux in the embedded world is the one that its transport was given. A model's
        is the truth's plus their mean difference over every `STRIDE`\\ th frame.
        """
        _known(quantity)
        month = as_month(month)
        if not QUANTITIES[quantity].of_model:
            what = TRUTH
        key = (quantity, what, self.digest(what), month)
        found = self._get(key)
        if found is None:
            values = self._mean(quantity, what, month, progress)
            found = np.where(self.sea > 0, values, np.nan).astype(np.float32)
            found.setflags(write=False)
            self._put(key, found)
        return found

    def _mean(
        self, quantity: str, what: str, month: np.datetime64, progress: Progress | None
    ) -> NDArray[Any]:
        if quantity in _OF_STATE:
            return getattr(self._state(month), _OF_STATE[quantity])
        if quantity in ("ph", "aragonite", "alkalinity"):
            return self.chemistry(what, month, progress)[quantity]
        if quantity == "ph_error":
            return self.ph_error(what, month, progress)
        if what != TRUTH:
            error = self.error(quantity, what, month, progress)[1].mean(axis=0)
            return self.month(quantity, TRUTH, month) + error
        given = getattr(self.fields, "month_flux", None)
        if quantity == "flux" and given is not None and self.settings == self.fields.settings:
            return given(month)
        times = self._frames_of(month, TRUTH)
        total = np.zeros(self.grid.shape)
        for start in range(0, times.size, _CHUNK):
            part = times[start : start + _CHUNK]
            total += self._air(quantity, TRUTH, part, self._state(month)).sum(axis=0)
            if progress is not None:
                progress(min(1.0, (start + _CHUNK) / times.size), str(month))
        return total / times.size

    def error(
        self,
        quantity: str,
        what: str,
        month: str | np.datetime64,
        progress: Progress | None = None,
    ) -> tuple[Times, Float]:
        """(n,) frames of a month and (n, H, W) a model minus the truth at them.

        Every ``stride``\\ th frame that the model can give, from the first of the month.
        """
        month = as_month(month)
        times = self._frames_of(month, what)[:: self.stride]
        key = ("difference", what, self.digest(what), month)
        found = self._get(key)
        if found is None:
            found = np.empty((times.size, *self.grid.shape), dtype=np.float32)
            for start in range(0, times.size, _BATCH):
                part = slice(start, start + _BATCH)
                model, truth = (self.engine.sample(name, times[part]) for name in (what, TRUTH))
                found[part] = model - truth
                if progress is not None:
                    progress(min(1.0, (start + _BATCH) / times.size), f"{what} {month}")
            self._put(key, found)
        if quantity == "co2":
            return times, found
        state = self._state(month)
        air = self._forcing(times, apart=True)
        dry = self._dry(air, state)
        if quantity == "pco2_air":
            return times, (found * dry).astype(np.float32)
        if quantity == "delta_pco2":
            return times, (-found * dry).astype(np.float32)
        if quantity == "flux":
            k = self._transfer(air, state)
            skin_t = state.sst - self.settings.cool_skin
            skin_s = state.salinity + self.settings.salty_skin
            g = flux.conductance(k, flux.solubility(skin_t, skin_s), state.ice)
            return times, (-g * found * dry).astype(np.float32)
        raise UserError(f"{quantity} has no error that comes from the air")

    def state(self, month: str | np.datetime64) -> SeaState:
        """The sea in a month."""
        return self._state(as_month(month))

    def chemistry(
        self, what: str, month: str | np.datetime64, progress: Progress | None = None
    ) -> dict[str, Double]:
        """Maps (H, W) of ph, aragonite and alkalinity in a month; kept.

        A model's sea differs from the truth's by the model's mean error in the pCO2 of the air:
        the surface is taken to follow the air that the model reconstructs.
        """
        from co2net.ocean import acidity

        month = as_month(month)
        key = ("chemistry", what, self.digest(what), month)
        found = self._get(key)
        if found is None:
            pco2 = self.followed(what, month, progress)
            found = acidity.maps(self._state(month), pco2, self.grid, self.sea > 0)
            self._put(key, found)
        return found

    def ph_error(
        self, what: str, month: str | np.datetime64, progress: Progress | None = None
    ) -> Double:
        """(H, W): what a model's error in the air's pCO2 is worth in pH; zero for the truth.

        The root mean square error over every `STRIDE`\\ th frame of the month, propagated through
        the carbonate system at the month's state. Errors of the sea itself have no part in it.
        """
        from co2net.ocean import acidity

        month = as_month(month)
        if what == TRUTH:
            return np.where(self.sea > 0, 0.0, np.nan)
        error = self.error("pco2_air", what, month, progress)[1].astype(np.float64)
        sd = np.sqrt((error**2).mean(axis=0))
        return acidity.propagated(self._state(month), sd, self.grid, self.sea > 0)

    def followed(
        self, what: str, month: str | np.datetime64, progress: Progress | None = None
    ) -> Double:
        """(H, W) uatm: pCO2 of the sea, with a model's mean error in the air's added to it."""
        month = as_month(month)
        pco2 = self._state(month).pco2
        if what == TRUTH:
            return pco2
        return pco2 + self.error("pco2_air", what, month, progress)[1].mean(axis=0)

    # -- series -----------------------------------------------------------------------------

    def weights(self, where: str | Region) -> Double:
        """(H, W) m2: the sea of a region.

        Raises
        ------
        UserError
            When there is no such region, or it holds no sea.
        """
        place = basin(where) if isinstance(where, str) else where
        inside = replace(place, surface="all").mask(self.grid)
        weights = inside * self.sea * (place.surface != "land")
        if weights.sum() <= 0:
            raise UserError(f"{place.name_en} holds no sea; choose a box that reaches the ocean")
        return weights

    def series(
        self,
        quantity: str,
        what: str,
        where: str | Region,
        times: ArrayLike,
        progress: Progress | None = None,
    ) -> Double:
        """(n,): means over the sea of a region at frames; NaN where a frame cannot be had."""
        return self._some(quantity, what, self.weights(where), times, progress)

    def point(
        self,
        quantity: str,
        what: str,
        lat: float,
        lon: float,
        times: ArrayLike,
        progress: Progress | None = None,
    ) -> Double:
        """(n,): the cell that holds a point, at frames; NaN where a frame cannot be had."""
        row, column = self.grid.cell(lat, lon)
        weights = np.zeros(self.grid.shape)
        weights[row, column] = self.sea[row, column]
        if weights.sum() <= 0:
            raise UserError(f"there is no sea at {lat:g}, {lon:g}; choose a point on the ocean")
        return self._some(quantity, what, weights, times, progress)

    def month_series(
        self,
        quantity: str,
        what: str,
        where: str | Region,
        months: Sequence[str | np.datetime64],
        progress: Progress | None = None,
    ) -> Double:
        """(n,): monthly means over the sea of a region."""
        weights = self.weights(where)
        out = np.empty(len(months))
        for n, month in enumerate(months):
            out[n] = sea_mean(self.month(quantity, what, month), weights)
            if progress is not None:
                progress((n + 1) / len(months), str(month))
        return out

    def _some(
        self,
        quantity: str,
        what: str,
        weights: Double,
        times: ArrayLike,
        progress: Progress | None,
    ) -> Double:
        wanted = np.atleast_1d(np.asarray(times, dtype="datetime64[s]"))
        _known(quantity)
        out = np.full(wanted.size, np.nan)
        possible = np.flatnonzero(np.isin(wanted, self.times(what)))
        for start in range(0, possible.size, _CHUNK):
            part = possible[start : start + _CHUNK]
            out[part] = sea_mean(self.frames(quantity, what, wanted[part]), weights)
            if progress is not None:
                progress(min(1.0, (start + _CHUNK) / possible.size), str(wanted[part[-1]]))
        return out

    # -- parts ------------------------------------------------------------------------------

    def _state(self, month: np.datetime64) -> SeaState:
        return self.kept(("state", month), lambda: self.fields.state(month))

    def _frames_of(self, month: np.datetime64, what: str) -> Times:
        times = self.times(what)
        times = times[times.astype("datetime64[M]") == month]
        if times.size == 0:
            raise UserError(
                f"there are no frames of {what} in {month}; in the embedded world `co2net "
                f"simulate --start {month}-01 --end {month}-28` adds the month"
            )
        return times

    def _air(self, quantity: str, what: str, times: Times, state: SeaState) -> NDArray[Any]:
        """(n, H, W): a quantity that changes with the frame."""
        if quantity == "co2":
            return np.where(self.sea > 0, self.engine.fields(what, times), np.nan)
        forcing = self._forcing(times)
        if quantity == "transfer":
            return np.where(self.sea > 0, self._transfer(forcing, state), np.nan)
        air = self.engine.fields(what, times) * self._dry(forcing, state)
        if quantity == "pco2_air":
            return air
        if quantity == "delta_pco2":
            return state.pco2 - air
        k = self._transfer(forcing, state)
        args = (state.sst, state.salinity, state.ice)
        return flux.bulk_flux(k, state.pco2, air, *args, settings=self.settings)

    def _forcing(self, times: Times, apart: bool = False) -> dict[str, Float]:
        """Name -> (n, H, W): wind, pressure and temperature; ``apart`` for frames far apart."""
        names = [name for name in _FORCING if name in self.engine.source.variables]
        if apart:
            index = frame_index(self.engine.source, times)
            return dict(zip(names, self.engine.source.read(names, index), strict=True))
        return {name: self.engine.fields(name, times) for name in names}

    def _transfer(self, forcing: dict[str, Float], state: SeaState) -> Double:
        speed = self.settings.wind_speed(forcing["eastward_wind"], forcing["northward_wind"])
        k = flux.transfer_velocity(self.settings.law, state.sst, speed)
        return k if state.exchange is None else k * state.exchange

    def _dry(self, forcing: dict[str, Float], state: SeaState) -> Double:
        """(n, H, W) atm: pressure at sea level less that of the vapour over the skin."""
        pressure: NDArray[Any] = np.full((1, 1, 1), flux.ATMOSPHERE)
        if "air_pressure" in forcing:
            pressure = forcing["air_pressure"]
            if "air_temperature" in forcing and "surface_altitude" in self.engine.source.variables:
                warmth = forcing["air_temperature"]
                pressure = flux.sea_level_pressure(pressure, self._altitude(), warmth)
        skin_t = state.sst - self.settings.cool_skin
        skin_s = state.salinity + self.settings.salty_skin
        return pressure / flux.ATMOSPHERE - flux.vapour_pressure(skin_t, skin_s)

    def _altitude(self) -> NDArray[Any]:
        def read() -> NDArray[Any]:
            first = np.flatnonzero(self.engine.source.available)[:1]
            return self.engine.source.read(["surface_altitude"], first)[0, 0]

        return self.kept("altitude", read)

    def _by_month(self, times: Times) -> Iterator[tuple[np.datetime64, NDArray[np.int64]]]:
        months = times.astype("datetime64[M]")
        for month in np.unique(months):
            rows = np.flatnonzero(months == month)
            for start in range(0, rows.size, _CHUNK):
                yield month, rows[start : start + _CHUNK]

    # -- memory -----------------------------------------------------------------------------

    def kept(self, key: Hashable, compute: Callable[[], Any]) -> Any:
        """What was computed for a key, or is now; the least recently used goes first."""
        found = self._get(key)
        if found is None:
            found = compute()
            self._put(key, found)
        return found

    def digest(self, what: str) -> str:
        """Fingerprint of a model; empty for the truth."""
        return "" if what == TRUTH else self.engine.model(what).info.digest

    def _shelf(self, key: Hashable) -> tuple[OrderedDict[Hashable, Any], int]:
        if isinstance(key, tuple) and key[0] == "difference":
            return self._samples, _KEPT_SAMPLES
        return self._kept, _KEPT

    def _get(self, key: Hashable) -> Any:
        shelf, _ = self._shelf(key)
        with self._lock:
            if key in shelf:
                shelf.move_to_end(key)
            return shelf.get(key)

    def _put(self, key: Hashable, value: Any) -> None:
        shelf, limit = self._shelf(key)
        with self._lock:
            shelf[key] = value
            while len(shelf) > limit:
                shelf.popitem(last=False)


def sea_mean(fields: NDArray[Any], weights: Double) -> Double:
    """(...,): means of fields (..., H, W) over cells that have a value, by their sea (H, W)."""
    there = np.isfinite(fields)
    total = (np.where(there, fields, 0.0) * weights).sum(axis=(-2, -1), dtype=np.float64)
    weight = (there * weights).sum(axis=(-2, -1), dtype=np.float64)
    return np.where(weight > 0, total / np.maximum(weight, 1e-30), np.nan)


def _known(quantity: str) -> None:
    if quantity not in QUANTITIES:
        raise UserError(
            f"'{quantity[:40]}' is nothing of the ocean; choose {', '.join(QUANTITIES)}"
        )
