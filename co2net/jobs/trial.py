"""What a training will take, measured: a few steps of the real thing in a process of its own.

The trial reads the first frames of the data only. It learns the absolute target, for which no
background need be fitted; the others cost two input channels more.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from co2net.assets import peak_memory
from co2net.errors import UserError
from co2net.jobs.folder import environment
from co2net.jobs.spec import Spec, Train
from co2net.source import FieldSource, Index

_STEPS = 4
_SECONDS = 40.0  # when that many steps have not been done, those that were must do
_FRAMES = 40  # beside those of one window
_CHANNEL_BYTES = 2  # of a frame that stays, in half precision


@dataclass(frozen=True)
class Estimate:
    """What a training will take.

    Parameters
    ----------
    step : float
        Seconds a step.
    prepare : float
        Seconds that the frames need to be read once, before or while it trains.
    seconds : float
        All in all, without fitting a background.
    steps : float
        Steps of the budget; of one in minutes, those that will be done.
    windows, validation : int
        Windows of the training and of the validation years.
    memory : int
        Bytes of main memory; on a GPU, of its memory.
    disk : int
        Bytes of the frames that are kept for later trainings.
    parameters : int
        Trained values.
    """

    step: float
    prepare: float
    seconds: float
    steps: float
    windows: int
    validation: int
    memory: int
    disk: int
    parameters: int


def estimate(spec: Train, seconds: float = 300.0) -> Estimate:
    """Measure a training; it takes some seconds, and the processor with them.

    Parameters
    ----------
    spec
        The training.
    seconds
        Longest time that may take.

    Raises
    ------
    UserError
        When the training cannot be done, or the trial takes too long.
    """
    spec = replace(spec, launcher="local", processes=1, nodes=1, slurm={}).settled()
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "co2net.jobs.trial"],
            input=json.dumps(spec.to_dict()),
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
            env={**os.environ, **environment(spec.threads or 1)},
        )
    except subprocess.TimeoutExpired:
        raise UserError(
            f"a few steps took more than {seconds:.0f} s; choose a smaller preset or batch"
        ) from None
    lines = done.stdout.strip().splitlines() or [""]
    try:
        told = json.loads(lines[-1])
    except ValueError:
        told = {"error": (done.stderr.strip().splitlines() or ["it ended without a word"])[-1]}
        if done.returncode < 0:
            told = {"error": "not enough memory; choose a smaller batch or preset"}
    if "error" in told:
        raise UserError(str(told["error"])[:300])
    return Estimate(**told)


class _First:
    """The first frames of each part of a source; a `co2net.source.FieldSource`."""

    def __init__(self, source: FieldSource, keep: Index) -> None:
        self.grid, self.stations, self.time = source.grid, source.stations, source.time
        self.step, self.variables, self.attrs = source.step, source.variables, source.attrs
        self.available = np.zeros(source.time.size, dtype=bool)
        self.available[keep] = True
        self._source = source

    def read(self, names: Sequence[str], index: Index) -> NDArray[np.float32]:
        """See `co2net.source.FieldSource.read`."""
        return self._source.read(names, index)

    def observations(self, index: Index) -> NDArray[np.float32]:
        """See `co2net.source.FieldSource.observations`."""
        return self._source.observations(index)


def measure(spec: Train) -> Estimate:
    """Do the trial in this process.

    Raises
    ------
    UserError
        When the training cannot be done.
    """
    import torch

    from co2net import training

    source, years = spec.source(), spec.split()
    config = training.TrainConfig.from_dict(spec.config)
    windows = {
        part: years.windows(source, part, config.frames, config.interval)
        for part in ("train", "validation")
    }
    for part, found in windows.items():
        if found.size == 0:
            raise UserError(
                f"the data set holds no complete window of {config.frames} frames in the years "
                f"{getattr(years, part)} ({part}); give other years or other data"
            )
    span = (config.frames - 1) * config.interval
    first, last = int(windows["train"][0]), int(windows["validation"][0])
    wanted = np.concatenate(
        [np.arange(first - span, first + _FRAMES), np.arange(last - span, last + 1)]
    )
    keep = wanted[wanted < source.time.size]
    keep = keep[source.available[keep]]
    began = time.perf_counter()
    source.read(["co2", *source.variables], keep[:_FRAMES])
    reading = (time.perf_counter() - began) / min(keep.size, _FRAMES)
    budget: dict[str, Any] = {"steps": 10**9, "epochs": None, "minutes": None, "patience": 0}
    rare: dict[str, Any] = {"validate_every": 10**9, "checkpoint_every": 10**9}
    short = replace(config, **budget, **rare, target="absolute", validation_windows=1)
    ticks = [time.perf_counter()]

    def enough() -> bool:
        ticks.append(time.perf_counter())
        return len(ticks) > _STEPS or ticks[-1] - ticks[0] > _SECONDS

    with tempfile.TemporaryDirectory() as run:
        training.train(
            short, _First(source, keep), Path(run) / "run", stop=enough, device=spec.device,
            years=years,
        )  # fmt: skip
        about = json.loads((Path(run) / "run" / "config.json").read_text(encoding="utf-8"))
    gaps = np.diff(ticks).tolist()
    step = float(median(gaps[2:] or gaps[-1:]))  # the first ones wait for frames
    frames = int(years.frames(source, "train").size)
    prepare = reading * frames
    size = windows["train"].size
    checks = step / 3 * min(config.validation_windows, windows["validation"].size) / config.batch
    step += checks / config.validate_every
    if config.minutes is not None:
        steps, total = config.minutes * 60 / step, config.minutes * 60 + prepare
    else:
        steps = config.steps or (config.epochs or 0.0) * size / config.batch
        total = max(steps * step, min(prepare, reading * steps * config.batch)) + checks
    memory = peak_memory()
    if torch.cuda.is_available() and spec.device != "cpu":
        memory = torch.cuda.max_memory_allocated()
    channels = len(about["layout"]["channels"]) + 1
    return Estimate(
        step=step,
        prepare=prepare,
        seconds=total,
        steps=float(steps),
        windows=int(size),
        validation=int(windows["validation"].size),
        memory=int(memory),
        disk=int(frames * channels * np.prod(source.grid.shape) * _CHANNEL_BYTES),
        parameters=int(about["parameters"]),
    )


def main() -> int:
    """Measure the specification on standard input, and print what was found."""
    spec = Spec.from_dict(json.loads(sys.stdin.read()))
    assert isinstance(spec, Train)
    os.setpriority(os.PRIO_PROCESS, 0, max(spec.nice, os.getpriority(os.PRIO_PROCESS, 0)))
    try:
        told: dict[str, Any] = asdict(measure(spec))
    except UserError as error:
        told = {"error": str(error)}
    print(json.dumps(told))
    return 0


if __name__ == "__main__":
    sys.exit(main())
