"""Quantities of the sea as files: maps, series, sinks of basins, reefs, and El Nino.

The flux is positive into the atmosphere, which every file and figure says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from co2net.evaluation.cases import CaseSeries
from co2net.export.charts import Words, _dress, _figure, _stroke
from co2net.export.data import _axes, about, case_dataset, variable
from co2net.inference import TRUTH
from co2net.layers import DIFFERENCE
from co2net.ocean import acidity, enso, sink
from co2net.ocean.basins import basin
from co2net.ocean.engine import QUANTITIES, Ocean
from co2net.regions import Region

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

Progress = Callable[[float, str], None]
Months = NDArray[np.datetime64]

SIGN = "positive into the atmosphere"
_COLOURS = {1: "#D55E00", -1: "#0072B2"}


def about_ocean(ocean: Ocean, names: Sequence[str], title: str, place: str) -> dict[str, Any]:
    """Attributes of a file about the sea: those of all files, and what is known of the sea."""
    attrs = about(ocean.engine, names, place)
    fields = ocean.fields
    attrs["title"] = f"{title}: {', '.join(names)}"
    attrs["sea"] = f"{fields.title}; {fields.source}; {fields.note}"
    attrs["sea_licence"] = fields.licence
    attrs["transfer_law"] = ocean.settings.law
    attrs["sign"] = f"flux and difference of pCO2: {SIGN}"
    return attrs


def _attrs(quantity: str, name: str) -> dict[str, Any]:
    known = QUANTITIES[quantity]
    attrs = {"units": known.units, "long_name": f"{known.label}, {name}", "model": name}
    return attrs | ({"positive": "into the atmosphere"} if known.diverging else {})


def ocean_map_dataset(
    ocean: Ocean, quantity: str, show: str, values: NDArray[Any], month: str, time: np.datetime64
) -> xr.Dataset:
    """A map of a quantity, ``QUANTITY(time, lat, lon)``.

    Parameters
    ----------
    quantity
        Key of `QUANTITIES`.
    show
        ``truth``, a model, or ``diff:`` and a model.
    values : (H, W)
        In the units of `QUANTITIES`.
    month
        YYYY-MM, of a monthly mean; empty: the field of ``time``.
    """
    import xarray as xr

    stamp = np.datetime64(month, "M").astype("datetime64[s]") if month else time
    name = show.removeprefix(DIFFERENCE)
    long = f"{name} minus the truth" if show.startswith(DIFFERENCE) else name
    attrs = _attrs(quantity, long) | {"model": name}
    if month:
        attrs["cell_methods"] = "time: mean (month)"
    axes = _axes(ocean.engine, np.atleast_1d(stamp))
    data = xr.Dataset({quantity: (("time", "lat", "lon"), values[None], attrs)}, axes)
    when = f"mean of {month}" if month else f"{time} UTC"
    title = f"{QUANTITIES[quantity].label}, {when}"
    data.attrs = about_ocean(ocean, [show], title, "global, NaN on land")
    return data


def composite_dataset(
    ocean: Ocean, quantity: str, show: str, maps: Mapping[str, NDArray[Any]], found: enso.Composite
) -> xr.Dataset:
    """Maps of El Nino and La Nina, ``QUANTITY_nino``, ``_warm`` and ``_cold`` (lat, lon).

    Parameters
    ----------
    show
        As in `ocean_map_dataset`.
    maps : nino, warm, cold -> (H, W)
        El Nino less La Nina, and the anomaly of each.
    found
        Says which months they are means of.
    """
    import xarray as xr

    titles = {"nino": "El Nino less La Nina", "warm": "El Nino", "cold": "La Nina"}
    axes = _axes(ocean.engine, np.array([], "datetime64[s]"))
    del axes["time"]
    data = xr.Dataset(coords=axes)
    for phase, values in maps.items():
        attrs = _attrs(quantity, show)
        attrs["long_name"] = f"mean anomaly of the {attrs['long_name']}: {titles[phase]}"
        attrs["model"] = show.removeprefix(DIFFERENCE)
        data[f"{quantity}_{phase}"] = (("lat", "lon"), values, attrs)
    title = f"El Nino and La Nina, {QUANTITIES[quantity].label}"
    data.attrs = about_ocean(ocean, [show], title, "global, NaN on land")
    data.attrs |= {
        "record": found.source,
        "months_warm": " ".join(found.warm_months.astype(str)),
        "months_cold": " ".join(found.cold_months.astype(str)),
        "method": "means over these months of monthly means without seasons and trend",
    }
    return data


def ocean_series_dataset(
    ocean: Ocean,
    quantity: str,
    names: Sequence[str],
    when: NDArray[np.datetime64],
    where: str,
    point: tuple[float, float] | None = None,
    *,
    monthly: bool = False,
    progress: Progress | None = None,
) -> xr.Dataset:
    """Means over the sea of a place, or the cell at a point, ``QUANTITY_NAME(time)``.

    Parameters
    ----------
    when
        Frames, or months where ``monthly``.
    """
    import xarray as xr

    def one(name: str) -> NDArray[np.float64]:
        if not monthly and point is None:
            return ocean.series(quantity, name, where, when, progress)
        if not monthly and point is not None:
            return ocean.point(quantity, name, *point, when, progress)
        there = ocean.months(name)
        out = np.full(when.size, np.nan)
        weights = ocean.weights(where) if point is None else None
        for n, month in enumerate(when.astype("datetime64[M]").astype(str)):
            if month not in there:
                continue
            if weights is not None:
                out[n] = ocean.month_series(quantity, name, where, [month], progress)[0]
            elif point is not None:
                out[n] = ocean.month(quantity, name, month, progress)[ocean.grid.cell(*point)]
        return out

    methods = {"cell_methods": "" if point else "area: mean where sea"}
    variables = {
        variable(quantity, name): ("time", one(name), _attrs(quantity, name) | methods)
        for name in names
    }
    data = xr.Dataset(variables, _axes(ocean.engine, when.astype("datetime64[s]"), plane=False))
    place = f"cell that holds {point[0]:g} N, {point[1]:g} E" if point else basin(where).name_en
    data.attrs = about_ocean(ocean, names, QUANTITIES[quantity].label, place)
    return data


def sink_dataset(
    ocean: Ocean,
    names: Sequence[str],
    regions: Sequence[str],
    month: str,
    progress: Progress | None = None,
) -> xr.Dataset:
    """Sums of the flux over regions in a month with own error and interval, ``flux_NAME(region)``.

    All in PgC yr-1.
    """
    import xarray as xr

    table = sink.sink(ocean, names, regions, [month], progress)
    variables: dict[str, Any] = {}
    for name in names:
        rows = [row for row in table.rows if (row.what, row.period) == (name, month)]
        for part, long in (
            ("flux", "flux, a sink is negative"),
            ("error", "part that is the reconstruction's own, model minus truth"),
            ("low", "start of the 95 % interval of the flux"),
            ("high", "end of the 95 % interval of the flux"),
        ):
            attrs = {"units": "PgC yr-1", "long_name": f"{long}, {name}", "model": name}
            values = [getattr(row, part) for row in rows]
            attrs["positive"] = "into the atmosphere"
            variables[variable(part, name)] = ("region", values, attrs)
    data = xr.Dataset(variables, {"region": ("region", list(regions), {"long_name": "basin"})})
    data.attrs = about_ocean(ocean, names, f"Air-sea CO2 flux of basins, {month}", "basins")
    return data


def reef_dataset(
    ocean: Ocean, names: Sequence[str], key: str, place: Region, progress: Progress | None = None
) -> xr.Dataset:
    """Saturation of aragonite and pH of a reef's waters, ``aragonite_NAME(time)``, with trends."""
    import xarray as xr

    found = {name: acidity.watch(ocean, name, {key: place}, progress=progress)[0] for name in names}
    axis = np.unique(np.concatenate([one.months for one in found.values()]))
    variables: dict[str, Any] = {}
    for name, one in found.items():
        for quantity, trend in (("aragonite", one.aragonite_trend), ("ph", one.ph_trend)):
            values = np.full(axis.size, np.nan)
            values[np.searchsorted(axis, one.months)] = getattr(one, quantity)
            attrs = _attrs(quantity, name)
            if np.isfinite(trend.per_decade):
                attrs["trend_per_decade"] = trend.per_decade
                attrs["trend_interval_95"] = [trend.low, trend.high]
            variables[variable(quantity, name)] = ("time", values, attrs)
    data = xr.Dataset(variables, _axes(ocean.engine, axis.astype("datetime64[s]"), plane=False))
    data.attrs = about_ocean(ocean, names, "Acidity of the waters of a reef", place.name_en)
    data.attrs["thresholds"] = f"aragonite {', '.join(map(str, acidity.RISK))}"
    data.attrs["thresholds_source"] = "Guinotte, Buddemeier and Kleypas 2003"
    return data


