"""The training loop: one process or many, from any source to a run folder.

A run folder holds ``config.json``, ``environment.json``, ``metrics.jsonl``,
``statistics.safetensors``, ``background/`` where the target needs one, ``model.safetensors`` (the
averaged weights of the best validation) and ``state.safetensors`` (all that resuming needs).
"""

from __future__ import annotations

import copy
import json
import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import count as numbers
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from co2net.assets import atomic_path, provenance
from co2net.background import Background, default_background_path
from co2net.errors import UserError
from co2net.models.base import Layout, Network
from co2net.models.checkpoint import (
    CONFIG_FILE,
    STATISTICS_FILE,
    autocast,
    fast_bf16,
    save_weights,
)
from co2net.models.layers import parameter_count
from co2net.models.processor import keep_memory
from co2net.models.registry import create, info
from co2net.resident import ResidentFrames, TensorBatch
from co2net.source import FieldSource
from co2net.training.adversarial import Paired, Unpaired
from co2net.training.config import TrainConfig
from co2net.training.losses import row_weights
from co2net.training.objective import Objective, Supervised
from co2net.training.sample import Sample
from co2net.training.state import Progressed, load_state, save_state
from co2net.training.stream import DeviceStream, Prefetcher
from co2net.windows import PARTS, Batch, Split, Statistics, WindowReader, channel_names, split

Progress = Callable[[float, str], None]
Stop = Callable[[], bool]
METRICS_FILE = "metrics.jsonl"
OBJECTIVES: dict[str, Callable[..., Objective]] = {
    "supervised": Supervised,
    "unpaired": Unpaired,
    "paired": Paired,
}
_LOG_EVERY = 25
_GROUPS = numbers()


@dataclass(frozen=True)
class TrainResult:
    """How a training ended.

    Parameters
    ----------
    steps : int
        Steps done over all sittings.
    finished : bool
        False when it was stopped and can be resumed.
    validation_rmse : float
        Best over the run (umol/mol).
    """

    steps: int
    finished: bool
    validation_rmse: float


@dataclass(frozen=True)
class Workers:
    """This process among those of ``torchrun``.

    Parameters
    ----------
    rank, count : int
    device
        GPU of the process, or the processor.
    """

    rank: int
    count: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this process writes files."""
        return self.rank == 0

    def most(self, value: float) -> float:
        """The largest value of all processes."""
        if self.count == 1:
            return value
        found = torch.tensor([value], dtype=torch.float64, device=self.device)
        dist.all_reduce(found, op=dist.ReduceOp.MAX)
        return float(found.item())

    def mean(self, values: Tensor) -> Tensor:
        """The mean over all processes."""
        if self.count > 1:
            dist.all_reduce(values)
        return values / self.count

    def any(self, flag: bool) -> bool:
        """Whether the flag is up in any process."""
        return self.most(float(flag)) > 0

    def wait(self) -> None:
        """Until every process is here."""
        if self.count > 1:
            dist.barrier()


@contextmanager
def workers(device: str | None = None) -> Iterator[Workers]:
    """Join the processes that ``torchrun`` started, if it did."""
    count = int(os.environ.get("WORLD_SIZE", "1"))
    local = int(os.environ.get("LOCAL_RANK", "0"))
    if device is None:
        device = f"cuda:{local}" if torch.cuda.is_available() else "cpu"
    chosen = torch.device(device)
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    if count == 1:
        yield Workers(0, 1, chosen)
        return
    store, rank, _ = _meeting()
    # Each group under a name of its own: one made anew would find the addresses that the one
    # before it left in the store, and might wait for them without end.
    named = dist.PrefixStore(f"training {next(_GROUPS)}", store)
    backend = "nccl" if chosen.type == "cuda" else "gloo"
    dist.init_process_group(backend, store=named, rank=rank, world_size=count)
    try:
        yield Workers(rank, count, chosen)
    finally:
        dist.destroy_process_group()


@cache
def _meeting() -> tuple[dist.Store, int, int]:
    """Where the processes leave their addresses, this one's rank, and how many they are."""
    found: tuple[dist.Store, int, int] = next(dist.rendezvous("env://"))
    return found


