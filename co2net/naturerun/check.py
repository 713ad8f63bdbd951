"""How well the simulated world matches what is known: a table of values and targets.

The values come from an archive of 21 years and the yearly statistics beside it. Targets against
reference data need these (`co2net.assets.reference_path`); their rows say so where they are
absent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from co2net.assets import reference_path
from co2net.errors import UserError
from co2net.grid import LatLonGrid
from co2net.naturerun.archive import YEARS
from co2net.naturerun.fit import reference_fluxes
from co2net.naturerun.stations import load_stations
from co2net.naturerun.world import FIRST_YEAR, FRAMES_A_DAY, Progress, month_times, quiet, time_axis
from co2net.regions import region
from co2net.schema import CO2

Array = NDArray[np.float64]

NOAA_GLOBAL_MEAN = {2000: 368.8, 2010: 388.5, 2017: 405.0, 2020: 412.4}
"""NOAA's global means of marine surface CO2 (umol/mol)."""

SEASONS = (
    # south, north, amplitude (umol/mol), day of the minimum, tolerance (share or umol/mol)
    (55, 75, 16.9, 236, 0.20),
    (30, 50, 12.2, 236, 0.20),
    (5, 25, 7.0, 260, 0.20),
    (-55, -30, 1.0, 99, 0.4),
    (-75, -60, 1.5, 61, 0.4),
)
"""Detrended mean cycle of NOAA's marine boundary layer, 2000-2017."""

TRAINING_YEARS = tuple(range(2002, 2019))
TEST_YEARS = (2000, 2020)


@dataclass(frozen=True)
class CheckRow:
    """One line of the table.

    Parameters
    ----------
    name : str
    value : float
        NaN where it could not be measured.
    target : str
    unit : str
    ok : bool or None
        None where it could not be judged.
    note : str
    """

    name: str
    value: float
    target: str
    unit: str
    ok: bool | None
    note: str = ""