def event_dataset(ocean: Ocean, co2: CaseSeries, flux: CaseSeries) -> xr.Dataset:
    """Daily means of a case over the sea, ``co2_NAME(time)`` and ``flux_NAME(time)``.

    Parameters
    ----------
    co2, flux
        Of the same case and days, umol mol-1 and mol m-2 yr-1.
    """
    data = case_dataset(ocean.engine, co2)
    known = about_ocean(ocean, list(flux.values), data.attrs["title"], co2.case.region)
    data.attrs |= {key: known[key] for key in ("sea", "sea_licence", "transfer_law", "sign")}
    for name, values in flux.values.items():
        methods = {"cell_methods": "area: mean where sea time: mean (day)"}
        data[variable("flux", name)] = ("time", values, _attrs("flux", name) | methods)
    return data


def nino_dataset(ocean: Ocean, nino: enso.Nino) -> xr.Dataset:
    """The Nino-3.4 index, ``anomaly(time)`` and ``index(time)``, K."""
    import xarray as xr

    index = {"units": "K", "long_name": "Nino-3.4 index, running mean of three months"}
    plain = {"units": "K", "long_name": "anomaly about the mean of the calendar month"}
    axes = _axes(ocean.engine, nino.months.astype("datetime64[s]"), plane=False)
    data = xr.Dataset(
        {"index": ("time", nino.smoothed, index), "anomaly": ("time", nino.anomaly, plain)}, axes
    )
    data.attrs = about_ocean(ocean, [TRUTH], "Nino-3.4 index", "5S-5N, 170W-120W")
    data.attrs["temperature"] = nino.source
    return data


