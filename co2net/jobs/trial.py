"""What a training will take, measured: a few steps of the real thing in a process of its own.

The trial trains the very network on the very target, but reads the first frames of the data only.
Where the target needs a background that has still to be fitted, one is fitted on some of the
training frames, and the time that takes is carried over to all of them.
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
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from co2net.background import Background
from co2net.errors import UserError
from co2net.jobs.folder import environment
from co2net.jobs.spec import Spec, Train, memory_held, on_gpu
from co2net.schema import VARIABLES
from co2net.source import FieldSource, Index, noise_of
from co2net.training.loop import known_background
from co2net.windows import PRIOR_CHANNELS

_STEPS = 4  # that are measured, after the first one, which waits for the frames
_SECONDS = 40.0  # when that many steps have not been done, those that were must do
_FRAMES = 40  # beside those of one window
_FITTED = 480  # frames that a background is fitted on
_SAMPLE_DAYS = 80  # whose frames the statistics are taken from
_JUDGED = 8  # validation windows together
_HALF, _SINGLE = 2, 4  # bytes of a value


@dataclass(frozen=True)
class Estimate:
    """What a training will take.

    Parameters
    ----------
    step : float
        Seconds a step.
    learn : float
        Seconds before the first step: a background fitted, statistics, validation windows read.
    prepare : float
        Seconds that the frames need to be read once, while it trains.
    seconds : float
        All in all.
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
    learn: float
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
        if noise_of(source, keep[:1]) is not None:
            self.noise = partial(noise_of, source)

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
    from co2net import training

    source, years = spec.source(), spec.split()
    config = training.TrainConfig.from_dict(spec.config).resolved()
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
    frames = years.frames(source, "train")
    span = (config.frames - 1) * config.interval
    first, last = int(windows["train"][0]), windows["validation"][:_JUDGED]
    wanted = [np.arange(first - span, first + _FRAMES)]
    wanted += [np.arange(one - span, one + 1) for one in last.tolist()]
    keep = np.unique(np.concatenate(wanted))
    keep = keep[keep < source.time.size]
    keep = keep[source.available[keep]]
    began = time.perf_counter()
    source.read(["co2", *source.variables], keep[:_FRAMES])
    reading = (time.perf_counter() - began) / min(keep.size, _FRAMES)
    background, learn = None, 0.0
    if config.target != "absolute":
        background, learn = _background(source, frames, config.seed)
    judged = min(config.validation_windows, windows["validation"].size)
    sample = min(frames.size, _SAMPLE_DAYS * max(1, int(np.timedelta64(1, "D") / source.step)))
    learn += reading * (sample + judged * config.frames)
    budget: dict[str, Any] = {"steps": 10**9, "epochs": None, "minutes": None, "patience": 0}
    rare: dict[str, Any] = {"validate_every": _STEPS + 1, "checkpoint_every": 10**9}
    short = replace(config, **budget, **rare, validation_windows=last.size)
    ticks: list[float] = []

    def enough() -> bool:
        ticks.append(time.perf_counter())
        return len(ticks) > _STEPS or (len(ticks) > 1 and ticks[-1] - ticks[0] > _SECONDS)

    with tempfile.TemporaryDirectory() as run:
        training.train(
            short, _First(source, keep), Path(run) / "run", stop=enough, device=spec.device,
            years=years, background=background,
        )  # fmt: skip
        about = json.loads((Path(run) / "run" / "config.json").read_text(encoding="utf-8"))
    step = float(median(np.diff(ticks).tolist()))
    prepare = reading * frames.size
    size = windows["train"].size
    checks = step / 3 * judged / config.batch
    step += checks / config.validate_every
    if config.minutes is not None:  # the clock begins with the first step
        steps, total = config.minutes * 60 / step, learn + config.minutes * 60
    else:
        steps = config.steps or (config.epochs or 0.0) * size / config.batch
        total = learn + max(steps * step, min(prepare, reading * steps * config.batch)) + checks
    cells = int(np.prod(source.grid.shape))
    moving = sum(not VARIABLES[name].static for name in source.variables)
    kept = (moving + len(PRIOR_CHANNELS[str(config.target)]) + 1) * cells + 2 * len(source.stations)
    disk = _HALF * frames.size * kept
    window = (len(about["layout"]["channels"]) * config.frames + 1) * cells
    memory = memory_held(spec.device)
    if on_gpu(spec.device):  # the frames lie there, the validation windows do not
        memory += disk
    else:
        memory += _SINGLE * window * (judged - last.size)
    return Estimate(
        step=step,
        learn=learn,
        prepare=prepare,
        seconds=total,
        steps=float(steps),
        windows=int(size),
        validation=int(windows["validation"].size),
        memory=int(memory),
        disk=int(disk),
        parameters=int(about["parameters"]),
    )


def _background(source: FieldSource, frames: Index, seed: int) -> tuple[Background, float]:
    """A background to try with, and the seconds that the one for all frames will take."""
    known = known_background(source, frames.size)
    if known is not None:
        return known, 0.0
    fitted = frames[:_FITTED]
    began = time.perf_counter()
    passed = 0.0

    def hear(share: float, part: str) -> None:
        nonlocal passed
        if part in ("climatology", "covariances"):  # of all frames; the rest is of their sums
            passed = time.perf_counter() - began

    found = Background.fit(source, fitted, seed, hear)
    rest = time.perf_counter() - began - passed
    return found, passed * frames.size / fitted.size + rest


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