def train(
    config: TrainConfig,
    source: FieldSource,
    run_dir: str | Path,
    progress: Progress | None = None,
    stop: Stop | None = None,
    device: str | None = None,
    years: Split | None = None,
    cache_dir: str | Path | None = None,
    background: Background | None = None,
) -> TrainResult:
    """Train a network.

    Parameters
    ----------
    config
        Settings.
    source
        Fields; only frames of training and validation years are read.
    run_dir
        Folder that does not hold a run yet.
    progress
        Told the share of the budget spent, and a line.
    stop
        Asked after every step; when true, or on SIGTERM, a checkpoint is written and training
        ends unfinished.
    device : str or None
        None takes a GPU if there is one.
    years
        A split of one's own; by default that of ``config.split``.
    cache_dir
        Folder for normalised frames, which trainings share (`co2net.resident`); None keeps them
        in memory.
    background
        What was learned of the training frames before. None: `known_background`, else one is
        fitted where the target needs it.

    Raises
    ------
    UserError
        When the folder is taken, or the data do not serve the settings.
    """
    folder = Path(run_dir)
    with workers(device) as group:
        if group.first and (folder / CONFIG_FILE).exists():
            raise UserError(f"{folder} holds a run already; resume it or give another folder")
        group.wait()
        trainer = _Trainer(
            config.resolved(), source, folder, group, years or split(config.split),
            _folder(cache_dir), background,
        )  # fmt: skip
        return trainer.run(progress, stop, resume=False)


def resume(
    source: FieldSource,
    run_dir: str | Path,
    progress: Progress | None = None,
    stop: Stop | None = None,
    device: str | None = None,
    years: Split | None = None,
    cache_dir: str | Path | None = None,
) -> TrainResult:
    """Go on with a run from its last checkpoint, to the same end as if it had not stopped.

    On one processor with the same number of threads the final weights are the same, bit by bit.

    Raises
    ------
    UserError
        When the folder holds no run, or the data set is not the one that it was started on.
    """
    folder = Path(run_dir)
    try:
        saved = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
        config = TrainConfig.from_dict(saved["train"]).resolved()
        begun = {part: tuple(map(tuple, saved["years"][part])) for part in PARTS}
    except FileNotFoundError:
        raise UserError(f"{folder} holds no run; start one without --resume") from None
    except (ValueError, KeyError) as error:
        raise UserError(f"{folder / CONFIG_FILE} is damaged: {error}") from None
    now = data_label(source)
    if saved["data"] != now:
        raise UserError(f"the run was started on {saved['data']}, not on {now}; give its data")
    years = years or Split(config.split, **begun)
    with workers(device) as group:
        trainer = _Trainer(config, source, folder, group, years, _folder(cache_dir))
        return trainer.run(progress, stop, resume=True)


def _folder(path: str | Path | None) -> Path | None:
    return None if path is None else Path(path)


def data_label(source: FieldSource) -> dict[str, Any]:
    """Which data set a result comes from."""
    return {key: source.attrs.get(key) for key in ("title", "version", "digest", "simulated")}


def known_background(source: FieldSource, frames: int) -> Background | None:
    """The shipped background, where it was learned from that many frames of the very data set."""
    path = default_background_path()
    if not (path / "background.json").is_file():
        return None
    found = Background.load(path)
    fits = (
        found.grid == source.grid
        and found.stations.code == source.stations.code
        and found.notes["data"] == data_label(source)
        and found.notes["frames"] == frames
    )
    return found if fits else None