def response_dataset(
    ocean: Ocean, quantity: str, responses: Mapping[str, enso.Response]
) -> xr.Dataset:
    """Regression of the tropical Pacific on the index by lag, ``slope_NAME(lag)``."""
    import xarray as xr

    units = f"{QUANTITIES[quantity].units} K-1"
    variables: dict[str, Any] = {}
    lags = np.arange(enso.LAGS + 1)
    for name, one in responses.items():
        for part in ("slope", "low", "high", "correlation"):
            attrs = {"units": "1" if part == "correlation" else units, "model": name}
            attrs["long_name"] = f"{part} of the regression on the index, {name}"
            variables[variable(part, name)] = ("lag", getattr(one, part), attrs)
    attrs = {"units": "months", "long_name": "months after the index"}
    data = xr.Dataset(variables, {"lag": ("lag", lags, attrs)})
    title = f"{QUANTITIES[quantity].label} after El Nino"
    data.attrs = about_ocean(ocean, list(responses), title, basin(enso.PACIFIC).name_en)
    return data


# -- figures ------------------------------------------------------------------------------------


def sink_figure(data: xr.Dataset, regions: Sequence[str], words: Words) -> Figure:
    """Bars of the flux by region, a bar a name, with intervals.

    Parameters
    ----------
    regions
        What they are called, the first on top.
    """
    names = [one.attrs["model"] for key, one in data.data_vars.items() if str(key)[:4] == "flux"]
    figure = _figure(words, 8.0, 0.14 * (len(names) + 1) * len(regions) + 1.4)
    axes = figure.add_subplot()
    high = 0.82 / len(names)
    for n, name in enumerate(names):
        at = np.arange(len(regions)) - 0.41 + (n + 0.5) * high
        values, low, top = (data[variable(p, name)].values for p in ("flux", "low", "high"))
        colour = _stroke(name)["color"]
        axes.barh(at, values, height=0.9 * high, color=colour, label=words.label(name))
        axes.hlines(at, low, top, color="#52606d", linewidth=1.2)
    axes.axvline(0, color="#52606d", linewidth=0.8)
    axes.set_yticks(range(len(regions)), list(regions))
    axes.set_ylim(len(regions) - 0.5, -0.5)
    _dress(axes, words)
    axes.legend(fontsize=8, frameon=False)
    return figure


