"""What jobs there can be: a typed specification a kind, which also knows how to do the work."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from functools import cache
from importlib import import_module
from inspect import signature
from pathlib import Path
from pkgutil import iter_modules
from types import UnionType
from typing import Any, ClassVar, Self, get_args, get_origin, get_type_hints

from co2net.assets import data_path, peak_memory
from co2net.errors import UserError
from co2net.jobs.data import open_data
from co2net.source import FieldSource
from co2net.windows import Split, split

Progress = Callable[[float, str], None]


class Stopped(BaseException):
    """The job was asked to end (SIGTERM); no error, so that nothing on the way catches it."""


@dataclass(frozen=True, kw_only=True)
class Spec:
    """What every job has.

    Parameters
    ----------
    name : str
        Shown to people; any text.
    data : str or None
        Store or archive. None: the embedded world, its archive or its store as the kind needs.
    nice : int
        Niceness of the process, 0..19; 19 gives way to everything else.
    threads : int or None
        Processor threads. None: ``OMP_NUM_THREADS``, else one for each processor. Fixed when the
        job is submitted, for a resumed training is the same, bit by bit, only with as many.
    launcher : {'local', 'slurm', 'torchrun'}
        Who starts the process: the one who submits, or Slurm. With ``torchrun``, for trainings,
        it starts several more.
    slurm : dict
        What Slurm is asked for, in submitit's words: ``slurm_partition``, ``timeout_min``,
        ``gpus_per_node``, ``mem_gb``, ...; ``cluster`` is 'slurm', or submitit's 'local' or
        'debug' to try it out.
    """

    kind: ClassVar[str] = ""
    launchers: ClassVar[tuple[str, ...]] = ("local", "slurm")
    name: str = ""
    data: str | None = None
    nice: int = 10
    threads: int | None = None
    launcher: str = "local"
    slurm: dict[str, Any] = field(default_factory=dict)

    @property
    def queue(self) -> tuple[str, ...]:
        """Devices that the job needs for itself; none when it waits for nobody."""
        return ()

    def settled(self) -> Self:
        """The same with everything decided that the place and time of submission decide.

        Raises
        ------
        UserError
            When it cannot be done.
        """
        if not 0 <= self.nice <= 19:
            raise UserError(f"nice {self.nice}: choose 0 to 19")
        threads = _threads() if self.threads is None else self.threads
        if not 1 <= threads <= 1024:
            raise UserError(f"threads {threads}: choose 1 to 1024")
        if self.launcher not in self.launchers:
            raise UserError(
                f"launcher '{self.launcher[:40]}': a {self.kind} job takes "
                f"{', '.join(self.launchers)}"
            )
        data = Path(self.data) if self.data else self._default_data()
        if data is not None and not data.exists():
            raise UserError(f"no data set at {data}; `co2net data list` shows what there is")
        name = " ".join((self.name or self._default_name()).split())
        name = "".join(c for c in name if c.isprintable())[:120]
        where = None if data is None else str(data.absolute())
        return replace(self, name=name, threads=threads, data=where)

    def _default_data(self) -> Path | None:
        return data_path("demo", "world.zarr")

    def _default_name(self) -> str:
        return self.kind

    def outputs(self, folder: Path) -> dict[str, str]:
        """Where the results of a job in a folder lie."""
        raise NotImplementedError

    def work(self, folder: Path, progress: Progress) -> dict[str, Any]:
        """Do it, or go on with it; called in the job's own process.

        Returns
        -------
        dict
            The result, for JSON.

        Raises
        ------
        Stopped
            When it was asked to end before it was done.
        UserError
            When it cannot be done.
        """
        raise NotImplementedError

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"kind": self.kind, **asdict(self)}

    @staticmethod
    def from_dict(values: dict[str, Any]) -> Spec:
        """Inverse of `to_dict`.

        Raises
        ------
        UserError
            When the kind or a setting is unknown, or a value has another type.
        """
        values = dict(values)
        kind = values.pop("kind", None)
        if not isinstance(kind, str) or kind not in KINDS:
            raise UserError(f"kind of job {str(kind)[:40]!r}: choose {', '.join(KINDS)}")
        made = KINDS[kind]
        hints = _hints(kind)
        known = {f.name for f in fields(made)}
        for name, value in values.items():
            if name not in known:
                raise UserError(f"a {kind} job has no setting {name[:40]!r}")
            if not _fits(value, hints[name]):
                raise UserError(f"{name}: {str(value)[:40]!r} has another type")
        try:
            return made(**values)
        except TypeError:
            missing = [
                f.name
                for f in fields(made)
                if f.name not in values and f.default is f.default_factory is MISSING
            ]
            raise UserError(f"a {kind} job needs {', '.join(missing)}") from None


@dataclass(frozen=True, kw_only=True)
class Reading(Spec):
    """A job that reads a data set.

    Parameters
    ----------
    observations : str or None
        What the sites measured, in place of what the data set's stations report; a file of
        `co2net.observations`.
    """

    observations: str | None = None

    def settled(self) -> Self:
        """See `Spec.settled`."""
        where = None if self.observations is None else Path(self.observations).absolute()
        if where is not None and not where.is_dir():
            raise UserError(
                f"no observations at {where}; `co2net data prepare obspack` makes a file of them"
            )
        return replace(super().settled(), observations=None if where is None else str(where))

    def source(self) -> FieldSource:
        """The data set, opened to be read for long."""
        return open_data(self.data, self.observations)


@dataclass(frozen=True, kw_only=True)
class Train(Reading):
    """Train a network, or go on with a run.

    Parameters
    ----------
    config : dict
        Settings of `co2net.training.TrainConfig`; those of the run when ``resume`` is set.
    run : str or None
        Folder of the run. None: one in the job's folder, named after model, preset and job.
    resume : bool
        Go on with ``run``, which was begun otherwise.
    device : str or None
        ``cpu``, ``cuda:0``, ... None takes a GPU if there is one. ``cuda``: each of several
        processes has its own.
    years : dict or None
        Ranges of years, last ones included, under ``train`` and ``validation``, in place of those
        of the split; its test years stay unseen.
    processes, nodes : int
        How many train together: processes on each node. One needs no launcher.
    """

    kind: ClassVar[str] = "train"
    launchers: ClassVar[tuple[str, ...]] = ("local", "torchrun", "slurm")
    config: dict[str, Any] = field(default_factory=dict)
    run: str | None = None
    resume: bool = False
    device: str | None = None
    years: dict[str, list[list[int]]] | None = None
    processes: int = 1
    nodes: int = 1

    @property
    def queue(self) -> tuple[str, ...]:
        """See `Spec.queue`; Slurm has a queue of its own."""
        if self.launcher == "slurm":
            return ()
        if self.device == "cuda":
            return tuple(f"cuda:{n}" for n in range(self.processes))
        return (self.device or "cpu",)

    def settled(self) -> Self:
        """See `Spec.settled`."""
        from co2net import models
        from co2net.training import TrainConfig

        run = Path(self.run).absolute() if self.run else None
        begun = run is not None and (run / "config.json").exists()
        settings, years = self.config, self.years
        if self.resume:
            if run is None or not begun:
                raise UserError("to resume, name the folder of a run that was begun")
            try:
                saved = json.loads((run / "config.json").read_text(encoding="utf-8"))
                settings = saved["train"]
                years = {part: saved["years"][part] for part in ("train", "validation")}
            except (ValueError, KeyError) as error:
                raise UserError(f"{run / 'config.json'} is damaged: {error}") from None
        elif begun:
            raise UserError(f"{run} holds a run already; resume it or give another folder")
        config = TrainConfig.from_dict(settings)
        models.info(config.model)
        if config.preset not in models.PRESETS:
            raise UserError(
                f"preset '{config.preset}' is unknown; choose from {', '.join(models.PRESETS)}"
            )
        plain = json.loads(json.dumps(config.to_dict()))  # as it will be read again
        run_name = None if run is None else str(run)
        settled = replace(self, config=plain, run=run_name, device=self._device(), years=years)
        settled.split()
        return super(Train, settled).settled()

    def _device(self) -> str | None:
        """The device, where this machine is the one to know it."""
        import torch

        if not (1 <= self.processes <= 1024 and 1 <= self.nodes <= 1024):
            raise UserError(f"processes {self.processes}, nodes {self.nodes}: choose 1 to 1024")
        if self.launcher == "slurm":
            if self.device not in (None, "cpu", "cuda"):
                raise UserError(f"device '{self.device[:40]}': under Slurm choose cpu or cuda")
            return self.device
        if self.nodes > 1:
            raise UserError("several nodes need the launcher slurm, or torchrun on each of them")
        if self.launcher == "local" and self.processes > 1:
            raise UserError("several processes need the launcher torchrun or slurm")
        cards = torch.cuda.device_count()
        device = self.device or ("cuda:0" if cards else "cpu")
        known = ["cpu", *(f"cuda:{n}" for n in range(cards))]
        if self.processes > 1:
            device = "cuda" if device.startswith("cuda") else device
            known = ["cpu", *(["cuda"] if cards >= self.processes else [])]
        if device not in known:
            raise UserError(
                f"device '{device[:40]}' for {self.processes} processes: this machine has cpu and "
                f"{cards} GPUs"
            )
        return device

    def split(self) -> Split:
        """Years that train and validate; the test years are those of the split.

        Raises
        ------
        UserError
            When a year lies in two parts, or the years are no ranges.
        """
        usual = split(str(self.config.get("split", "carbontracker")))
        if self.years is None:
            return usual
        parts = {}
        for part in ("train", "validation"):
            ranges = self.years.get(part)
            sound = isinstance(ranges, list) and all(
                isinstance(one, list)
                and [type(year) for year in one] == [int, int]
                and 1 <= one[0] <= one[1] <= 9999
                for one in ranges
            )
            if not sound or not ranges:
                raise UserError(f"years of {part}: give ranges such as [[2002, 2018]]")
            parts[part] = tuple((one[0], one[1]) for one in ranges)
        if {part: parts[part] for part in parts} == {
            "train": usual.train,
            "validation": usual.validation,
        }:
            return usual
        tests = set(usual.years("test"))
        taken = sorted(tests & {y for r in parts.values() for a, b in r for y in range(a, b + 1)})
        if taken:
            raise UserError(
                f"{', '.join(map(str, taken))} are test years of the split {usual.name}; "
                "they stay unseen, choose others"
            )
        return Split("own", **parts, test=usual.test)

    def _default_data(self) -> Path:
        archive = data_path("archive")
        if not (archive / "meta.json").is_file():
            raise UserError(
                "training needs the 21 years of the embedded world; make them with "
                "`co2net simulate --archive data/archive` (minutes, 1.4 GB), or name another data "
                "set"
            )
        return archive

    def _default_name(self) -> str:
        return f"{self.config['model']} {self.config['preset']}"

    def outputs(self, folder: Path) -> dict[str, str]:
        """See `Spec.outputs`."""
        number = folder.name.partition("-")[0]
        named = f"{self.config.get('model')}-{self.config.get('preset')}-{number}"
        return {"run": self.run or str(folder / named)}

    def work(self, folder: Path, progress: Progress) -> dict[str, Any]:
        """See `Spec.work`."""
        if self.launcher == "torchrun":
            from co2net.jobs.torchrun import torchrun

            return torchrun(folder, self.processes, self.threads or 1)
        return self.train(folder, progress)

    def train(self, folder: Path, progress: Progress) -> dict[str, Any]:
        """Train in this process, alone or as one of several."""
        source = self.source()

        from co2net import training
        from co2net.training.loop import METRICS_FILE
        from co2net.training.state import STATE_FILE

        run, cache = Path(self.outputs(folder)["run"]), data_path("cache", "frames")
        device = None if self.device == "cuda" else self.device
        if (run / STATE_FILE).is_file():
            done = training.resume(
                source, run, progress, device=device, years=self.split(), cache_dir=cache
            )
        else:
            if os.environ.get("RANK", "0") == "0":  # of a start that reached no checkpoint
                for name in ("config.json", METRICS_FILE):
                    (run / name).unlink(missing_ok=True)
            config = training.TrainConfig.from_dict(self.config)
            done = training.train(
                config, source, run, progress, device=device, years=self.split(), cache_dir=cache
            )
        if not done.finished:
            raise Stopped
        if not math.isfinite(done.validation_rmse):
            raise UserError(
                "the training came to no finite validation; look at the data and the learning rate"
            )
        return {"run": str(run), **asdict(done), "memory": memory_held(self.device)}


@dataclass(frozen=True, kw_only=True)
class Reconstruct(Reading):
    """Write fields of a model over a span to Zarr; see `co2net.reconstruct.reconstruct`.

    Parameters
    ----------
    model, start, end : str
        Model and span, days inclusive.
    out : str or None
        Zarr folder. None: one in the job's folder.
    resolution : float or None
    freq : str or None
    scheduler : str or None
        Address of a Dask scheduler whose workers do it.
    """

    kind: ClassVar[str] = "reconstruct"
    model: str
    start: str
    end: str
    out: str | None = None
    resolution: float | None = None
    freq: str | None = None
    scheduler: str | None = None

    def settled(self) -> Self:
        """See `Spec.settled`."""
        out = None if self.out is None else str(Path(self.out).absolute())
        return replace(super().settled(), out=out, model=_model(self.model))

    def _default_name(self) -> str:
        return f"{Path(self.model).name} {self.start} to {self.end}"

    def outputs(self, folder: Path) -> dict[str, str]:
        """See `Spec.outputs`."""
        return {"out": self.out or str(folder / "reconstruction.zarr")}

    def work(self, folder: Path, progress: Progress) -> dict[str, Any]:
        """See `Spec.work`."""
        from co2net.reconstruct import reconstruct

        out = reconstruct(
            self.model,
            self.source(),
            self.start,
            self.end,
            self.outputs(folder)["out"],
            resolution=self.resolution,
            freq=self.freq,
            progress=progress,
            scheduler=self.scheduler,
        )
        return {"out": str(out)}


@dataclass(frozen=True, kw_only=True)
class Evaluate(Reading):
    """Evaluate models; see `co2net.evaluation.request`.

    Parameters
    ----------
    models : list of str or None
        Names or folders. None: all that are shipped.
    seeds : bool
        Whether the other seeds of these take part.
    split : {'test', 'validation', 'train'}
        Part of the paper's split whose years are scored.
    periods : list of str or None
        Instead: years, months, days or FIRST/LAST.
    regions : list of str
        Further keys of `co2net.regions.region`.
    every : int
        Score every n-th frame.
    withhold, folds, table, budget, settings, cases, seed
        As in `co2net.evaluation.request.Request`.
    runs : str or None
        Folder of a table's runs. None: among the results.
    out : str or None
        Folder of results. None: one in the job's folder.
    """

    kind: ClassVar[str] = "evaluate"
    models: list[str] | None = None
    seeds: bool = False
    split: str = "test"
    periods: list[str] | None = None
    regions: list[str] = field(default_factory=list)
    every: int = 9
    withhold: str | None = None
    folds: int = 0
    table: str | None = None
    budget: str = "200 steps"
    settings: dict[str, Any] = field(default_factory=dict)
    cases: bool = True
    seed: int = 0
    runs: str | None = None
    out: str | None = None

    def _request(self) -> Any:
        from co2net.evaluation.request import Request

        return Request(**{f.name: getattr(self, f.name) for f in fields(Request)})

    def settled(self) -> Self:
        """See `Spec.settled`."""
        self._request().check()
        return replace(
            super().settled(),
            models=None if self.models is None else [_model(name) for name in self.models],
            out=None if self.out is None else str(Path(self.out).absolute()),
            runs=None if self.runs is None else str(Path(self.runs).absolute()),
        )

    def _default_name(self) -> str:
        if self.table is not None:
            return f"table {self.table}, {self.budget}"
        return f"scores, {', '.join(self.periods or [self.split])}"

    def _default_data(self) -> Path | None:
        archive = data_path("archive")
        return archive if (archive / "meta.json").is_file() else super()._default_data()

    def outputs(self, folder: Path) -> dict[str, str]:
        """See `Spec.outputs`."""
        return {"out": self.out or str(folder / "results")}

    def work(self, folder: Path, progress: Progress) -> dict[str, Any]:
        """See `Spec.work`."""
        from co2net.evaluation.request import run
        from co2net.evaluation.tables import TrainingStopped

        request, out = self._request(), Path(self.outputs(folder)["out"])
        data = None if self.data is None else Path(self.data)
        try:
            done = run(
                request,
                open_data(self.data),
                out,
                command=request.command(data, out, None),
                progress=progress,
                cache_dir=data_path("cache", "frames"),
            )
        except TrainingStopped:
            raise Stopped from None
        return {"out": str(out), "rows": len(done.lines), "notes": list(done.notes)}


@dataclass(frozen=True, kw_only=True)
class Prepare(Spec):
    """Bring original files of a published data set into a store; see `co2net.datasets`.

    Parameters
    ----------
    source : str
        Module of `co2net.datasets` that has a ``prepare``, such as ``carbontracker``.
    files : list of str
        Original files, or folders that hold them.
    out : str or None
        The store. None: one in the job's folder.
    options : dict
        Further arguments of that ``prepare``.
    scheduler : str or None
        Address of a Dask scheduler whose workers read the files.
    """

    kind: ClassVar[str] = "prepare"
    source: str
    files: list[str]
    out: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    scheduler: str | None = None

    def settled(self) -> Self:
        """See `Spec.settled`."""
        known = set(signature(self._reader()).parameters)
        if self.scheduler is not None and "executor" not in known:
            raise UserError(f"{self.source} is prepared by one process; leave out the scheduler")
        known -= {"files", "out", "progress", "executor"}
        strange = set(self.options) - known
        if strange:
            raise UserError(
                f"{self.source} has no setting {', '.join(sorted(strange))[:60]}; it has "
                f"{', '.join(sorted(known))}"
            )
        files = [Path(name).absolute() for name in self.files]
        absent = [str(path) for path in files if not path.exists()]
        if absent or not files:
            raise UserError(f"no original files at {absent[0] if absent else 'all'}; name them")
        out = None if self.out is None else str(Path(self.out).absolute())
        return replace(super().settled(), files=[str(path) for path in files], out=out)

    def _default_data(self) -> None:
        return None

    def _default_name(self) -> str:
        return f"{self.source} into a store"

    def _reader(self) -> Callable[..., Any]:
        from co2net import datasets

        known = sorted(
            one.name
            for one in iter_modules(datasets.__path__)
            if hasattr(import_module(f"co2net.datasets.{one.name}"), "prepare")
        )
        if self.source not in known:
            raise UserError(f"source '{self.source[:40]}': choose from {', '.join(known)}")
        return import_module(f"co2net.datasets.{self.source}").prepare  # type: ignore[no-any-return]

    def outputs(self, folder: Path) -> dict[str, str]:
        """See `Spec.outputs`."""
        return {"out": self.out or str(folder / f"{self.source}.zarr")}

    def work(self, folder: Path, progress: Progress) -> dict[str, Any]:
        """See `Spec.work`."""
        prepare, out = self._reader(), self.outputs(folder)["out"]
        files = [Path(name) for name in self.files]
        if self.scheduler is None:
            done = prepare(files, out, progress=progress, **self.options)
        else:
            from co2net import cluster

            with cluster.client(self.scheduler) as client:
                executor = client.get_executor(retries=cluster.RETRIES)
                done = prepare(files, out, progress=progress, executor=executor, **self.options)
        return {"out": out, "lines": done.lines()}


@dataclass(frozen=True, kw_only=True)
class Simulate(Spec):
    """Make the 21 years of the embedded world that training reads.

    Parameters
    ----------
    archive : str or None
        Folder. None: the program's.
    first, last : int
        Years.
    """

    kind: ClassVar[str] = "simulate"
    archive: str | None = None
    first: int = 2000
    last: int = 2020

    def settled(self) -> Self:
        """See `Spec.settled`."""
        where = Path(self.archive).absolute() if self.archive else data_path("archive").absolute()
        return replace(super().settled(), archive=str(where))

    def _default_data(self) -> None:
        return None

    def _default_name(self) -> str:
        return f"simulated world {self.first}-{self.last}"

    def outputs(self, folder: Path) -> dict[str, str]:
        """See `Spec.outputs`."""
        return {"out": self.archive or str(data_path("archive"))}

    def work(self, folder: Path, progress: Progress) -> dict[str, Any]:
        """See `Spec.work`."""
        from co2net.naturerun import build_archive

        out = Path(self.outputs(folder)["out"])
        workers = self.threads or 1
        build_archive(out, years=(self.first, self.last), workers=workers, progress=progress)
        return {"out": str(out)}


KINDS: dict[str, type[Spec]] = {
    made.kind: made for made in (Train, Reconstruct, Evaluate, Prepare, Simulate)
}
"""Kinds of jobs by name; another kind is another entry."""


def _model(name: str) -> str:
    """A name as it is, a folder with its whole path."""
    return str(Path(name).absolute()) if (Path(name) / "config.json").is_file() else name


def on_gpu(device: str | None) -> bool:
    """Whether a training on a device, as `Train` names it, is on a GPU."""
    import torch

    return device != "cpu" and torch.cuda.is_available()


def memory_held(device: str | None) -> int:
    """Bytes that this process has held at most: of a GPU's memory where it trains there."""
    import torch

    return torch.cuda.max_memory_allocated() if on_gpu(device) else peak_memory()


def _threads() -> int:
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if asked.isdecimal() and int(asked) > 0:
        return int(asked)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@cache
def _hints(kind: str) -> dict[str, Any]:
    return get_type_hints(KINDS[kind])


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value out of JSON has the type of an annotation."""
    if isinstance(hint, UnionType):
        return any(_fits(value, one) for one in get_args(hint))
    if get_origin(hint) is list:
        return isinstance(value, list) and all(_fits(one, get_args(hint)[0]) for one in value)
    if get_origin(hint) is dict:
        return isinstance(value, dict)
    if hint in (int, float):
        return isinstance(value, hint | int) and not isinstance(value, bool)
    return isinstance(value, hint)
