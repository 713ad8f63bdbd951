"""Batches by number: what batch n holds is a function of the seed and n alone.

A training that resumes at step n therefore needs no record of where the data stood.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import count
from queue import Empty, Full, Queue
from threading import Event, Thread

import numpy as np
import torch

from co2net.resident import ResidentFrames, TensorBatch
from co2net.source import Index

SEGMENT = 32
"""Neighbouring windows that are read in the same part of an epoch; they share frames."""
POOL = 64
"""Segments, from all over the training years, among whose windows batches are drawn."""


@lru_cache(maxsize=2)
def _order(seed: int, epoch: int, size: int) -> Index:
    """A permutation of the windows in which neighbours come soon after one another.

    A plain shuffle would prepare eight frames for every window. Here segments of neighbouring
    windows are shuffled, and then the windows of every `POOL` segments: a batch is still drawn
    from times all over the record, but a frame is prepared about once an epoch and only some
    thousand need to be kept.
    """
    rng = np.random.default_rng([seed, epoch])
    starts = np.arange(0, size, SEGMENT)
    rng.shuffle(starts)
    pools = [
        np.concatenate([np.arange(s, min(s + SEGMENT, size)) for s in starts[n : n + POOL]])
        for n in range(0, starts.size, POOL)
    ]
    return np.concatenate([rng.permutation(pool) for pool in pools]).astype(np.int64)


def batch_positions(
    seed: int, step: int, batch: int, size: int, rank: int = 0, world: int = 1
) -> Index:
    """(batch,): which of ``size`` windows a process reads at a step.

    The windows are shuffled anew every epoch (see `_order`) and dealt to the processes in turn.
    """
    return positions(seed, step, 1, batch, size, rank, world)[0]


def positions(
    seed: int, step: int, steps: int, batch: int, size: int, rank: int = 0, world: int = 1
) -> Index:
    """(steps, batch): `batch_positions` of some steps on end."""
    turns = (np.arange(step, step + steps) * world + rank) * batch
    place = turns[:, None] + np.arange(batch)
    epoch, inside = np.divmod(place, size)
    out = np.empty_like(place)
    for number in np.unique(epoch).tolist():
        here = epoch == number
        out[here] = _order(seed, number, size)[inside[here]]
    return out


class Prefetcher:
    """Prepares the next batches in a thread while the network computes.

    Parameters
    ----------
    frames
        Where windows come from.
    index : (n,)
        Target frames to draw from.
    start : int
        First step.
    depth : int
        Batches that may wait: enough to get over the start of a pool, whose frames are all new.
    """

    def __init__(
        self,
        frames: ResidentFrames,
        index: Index,
        start: int,
        *,
        batch: int,
        seed: int,
        rank: int = 0,
        world: int = 1,
        dtype: torch.dtype = torch.float32,
        depth: int = 24,
    ) -> None:
        self._queue: Queue[TensorBatch | BaseException] = Queue(depth)
        self._stop = Event()

        def work() -> None:
            step = start
            try:
                while not self._stop.is_set():
                    chosen = batch_positions(seed, step, batch, index.size, rank, world)
                    self._put(frames.read(index[chosen], dtype))
                    step += 1
            except Exception as error:
                self._put(error)

        self._thread = Thread(target=work, name="co2net-windows", daemon=True)
        self._thread.start()

    def _put(self, item: TensorBatch | BaseException) -> None:
        while not self._stop.is_set():
            try:
                self._queue.put(item, timeout=0.2)
                return
            except Full:
                continue

    def __iter__(self) -> Iterator[TensorBatch]:
        while True:
            try:
                item = self._queue.get(timeout=1.0)
            except Empty:
                if self._stop.is_set():
                    return
                continue
            if isinstance(item, BaseException):
                raise item
            yield item

    def close(self) -> None:
        """Stop the thread."""
        self._stop.set()
        self._thread.join(timeout=60)


class DeviceStream:
    """The batches of `Prefetcher`, gathered on the device that holds all frames.

    The frames are prepared at the start. Then the device is told once in `AHEAD` steps which
    windows come; a batch is some gathers there, and nothing is read back.

    Parameters
    ----------
    frames, index, start, batch, seed, rank, world, dtype
        As for `Prefetcher`.
    """

    AHEAD = 1024

    def __init__(
        self,
        frames: ResidentFrames,
        index: Index,
        start: int,
        *,
        batch: int,
        seed: int,
        rank: int = 0,
        world: int = 1,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        slots = frames.slots(index)
        frames.fill(slots)
        self._frames, self._dtype, self._start = frames, dtype, start
        self._slots = torch.from_numpy(slots).to(frames.device)
        self._deal = (batch, index.size, rank, world)
        self._seed = seed

    def __iter__(self) -> Iterator[TensorBatch]:
        for first in count(self._start, self.AHEAD):
            chosen = positions(self._seed, first, self.AHEAD, *self._deal)
            for row in torch.from_numpy(chosen).to(self._frames.device):
                yield self._frames.gather(self._slots[row], self._dtype)

    def close(self) -> None:
        """Nothing runs beside."""
