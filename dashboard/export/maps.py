"""What Explore and Compare show, as files."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from co2net import export
from co2net.errors import UserError
from co2net.layers import DIFFERENCE, SPREAD, TRUTH, display, nice_limits
from co2net.regions import region
from dashboard.export.view import ALL, Exports, Offers
from dashboard.numbers import FRAMES


class MapExports(Exports):
    """What both pages have."""

    def layers(self) -> tuple[str, ...]:
        """What the maps show."""
        raise NotImplementedError

    def names(self) -> tuple[str, ...]:
        """The truth and the models of the series."""
        shown = (name.rpartition(":")[2] for name in self.layers()[:1])
        known = [name for name in (*shown, *self.state.models) if name in self.state.world.models]
        return (TRUTH, *dict.fromkeys(known))

    @property
    def time(self) -> np.datetime64:
        """Of the view."""
        return self.service.source.time[self.state.frame]

    def span(self) -> NDArray[np.int64]:
        """Frames with data within the span about the time."""
        source, index = self.service.source, self.state.frame
        reach = int(np.timedelta64(12 * self.state.span, "h") / source.step)
        frames = np.arange(max(0, index - reach), min(source.time.size, index + reach + 1))
        return frames[source.available[frames]]

    def judged(self) -> NDArray[np.datetime64]:
        """Times of the span that scores read: all, or every k-th, k odd."""
        frames = self.span()
        every = -(-frames.size // FRAMES)
        return self.service.source.time[frames[:: every + (every + 1) % 2]]

    def days(self, times: NDArray[np.datetime64]) -> str:
        """First and last day."""
        ends = np.searchsorted(self.service.source.time, times[[0, -1]])
        return self.span_name((int(ends[0]), int(ends[1])))

    def map(self, path: Path) -> str:
        """The maps of the page at the time: a figure, or the fields themselves."""
        engine, layers, time = self.service.engine, self.layers(), self.time
        place, frame = region(self.state.region), self.state.frame
        stamp = np.datetime_as_string(time, unit="m")
        name = export.file_name(*(layers if len(layers) == 1 else ("compare",)), stamp,
                                suffix=path.suffix[1:])  # fmt: skip
        attrs = export.about(engine, layers, place.name_en)
        attrs["title"] += f" at {stamp} UTC"
        if path.suffix[1:] not in export.FIGURE_FORMATS:
            data = export.fields_dataset(engine, layers, time)
            export.save_data(data, path)
            return name
        found = self.service.frame(layers, frame, patience=None, wind=self.state.wind)
        for fault in found.faults.values():
            raise UserError(fault)
        look = self.look(attrs, place)
        look.wind = found.wind
        panels = []
        for layer, field, sites in zip(layers, found.fields, found.sites, strict=True):
            shown = display(layer)
            plain = (field - shown.shift) / shown.factor
            panel = self.panel(layer, time, plain, self.limits(layer, frame), place)
            panel.sites = sites
            panels.append(panel)
        export.save_figure(export.map_figure(engine, panels, look), path, attrs)
        return name

    def series(self, path: Path) -> str:
        """Series of the truth and the models at the point, or over the region, in the span."""
        state, times = self.state, self.service.source.time[self.span()]
        data = export.series_dataset(
            self.service.engine, self.names(), times, state.point, state.region
        )
        place = self.place(region(state.region))
        if state.point is not None:
            place = f"{float(data.lat):.1f}°, {float(data.lon):.1f}°"
        words = self.words(data, (place, self.days(times)), "UTC", f"{self.t('map.co2')} (ppm)")
        self.write(path, data, lambda data: export.series_figure(data, words))
        where = state.region if state.point is None else "point{:.1f}_{:.1f}".format(*state.point)
        first = np.datetime_as_string(times[0], unit="D")
        return export.file_name("series", where, first, suffix=path.suffix[1:])

    def animation(self, path: Path) -> str:
        """The first map over the span."""
        layers = self.layers()[:1]
        limits = [self.limits(layer, self.state.frame) for layer in layers]
        return self.animate(path, layers, self.span(), limits, region(self.state.region))


class ExploreExports(MapExports):
    """Explore."""

    offers: ClassVar[Offers] = {
        "map": ALL, "series": ALL, "histogram": ALL, "hovmoller": ALL,
        "animation": export.ANIMATION_FORMATS,
    }  # fmt: skip

    def layers(self) -> tuple[str, ...]:
        """See `MapExports`."""
        state = self.state
        return (SPREAD + ",".join(state.models) if state.show == SPREAD else state.show,)

    def histogram(self, path: Path) -> str:
        """Shares of the region's area by CO2, of the truth and the models."""
        engine, time, place = self.service.engine, self.time, region(self.state.region)
        there = [name for name in self.names() if time in engine.times(name)]
        inside = engine.field(TRUTH, time)[place.mask(engine.grid) > 0]
        edges = np.linspace(*nice_limits(float(inside.min()), float(inside.max())), 41)
        data = export.histogram_dataset(engine, there, time, place.key, edges)
        words = self.words(
            data,
            (self.place(place), self.when(self.state.frame)),
            f"{self.t('map.co2')} (ppm)",
            self.t("inspector.share"),
        )
        self.write(path, data, lambda data: export.histogram_figure(data, "co2", words))
        stamp = np.datetime_as_string(time, unit="m")
        return export.file_name("histogram", place.key, stamp, suffix=path.suffix[1:])

    def hovmoller(self, path: Path) -> str:
        """Zonal means of the layer over the region, latitude against time."""
        (layer,) = self.layers()
        times, place = self.service.source.time[self.span()], region(self.state.region)
        data = export.hovmoller_dataset(self.service.engine, layer, times, place.key)
        shown = display(layer)
        what = self.t("map.zonal_mean", what=self.layer_name(layer), where=self.place(place))
        words = self.words(data, (what, self.days(times)), "UTC", self.t("map.latitude"))
        self.write(
            path,
            data,
            lambda data: export.hovmoller_figure(
                data * shown.factor + shown.shift,
                self.limits(layer, self.state.frame),
                "diverging" if shown.diverging else "sequential",
                words,
                f"{self.quantity(layer)} ({shown.unit})",
            ),
        )
        first = np.datetime_as_string(times[0], unit="D")
        return export.file_name("hovmoller", layer, place.key, first, suffix=path.suffix[1:])