def reef_figure(data: xr.Dataset, words: Words, labels: tuple[str, str]) -> Figure:
    """Saturation of aragonite with the thresholds of risk, and pH below it.

    Parameters
    ----------
    labels
        Of the two axes.
    """
    figure = _figure(words, 8.0, 5.6)
    panels = figure.subplots(2, 1, sharex=True)
    for axes, quantity, label in zip(panels, ("aragonite", "ph"), labels, strict=True):
        seen: list[float] = []
        for key, one in data.data_vars.items():
            if str(key).startswith(quantity):
                name, there = one.attrs["model"], np.isfinite(one.values)
                style = _stroke(name)
                if there.sum() <= 24:
                    style |= {"linestyle": "", "marker": "o", "markersize": 4}
                times = data["time"].values[there]
                axes.plot(times, one.values[there], label=words.label(name), **style)
                seen += [float(one.min()), float(one.max())]
        if quantity == "aragonite":
            near = min(acidity.RISK, key=lambda limit: abs(limit - float(np.mean(seen))))
            for limit in acidity.RISK:
                if limit == near or min(seen) < limit < max(seen):
                    axes.axhline(limit, color="#8a4b00", linewidth=1, linestyle="--")
        _dress(axes, words)
        axes.set_ylabel(label, fontsize=9)
    panels[0].set_xlabel("")
    panels[0].legend(fontsize=8, frameon=False)
    return figure


def event_figure(data: xr.Dataset, words: Words, labels: tuple[str, str]) -> Figure:
    """CO2 in the air, and the flux below it.

    Parameters
    ----------
    labels
        Of the two axes.
    """
    figure = _figure(words, 8.0, 5.6)
    panels = figure.subplots(2, 1, sharex=True)
    for axes, quantity, label in zip(panels, ("co2", "flux"), labels, strict=True):
        for key, one in data.data_vars.items():
            if str(key).startswith(f"{quantity}_"):
                name = one.attrs["model"]
                axes.plot(data["time"].values, one.values, label=words.label(name), **_stroke(name))
        _dress(axes, words)
        axes.set_ylabel(label, fontsize=9)
    panels[0].set_xlabel("")
    panels[0].legend(fontsize=8, frameon=False)
    return figure


def nino_figure(data: xr.Dataset, words: Words) -> Figure:
    """The index as bars, warm and cold, with the thresholds."""
    figure = _figure(words, 8.0, 3.2)
    axes = figure.add_subplot()
    values = data["index"].values
    colours = [_COLOURS[1 if value >= 0 else -1] for value in values]
    axes.bar(data["time"].values, values, width=np.timedelta64(28, "D"), color=colours)
    for limit in (enso.THRESHOLD, -enso.THRESHOLD):
        axes.axhline(limit, color="#52606d", linewidth=0.8, linestyle="--")
    _dress(axes, words)
    return figure


def response_figure(data: xr.Dataset, words: Words) -> Figure:
    """Slopes by lag with their intervals."""
    figure = _figure(words, 8.0, 3.8)
    axes = figure.add_subplot()
    lags = data["lag"].values
    names = [one.attrs["model"] for key, one in data.data_vars.items() if str(key)[:5] == "slope"]
    for n, name in enumerate(names):
        slope, low, high = (data[variable(p, name)].values for p in ("slope", "low", "high"))
        at = lags + 0.12 * (n - (len(names) - 1) / 2)
        style = _stroke(name)
        axes.plot(at, slope, marker="o", markersize=4, label=words.label(name), **style)
        axes.vlines(at, low, high, color=style["color"], linewidth=1)
    axes.axhline(0, color="#52606d", linewidth=0.8)
    _dress(axes, words)
    axes.legend(fontsize=8, frameon=False)
    return figure