class _Archive:
    """Years of an archive: packed fields, statistics, reading by month."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.years = [y for y in YEARS if (folder / f"co2_{y}.npy").is_file()]
        if not self.years:
            raise UserError(f"no archive at {folder}; `co2net simulate` over years makes one")
        self.grid = LatLonGrid.ct()
        self.statistics = {}
        for year in self.years:
            with np.load(folder / f"statistics_{year}.npz", allow_pickle=False) as file:
                self.statistics[year] = {name: file[name] for name in file.files}

    def packed(self, year: int) -> NDArray[np.int16]:
        return np.load(self.folder / f"co2_{year}.npy", mmap_mode="r", allow_pickle=False)

    def month(self, year: int, month: int) -> NDArray[np.float32]:
        """(n, H, W) umol/mol."""
        times = month_times(year, month)
        start = np.searchsorted(
            time_axis(), [times[0], np.datetime64(f"{year}-01-01T01:30:00", "s")]
        )
        first = int(start[0] - start[1])
        return CO2.unpack(self.packed(year)[first : first + times.size])

    def daily(self, name: str, years: Sequence[int]) -> tuple[Array, Array]:
        """Decimal years and values of a daily statistic."""
        values = [self.statistics[y][name] for y in years]
        when = [y + (np.arange(len(v)) + 0.5) / len(v) for y, v in zip(years, values, strict=True)]
        return np.concatenate(when), np.concatenate(values)


def run_check(
    archive: str | Path,
    reference: Path | None = None,
    progress: Progress = quiet,
) -> list[CheckRow]:
    """Compare an archive with what is known.

    Parameters
    ----------
    archive
        Folder of `build_archive`, best with all of 2000-2020.
    reference
        Folder of reference data; by default where `reference_path` finds it.
    progress
        Told the share done and a line of text.

    Returns
    -------
    list of CheckRow
    """
    data = _Archive(Path(archive))
    reference = reference or reference_path()
    parts = (
        ("mass", lambda: _mass(data)),
        ("NOAA marine boundary layer", lambda: _marine(data, reference)),
        ("seasons", lambda: _seasons(data)),
        ("global mean", lambda: _global_mean(data, reference)),
        ("South Pole", lambda: _south_pole(data, reference)),
        ("fluxes", lambda: _fluxes(data, reference)),
        ("variability", lambda: _variability(data)),
        ("cases", lambda: _cases(data)),
        ("climatology", lambda: _climatology(data)),
    )
    rows: list[CheckRow] = []
    for n, (name, part) in enumerate(parts):
        progress(n / len(parts), name)
        rows += part()
    progress(1.0, "done")
    return rows


def format_table(rows: Sequence[CheckRow]) -> str:
    """The table as text."""
    width = max(len(row.name) for row in rows)
    lines = [f"{'':4} {'check':<{width}} {'value':>10}  target"]
    for row in rows:
        mark = {True: "ok", False: "MISS", None: "-"}[row.ok]
        value = "" if np.isnan(row.value) else f"{row.value:.3g}" if row.value < 1e-2 else (
            f"{row.value:.2f}"
        )  # fmt: skip
        note = f"  ({row.note})" if row.note else ""
        lines.append(f"{mark:4} {row.name:<{width}} {value:>10}  {row.target} {row.unit}{note}")
    return "\n".join(lines)


def _absent(name: str, target: str, unit: str) -> CheckRow:
    return CheckRow(name, float("nan"), target, unit, None, "reference data are absent")


def _range(name: str, value: float, low: float, high: float, unit: str, note: str = "") -> CheckRow:
    return CheckRow(name, value, f"{low:g} to {high:g}", unit, bool(low <= value <= high), note)


def _at_most(name: str, value: float, limit: float, unit: str, note: str = "") -> CheckRow:
    return CheckRow(name, value, f"at most {limit:g}", unit, bool(value <= limit), note)


# -- conservation ------------------------------------------------------------------------------


def _mass(data: _Archive) -> list[CheckRow]:
    worst = 0.0
    for year in data.years:
        mass = data.statistics[year]["mass"]
        error = np.sum(mass[:, 1] - mass[:, 0] - mass[:, 2])
        worst = max(worst, abs(error) / mass[0, 0])
    # months join without a seam: rounding at restarts must not change the mass
    ends = np.concatenate([data.statistics[y]["mass"][:, 1] for y in data.years])[:-1]
    starts = np.concatenate([data.statistics[y]["mass"][:, 0] for y in data.years])[1:]
    seam = float(np.max(np.abs(starts / ends - 1))) if _whole(data.years) else float("nan")
    courant = max(float(data.statistics[y]["courant"].max()) for y in data.years)
    return [
        _at_most("CO2 mass against integrated fluxes, worst year", worst, 1e-6, "relative"),
        _at_most("CO2 mass across restarts, worst", seam, 1e-9, "relative"),
        _at_most("Courant number along latitude, largest", courant, 1.0, ""),
    ]


def _whole(years: Sequence[int]) -> bool:
    return list(years) == list(range(years[0], years[-1] + 1))


# -- the marine surface ------------------------------------------------------------------------


def _load_marine(reference: Path) -> tuple[Array, Array, Array]:
    """NOAA MBL: decimal years (n,), CO2 (n, 41), sine of latitude (41,)."""
    import xarray as xr

    path = reference / "noaa-mbl" / "noaa_mbl_co2_surface_1979-2018.nc"
    with xr.open_dataset(path) as file:
        year = file.time.dt.year.values + (file.time.dt.dayofyear.values - 1) / 365.25
        return year, file.co2.values.astype(np.float64), file.sinlat.values.astype(np.float64)


def _monthly(when: Array, values: Array, years: Sequence[int]) -> Array:
    """(12 years, ...) means over calendar months of decimal years."""
    index = np.floor((when - years[0]) * 12 + 1e-9).astype(int)
    return np.stack([values[index == n].mean(axis=0) for n in range(12 * len(years))])


def _at_sines(marine: Array, lat: Array, sine: Array) -> Array:
    """(n, 41): zonal means (n, H) at sines of latitude."""
    wanted = np.clip(np.degrees(np.arcsin(sine)), lat[0], lat[-1])
    low = np.clip(np.searchsorted(lat, wanted, side="right") - 1, 0, lat.size - 2)
    share = (wanted - lat[low]) / (lat[low + 1] - lat[low])
    return marine[:, low] * (1 - share) + marine[:, low + 1] * share


def _sine_weights(sine: Array) -> Array:
    weights = np.ones(sine.size)
    weights[[0, -1]] = 0.5
    return weights / weights.sum()


def _marine(data: _Archive, reference: Path | None) -> list[CheckRow]:
    name, difference = "zonal marine surface against NOAA MBL, RMS", "north-south difference"
    years = [y for y in data.years if y <= 2017]
    if reference is None or not years:
        return [
            _absent(name, "at most 1.0", "ppm"),
            _absent(f"{difference}, worst year", "within 0.5", "ppm"),
        ]
    when, observed, sine = _load_marine(reference)
    inside = (when >= years[0]) & (when < years[-1] + 1)
    seen = _monthly(when[inside], observed[inside], years)
    marine = _at_sines(_monthly(*data.daily("marine", years), years), data.grid.lat, sine)
    weights = _sine_weights(sine)
    rms = float(np.sqrt(((marine - seen) ** 2 @ weights).mean()))
    bias = float(((marine - seen) @ weights).mean())

    def gap(field: Array) -> Array:
        north, south = weights * (sine > 0.01), weights * (sine < -0.01)
        yearly = field.reshape(len(years), 12, -1).mean(axis=1)
        return yearly @ (north / north.sum()) - yearly @ (south / south.sum())

    off = gap(marine) - gap(seen)
    worst = int(np.argmax(np.abs(off)))
    return [
        _at_most(name, rms, 1.0, "ppm", f"{years[0]}-{years[-1]}, bias {bias:+.2f} included"),
        _at_most(
            f"{difference}, worst year", float(np.abs(off).max()), 0.5, "ppm",
            f"{years[worst]}; mean {gap(marine).mean():.2f}, observed {gap(seen).mean():.2f}",
        ),
    ]  # fmt: skip


def mean_cycle(when: Array, values: Array) -> tuple[float, int]:
    """Peak-to-peak amplitude and day of the minimum of the detrended mean annual cycle.

    A quadratic trend and four harmonics are fitted to a series (decimal years, values).
    """
    x = when - when.mean()
    trend = [np.ones_like(x), x, x**2]
    waves = [f(2 * np.pi * h * when) for h in range(1, 5) for f in (np.cos, np.sin)]
    found = np.linalg.lstsq(np.stack(trend + waves, axis=1), values, rcond=None)[0][3:]
    day = np.arange(365) / 365.0
    cycle = sum(
        found[2 * h - 2] * np.cos(2 * np.pi * h * day)
        + found[2 * h - 1] * np.sin(2 * np.pi * h * day)
        for h in range(1, 5)
    )
    return float(np.ptp(cycle)), int(np.argmin(cycle)) + 1


def _seasons(data: _Archive) -> list[CheckRow]:
    years = [y for y in data.years if y <= 2017]
    when, marine = data.daily("marine", years)
    rows = []
    lat = data.grid.lat
    for south, north, amplitude, day, tolerance in SEASONS:
        inside = (lat > south) & (lat < north)
        weights = np.cos(np.radians(lat[inside]))
        found, minimum = mean_cycle(when, marine[:, inside] @ weights / weights.sum())
        label = f"{abs(south)}-{abs(north)}{'N' if north > 0 else 'S'}"
        margin = tolerance * amplitude if north > 0 else tolerance
        rows.append(
            _range(
                f"seasonal amplitude {label}", found, amplitude - margin, amplitude + margin, "ppm",
                f"observed {amplitude:g}",
            )
        )  # fmt: skip
        if north > 0:
            rows.append(
                _range(
                    f"day of the minimum {label}",
                    minimum,
                    day - 20,
                    day + 20,
                    "",
                    f"observed {day}",
                )
            )
    return rows


def _global_mean(data: _Archive, reference: Path | None) -> list[CheckRow]:
    """Yearly global mean of the marine surface, weighted by sine of latitude."""
    sine = np.linspace(-1, 1, 41)
    weights = _sine_weights(sine)
    model = {}
    for year in data.years:
        yearly = data.statistics[year]["marine"].mean(axis=0)
        model[year] = float(_at_sines(yearly[None], data.grid.lat, sine)[0] @ weights)
    rows = [
        _range(f"global mean {year}", model[year], value - 1, value + 1, "ppm")
        for year, value in NOAA_GLOBAL_MEAN.items()
        if year in model
    ]
    name = "global mean against NOAA MBL, worst year"
    if reference is None:
        return [*rows, _absent(name, "within 1.0", "ppm")]
    when, observed, _ = _load_marine(reference)
    off = {}
    for year in (y for y in data.years if y <= 2017):
        inside = (when >= year) & (when < year + 1)
        off[year] = model[year] - float((observed[inside] @ weights).mean())
    worst = max(off, key=lambda y: abs(off[y]))
    return [*rows, _at_most(name, abs(off[worst]), 1.0, "ppm", f"{worst}: {off[worst]:+.2f}")]


def _south_pole(data: _Archive, reference: Path | None) -> list[CheckRow]:
    name = "South Pole against CT2019B, daily RMS"
    if reference is None:
        return [_absent(name, "at most 1.0", "ppm")]
    import xarray as xr

    with xr.open_dataset(reference / "carbontracker-derived" / "spo_ts_daily.nc") as file:
        days = file.time.values.astype("datetime64[D]")
        seen = dict(zip(days, file["CO2"].values, strict=True))
    errors = []
    for year in data.years:
        values = data.statistics[year]["south_pole"]
        for n, day in enumerate(np.datetime64(f"{year}-01-01", "D") + np.arange(len(values))):
            if day in seen and np.isfinite(seen[day]):
                errors.append(values[n] - seen[day])
    error = np.array(errors)
    return [
        _at_most(
            name, float(np.sqrt((error**2).mean())), 1.0, "ppm",
            f"bias {error.mean():+.2f}, {error.size} days",
        )
    ]  # fmt: skip


def _fluxes(data: _Archive, reference: Path | None) -> list[CheckRow]:
    rows = []
    if reference is None:
        return [_absent("monthly fluxes by latitude against CT2019B", "at most 0.10", "relative")]
    seen = reference_fluxes(reference)
    years = [y for y in data.years if y <= 2018]
    index = np.concatenate([12 * (y - FIRST_YEAR) + np.arange(12) for y in years])
    both: dict[str, tuple[Array, Array]] = {}
    for name, flux in seen.items():
        made = np.concatenate([data.statistics[y][f"flux_{name}"] for y in years])
        both[name] = made, flux[index]
    pairs = list(both.values())
    both["total"] = np.sum([p[0] for p in pairs], axis=0), np.sum([p[1] for p in pairs], axis=0)
    for name, (made, true) in both.items():
        error = float(np.sqrt(((made - true) ** 2).mean() / (true**2).mean()))
        rows.append(
            _at_most(
                f"monthly {name} flux by 2-degree band against CT2019B", error, 0.10,
                "RMS error over RMS",
                f"sum {made.sum(axis=1).mean():.2f}, CT {true.sum(axis=1).mean():.2f} PgC/yr",
            )
        )  # fmt: skip
    return rows


# -- alive -------------------------------------------------------------------------------------


def _variability(data: _Archive) -> list[CheckRow]:
    rows = []
    grid = data.grid
    continental = (grid.land_fraction > 0.9) & (np.abs(grid.lat[:, None] - 47) < 14)
    year = 2020 if 2020 in data.years else data.years[-1]
    july = data.month(year, 7).reshape(-1, FRAMES_A_DAY, *grid.shape)
    swing = (july.max(axis=1) - july.min(axis=1)).mean(axis=0)[continental]
    rows.append(
        _range(
            f"day-night swing July {year}, land 33-61N, median", float(np.median(swing)), 10, 40,
            "ppm", f"5-95 %: {np.percentile(swing, 5):.0f}-{np.percentile(swing, 95):.0f}",
        )
    )  # fmt: skip
    for month, label in ((1, "January"), (7, "July")):
        x = data.month(year, month).reshape(-1, FRAMES_A_DAY, *grid.shape).mean(axis=1)
        spans = [np.ptp(x[n : n + 7], axis=0)[continental] for n in range(0, 28, 7)]
        rows.append(
            _range(
                f"weekly range of daily means {label} {year}, land 33-61N, median",
                float(np.median(spans)), 5, 15, "ppm",
            )
        )  # fmt: skip
    for year, low, high in ((2000, 355, 390), (2020, 380, 440)):
        if year not in data.years:
            continue
        maps = np.stack([data.month(year, m).mean(axis=0) for m in (1, 7)])
        order = np.argsort(maps, axis=None)
        share = np.cumsum(np.broadcast_to(grid.weights, maps.shape).ravel()[order])
        at = np.searchsorted(share, np.array([0.005, 0.995]) * share[-1])
        found = maps.ravel()[order[at]]
        frames = data.statistics[year]["percentiles"]
        note = f"of all frames {frames[:, 0].min():.0f}-{frames[:, 4].max():.0f}"
        rows.append(
            _range(
                f"0.5 % of mean maps, January and July {year}",
                float(found[0]),
                low - 10,
                low + 10,
                "ppm",
                note,
            )
        )
        rows.append(
            _range(
                f"99.5 % of mean maps, January and July {year}",
                float(found[1]),
                high - 10,
                high + 10,
                "ppm",
            )
        )
    return rows


_REGIONS = (
    ("southeast-asia", 2000, 7, 380, 390),
    ("southeast-asia", 2020, 7, 420, 440),
    ("north-america", 2000, 7, 355, 370),
    ("north-america", 2020, 7, 395, 410),
)


def _cases(data: _Archive) -> list[CheckRow]:
    rows = []

    def weights_of(key: str) -> Array:
        weights = region(key).mask(data.grid) * data.grid.area
        return weights / weights.sum()

    def daily(key: str, year: int, month: int) -> Array:
        x = data.month(year, month)
        weights = weights_of(key)
        return (x * weights).sum(axis=(1, 2)).reshape(-1, FRAMES_A_DAY).mean(axis=1)

    if 2019 in data.years:
        x = daily("amazon", 2019, 8)
        note = "daily means"
        rows.append(
            _range("Amazon 5-10 Aug 2019, rise", float(x[5:10].max() - x[4]), 15, 25, "ppm", note)
        )
        rows.append(
            _range("Amazon 5-10 Aug 2019, highest", float(x[5:10].max()), 433, 447, "ppm", note)
        )
    if 2020 in data.years:
        x = daily("california", 2020, 10)
        rows.append(
            _range("California 11-30 Oct 2020, highest", float(x[10:30].max()), 414, 422, "ppm")
        )
        rise = float(x[20:30].mean() - x[10:13].mean())
        rows.append(
            _range(
                "California 11-30 Oct 2020, rise", rise, 1, 10, "ppm", "last 10 days over first 3"
            )
        )
        x = daily("siberia", 2020, 6)
        rows.append(_range("Siberia 3-23 June 2020, fall", float(x[2] - x[22]), 7, 14, "ppm"))
        rows.append(_range("Siberia 23 June 2020", float(x[22]), 398, 410, "ppm"))
    for key, year, month, low, high in _REGIONS:
        if year in data.years:
            mean = float((data.month(year, month).mean(axis=0) * weights_of(key)).sum())
            label = region(key).name_en
            rows.append(_range(f"{label}, July {year}", mean, low, high, "ppm"))
    return rows


def climatology_error(data: _Archive, year: int, stride: int = 11) -> tuple[float, float, float]:
    """What climatology and trend leave: global, ocean and land RMSE (umol/mol) of a year.

    The climatology is the mean of the training years by month and hour; the trend is the mean
    offset of the stations at each frame.
    """
    grid = data.grid
    training = [y for y in TRAINING_YEARS if y in data.years]
    mean = np.mean([data.statistics[y]["hourly"] for y in training], axis=0)
    rows, columns = load_stations().cells(grid)
    packed = data.packed(year)
    times = time_axis()
    first = int(np.searchsorted(times, np.datetime64(f"{year}-01-01", "s")))
    months = times[first : first + packed.shape[0]].astype("datetime64[M]").astype(int) % 12
    errors = []
    land = grid.land_fraction
    for n in range(0, packed.shape[0], stride):
        rest = CO2.unpack(packed[n]) - mean[months[n], n % FRAMES_A_DAY]
        rest = rest - rest[rows, columns].mean()
        square = rest**2
        errors.append(
            [
                np.sqrt(np.average(square, weights=grid.weights * w))
                for w in (1 + 0 * land, 1 - land, land)
            ]
        )
    world, ocean, ground = np.mean(errors, axis=0)
    return float(world), float(ocean), float(ground)


def _climatology(data: _Archive) -> list[CheckRow]:
    if not any(y in data.years for y in TRAINING_YEARS):
        return []
    rows = []
    for year in TEST_YEARS:
        if year in data.years:
            world, ocean, land = climatology_error(data, year)
            rows.append(
                CheckRow(
                    f"RMSE that climatology and trend leave, {year}", world, "at least 3.0", "ppm",
                    world >= 3.0, f"ocean {ocean:.2f}, land {land:.2f}",
                )
            )  # fmt: skip
    return rows
