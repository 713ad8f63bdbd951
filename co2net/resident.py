"""A training set that stays: normalised frames in half precision, windows gathered by index.

Every frame is prepared once, when it is first needed, and lies in arrays that are in memory, on
a GPU, or in a folder that later trainings on the same data use again. The weather does not depend
on the target, so trainings with other targets share it. CarbonTracker's 17 training years take
6.4 GB of weather, and 1 to 3 GB a target.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from co2net.errors import UserError
from co2net.source import Index
from co2net.windows import WindowReader, clock

BLOCK = 40
"""Frames prepared together; always the same ones, so that a resumed training reads the same
bits (a matrix product may round differently for another number of rows). Three fill a chunk of a
store."""


@dataclass(frozen=True)
class TensorBatch:
    """Windows as tensors on the device: inputs (B, C, T, H, W), clock (B, T, 2), target (B, H, W).

    As `co2net.windows.Batch`; target in single precision.
    """

    inputs: Tensor
    clock: Tensor
    target: Tensor


class ResidentFrames:
    """Frames of a training set, each prepared once.

    Parameters
    ----------
    reader
        Prepares frames.
    frames : (N,)
        Positions in the source of all frames that windows may need, ascending.
    folder
        Where the arrays lie, as files that take room as they fill. None keeps them in memory.
    device
        Where windows are gathered; on a GPU the arrays lie there.

    Raises
    ------
    UserError
        When the folder cannot be written, or its disk is full.
    """

    def __init__(
        self,
        reader: WindowReader,
        frames: Index,
        folder: Path | None = None,
        device: torch.device | None = None,
    ) -> None:
        self.reader = reader
        self._frames = np.asarray(frames, dtype=np.int64)
        self.device = device or torch.device("cpu")
        height, width = reader.source.grid.shape
        moving, cells = len(reader.moving), len(reader.station_cells)
        priors = len(reader.slots) - moving
        count = len(self._frames)
        where = None if folder is None else folder / _digest(reader, self._frames, weather=True)
        self._weather = _Arrays(where, count, {"weather": (moving, height, width)}, self.device)
        where = None if folder is None else folder / _digest(reader, self._frames, weather=False)
        shapes = {
            "priors": (priors, height, width),
            "stations": (2, cells),
            "target": (height, width),
        }
        self._told = _Arrays(where, count, shapes, self.device)
        self._clock = torch.from_numpy(clock(reader.source.time[self._frames])).to(self.device)
        self._terrain = torch.from_numpy(reader.terrain).to(self.device)
        self._cells = torch.from_numpy(np.asarray(reader.station_cells)).to(self.device)

    def fill(self, slots: Index) -> None:
        """Prepare the blocks of frames that are not there yet."""
        for block in np.unique(slots // BLOCK).tolist():
            part = slice(block * BLOCK, min((block + 1) * BLOCK, len(self._frames)))
            index = self._frames[part]
            want_weather, want_rest = not self._weather.has(part), not self._told.has(part)
            if not (want_weather or want_rest):
                continue
            if want_weather:
                weather, extra = self.reader.weather(index, ("co2",) if want_rest else ())
                self._refuse_gaps(weather, index)
                self._weather.put(part, weather=weather)
            else:
                extra = self.reader.source.read(["co2"], index)
            if want_rest:
                priors, stations, prior = self.reader.observed(index)
                target = self.reader.normalised(extra[0], prior)
                self._refuse_gaps(target, index)
                self._told.put(part, priors=priors, stations=stations, target=target)

    def _refuse_gaps(self, values: NDArray[np.floating[Any]], index: Index) -> None:
        """``values`` (n, ...) of the frames ``index`` must be numbers."""
        broken = ~np.isfinite(values.reshape(len(index), -1)).all(axis=1)
        if broken.any():
            raise UserError(
                f"the frame of {self.reader.source.time[index[broken][0]]} has gaps; "
                "fill them, or leave the frame out of the data set"
            )

    def read(self, index: Index, dtype: torch.dtype = torch.float32) -> TensorBatch:
        """Windows that end at the given frames of the source.

        Parameters
        ----------
        index : (B,)
            Target frames; all frames of their windows must be among the resident ones.
        dtype
            Of the inputs.
        """
        slots = self.slots(index)
        self.fill(slots)
        return self.gather(torch.from_numpy(slots).to(self.device), dtype)

    def slots(self, index: Index) -> Index:
        """(B, T): where the frames of the windows that end at ``index`` lie."""
        wanted = np.asarray(index, dtype=np.int64)[:, None] + self.reader.offsets
        return np.searchsorted(self._frames, wanted)

    def gather(self, at: Tensor, dtype: torch.dtype = torch.float32) -> TensorBatch:
        """Windows of frames that are there.

        Every operation is on the device, of a shape that B and T alone decide, and nothing is
        read back.

        Parameters
        ----------
        at : (B, T) int64 on the device
            As `slots` gives them.
        """
        reader = self.reader
        height, width = reader.source.grid.shape
        shape = (len(at), len(reader.channels), at.shape[1], height, width)
        inputs = torch.zeros(shape, dtype=dtype, device=self.device)
        moving = len(reader.moving)
        weather, told = self._weather.arrays, self._told.arrays
        for channels, values in (
            (reader.slots[:moving], weather["weather"]),
            (reader.slots[moving:], told["priors"]),
        ):
            rows = values.index_select(0, at.flatten()).unflatten(0, at.shape).transpose(1, 2)
            for place, channel in enumerate(channels):
                inputs[:, channel] = rows[:, place]
        for place, channel in enumerate(reader.still):
            inputs[:, channel] = self._terrain[place]
        stations = told["stations"][at].to(dtype).transpose(1, 2)  # (B, 2, T, cells)
        flat = inputs.flatten(-2)[:, reader.known : reader.known + 2]
        flat[..., self._cells] = stations
        return TensorBatch(inputs, self._clock[at], told["target"][at[:, -1]].float())


class _Arrays:
    """Half-precision arrays over frames, and which of the frames are there."""

    def __init__(
        self,
        folder: Path | None,
        count: int,
        shapes: dict[str, tuple[int, ...]],
        device: torch.device,
    ) -> None:
        self._folder, self._shapes = folder, shapes
        on_disk = folder is not None and device.type == "cpu"
        try:
            if on_disk and folder is not None:
                folder.mkdir(parents=True, exist_ok=True)
            self._there = (
                _map(folder / "there.u8", (count,), np.uint8)
                if on_disk and folder is not None
                else np.zeros(count, dtype=np.uint8)
            )
            self.arrays: dict[str, Tensor] = {
                name: torch.from_numpy(_map(folder / f"{name}.f16", (count, *shape), np.float16))
                if on_disk and folder is not None
                else torch.zeros(count, *shape, dtype=torch.float16, device=device)
                for name, shape in shapes.items()
            }
        except OSError as error:
            raise UserError(
                f"the frames of the training set cannot be kept in {folder}: {error.strerror}; "
                "free some space or give another folder"
            ) from error
        self._on_disk = on_disk

    def has(self, part: slice) -> bool:
        """Whether all frames of a block are there."""
        return bool(self._there[part].all())

    def put(self, part: slice, **values: np.ndarray[Any, Any]) -> None:
        """Store a block, then mark it."""
        for name, value in values.items():
            if self._on_disk and self._folder is not None:
                size = 2 * int(np.prod(self._shapes[name], dtype=np.int64))
                _reserve(self._folder / f"{name}.f16", part.start * size, value.size * 2)
            self.arrays[name][part] = torch.from_numpy(np.ascontiguousarray(value)).to(
                self.arrays[name].device
            )
        self._there[part] = 1


def _map(path: Path, shape: tuple[int, ...], kind: Any) -> Any:
    """A file as an array; a new one is empty and takes no room until it is written."""
    size = int(np.prod(shape, dtype=np.int64)) * np.dtype(kind).itemsize
    if size == 0:
        return np.zeros(shape, dtype=kind)
    with path.open("ab") as file:
        if file.tell() != size:
            file.truncate(size)
    return np.memmap(path, dtype=kind, mode="r+", shape=shape)


def _reserve(path: Path, start: int, size: int) -> None:
    """Take room on the disk before it is written through memory, where a full disk kills.

    Raises
    ------
    UserError
        When there is none.
    """
    if size == 0 or not hasattr(os, "posix_fallocate"):
        return
    with path.open("r+b") as file:
        try:
            os.posix_fallocate(file.fileno(), start, size)
        except OSError as error:
            raise UserError(
                f"no room for the frames of the training set in {path.parent}: {error.strerror}; "
                "free some space and resume, or give another folder"
            ) from error


def _digest(reader: WindowReader, frames: Index, *, weather: bool) -> str:
    """Fingerprint of what the arrays hold; the weather's does not know the target."""
    source, statistics = reader.source, reader.statistics
    label = [str(source.attrs.get(k)) for k in ("title", "version", "digest")]
    label += [source.grid.digest, str(source.time[0]), str(source.step), *statistics.variables]
    parts = [frames.tobytes(), statistics.centre.tobytes(), statistics.scale.tobytes()]
    if not weather:
        background = reader.background
        label += [reader.target, background.digest if background is not None else ""]
        label += [repr(statistics.target_scale(reader.target)), repr(statistics.anomaly_scale)]
        label += [repr(statistics.co2_mean), repr(statistics.station_gain), *source.stations.code]
    found = hashlib.sha256("\n".join(label).encode())
    for part in parts:
        found.update(part)
    return ("weather-" if weather else "target-") + found.hexdigest()[:16]