class _Trainer:
    """One training; see `train`."""

    def __init__(
        self,
        config: TrainConfig,
        source: FieldSource,
        folder: Path,
        group: Workers,
        years: Split,
        cache: Path | None,
        background: Background | None = None,
    ) -> None:
        self.cache, self.background = cache, background
        self.config, self.source, self.folder, self.group = config, source, folder, group
        self.years = years
        family = info(config.model)
        assert config.target is not None
        self.objective, self.target = family.objective, config.target
        self.options = dict(config.options)
        if "wind_loss" in family.options:
            self.options.setdefault("wind_loss", config.wind_loss > 0)
        self.index = years.windows(source, "train", config.frames, config.interval)
        if self.index.size == 0:
            raise UserError(
                f"the data set holds no complete window of {config.frames} frames in the training "
                f"years {years.train}; give data of those years or another split"
            )
        self.layout = Layout(
            source.grid, channel_names(tuple(source.variables), self.target), config.frames
        )
        half = config.precision == "bf16" or (
            config.precision == "auto" and fast_bf16(group.device)
        )
        self.dtype = torch.bfloat16 if half else torch.float32

    # -- what is learned before the network ----------------------------------------------

    def _prepare(self, progress: Progress, resuming: bool) -> tuple[Statistics, Background | None]:
        """Background and statistics; the first process makes them, the others read them."""
        known = self.folder / STATISTICS_FILE
        if self.group.first and not (resuming and known.is_file()):
            frames = self.years.frames(self.source, "train")
            background = None
            if self.target != "absolute":
                progress(0.0, "fitting the background")
                background = self._background(frames)
                background.save(self.folder / "background")
            progress(0.0, "fitting the statistics")
            gain = self.config.station_gain
            assert gain is not None  # resolved
            found = Statistics.fit(
                self.source, frames, background, seed=self.config.seed, gain=gain
            )
            if not (np.isfinite(found.centre).all() and math.isfinite(found.co2_mean)):
                raise UserError(
                    "the data set has gaps in its training years; "
                    "fill them, or leave those frames out of the data set"
                )
            found.save(known)
        self.group.wait()
        background = None
        if self.target != "absolute":
            background = Background.load(self.folder / "background")
        return Statistics.load(known), background

    def _background(self, frames: np.ndarray[Any, Any]) -> Background:
        """The given background, else the shipped one where it fits, else a new one."""
        found = self.background or known_background(self.source, frames.size)
        return found or Background.fit(self.source, frames, seed=self.config.seed)

    def _describe(self, background: Background | None, network: Network) -> dict[str, Any]:
        return {
            "format": 1,
            "train": self.config.to_dict(),
            "target": self.target,
            "options": self.options,
            "layout": {
                "grid": self.source.grid.to_dict(),
                "channels": list(self.layout.channels),
                "frames": self.layout.frames,
            },
            "years": {part: getattr(self.years, part) for part in ("train", "validation", "test")},
            "windows": int(self.index.size),
            "parameters": parameter_count(network),
            "data": data_label(self.source),
            "background": background.digest if background else None,
            "provenance": provenance(),
        }

    def _environment(self) -> dict[str, Any]:
        return {
            **provenance(),
            "torch": torch.__version__,
            "device": str(self.group.device),
            "precision": str(self.dtype).removeprefix("torch."),
            "processes": self.group.count,
            "threads": torch.get_num_threads(),
        }

    # -- the loop ------------------------------------------------------------------------

    def run(self, progress: Progress | None, stop: Stop | None, resume: bool) -> TrainResult:
        """Train from the start or from the last checkpoint."""
        tell: Progress = progress or (lambda share, text: None)
        config, group = self.config, self.group
        keep_memory()
        statistics, background = self._prepare(tell, resume)
        torch.manual_seed(config.seed)
        network = create(config.model, config.preset, self.layout, **self.options)
        objective = OBJECTIVES[self.objective](
            network.to(group.device), config, self.layout, group.device, self.dtype, group.count
        )
        trained, optimizers = objective.trained, objective.optimizers
        averaged = copy.deepcopy(network).eval().requires_grad_(False)
        average: dict[str, Tensor] = dict(averaged.named_parameters())
        state = Progressed()
        if resume:
            state = load_state(self.folder, trained, average, optimizers)
            if group.first:
                _forget_after(self.folder / METRICS_FILE, state.step)
        elif group.first:
            _write_json(self.folder / CONFIG_FILE, self._describe(background, network))
            _write_json(self.folder / "environment.json", self._environment())
        if state.finished:
            return TrainResult(state.step, True, state.best)
        reader = WindowReader(
            self.source, statistics, self.target, background, config.frames, config.interval
        )
        resident = ResidentFrames(
            reader, self.years.frames(self.source, "train"), self.cache, group.device
        )
        tell(0.0, "reading the validation windows")
        judge = _Judge(self, reader.scale, statistics, background) if group.first else None
        schedule = _Schedule(config, self.index.size, group.count)
        stream = (DeviceStream if group.device.type == "cuda" else Prefetcher)(
            resident, self.index, state.step, batch=config.batch, seed=config.seed,
            rank=group.rank, world=group.count, dtype=self.dtype,
        )  # fmt: skip
        sums: dict[str, Tensor] = {}
        logged, since = state.step, time.perf_counter()
        began = since - state.seconds
        with _terminated() as asked:
            try:
                for batch in stream:
                    rate = schedule.rate(schedule.share(state))
                    for optimizer in optimizers:
                        for parameters in optimizer.param_groups:
                            parameters["lr"] = rate
                    found = objective.step(self._place(batch), state.step)
                    _average(
                        average, network, min(config.ema, (1 + state.step) / (10 + state.step))
                    )
                    state.step += 1
                    state.seconds = time.perf_counter() - began
                    if config.minutes is not None:  # one clock for all processes
                        state.seconds = group.most(state.seconds)
                    sums = {name: sums.get(name, 0.0) + value for name, value in found.items()}
                    last = schedule.share(state) >= 1.0
                    halted = asked.is_set() or (stop is not None and stop())
                    if group.count > 1:  # asking one another takes a wait for the device
                        halted = state.step % _LOG_EVERY == 0 and group.any(halted)
                    if state.step % _LOG_EVERY == 0 or last or halted:
                        now = time.perf_counter()
                        count = state.step - logged
                        means = group.mean(torch.stack(list(sums.values())) / count).tolist()
                        mean = dict(zip(sums, means, strict=True))
                        speed = count * config.batch * group.count / (now - since)
                        self._log(
                            step=state.step, **mean, rate=rate, windows_per_s=speed,
                            seconds=state.seconds,
                        )  # fmt: skip
                        tell(
                            min(schedule.share(state), 1.0),
                            f"step {state.step}, loss {mean['co2']:.4f}, {speed:.1f} windows/s"
                            + (f", validation {state.best:.3f}" if state.best < 1e9 else ""),
                        )
                        sums = {}
                        logged, since = state.step, now
                    if state.step % config.validate_every == 0 or last:
                        if judge is not None:
                            self._validate(judge, averaged, average, state)
                            since = time.perf_counter()
                        if config.patience > 0:
                            last = group.any(last or state.since_best >= config.patience)
                    saves = state.step % config.checkpoint_every == 0 or last or halted
                    if saves and group.any(not math.isfinite(float(found["gradient"]))):
                        raise UserError(
                            f"{self.folder}: the gradient is not finite at step {state.step}; "
                            "check the data for gaps, or resume from the last checkpoint"
                        )
                    state.finished = last
                    if group.first and saves:
                        save_state(self.folder, state, trained, average, optimizers)
                    if last or halted:
                        break
            finally:
                stream.close()
        best = -group.most(-state.best)  # the first process alone validates
        return TrainResult(state.step, state.finished, best)

    def _place(self, batch: TensorBatch) -> TensorBatch:
        device = self.group.device
        return TensorBatch(batch.inputs.to(device), batch.clock.to(device), batch.target.to(device))

    def _validate(
        self, judge: _Judge, averaged: Network, average: dict[str, Tensor], state: Progressed
    ) -> None:
        found = judge(averaged)
        self._log(step=state.step, seconds=state.seconds, **found)
        judge.sample(state.step, found["validation_rmse"]).save(self.folder)
        if found["validation_rmse"] < state.best:
            state.best, state.since_best = found["validation_rmse"], 0
            trained = {"steps": state.step, "windows": state.step * self.config.batch
                       * self.group.count, "seconds": round(state.seconds, 1), **found}  # fmt: skip
            save_weights(self.folder, average, trained)
        else:
            state.since_best += 1

    def _log(self, **numbers: float) -> None:
        if not self.group.first:
            return
        line = {key: value if isinstance(value, int) else float(f"{value:.6g}")
                for key, value in numbers.items()}  # fmt: skip
        with (self.folder / METRICS_FILE).open("a", encoding="utf-8") as handle:
            handle.write(json.dumps(line) + "\n")


