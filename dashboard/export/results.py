"""What the pages of cases, stations and benchmarks show, as files."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from co2net import export
from co2net.errors import UserError
from co2net.evaluation.cases import Case, case_series, load_cases
from co2net.evaluation.network import at_stations, cycle_of_year, frames_of_month
from co2net.evaluation.report import CASES, MARGINS, SCORES, STATIONS
from co2net.export import ocean as files
from co2net.layers import DIFFERENCE, TRUTH, nice_limits
from co2net.regions import region
from co2net.source import nearest_frame
from dashboard.casebook import every, flux_series, frames_of, limits_of, missing_months
from dashboard.choices import case_models, station_code, station_models, station_month
from dashboard.export.view import ALL, Exports, Offers, dates
from dashboard.oceans.wording import OceanWording
from dashboard.pages import shown_model
from dashboard.results import (
    SHIPPED,
    UNITLESS,
    Selection,
    column_name,
    folders,
    read_results,
    select,
)
from dashboard.service import Service
from dashboard.state import ViewState


class CaseExports(Exports):
    """Case studies."""

    offers: ClassVar[Offers] = {
        "map": ALL, "moments": ALL, "series": ALL, "scores": export.DATA_FORMATS,
        "animation": export.ANIMATION_FORMATS,
    }  # fmt: skip

    def __init__(self, service: Service, state: ViewState) -> None:
        super().__init__(service, state)
        cases = {case.key: case for case in load_cases()}
        whole = [key for key, case in cases.items() if not missing_months(case, service)]
        key = self.state.details.get("case", next(iter([*whole, *cases]), ""))
        if key not in cases:
            raise UserError("there are no case studies; list some in data/cases.yml")
        self.case: Case = cases[key]
        missing = missing_months(self.case, service)
        if missing:
            raise UserError(f"{key}: the data lack {', '.join(missing)}")
        self.region = region(self.case.region)
        self.model = shown_model(self.state, self.state.world)

    def _title(self) -> tuple[str, str]:
        return self.case.title[self.state.lang], self.place(self.region)

    def _moments(self) -> list[int]:
        source = self.service.source
        return [nearest_frame(source, moment) for moment in self.case.moments[:4]]

    def _limits(self, layer: str) -> tuple[float, float]:
        if layer.startswith(DIFFERENCE):
            return self.limits(layer, self._moments()[0])
        return self.state.co2 or limits_of(self.case, self.service)

    def _draw(self, path: Path, layers: list[str], frames: list[int]) -> None:
        """Maps of every layer at every frame, or their fields."""
        engine, times = self.service.engine, self.service.source.time[frames]
        data = export.fields_dataset(engine, layers, times)
        data.attrs["title"] = f"{self.case.title['en']}: {data.attrs['title']}"
        if path.suffix[1:] not in export.FIGURE_FORMATS:
            export.save_data(data, path)
            return
        fields = [one.values for one in data.data_vars.values()]
        panels = [
            self.panel(layer, time, field[n], self._limits(layer), self.region)
            for n, time in enumerate(times)
            for layer, field in zip(layers, fields, strict=True)
        ]
        look = self.look(data.attrs, self.region)
        export.save_figure(export.map_figure(engine, panels, look), path, data.attrs)

    def map(self, path: Path) -> str:
        """Truth and model at the time of the page."""
        frame = self.state.frame
        if frame not in frames_of(self.case, self.service):
            moments = self._moments()
            frame = moments[len(moments) // 2]
        self._draw(path, [TRUTH, self.model], [frame])
        stamp = np.datetime_as_string(self.service.source.time[frame], unit="m")
        return export.file_name(self.case.key, self.model, stamp, suffix=path.suffix[1:])

    def moments(self, path: Path) -> str:
        """How the model differs at the case's moments."""
        self._draw(path, [DIFFERENCE + self.model], self._moments())
        return export.file_name(self.case.key, "diff", self.model, suffix=path.suffix[1:])

    def _series(self) -> Any:
        models = case_models(self.state, self.state.world, self.case)
        return case_series(self.service.engine, self.case, models, every(self.case))

    def series(self, path: Path) -> str:
        """Daily means over the region; of a case over the sea, with the flux."""
        found, flux = self._series(), None
        if self.case.kind == "ocean":
            with suppress(UserError):  # a data set of which no sea is known has none
                flux = flux_series(self.service.ocean, found)
        title, label = (*self._title(), dates(self.case)), f"{self.t('map.co2')} (ppm)"
        if flux is None:
            data = export.case_dataset(self.service.engine, found)
            words = self.words(data, title, "UTC", label)
            self.write(path, data, lambda data: export.series_figure(data, words))
        else:
            data = files.event_dataset(self.service.ocean, found, flux)
            words = self.words(data, title, "UTC")
            labels = (label, OceanWording(self).measured("flux"))
            self.write(path, data, lambda data: files.event_figure(data, words, labels))
        return export.file_name(self.case.key, "series", suffix=path.suffix[1:])

    def scores(self, path: Path) -> str:
        """The table below the maps."""
        data = export.case_scores_dataset(self.service.engine, self._series())
        export.save_data(data, path)
        return export.file_name(self.case.key, "scores", suffix=path.suffix[1:])

    def animation(self, path: Path) -> str:
        """Truth and model side by side through the case."""
        layers, frames = (TRUTH, self.model), frames_of(self.case, self.service)
        limits = [self._limits(layer) for layer in layers]
        self.animate(path, layers, frames, limits, self.region)
        return export.file_name(self.case.key, self.model, suffix="gif")


