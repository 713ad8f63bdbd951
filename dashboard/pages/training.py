"""Training: start a training in the background, watch it, and use what it came to."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import panel as pn
import param
from bokeh.models import ColumnDataSource, HoverTool
from panel.custom import Children

from co2net.errors import UserError
from co2net.jobs import Evaluate, Simulate, job, open_data, submit
from co2net.jobs.trial import Estimate, estimate
from co2net.training.sample import Sample
from co2net.windows import split
from dashboard.components import Part, css, js
from dashboard.jobs_view import CURVES, Row
from dashboard.maps.projection import coastline
from dashboard.numbers import Numbers
from dashboard.pages import Page
from dashboard.plots import chart, paint, span
from dashboard.service import Latest
from dashboard.state import World
from dashboard.theme import palette
from dashboard.training_form import OTHER, Coverage, TrainForm, coverage, data_sets

if TYPE_CHECKING:
    from dashboard.session import Session

MOST = 6
"""Most trainings whose curves are drawn over each other."""
# After Okabe and Ito (2008), each with a dash as the second cue.
LINES = (
    ("#0072B2", ()),
    ("#D55E00", (8, 3)),
    ("#009E73", (2, 2)),
    ("#CC79A7", (10, 3, 2, 3)),
    ("#E69F00", (5, 5)),
    ("#56B4E9", (1, 3)),
)
_ID = re.compile(r"[0-9]{4,}-[a-z]+-[0-9a-f]{4}")
_STEP = 0.01  # of the values that go to the browser (umol/mol)
_SPREAD = 8.0  # of the difference map (umol/mol)


class TrainingPart(Part):
    """Form, table of jobs, curves, and what is known of the chosen job.

    Told: ``form``, ``errors``, ``check``, ``estimate``, ``rows``, ``fault``, ``chosen``,
    ``current``, ``log``, ``map``, ``settings``, ``scores``.
    """

    figures = Children()
    coast = param.List(default=[], doc="Lines of the coast: longitude, latitude, ...")
    palettes = param.Dict(default={})

    _esm = js("news", "training")
    _stylesheets: ClassVar[list[str]] = css("base", "training")


class TrainingView:
    """The page of one session."""

    furniture: frozenset[str] = frozenset()
    inspector_open = False

    def __init__(self, session: Session) -> None:
        self.session = session
        service = session.service
        self.form = TrainForm()
        self.errors: dict[str, str] = {}
        self._places = data_sets(service.store)
        ready = [key for key, path in self._places.items() if path.exists()]
        self.form.data = next(iter([*ready, *self._places]))
        self._checking: Latest[Any] = Latest(service.slow, session.deliver)
        self._trying: Latest[Any] = Latest(service.slow, session.deliver)
        self._fresh = True
        self._shown: tuple[Any, ...] = ()
        self._sources = {name: _columns("xs", "ys", "colour", "dash", "name") for name in CURVES}
        self._latest = {name: _columns("x", "y", "colour") for name in CURVES}
        labels = ("curve_loss", "curve_rmse", "curve_wind")
        self._plots = [
            self._plot(name, session.t(f"training.{label}"))
            for name, label in zip(CURVES, labels, strict=True)
        ]
        self.board = TrainingPart(
            self._said,
            strings=session.t.section("training"),
            figures=[pn.pane.Bokeh(plot, sizing_mode="stretch_both") for plot in self._plots],
            coast=[np.round(line, 1).ravel().tolist() for line in coastline()],
            palettes={kind: list(palette(kind)) for kind in ("sequential", "diverging")},
            sizing_mode="stretch_both",
        )
        self.toolbar = pn.Row(sizing_mode="stretch_width", margin=0)
        self._seat = service.jobs.sit(self._news)

    @property
    def title(self) -> str:
        """See `dashboard.pages.View`."""
        return self.session.t("page.training")

    def judged(self) -> tuple[str, ...]:
        """See `dashboard.pages.View`."""
        return ()

    def judged_now(self, numbers: Numbers) -> None:
        """See `dashboard.pages.View`."""

    # -- curves -------------------------------------------------------------------------

    def _plot(self, name: str, label: str) -> Any:
        plot = chart(f"curve-{name}", self.session.t("training.step"), label)
        lines = plot.multi_line(
            "xs",
            "ys",
            source=self._sources[name],
            line_color="colour",
            line_dash="dash",
            line_width=2,
        )
        plot.scatter("x", "y", source=self._latest[name], color="colour", size=6)
        digits = "0.0000" if name != "rmse" else "0.000"
        plot.add_tools(
            HoverTool(
                renderers=[lines],
                line_policy="nearest",
                tooltips=[("", "@name"), ("", "$x{0,0}: $y{" + digits + "}")],
            )
        )
        return plot

    def _draw_curves(self, rows: list[Row]) -> None:
        for plot, name in zip(self._plots, CURVES, strict=True):
            data: dict[str, list[Any]] = {key: [] for key in self._sources[name].data}
            for row in rows:
                xs, ys = row.curves.get(name, ([], []))
                colour, dash = LINES[self._chosen().index(row.id)]
                values = (xs, ys, colour, list(dash), f"{row.about['name']} {row.id}")
                for key, value in zip(data, values, strict=True):
                    data[key].append(value)
            if data == self._sources[name].data:
                continue
            self._sources[name].data = data
            there = [n for n, xs in enumerate(data["xs"]) if xs]
            self._latest[name].data = {
                "x": [data["xs"][n][-1] for n in there],
                "y": [data["ys"][n][-1] for n in there],
                "colour": [data["colour"][n] for n in there],
            }
            steps = [x for xs in data["xs"] for x in xs] or [0.0, 1.0]
            plot.x_range.update(start=0.0, end=max(steps) * 1.02)
            heights = [y for ys in data["ys"] for y in ys]
            span(plot.y_range, heights, 1e-3, zero=name != "rmse")

    # -- following ----------------------------------------------------------------------

    def update(self, changed: set[str]) -> None:
        """See `dashboard.pages.View`."""
        if "theme" in changed or self._fresh:
            for plot in self._plots:
                paint(plot, self.session.state.theme)
        if self._fresh:
            self._fresh = False
            self._show_form()
            self._check()
        self._refresh()

    def _news(self) -> None:
        """The watch has seen something, and tells it in its own thread."""
        self.session.deliver(self._refresh)

    def _chosen(self) -> list[str]:
        """Jobs whose curves are drawn: those of the address, else the latest training."""
        word = self.session.state.details.get("job", "")
        if word:
            return word.split(",")
        rows = [row for row in self.session.service.jobs.rows if row.about["kind"] == "train"]
        active = [row for row in rows if row.active]
        return [row.id for row in (active or rows)[-1:]]

    def _refresh(self) -> None:
        """Take over what the watch has seen; only what is new goes to the browser."""
        watch, t = self.session.service.jobs, self.session.t
        chosen = self._chosen()
        current = chosen[-1] if chosen else ""
        watch.want(self._seat, (current,) if current else ())
        known = {row.id: row for row in watch.rows}
        rows = [known[id] for id in chosen if id in known and known[id].curves]
        self.board.tell(
            rows=[self._entry(row) for row in reversed(watch.rows)],
            fault=t.told(watch.fault),
            chosen=[
                {"id": id, "colour": LINES[n][0], "dash": ",".join(map(str, LINES[n][1]))}
                for n, id in enumerate(chosen)
            ],
            current=current,
        )
        self._draw_curves(rows)
        detail = watch.details.get(current)
        self.board.tell(
            log="\n".join(detail.log) if detail else "",
            scores=detail.scores if detail else "",
            settings=self._settings(known[current]) if current in known else [],
        )
        shown = (current, detail.sample if detail else None)
        if shown != self._shown:
            self._shown = shown
            self.board.tell(map=self._map(shown[1]) if shown[1] is not None else None)
        if current and watch.rows and current not in known:
            self.board.tell(settings=[[t("training.gone"), current]])

    def _entry(self, row: Row) -> dict[str, Any]:
        about, t = row.about, self.session.t
        state = about["state"]
        config = about["spec"].get("config", {})
        config = config if isinstance(config, dict) else {}
        actions = []
        if row.active:
            actions.append("cancel")
        elif state != "succeeded" and about["kind"] != "unknown":
            actions.append("resume")
        if about["kind"] == "train":
            actions.append("duplicate")
            if row.run is not None and (state == "succeeded"):
                actions += ["compare", "evaluate"]
        if not row.active:
            actions.append("delete")
        total = config.get("steps")
        step = f"{row.step:,}" + (f" / {total:,}" if total else "") if row.step else ""
        told = row.epoch is not None and row.step > 0
        epoch = t("training.epoch", number=f"{row.epoch:.2f}") if told else ""
        return {
            "id": row.id,
            "name": about["name"] or row.id,
            "kind": t.or_else(f"training.kind_{about['kind']}", about["kind"]),
            "train": about["kind"] == "train",
            "state": state,
            "label": t(f"training.state_{state}"),
            "progress": round(about["progress"], 3),
            "step": step,
            "epoch": epoch,
            "eta": "" if about["eta"] is None else self._duration(about["eta"]),
            "loss": "" if row.loss is None else f"{row.loss:.4f}",
            "rmse": "" if row.rmse is None else f"{row.rmse:.3f}",
            "message": "" if state == "succeeded" else t.told(about["message"]),
            "actions": actions,
        }

    def _settings(self, row: Row) -> list[list[str]]:
        """The settings of a job as pairs, for people; those of the form as the form calls them."""
        spec = dict(row.about["spec"])
        config = spec.pop("config", {})
        pairs = {**spec, **(config if isinstance(config, dict) else {})}
        left_out: tuple[Any, ...] = (None, "", {}, [], False)
        told = [
            [self.session.t.or_else(f"training.field_{key}", key), str(value)[:200]]
            for key, value in pairs.items()
            if value not in left_out
        ]
        return [*told, *([place, path] for place, path in row.about["outputs"].items())]

    def _duration(self, seconds: float) -> str:
        t = self.session.t
        for unit, size in (("s", 1), ("min", 60), ("h", 3600)):
            if seconds < 100 * size:
                return f"{seconds / size:.0f} {t(f'training.{unit}')}"
        return f"{seconds / 86400:.1f} {t('training.days')}"

    def _map(self, sample: Sample) -> dict[str, Any]:
        """The validation field for the browser: steps of 0.01 ppm as 16-bit integers."""
        t = self.session.t
        low, high = (float(v) for v in np.percentile(sample.truth, (2, 98)))
        time = np.datetime_as_string(sample.time, unit="m").replace("T", " ")
        difference = sample.co2 - sample.truth
        fields = {"truth": sample.truth, "model": sample.co2, "difference": difference}
        return {
            "caption": t("training.map_caption", time=time, step=f"{sample.step:,}"),
            "rmse": f"RMSE {sample.rmse:.3f} ppm",
            "lat": sample.grid.lat_edges.tolist(),
            "lon": sample.grid.lon_edges.tolist(),
            "low": low,
            "high": max(high, low + 1.0),
            "spread": _SPREAD,
            "unit": "ppm",
            "base": low,
            "step": _STEP,
            "fields": {
                key: _packed(values if key == "difference" else values - low)
                for key, values in fields.items()
            },
        }

    # -- the form -----------------------------------------------------------------------

    def _show_form(self) -> None:
        t, form = self.session.t, self.form
        entries = []
        for name in TrainForm.names():
            setting = form.param[name]
            entry: dict[str, Any] = {
                "name": name,
                "part": int(setting.precedence),
                "label": t(f"training.field_{name}"),
                "hint": t(f"training.hint_{name}"),
                "value": "" if getattr(form, name) is None else getattr(form, name),
                "kind": "text",
            }
            if name == "data":
                options = [[key, self._place_name(key, path)] for key, path in self._places.items()]
                entry |= {"kind": "select", "options": [*options, [OTHER, t("training.other")]]}
            elif name in ("train", "validation"):
                usual = getattr(split(form.split), name)
                entry["usual"] = ", ".join(f"{a}-{b}" if a != b else f"{a}" for a, b in usual)
            elif name == "folder":
                entry["shown"] = form.data == OTHER
            elif isinstance(setting, param.Selector):
                options = [[key, self._choice(name, key)] for key in setting.objects]
                entry |= {"kind": "select", "options": options}
            elif isinstance(setting, param.Number):
                whole = isinstance(setting, param.Integer)
                entry |= {"kind": "number", "step": 1 if whole else "any"}
                entry |= {"min": setting.bounds[0], "max": setting.bounds[1]}
            entries.append(entry)
        self.board.tell(form=entries, errors=dict(self.errors))

    def _place_name(self, key: str, path: Path) -> str:
        t = self.session.t
        if key == str(Path(next(iter(self._places)))):
            return t("training.archive" if path.exists() else "training.no_archive")
        named = f"{path.parent.name}/{path.name}"
        if path == self.session.service.store:
            return t("training.this_store", name=named)
        return named

    def _choice(self, name: str, key: str) -> str:
        t = self.session.t
        if name == "model":
            return t.model(key)
        return t.or_else(f"training.choice_{key}", str(key))

    def _said(self, message: dict[str, Any]) -> None:
        if "set" in message:
            self._fill(str(message["set"]), message.get("value"))
        elif "choose" in message:
            ids = [str(id) for id in message["choose"] if _ID.fullmatch(str(id))][-MOST:]
            self.session.state.keep(job=",".join(ids))
        elif message.get("estimate"):
            self._estimate()
        elif message.get("start"):
            self._start()
        elif "act" in message:
            self._act(str(message["act"]), str(message.get("id", "")))

    def _fill(self, name: str, value: Any) -> None:
        t = self.session.t
        try:
            self.form.fill(name, value)
            self.errors.pop(name, None)
        except ValueError:
            setting = self.form.param[name] if name in TrainForm.names() else None
            bounds = getattr(setting, "bounds", None)
            self.errors[name] = (
                t("training.limits", low=f"{bounds[0]:,g}", high=f"{bounds[1]:,g}")
                if bounds
                else t("training.no_choice")
            )
        self._show_form()
        self._check()

    def _check(self) -> None:
        """Look whether the settings go together and what data they find, in a thread."""
        self.board.tell(estimate=None)
        try:
            spec = self.form.spec()
        except UserError as error:
            self._checked(str(error))
            return
        if not Path(spec.data or "").exists():
            absent = spec.data == next(iter(self._places))
            self._checked("absent" if absent else self.session.t("training.nowhere"))
            return

        def look() -> Coverage | str:
            try:
                return coverage(spec)
            except UserError as error:
                return str(error)

        self.board.tell(check={"level": "wait", "text": self.session.t("shell.computing")})
        self._checking.submit(look, self._checked)

    def _checked(self, found: Coverage | str) -> None:
        t = self.session.t
        if found == "absent":
            check = {"level": "bad", "text": t("training.make_archive"), "act": "simulate"}
            self.board.tell(check=check | {"label": t("training.make")})
            return
        if isinstance(found, str):
            self.board.tell(check={"level": "bad", "text": t.told(found)})
            return
        counts = {"windows": f"{found.windows:,}", "validation": f"{found.validation:,}"}
        if found.windows and found.validation:
            self.board.tell(check={"level": "good", "text": t("training.covered", **counts)})
            return
        text = t(
            "training.uncovered",
            train=found.train_years,
            check=found.validation_years,
            months=", ".join(found.months) or "-",
            **counts,
        )
        self.board.tell(check={"level": "bad", "text": text})

    # -- estimate and start -------------------------------------------------------------

    def _estimate(self) -> None:
        """Measure a few steps in a process of its own."""
        t = self.session.t
        try:
            spec = self.form.spec()
        except UserError as error:
            self._checked(str(error))
            return
        self.board.tell(estimate={"level": "wait", "text": t("training.measuring")})

        def measure() -> Estimate | str:
            try:
                return estimate(spec)
            except UserError as error:
                return str(error)

        self._trying.submit(measure, partial(self._estimated, spec))

    def _estimated(self, spec: Any, found: Estimate | str) -> None:
        t = self.session.t
        try:
            if self.errors or self.form.spec() != spec:
                return  # of settings that have been changed since
        except UserError:
            return
        if isinstance(found, str):
            self.board.tell(estimate={"level": "bad", "text": t.told(found)})
            return
        text = t(
            "training.estimated",
            total=self._duration(found.seconds),
            step=f"{found.step:.3g}",
            learn=self._duration(found.learn),
            steps=f"{found.steps:,.0f}",
            prepare=self._duration(found.prepare),
            memory=_rough(found.memory / 2**30),
            disk=_rough(found.disk / 2**30),
            parameters=_rough(found.parameters / 1e6),
        )
        self.board.tell(estimate={"level": "good", "text": text})

    def _start(self) -> None:
        if self.errors:
            return
        try:
            spec = self.form.spec()
        except UserError as error:
            self._checked(str(error))
            return
        self._do(lambda: submit(spec, self._root).id, self._started)

    def _started(self, id: str) -> None:
        chosen = [one for one in self._chosen() if one != id][-(MOST - 1) :]
        active = {row.id for row in self.session.service.jobs.rows if row.active}
        self.session.state.keep(job=",".join([*(one for one in chosen if one in active), id]))
        self.session.notify(self.session.t("training.started", id=id), "info")

    # -- what can be done with a job ----------------------------------------------------

    @property
    def _root(self) -> Path:
        return self.session.service.jobs.root

    def _act(self, what: str, id: str) -> None:
        """Do what a button says; anything that waits is done in a thread."""
        root, row = self._root, self.session.service.jobs.row(id)
        if what == "simulate":
            spec = Simulate(name=self.session.t("training.archive"), threads=self.form.threads)
            self._do(lambda: submit(spec, root).id, self._started)
        elif row is None:
            return
        elif what == "cancel":
            self._do(lambda: job(id, root).cancel())
        elif what == "resume":
            self._do(lambda: job(id, root).resume())
        elif what == "delete":
            self._do(lambda: job(id, root).remove(), lambda _: self._forget(id))
        elif what == "duplicate":
            self.form.take(row.about["spec"])
            self.errors.clear()
            self._show_form()
            self._check()
        elif what == "compare" and row.run is not None:
            self._compare(row.run.name)
        elif what == "evaluate" and row.run is not None:
            name = self.session.t("training.scores_of", name=row.run.name)
            self._do(partial(_evaluate, row, name, root), self._started)

    def _do(self, work: Callable[[], Any], done: Callable[[Any], None] | None = None) -> None:
        session = self.session

        def run() -> None:
            try:
                came = work()
            except UserError as error:
                text = session.t.told(str(error))
                session.deliver(lambda: session.notify(text))
            else:
                if done is not None:
                    session.deliver(lambda: done(came))
            session.service.jobs.look_now()

        session.service.slow.submit(run)

    def _forget(self, id: str) -> None:
        left = [one for one in self._chosen() if one != id]
        self.session.state.keep(job=",".join(left))

    def _compare(self, name: str) -> None:
        """Show the model beside the one that was first, where the page can offer it."""
        state, world = self.session.state, self.session.world
        if name not in world.models:
            self.session.notify(self.session.t("training.not_offered", name=name))
            return
        others = tuple(one for one in state.models if one != name)
        state.param.update(page="compare", models=(name, *others[:1]))


def _evaluate(row: Row, name: str, root: Path) -> str:
    """Score a run on the test years where the data have them, else on the validation years."""
    data = row.about["spec"]["data"]
    source = open_data(data)
    config = row.about["spec"]["config"]
    months = np.unique(source.time[source.available].astype("datetime64[M]"))
    years = split(config["split"])
    for part in ("test", "validation"):
        there = [str(m) for m in months if int(str(m)[:4]) in years.years(part)]  # type: ignore[arg-type]
        if there:
            break
    whole = [year for year in sorted({m[:4] for m in there}) if _months(there, year) == 12]
    periods = [*whole, *(m for m in there if m[:4] not in whole)] or [str(m) for m in months[-1:]]
    spec = Evaluate(
        name=name,
        models=[str(row.run)],
        periods=periods,
        data=data,
        observations=row.about["spec"].get("observations"),
        cases=False,
        threads=1,
    )
    return submit(spec, root).id


def _months(months: list[str], year: str) -> int:
    return sum(month.startswith(year) for month in months)


def _columns(*names: str) -> ColumnDataSource:
    return ColumnDataSource({name: [] for name in names})


def _rough(value: float) -> str:
    """Two digits that count, or whole numbers."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def _packed(values: Any) -> str:
    counts = np.clip(np.round(np.asarray(values) / _STEP), -32767, 32767).astype("<i2")
    return base64.b64encode(counts.tobytes()).decode()


def _job_word(word: str, world: World) -> str:
    """Ids of jobs with commas between them."""
    ids = word.split(",")
    if len(ids) > MOST or not all(_ID.fullmatch(id) for id in ids):
        raise ValueError(word)
    return word


PAGE = Page("training", TrainingView, words={"job": _job_word})