class _Judge:
    """Validation: the document's RMSE over fixed windows of the validation years."""

    def __init__(
        self,
        trainer: _Trainer,
        scale: float,
        statistics: Statistics,
        background: Background | None,
    ) -> None:
        config, source = trainer.config, trainer.source
        index = trainer.years.windows(source, "validation", config.frames, config.interval)
        if index.size == 0:
            raise UserError(
                f"the data set holds no complete window in the validation years "
                f"{trainer.years.validation}; give data of those years or another split"
            )
        count = min(config.validation_windows, index.size)
        chosen = index[np.linspace(0, index.size - 1, count).round().astype(np.int64)]
        reader = WindowReader(
            source, statistics, trainer.target, background, config.frames, config.interval
        )
        self.scale, self.device, self.dtype = scale, trainer.group.device, trainer.dtype
        self.weights = row_weights(source.grid)
        self.batches = [
            _tensors(reader.read(chosen[n : n + 8]), self.dtype) for n in range(0, count, 8)
        ]
        if not all(one.isfinite().all() for b in self.batches for one in (b.inputs, b.target)):
            raise UserError(
                "the data set has gaps in its validation years; "
                "fill them, or leave those frames out of the data set"
            )
        self.prior = self._rmse([torch.zeros_like(batch.target) for batch in self.batches])
        self.middle = len(self.batches) // 2
        shown = chosen[8 * self.middle]
        self.grid, self.time = source.grid, source.time[shown]
        self.truth = source.read(["co2"], np.array([shown]))[0, 0]
        self.error = np.zeros_like(self.truth)

    def _rmse(self, outputs: list[Tensor]) -> float:
        """Mean over frames of the root of the area-weighted mean square (umol/mol)."""
        roots = [
            torch.sqrt(torch.mean(self.weights * (output - batch.target) ** 2, dim=(1, 2)))
            for output, batch in zip(outputs, self.batches, strict=True)
        ]
        return float(torch.cat(roots).mean()) * self.scale

    def __call__(self, network: Network) -> dict[str, float]:
        """RMSE of the network and of its prior alone."""
        outputs = []
        with torch.inference_mode(), autocast(self.device, self.dtype):
            for batch in self.batches:
                co2 = network(batch.inputs.to(self.device), batch.clock.to(self.device)).co2
                outputs.append(co2.float().cpu())
        self.error = (outputs[self.middle] - self.batches[self.middle].target)[0].numpy()
        return {"validation_rmse": self._rmse(outputs), "prior_rmse": self.prior}

    def sample(self, step: int, rmse: float) -> Sample:
        """The field of the window in the middle, as it was last judged."""
        field = (self.truth + self.scale * self.error).astype(np.float32)
        return Sample(self.time, step, rmse, self.grid, self.truth, field)