class StationExports(Exports):
    """Stations."""

    offers: ClassVar[Offers] = {"network": ALL, "series": ALL, "residuals": ALL, "months": ALL}

    def __init__(self, service: Service, state: ViewState) -> None:
        super().__init__(service, state)
        source, world = service.source, self.state.world
        self.month = station_month(self.state, source)
        self.models = station_models(self.state, world)
        self.code = station_code(self.state, source.stations.code)
        if not (self.month and self.models and self.code):
            raise UserError("there are no stations, models or whole months to compare")

    def _found(self, models: tuple[str, ...]) -> Any:
        from dashboard.pages.stations import EVERY

        engine = self.service.engine
        return at_stations(engine, models, frames_of_month(engine.source, self.month, EVERY))

    def _title(self) -> str:
        names = self.service.source.stations
        return f"{self.code} {names.name[names.code.index(self.code)]}"

    def network(self, path: Path) -> str:
        """All stations with the models' scores in the month; on the map, that of the page."""
        engine, model = self.service.engine, shown_model(self.state, self.state.world)
        measure = self.state.details.get("measure", "rmse")
        if measure == "withheld":
            raise UserError("scores of withheld stations are exported on Benchmarks")
        models = self.models if path.suffix[1:] in export.DATA_FORMATS else (model,)
        data = export.network_dataset(engine, self._found(models))

        def draw(data: Any) -> Any:
            values = data[export.variable(measure, model)].values
            known = np.abs(values[np.isfinite(values)])
            reach = max(float(np.percentile(known, 95)) if known.size else 1.0, 0.1)
            signed = measure == "bias"
            limits = nice_limits(-reach if signed else 0.0, reach, symmetric=signed)
            words = [self.layer_name(model), self.month]
            words += [self.t("map.simulated")] if self.service.simulated else []
            label = self.t(f"stations.measure_{measure}")
            panel = export.Panel(
                label,
                " · ".join(words),
                np.full(engine.grid.shape, np.nan),
                label if measure == "correlation" else f"{label} (ppm)",
                (-1.0, 1.0) if measure == "correlation" else limits,
                signed,
                values.astype(np.float64),
            )
            look = self.look(data.attrs, region("global"))
            look.stations, look.dots = True, 34.0
            return export.map_figure(engine, [panel], look)

        self.write(path, data, draw)
        return export.file_name("stations", self.month, suffix=path.suffix[1:])

    def series(self, path: Path) -> str:
        """What the station reports and the models in its cell."""
        data = export.station_dataset(self.service.engine, self._found(self.models), self.code)
        words = self.words(data, (self._title(), self.month), "UTC", f"{self.t('map.co2')} (ppm)")
        self.write(path, data, lambda data: export.series_figure(data, words))
        return export.file_name(self.code, "series", self.month, suffix=path.suffix[1:])

    def residuals(self, path: Path) -> str:
        """How often a model differs by how much."""
        data = export.residuals_dataset(self.service.engine, self._found(self.models), self.code)
        words = self.words(
            data,
            (self._title(), self.month),
            f"{self.t('stations.residual')} (ppm)",
            self.t("stations.count"),
        )
        self.write(path, data, lambda data: export.histogram_figure(data, "residual", words))
        return export.file_name(self.code, "residuals", self.month, suffix=path.suffix[1:])

    def months(self, path: Path) -> str:
        """Means of the year's months that the data hold."""
        from dashboard.pages.stations import CYCLE_EVERY

        engine, year = self.service.engine, int(self.month[:4])
        cycle = cycle_of_year(engine, self.models, year, CYCLE_EVERY)
        data = export.cycle_dataset(engine, cycle, self.code)
        words = self.words(
            data,
            (self._title(), self.t("stations.cycle"), self.month[:4]),
            "UTC",
            f"{self.t('map.co2')} (ppm)",
        )
        self.write(path, data, lambda data: export.series_figure(data, words))
        return export.file_name(self.code, "months", self.month[:4], suffix=path.suffix[1:])


