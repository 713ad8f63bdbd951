"""What Oceans shows, as files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np

from co2net import export
from co2net.errors import UserError
from co2net.export import ocean as files
from co2net.inference import TRUTH
from co2net.ocean import enso
from co2net.ocean.basins import basin, basins, reefs
from co2net.ocean.composites import composites
from co2net.ocean.engine import QUANTITIES, STRIDE, Ocean
from co2net.regions import Region
from dashboard.export.view import ALL, Exports, Offers
from dashboard.oceans import layers as sea
from dashboard.oceans.choices import Choices
from dashboard.oceans.layers import SHOWN
from dashboard.oceans.watch import answering
from dashboard.oceans.wording import OceanWording
from dashboard.service import Service
from dashboard.state import ViewState


class OceanExports(Exports):
    """The map, and what every panel shows."""

    offers: ClassVar[Offers] = {
        "map": ALL, "series": ALL, "sink": ALL, "acidity": ALL, "nino": ALL, "response": ALL,
    }  # fmt: skip

    def __init__(self, service: Service, state: ViewState) -> None:
        super().__init__(service, state)
        self.ocean: Ocean = service.ocean
        self.named = OceanWording(self)
        self.named.ocean = self.ocean
        self.chosen = Choices(self.state, service.source, tuple(self.ocean.months()))

    @property
    def _place(self) -> Region:
        return basin(self.chosen.place)

    def _month(self) -> str:
        month = self.chosen.month
        if not month:
            raise UserError("the data hold no whole month; add one with `co2net simulate`")
        return month

    def map(self, path: Path) -> str:
        """The map: a figure, or the field."""
        layer, ocean = self.chosen.layer, self.ocean
        values = sea.field(ocean, layer)
        time = self.service.source.time[layer.frame]
        if layer.phase:
            maps = {one: sea.field(ocean, replace(layer, phase=one)) for one in sea.PHASES}
            found = composites(ocean, layer.quantity, layer.what)
            data = files.composite_dataset(ocean, layer.quantity, layer.show, maps, found)
        else:
            args = layer.quantity, layer.show, values, layer.month, time
            data = files.ocean_map_dataset(ocean, *args)
        stamp = layer.phase or layer.month or np.datetime_as_string(time, unit="m")
        name = export.file_name(layer.quantity, layer.show, stamp, suffix=path.suffix[1:])
        if path.suffix[1:] not in export.FIGURE_FORMATS:
            export.save_data(data, path)
            return name
        shown, place = layer.display, self._place
        title = [self.named.quantity(layer.quantity), self.layer_name(layer.show)]
        panel = export.Panel(
            " · ".join([*title, self.named.place(place.key)]),
            self.named.caption(layer),
            values,
            self.named.of_layer(layer),
            sea.limits(ocean, layer, self.state),
            shown.diverging,
        )
        look = self.look(data.attrs, place)
        figure = export.map_figure(self.service.engine, [panel], look)
        export.save_figure(figure, path, data.attrs)
        return name

    def series(self, path: Path) -> str:
        """The series of the panel: of the month, or of all months."""
        state, quantity, ocean = self.state, self.chosen.quantity, self.ocean
        known = QUANTITIES[quantity]
        monthly = known.monthly_only or self.chosen.every
        if monthly:
            when = np.array(ocean.months(), dtype="datetime64[M]")
        else:
            times = ocean.times()
            last = str(times[-1].astype("datetime64[M]"))
            month = np.datetime64(self.chosen.month or last, "M")
            when = times[times.astype("datetime64[M]") == month][::STRIDE]
        names = (TRUTH, *state.models) if known.of_model else (TRUTH,)
        place = self._place
        data = files.ocean_series_dataset(
            ocean, quantity, names, when, place.key, state.point, monthly=monthly
        )
        where = self.named.place(place.key)
        if state.point is not None:
            where = "{:.1f}°, {:.1f}°".format(*state.point)
        title = (where, self.named.quantity(quantity), self.named.sign(quantity))
        words = self.words(data, title, "UTC", self.named.measured(quantity))
        self.write(path, data, lambda data: export.series_figure(data, words))
        key = place.key if state.point is None else "point{:.1f}_{:.1f}".format(*state.point)
        first = "all" if monthly else str(when[0].astype("datetime64[M]"))
        return export.file_name(quantity, "series", key, first, suffix=path.suffix[1:])

    def sink(self, path: Path) -> str:
        """The flux of the basins and of the place, where it has a sea."""
        month, ocean = self._month(), self.ocean
        regions = list(dict.fromkeys([*basins(), self._place.key]))
        try:
            ocean.weights(self._place.key)
        except UserError:
            regions = list(basins())
        names = [name for name in (TRUTH, *self.state.models) if month in ocean.months(name)]
        data = files.sink_dataset(ocean, names, regions, month)
        title = (self.t("oceans.sink_title"), self.named.month(month), self.t("oceans.sign"))
        words = self.words(data, title, self.t("oceans.sink_axis"))
        places = [self.named.place(key) for key in regions]
        self.write(path, data, lambda data: files.sink_figure(data, places, words))
        return export.file_name("sink", month, suffix=path.suffix[1:])

    def acidity(self, path: Path) -> str:
        """Saturation of aragonite and pH of the reef."""
        key, names = self.chosen.reef, (TRUTH, *self.state.models)
        data = files.reef_dataset(self.ocean, names, key, reefs()[key])
        words = self.words(data, (self.t("oceans.acidity_title", place=self.named.place(key)),))
        labels = (self.named.quantity("aragonite"), self.named.quantity("ph"))
        self.write(path, data, lambda data: files.reef_figure(data, words, labels))
        return export.file_name("acidity", key, suffix=path.suffix[1:])

    def nino(self, path: Path) -> str:
        """The index."""
        data = files.nino_dataset(self.ocean, enso.nino34(self.ocean))
        title = (self.t("oceans.chart_nino_0"),)
        words = self.words(data, title, "", self.t("oceans.nino_axis"))
        self.write(path, data, lambda data: files.nino_figure(data, words))
        return export.file_name("nino34", suffix=path.suffix[1:])

    def response(self, path: Path) -> str:
        """The regression on the index."""
        quantity = answering(self.chosen.quantity)
        found = {}
        faults = []
        for name in (TRUTH, *self.state.models):
            try:
                found[name] = enso.response(self.ocean, quantity, name)
            except UserError as error:
                faults.append(str(error))
        if not found:
            raise UserError(faults[0])
        data = files.response_dataset(self.ocean, quantity, found)
        label = f"{self.named.quantity(quantity)} ({SHOWN[quantity].unit}/K)"
        title = (self.t("oceans.nino_title"), self.named.sign(quantity))
        words = self.words(data, title, self.t("oceans.lag_axis"), label)
        self.write(path, data, lambda data: files.response_figure(data, words))
        return export.file_name("nino34", quantity, "response", suffix=path.suffix[1:])
