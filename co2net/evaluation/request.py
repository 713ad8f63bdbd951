"""The one evaluation: what the command, a job and a script ask for, and doing it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from co2net.assets import atomic_path, provenance
from co2net.background import Background, default_background_path
from co2net.errors import UserError
from co2net.evaluation import bootstrap, cases, report, scores, sites, tables
from co2net.evaluation.entrants import Entrant, Known, entrants, survey
from co2net.evaluation.places import places
from co2net.inference import TRUTH, source_digest, window_length
from co2net.observations import observed
from co2net.regions import region
from co2net.source import FieldSource, frame_index
from co2net.windows import Split, complete_windows, split

if TYPE_CHECKING:
    from co2net.models.base import Reconstructor

Progress = Callable[[float, str], None]


@dataclass(frozen=True)
class Request:
    """What is to be evaluated.

    Parameters
    ----------
    models : sequence of str or None
        Names or folders. None: all that are shipped.
    seeds : bool
        Whether other seeds of the named models, ``NAME@SEED``, take part.
    split : {'test', 'validation', 'train'}
        Part of the paper's split whose years are scored, each apart.
    periods : sequence of str or None
        Instead: years, months, days or FIRST/LAST.
    regions : sequence of str
        Besides the places that are always scored: keys of `co2net.regions.region`.
    every : int
        Score every n-th frame.
    withhold : str or None
        Instead of maps: score stations withdrawn from the input, a share of them or codes.
    folds : int
        The same for all stations, in so many patches; 0 for none.
    table : str or None
        Instead: a table of the document.
    budget : str
        Of a table's trainings, see `co2net.evaluation.tables.parse_budget`.
    settings : dict
        Training settings on top of a table's rows, such as the preset.
    runs : str or None
        Folder of a table's runs. None: ``.parts/runs`` in the results' folder.
    cases : bool
        Whether the case studies are scored too.
    seed : int
        Of intervals and of the choice of stations.
    observations : str or None
        A file of `co2net.observations`: what the sites measured, in place of what the data set's
        stations report.
    """

    models: Sequence[str] | None = None
    seeds: bool = False
    split: str = "test"
    periods: Sequence[str] | None = None
    regions: Sequence[str] = ()
    every: int = 9
    withhold: str | None = None
    folds: int = 0
    table: str | None = None
    budget: str = tables.DEFAULT_BUDGET
    settings: Mapping[str, Any] = field(default_factory=dict)
    runs: str | None = None
    cases: bool = True
    seed: int = 0
    observations: str | None = None

    def command(
        self, data: Path | None, out: Path, page: Path | None, publish: bool = False
    ) -> str:
        """The command line that asks for this; folders by name, for whoever reads it elsewhere."""
        words = ["co2net evaluate"]
        if data is not None:
            words.append(f"--data {_place(data)}")
        if self.observations is not None:
            words.append(f"--observations {_place(Path(self.observations))}")
        if self.models is not None and self.table is None:
            words.append("--models " + ",".join(_place(Path(name)) for name in self.models))
        words += ["--seeds"] if self.seeds else []
        if self.periods:
            words.append(f"--periods {','.join(self.periods)}")
        else:
            words.append(f"--split {self.split}")
        words += [f"--regions {','.join(self.regions)}"] if self.regions else []
        words.append(f"--every {self.every}")
        if self.withhold is not None:
            words.append(f"--withhold {self.withhold}")
        if self.folds:
            words.append(f"--folds {self.folds}")
        if self.table is not None:
            words += [f"--table {self.table}", f'--budget "{self.budget}"']
            words += [f"--set {name}={json.dumps(v)}" for name, v in self.settings.items()]
        elif not self.cases:
            words.append("--no-cases")
        words += [f"--seed {self.seed}"] if self.seed else []
        if publish:
            return " ".join([*words, "--publish"])
        words.append(f"--out {_place(out)}")
        words += [f"--page {_place(page)}"] if page is not None else []
        return " ".join(words)

    def check(self) -> None:
        """Raise a `UserError` for what needs no data to be known as wrong."""
        if self.split not in ("test", "validation", "train"):
            raise UserError(f"split '{self.split[:40]}': choose test, validation or train")
        if self.every < 1:
            raise UserError("every must be at least 1")
        for name in self.periods or ():
            _ = scores.Period(name).span
        for key in self.regions:
            region(key)
        if sum([self.withhold is not None, self.folds > 0, self.table is not None]) > 1:
            raise UserError("give one of --withhold, --folds and --table")
        if self.folds < 0:
            raise UserError("folds must be at least 2")
        if self.table is not None:
            tables.table(self.table)
            if self.budget != tables.SHIPPED:
                tables.parse_budget(self.budget)


def _place(path: Path) -> str:
    """A path as it may be shown: relative to here, else its last part."""
    if not path.is_absolute():
        return str(path)
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else path.name


@dataclass(frozen=True)
class Outcome:
    """What an evaluation found.

    Parameters
    ----------
    out
        Folder of the results.
    text
        The section of the page that it wrote, as Markdown.
    lines
        The tidy table, for JSON.
    speed : label -> windows a second
        Of what was computed this time.
    notes
        What was left out, and why.
    """

    out: Path
    text: str
    lines: list[dict[str, Any]]
    speed: dict[str, float]
    notes: tuple[str, ...]


def run(
    request: Request,
    source: FieldSource,
    out: str | Path,
    page: str | Path | None = None,
    command: str = "co2net evaluate",
    progress: Progress | None = None,
    years: Split | None = None,
    asked: Sequence[Entrant] | None = None,
    cache_dir: Path | None = None,
    load_cases: Callable[[], tuple[cases.Case, ...]] = cases.load_cases,
) -> Outcome:
    """Evaluate; broken off and run again, it goes on and ends with the same tables.

    Parameters
    ----------
    request
        What.
    source
        Truth, weather and observations.
    out
        Folder of results; see `co2net.evaluation.report` for its files.
    page
        The page over all results in the folder. None: ``results.md`` in it.
    command
        That does the same again; stands in the provenance.
    progress
        Told the share done, and a few words; what it raises ends the work.
    years
        A split of one's own; by default the document's for the data's time step.
    asked
        Models by hand instead of by name.
    cache_dir
        Folder for normalised frames of a table's trainings.
    load_cases
        Gives the case studies.

    Raises
    ------
    UserError
        For bad input, before anything is computed where that can be known.
    """
    request.check()
    source = observed(source, request.observations)
    out = Path(out)
    page = out / "results.md" if page is None else Path(page)
    years = years or split("cmip6" if tables.is_monthly(source) else "carbontracker")
    job = _Job(request, source, out, years, command, progress or (lambda share, text: None))
    if request.table is not None:
        done = job.table(cache_dir)
    else:
        chosen = entrants(request.models, request.seeds) if asked is None else list(asked)
        if request.withhold is not None or request.folds:
            done = job.stations(chosen)
        else:
            done = job.maps(chosen, load_cases() if request.cases else ())
    with atomic_path(page) as draft:
        draft.write_text(report.results_page(out, job.about()), encoding="utf-8")
    return done


@dataclass
class _Job:
    """One evaluation; see `run`."""

    request: Request
    source: FieldSource
    out: Path
    years: Split
    command: str
    progress: Progress
    notes: list[str] = field(default_factory=list)

    def about(self) -> dict[str, Any]:
        """What every result carries."""
        attrs = self.source.attrs
        return {
            "data": {
                "title": attrs.get("title"),
                "version": attrs.get("version"),
                "digest": attrs.get("digest", source_digest(self.source)),
                "simulated": bool(attrs.get("simulated")),
                "observations": attrs.get("observations"),
            },
            "stations": len(self.source.stations),
            "command": self.command,
            "commit": provenance()["commit"],
            "created": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
            "every": self.request.every,
            "provenance": provenance(),
        }

    def periods(self) -> list[scores.Period]:
        """What is scored."""
        if self.request.periods:
            found = [scores.Period(name) for name in dict.fromkeys(self.request.periods)]
            for period in found:
                period.role(self.years)
            return found
        there, absent = scores.split_periods(self.source, self.years, self.request.split)
        if absent:
            self.notes.append(f"the data set holds nothing of {', '.join(absent)}")
        return there

    def masks(self) -> dict[str, NDArray[np.float64]]:
        """Where."""
        grid = self.source.grid
        found = places(grid, self.source.stations)
        return {**found, **{key: region(key).mask(grid) for key in self.request.regions}}

    def background(self) -> Background | None:
        """The shipped one where it is for these cells and stations."""
        path = default_background_path()
        if not path.is_dir():
            return None
        found = Background.load(path)
        fits = (
            found.grid == self.source.grid
            and found.stations.code == self.source.stations.code
        )  # fmt: skip
        if not fits:
            self.notes.append("acc_climatology: the shipped background is for other data")
        return found if fits else None

    # -- maps ---------------------------------------------------------------------------

    def maps(self, asked: Sequence[Entrant], studies: Sequence[cases.Case]) -> Outcome:
        """Scores of maps and margins of all; case studies of the first seed of each model."""
        request, source = self.request, self.source
        periods, masks = self.periods(), self.masks()
        known = survey(source, asked)
        share = 0.75 if studies else 1.0
        done = scores.score(
            source, asked, known, periods, self.years, masks, self.out, request.every,
            self.background(), lambda part, text: self.progress(share * part, text),
        )  # fmt: skip
        rows = scores.rows(done.parts, request.seed)
        margins = scores.margins(done.parts, report.MARGIN_REGIONS, seed=request.seed)
        leading = list({one.name: one for one in reversed(asked)}.values())[::-1]
        series = self._cases(leading, known, studies, share)
        about = {**self.about(), **self._about(asked, known, done)}
        report.write_rows(self.out / report.SCORES, rows)
        report.write_rows(self.out / report.MARGINS, margins)
        report.write_about(self.out / report.ABOUT, about)
        # the page shows the digits of the file, as the README does
        text = report.scores_markdown(report.read_rows(self.out / report.SCORES), margins, about)
        self._write("scores.md", text)
        if series:
            text += "\n" + self._write_cases(series, asked)
        speed = {label: count / taken for label, (count, taken) in done.seconds.items() if taken}
        return Outcome(self.out, text, [asdict(row) for row in rows], speed, tuple(self.notes))

    def _about(
        self, asked: Sequence[Entrant], known: Mapping[str, Known], done: scores.Scored
    ) -> dict[str, Any]:
        seeds: dict[str, list[str]] = {}
        for one in asked:
            seeds.setdefault(one.name, []).append(one.seed)
        frames = {part.period.name: part.frames for part in done.parts}
        return {
            "split": {"name": self.years.name, "part": self.request.split},
            "periods": {part.period.name: part.role for part in done.parts},
            "frames": frames,
            "missing_cells": {part.period.name: part.missing for part in done.parts},
            "models": {one.title: _model(one, known[one.label]) for one in asked},
            "seeds": seeds,
            "bootstrap": {
                "blocks": "weeks", "draws": bootstrap.DRAWS, "level": bootstrap.LEVEL,
                "seed": self.request.seed, "fewest_blocks": bootstrap.FEWEST_BLOCKS,
            },
            "notes": list(self.notes),
        }  # fmt: skip

    # -- case studies -------------------------------------------------------------------

    def _cases(
        self,
        asked: Sequence[Entrant],
        known: Mapping[str, Known],
        studies: Sequence[cases.Case],
        share: float,
    ) -> list[cases.CaseSeries]:
        """Series of every case that the data set holds."""
        reach = max(one.reach for one in known.values())
        held = []
        for case in studies:
            try:
                cases.case_frames(_Direct(self.source, {}, reach), case)
                held.append(case)
            except UserError as error:
                self.notes.append(f"left out: {error}")
        values: dict[str, dict[str, NDArray[np.float64]]] = {case.key: {} for case in held}
        days: dict[str, NDArray[np.datetime64]] = {}
        for number, one in enumerate(asked):
            model: Reconstructor | None = None
            for place, case in enumerate(held):
                every = self.request.every if case.months else 1
                key = {
                    "data": source_digest(self.source),
                    "model": known[one.label].info.digest,
                    "reach": reach,
                    "every": every,
                    "region": case.region,
                    "spans": [[str(a), str(b)] for a, b in case.spans],
                }
                path = scores.parts_folder(self.out) / f"{one.label}-case-{case.key}.npz"
                kept = scores.load_part(path, key)
                if kept is None:
                    model = one.load() if model is None else model

                    def tell(
                        done: float, text: str, number: int = number, place: int = place
                    ) -> None:
                        whole = (number + (place + done) / len(held)) / len(asked)
                        self.progress(share + (1 - share) * whole, text)

                    fields = _Direct(self.source, {one.label: model}, reach)
                    found = cases.case_series(fields, case, [one.label], every, tell)
                    kept = {
                        "days": found.days.astype("datetime64[D]").astype(np.int64),
                        TRUTH: found.values[TRUTH],
                        "model": found.values[one.label],
                    }
                    scores.save_part(path, key, kept)
                days[case.key] = kept["days"].astype("datetime64[D]")
                values[case.key][TRUTH] = kept[TRUTH]
                values[case.key][one.title] = kept["model"]
        return [cases.CaseSeries(case, days[case.key], values[case.key]) for case in held]

    def _write_cases(self, series: Sequence[cases.CaseSeries], asked: Sequence[Entrant]) -> str:
        shown = {one.title: one for one in asked}
        found = [
            {
                "case": item.case.key, "region": item.case.region, "start": item.case.start,
                "end": item.case.end, "model": shown[name].name, "seed": shown[name].seed,
                "metric": metric, "value": value, "n": int(item.days.size),
            }
            for item in series
            for name, values in item.scores.items()
            for metric, value in values.items()
        ]  # fmt: skip
        truth = [
            {
                "case": item.case.key, "region": item.case.region, "start": item.case.start,
                "end": item.case.end, "model": TRUTH, "seed": "", "metric": "change",
                "value": item.change(item.values[TRUTH]), "n": int(item.days.size),
            }
            for item in series
        ]  # fmt: skip
        columns = ["case", "region", "start", "end", "model", "seed", "metric", "value", "n"]
        report.write_table(self.out / report.CASES, [*truth, *found], columns)
        lines = [
            {"case": item.case.key, "day": str(day), "name": name, "value": float(value)}
            for item in series
            for name, values in item.values.items()
            for day, value in zip(item.days, values, strict=True)
        ]
        report.write_table(self.out / report.CASE_SERIES, lines, ["case", "day", "name", "value"])
        text = cases.markdown(series)
        self._write("cases.md", text)
        return text

    # -- stations -----------------------------------------------------------------------

    def stations(self, asked: Sequence[Entrant]) -> Outcome:
        """Scores at stations withdrawn from the input."""
        request, source = self.request, self.source
        if request.folds:
            groups = sites.folds(source, request.folds)
            how = f"withheld in {len(groups)} compact patches, one after the other"
        else:
            assert request.withhold is not None
            groups = [sites.chosen_sites(source, request.withhold, request.seed)]
            how = "withheld together"
        periods = self.periods()
        known = survey(source, asked)
        rows = sites.score_sites(
            source, asked, known, periods, self.years, groups, self.out, request.every,
            self.progress,
        )  # fmt: skip
        reach = max(one.reach for one in known.values())
        about = {
            **self.about(),
            "how": how,
            "sites": int(sum(group.size for group in groups)),
            "folds": [[source.stations.code[site] for site in group] for group in groups],
            "periods": [period.name for period in periods],
            "frames": sum(
                period.index(source, self.years, request.every, reach).size for period in periods
            ),
            "models": {one.title: _model(one, known[one.label]) for one in asked},
            "seed": request.seed,
            "notes": list(self.notes),
        }
        report.write_rows(self.out / report.STATIONS, rows)
        report.write_about(self.out / report.STATIONS_ABOUT, about)
        text = report.stations_markdown(rows, about)
        self._write("stations.md", text)
        return Outcome(self.out, text, [asdict(row) for row in rows], {}, tuple(self.notes))

    # -- tables -------------------------------------------------------------------------

    def table(self, cache_dir: Path | None) -> Outcome:
        """A table of the document."""
        request, source = self.request, self.source
        assert request.table is not None
        runs = (
            scores.parts_folder(self.out) / "runs" if request.runs is None else Path(request.runs)
        )
        made = tables.make_table(
            source, request.table, self.periods(), self.years, self.masks(), self.out, runs,
            request.budget, request.settings, request.every, self.background(), request.seed,
            self.progress, cache_dir,
        )  # fmt: skip
        lines = tables.table_lines(made)
        folder = self.out / "tables"
        report.write_table(folder / f"{request.table}.csv", lines, tables.TABLE_FIELDS)
        report.write_about(
            folder / f"{request.table}.json",
            {**self.about(), "budget": request.budget, "settings": dict(request.settings),
             "document": made.table.data, "notes": list(self.notes)},
        )  # fmt: skip
        simulated = bool(source.attrs.get("simulated"))
        text = tables.table_markdown(made, str(source.attrs.get("title")), simulated)
        self._write(f"tables/{request.table}.md", text)
        return Outcome(self.out, text, lines, {}, tuple(self.notes))

    def _write(self, name: str, text: str) -> None:
        with atomic_path(self.out / name) as draft:
            draft.write_text(text, encoding="utf-8")


def _model(one: Entrant, known: Known) -> dict[str, Any]:
    info = known.info
    return {
        "title": info.title,
        "preset": info.preset,
        "parameters": info.parameters,
        "target": info.target,
        "trained_on": info.trained_on,
        "digest": info.digest,
        "window": known.reach,
        "shipped": one.shipped,
        "trained_by": one.trained_by,
    }


class _Direct:
    """Regional means straight from models; see `co2net.evaluation.cases.Fields`.

    The engine keeps blocks of neighbouring frames, of which a sample would use little.
    """

    def __init__(
        self, source: FieldSource, models: Mapping[str, Reconstructor], reach: int
    ) -> None:
        self.source, self._models = source, models
        self.grid = source.grid
        self._reach = max([reach, *(window_length(model) for model in models.values())])

    def times(self, what: str) -> NDArray[np.datetime64]:
        """Times whose longest window is there; the same for all."""
        return self.source.time[complete_windows(self.source.available, self._reach)]

    def region_series(
        self,
        what: str,
        mask: NDArray[np.floating[Any]],
        times: ArrayLike,
        progress: Progress | None = None,
    ) -> NDArray[np.float32]:
        """(n,): area means over a region."""
        index = frame_index(self.source, times)
        weights = np.asarray(mask, dtype=np.float64) * self.grid.area
        weights /= weights.sum()
        out = np.empty(index.size, dtype=np.float32)
        for start in range(0, index.size, scores.BATCH):
            frames = index[start : start + scores.BATCH]
            if what == TRUTH:
                fields = self.source.read(["co2"], frames)[0]
            else:
                fields = self._models[what].reconstruct(self.source, frames)
            out[start : start + scores.BATCH] = np.einsum("thw,hw->t", fields, weights)
            if progress is not None:
                progress(min(1.0, (start + scores.BATCH) / index.size), what)
        return out