_FILES = {"scores": SCORES, "margins": MARGINS, "cases": CASES, "sites": STATIONS}


class BenchmarkExports(Exports):
    """Benchmarks."""

    offers: ClassVar[Offers] = {
        "table": ("csv",), "chart": export.FIGURE_FORMATS, "all": ("csv",), "document": ("csv",),
    }  # fmt: skip

    def __init__(self, service: Service, state: ViewState) -> None:
        super().__init__(service, state)
        places = folders()
        self.name = self.state.details.get("scores", SHIPPED)
        self.folder = places[self.name]
        self.results = read_results(self.folder)

    def _chosen(self) -> Selection:
        chosen = select(self.results, self.state.details)
        if not chosen.kind:
            raise UserError("there are no scores here; `co2net evaluate` makes them")
        return chosen

    def _attrs(self, about: Any, title: str) -> dict[str, str]:
        data = (about or {}).get("data") or {}
        commit = (about or {}).get("commit") or (about or {}).get("provenance", {}).get("commit")
        simulated = bool(data.get("simulated"))
        return {
            "title": title,
            "source": f"{data.get('title', '')} ({data.get('version', '')})",
            "simulated": "true" if simulated else "false",
            "comment": "Scores on a simulated world, not on observations." if simulated else "",
            "units": "umol mol-1 (ppm); scores that are ratios or correlations have none",
            "command": str((about or {}).get("command", "")),
            "created": str((about or {}).get("created", "")),
            "history": f"co2net, commit {commit}",
        }

    def table(self, path: Path) -> str:
        """The table of the page, a line a cell."""
        chosen = self._chosen()
        title = f"{chosen.kind}: {chosen.metric} {chosen.period}".strip()
        attrs = self._attrs(chosen.about, title)
        if chosen.against:
            attrs["against"] = f"values are a model's error less that of {chosen.against}"
        order = {name: n for n, name in enumerate(chosen.models)}
        rows = [
            (r.model, r.period, r.region, r.metric, "1" if r.metric in UNITLESS else "umol mol-1",
             r.value, r.low, r.high, r.n)
            for r in sorted(chosen.shown, key=lambda r: order[r.model])
            if r.region in chosen.columns
        ]  # fmt: skip
        columns = ("model", "period", "place", "score", "units", "value", "low", "high", "n")
        export.save_table(columns, rows, path, attrs)
        return export.file_name(chosen.kind, chosen.metric, chosen.period, suffix="csv")

    def chart(self, path: Path) -> str:
        """Models with their intervals in one column."""
        chosen, key = self._chosen(), self._chosen().chosen
        by = {row.model: row for row in chosen.shown if row.region == key}
        models = [name for name in chosen.models if name in by]
        attrs = self._attrs(chosen.about, f"{chosen.metric} in {key}, {chosen.period}")
        unit = "" if chosen.metric in UNITLESS else " (ppm)"
        title = [column_name(key, self.t), chosen.period]
        title.append(self.t("map.simulated") if chosen.simulated else "")
        words = export.Words(
            " · ".join(part for part in title if part),
            self.t(f"bench.{chosen.metric}") + unit,
            "",
            {name: self.layer_name(name) for name in models},
            self.note(attrs),
        )
        figure = export.intervals_figure(
            models,
            [by[name].value for name in models],
            [(by[name].low, by[name].high) for name in models],
            words,
        )
        export.save_figure(figure, path, attrs)
        return export.file_name("chart", chosen.metric, key, suffix=path.suffix[1:])

    def all(self, path: Path) -> str:
        """The whole file that the table comes from."""
        import pandas as pd

        chosen = self._chosen()
        frame = pd.read_csv(self.folder / _FILES[chosen.kind])
        attrs = self._attrs(chosen.about, f"all {chosen.kind}")
        export.save_table(list(frame.columns), frame.values.tolist(), path, attrs)
        return export.file_name("benchmarks", chosen.kind, suffix="csv")

    def document(self, path: Path) -> str:
        """The document's tables: ours, and the document's, of another data set."""
        tables = self.results.tables
        if not tables:
            raise UserError("there are no tables of the document here")
        attrs = self._attrs(self.results.origins[tables[0]["table"]], "tables of the document")
        attrs["document"] = "numbers of the project document, of another data set than value"
        rows = [list(entry.values()) for entry in tables]
        export.save_table(list(tables[0]), rows, path, attrs)
        return export.file_name("document-tables", suffix="csv")