def _tensors(batch: Batch, dtype: torch.dtype) -> TensorBatch:
    assert batch.target is not None
    return TensorBatch(
        torch.from_numpy(batch.inputs).to(dtype),
        torch.from_numpy(batch.clock),
        torch.from_numpy(batch.target).float(),
    )


@dataclass(frozen=True)
class _Schedule:
    """Share of the budget that is spent, and the learning rate there."""

    config: TrainConfig
    windows: int
    processes: int

    def share(self, state: Progressed) -> float:
        """0 at the start, 1 when the budget is spent."""
        config = self.config
        if config.minutes is not None:
            return state.seconds / (60.0 * config.minutes)
        if config.steps is not None:
            return state.step / config.steps
        assert config.epochs is not None
        return state.step * config.batch * self.processes / (config.epochs * self.windows)

    def rate(self, share: float) -> float:
        """Linear rise, then half a cosine to zero."""
        config = self.config
        assert config.rate is not None
        if share < config.warmup:
            return config.rate * (share + 1e-3) / (config.warmup + 1e-3)
        rest = (min(share, 1.0) - config.warmup) / (1.0 - config.warmup)
        return config.rate * 0.5 * (1.0 + math.cos(math.pi * rest))


def _average(average: dict[str, Tensor], network: Network, decay: float) -> None:
    with torch.no_grad():
        current = [p.detach() for p in network.parameters()]
        torch._foreach_lerp_(list(average.values()), current, 1.0 - decay)


def _write_json(path: Path, content: dict[str, Any]) -> None:
    with atomic_path(path) as draft:
        draft.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _forget_after(path: Path, step: int) -> None:
    """Drop metrics of steps that will be done again."""
    if not path.is_file():
        return
    lines = path.read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if json.loads(line)["step"] <= step]
    with atomic_path(path) as draft:
        draft.write_text("".join(line + "\n" for line in kept), encoding="utf-8")


@contextmanager
def _terminated() -> Iterator[threading.Event]:
    """An event that SIGTERM sets; outside the main thread signals are left alone."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    before = signal.signal(signal.SIGTERM, lambda *_: asked.set())
    try:
        yield asked
    finally:
        signal.signal(signal.SIGTERM, before)