class CompareExports(MapExports):
    """Compare."""

    offers: ClassVar[Offers] = {
        "map": ALL, "series": ALL, "scatter": ALL, "latitude": ALL,
        "animation": export.ANIMATION_FORMATS,
    }  # fmt: skip

    def layers(self) -> tuple[str, ...]:
        """See `MapExports`."""
        models = self.state.models
        return (TRUTH, *models, *(DIFFERENCE + name for name in models))

    def scatter(self, path: Path) -> str:
        """How often which model shows what, against the truth, in the span."""
        engine, times = self.service.engine, self.judged()
        seen = engine.fields(TRUTH, times[:: max(1, times.size // 16)])
        low, high = np.nanpercentile(seen, [0.1, 99.9])
        limits = nice_limits(float(low), float(high))
        data = export.density_dataset(engine, self.state.models, times, limits)
        t = self.t
        words = self.words(data, (self.days(times),), t("map.truth_ppm"), t("map.model_ppm"))
        self.write(path, data, lambda data: export.density_figure(data, words, t("export.cells")))
        first = np.datetime_as_string(times[0], unit="D")
        return export.file_name("scatter", *self.state.models, first, suffix=path.suffix[1:])

    def latitude(self, path: Path) -> str:
        """Error of the models by latitude, in the span."""
        times = self.judged()
        data = export.latitude_dataset(self.service.engine, self.state.models, times)
        words = self.words(
            data,
            (self.t("map.by_latitude"), self.days(times)),
            "RMSE (ppm)",
            self.t("map.latitude"),
        )
        self.write(path, data, lambda data: export.latitude_figure(data, words))
        first = np.datetime_as_string(times[0], unit="D")
        return export.file_name("error-by-latitude", first, suffix=path.suffix[1:])

    def animation(self, path: Path) -> str:
        """The truth and the models over the span."""
        layers = (TRUTH, *self.state.models)
        limits = [self.limits(layer, self.state.frame) for layer in layers]
        return self.animate(path, layers, self.span(), limits, region(self.state.region))
