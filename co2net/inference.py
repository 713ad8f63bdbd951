"""The engine: any field of any model at any time, computed once and kept.

A request for one frame computes the block of neighbouring frames that it lies in, where the
model is quick enough, so that playing forward is fast. Blocks are kept in memory, within a bound
in bytes, and on disk, where their place is named after the digests of the model and of the data:
nothing stale is ever found, and engines in several processes share what they have computed.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Lock
from time import monotonic
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from co2net.assets import atomic_path, data_path
from co2net.errors import UserError
from co2net.schema import StoreSource
from co2net.source import FieldSource, Index, StationNetwork, frame_index

if TYPE_CHECKING:
    from collections.abc import Iterator

    from co2net.grid import LatLonGrid
    from co2net.models.base import ModelInfo, Reconstructor

Float = NDArray[np.float32]
Times = NDArray[np.datetime64]
Progress = Callable[[float, str], None]

TRUTH = "truth"
"""Name under which the data set's own CO2 is asked for."""

MODEL_BLOCK = 8
"""Frames of a model that are computed together: a day of three-hourly ones."""
BLOCK_SECONDS = 0.6
"""A block that would take longer is filled by need, so that the first answer comes soon."""
SOURCE_BLOCK = 40
"""Frames of the data set that are read together; three of them fill a store's chunk."""

_PRECISION = 256.0  # fields are kept to 1/256 umol/mol, which packs well and is below all noise


def source_digest(source: FieldSource) -> str:
    """Short fingerprint of a data set: what it is, its grid, its stations and its time axis.

    Months that are added to a store later do not change it.
    """
    attrs = source.attrs
    named = [str(attrs.get(k)) for k in ("title", "source", "version", "digest")]
    first = str(source.time[0].astype("datetime64[s]"))
    parts = [*named, source.grid.digest, first, str(source.step), *source.stations.code]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


def window_length(model: Reconstructor) -> int:
    """Frames from the first to the last that a model reads for one field."""
    return (model.frames - 1) * getattr(model, "interval", 1) + 1


class Engine:
    """Fields by name and time, for the page, for scripts and for bulk reconstruction.

    Names are ``truth``, the auxiliary variables of the data set, and the models. All methods may
    be called from several threads; a block that several ask for is computed once.

    Parameters
    ----------
    source
        The data set.
    models
        Names, checkpoint or run folders, or reconstructors. None: every model that is shipped.
    cache_dir
        Folder for computed fields. None, or where it cannot be written (`faults` says so under
        ``cache``): they are kept in memory alone.
    memory_mb
        Bound on the fields kept in memory.
    """

    def __init__(
        self,
        source: FieldSource,
        models: Sequence[str | Path | Reconstructor] | None = None,
        cache_dir: str | Path | None = None,
        memory_mb: float = 512,
    ) -> None:
        self.source = source
        self._asked = models
        self._cache = None if cache_dir is None else Path(cache_dir) / source_digest(source)
        self._memory = _Memory(int(memory_mb * 2**20))
        self._lock = Lock()
        self._loading = Lock()
        self._busy: dict[tuple[str, int], tuple[Lock, int]] = {}
        self._computing: dict[str, Lock] = {}
        self._seconds: dict[str, float] = {}
        self._lasted: dict[str, float] = {}
        self._disk: dict[str, Any] = {}
        self._models: dict[str, Reconstructor | str | Path] = {}
        self._stamps: dict[str, Any] = {}
        self._seen: tuple[float, NDArray[np.bool_]] | None = None
        self._shared = _Shared(self) if isinstance(source, StoreSource) else source
        self.faults: dict[str, str] = {}
        self.more: Callable[[], Sequence[Path]] = list
        """Folders of further models, asked at every `rescan`, such as runs that have ended."""
        self.rescan()

    # -- what there is --------------------------------------------------------------------

    @property
    def grid(self) -> LatLonGrid:
        """Cells of every field."""
        return self.source.grid

    @property
    def stations(self) -> StationNetwork:
        """Observation sites."""
        return self.source.stations

    def rescan(self) -> list[str]:
        """Look again which models there are, and return their names; loads none.

        A model whose files have changed is loaded anew when it is next asked for.
        """
        asked: Sequence[str | Path | Reconstructor] = self._asked or []
        if self._asked is None:
            from co2net import models  # and PyTorch, which the truth alone needs not

            asked = models.available()
        found: dict[str, Reconstructor | str | Path] = {}
        stamps: dict[str, Any] = {}
        for item in [*asked, *self.more()]:
            if isinstance(item, str | Path):
                name = Path(item).name
                stamps[name] = _stamp(item)
                same = stamps[name] is not None and stamps[name] == self._stamps.get(name)
                found[name] = self._models[name] if same else item
            else:
                found[item.info.name] = self._fitting(item.info.name, item)
        with self._lock:
            self._models, self._stamps, self.faults = found, stamps, {}
            self._disk = {key: array for key, array in self._disk.items() if array is not None}
        return list(found)

    def names(self) -> list[str]:
        """Names of the models, without loading them."""
        return list(self._models)

    def models(self) -> list[ModelInfo]:
        """What the models are. One that cannot be loaded is left out and named in `faults`."""
        out = []
        for name in self.names():
            try:
                info = self.model(name).info
                out.append(info if info.name == name else replace(info, name=name))
            except UserError as error:
                self.faults[name] = str(error)
        return out

    def model(self, name: str) -> Reconstructor:
        """The model of a name, loaded at the first call.

        Raises
        ------
        UserError
            When there is none, it cannot be read, or it is for another grid.
        """
        item = self._models.get(name)
        if item is None:
            known = ", ".join([TRUTH, *self._models, *self.source.variables])
            raise UserError(f"there is no '{name}' here; choose from {known}")
        if isinstance(item, str | Path):
            from co2net import models

            with self._loading:
                item = self._models.get(name, item)
                if isinstance(item, str | Path):
                    item = self._models[name] = self._fitting(name, models.load(item))
        return item

    def _fitting(self, name: str, model: Reconstructor) -> Reconstructor:
        if model.grid != self.grid:
            raise UserError(f"{name} is for {model.grid!r}, the data lie on {self.grid!r}")
        return model

    def times(self, what: str = TRUTH) -> Times:
        """(n,) the times that can be had: for a model, those whose whole window is there."""
        return self.source.time[self._possible(what, fresh=True)]

    def quick(self, what: str) -> bool:
        """Whether fields of a name came quickly when they were last not in memory.

        False as long as none has been asked for.
        """
        return self._is_source(what) or self._lasted.get(what, np.inf) < BLOCK_SECONDS

    # -- fields ---------------------------------------------------------------------------

    def field(self, what: str, time: ArrayLike) -> Float:
        """(H, W): one field; see `fields`."""
        return self.fields(what, np.asarray(time))[0]

    def fields(self, what: str, times: ArrayLike, progress: Progress | None = None) -> Float:
        """(n, H, W): fields in the schema's units.

        Raises
        ------
        UserError
            When a time is no frame of the data, or a model's window before it has a gap.
        """
        index = self._index(what, times)
        out = np.empty((index.size, *self.grid.shape), dtype=np.float32)
        for rows, frames in self._by_block(what, index, progress):
            out[rows] = frames
        return out

    def sample(self, what: str, times: ArrayLike) -> Float:
        """(n, H, W): fields at frames far apart; only they are computed, and none is kept."""
        index = self._index(what, times)
        if self._is_source(what):
            return self.source.read(["co2" if what == TRUTH else what], index)[0]
        return self.model(what).reconstruct(self._shared, index)

    def check(self, what: str, times: ArrayLike) -> None:
        """Raise what `fields` would raise for these times, and compute nothing."""
        self._index(what, times)

    def observations(self, times: ArrayLike) -> Float:
        """(n, S) umol/mol: what the stations report; NaN where nothing."""
        return self.source.observations(frame_index(self.source, times))

    def series(
        self,
        what: str,
        lat: float,
        lon: float,
        times: ArrayLike,
        progress: Progress | None = None,
    ) -> Float:
        """(n,): the series of the cell that holds a point; NaN where a field cannot be had.

        Parameters
        ----------
        lat, lon
            Degrees.
        times : (n,) datetime64
            Frames of the data set.
        progress
            Told the share done; what it raises ends the work.
        """
        row, column = (int(v) for v in self.grid.cell(lat, lon))
        index, possible = self._some(what, times)
        out = np.full(index.size, np.nan, dtype=np.float32)
        point = getattr(self.source, "point", None)
        if point is not None and what == TRUTH:
            out[possible] = self._point(point, row, column)[index[possible]]
            return out
        chosen = np.flatnonzero(possible)
        for rows, frames in self._by_block(what, index[chosen], progress):
            out[chosen[rows]] = frames[:, row, column]
        return out

    def region_series(
        self,
        what: str,
        mask: NDArray[np.floating[Any]],
        times: ArrayLike,
        progress: Progress | None = None,
    ) -> Float:
        """(n,): area means over a region; NaN where a field cannot be had.

        Parameters
        ----------
        mask : (H, W) 0..1
            Share of each cell in the region, `Region.mask`.
        """
        weights = np.asarray(mask, dtype=np.float64) * self.grid.area
        if weights.shape != self.grid.shape or weights.sum() <= 0:
            raise UserError("the region holds no cell of the grid; choose a larger one")
        weights /= weights.sum()
        index, possible = self._some(what, times)
        out = np.full(index.size, np.nan, dtype=np.float32)
        chosen = np.flatnonzero(possible)
        for rows, frames in self._by_block(what, index[chosen], progress):
            out[chosen[rows]] = np.einsum("thw,hw->t", frames, weights)
        return out

    # -- time -----------------------------------------------------------------------------

    def _available(self, fresh: bool = False) -> NDArray[np.bool_]:
        """(N,): which frames hold data, as of at most a second ago."""
        seen = self._seen
        if fresh or seen is None or monotonic() - seen[0] > 1.0:
            seen = self._seen = monotonic(), self.source.available
        return seen[1]

    def _possible(self, what: str, fresh: bool = False) -> NDArray[np.bool_]:
        """(N,): which frames can be had."""
        available = self._available(fresh)
        if self._is_source(what):
            return available
        length = window_length(self.model(what))
        run = np.concatenate([[0], np.cumsum(available)])
        whole = np.zeros(available.size, dtype=bool)
        whole[length - 1 :] = run[length:] - run[:-length] == length
        return whole

    def _some(self, what: str, times: ArrayLike) -> tuple[Index, NDArray[np.bool_]]:
        """Frame of each time, and which can be had."""
        wanted = np.atleast_1d(np.asarray(times, dtype="datetime64[s]"))
        axis = self.source.time
        index = np.minimum(np.searchsorted(axis, wanted), axis.size - 1)
        possible = (axis[index] == wanted) & self._possible(what)[index]
        if not possible.all():  # a month may have been added a moment ago
            possible = (axis[index] == wanted) & self._possible(what, fresh=True)[index]
        return index, possible

    def _index(self, what: str, times: ArrayLike) -> Index:
        """Frame of each time; an error where one cannot be had."""
        index, possible = self._some(what, times)
        if not possible.all():
            frame_index(self.source, times)  # says what is wrong with the time itself
            first = index[~possible][0]
            after = np.flatnonzero(self._possible(what))
            after = after[after > first]
            hint = f"; from {self.source.time[after[0]]} on there are" if after.size else ""
            raise UserError(
                f"{what} reads {window_length(self.model(what))} frames without a gap, and up to "
                f"{self.source.time[first]} there are fewer{hint}"
            )
        return index

    # -- blocks ---------------------------------------------------------------------------

    def _is_source(self, what: str) -> bool:
        return what == TRUTH or what in self.source.variables

    def _by_block(
        self, what: str, index: Index, progress: Progress | None = None
    ) -> Iterator[tuple[Index, Float]]:
        """Rows of a request with their frames, a block at a time."""
        size = SOURCE_BLOCK if self._is_source(what) else MODEL_BLOCK
        numbers = index // size
        blocks = np.unique(numbers)
        for done, block in enumerate(blocks):
            rows = np.flatnonzero(numbers == block)
            inside = index[rows] - block * size
            yield rows, self._block(what, int(block), size, inside)[inside]
            if progress is not None:
                progress((done + 1) / blocks.size, what)

    def _block(self, what: str, block: int, size: int, need: Index) -> Float:
        """(size, H, W): a block with at least the frames ``need``; NaN where not computed."""
        source = self._is_source(what)
        key = (what if source else self.model(what).info.digest, block)
        found = self._memory.get(key)
        if found is not None and _holds(found, need):
            return found
        with self._alone(key):
            found = self._memory.get(key)
            if found is not None and _holds(found, need):
                return found
            if source:
                found = self._read(what, block, size)
            else:
                begun = monotonic()
                found = self._compute(what, block, need, found)
                self._lasted[what] = monotonic() - begun
            found.setflags(write=False)
            self._memory.put(key, found)
            return found

    def _read(self, what: str, block: int, size: int) -> Float:
        """A block of the data set; NaN where it holds nothing."""
        inside = np.flatnonzero(self._available()[block * size : (block + 1) * size])
        out = np.full((size, *self.grid.shape), np.nan, dtype=np.float32)
        if inside.size:
            name = "co2" if what == TRUTH else what
            out[inside] = self.source.read([name], block * size + inside)[0]
        return out

    def _compute(self, what: str, block: int, need: Index, found: Float | None) -> Float:
        """A block of a model: what is known of it, what is needed, and what is quick to add."""
        model = self.model(what)
        start = block * MODEL_BLOCK
        span = slice(start, min(start + MODEL_BLOCK, self.source.time.size))
        array = self._array(model)
        out = np.full((MODEL_BLOCK, *self.grid.shape), np.nan, dtype=np.float32)
        if found is not None:
            out[:] = found
        elif array is not None:
            out[: span.stop - start] = array[span]
        lacking = self._possible(what)[span] & ~np.isfinite(out[: span.stop - start, 0, 0])
        wanted = np.flatnonzero(lacking)
        if wanted.size * self._seconds.get(what, np.inf) > BLOCK_SECONDS:
            wanted = np.intersect1d(wanted, need)
        if wanted.size:
            with self._lock:
                turn = self._computing.setdefault(what, Lock())
            with turn:
                begun = monotonic()
                fields = model.reconstruct(self._shared, start + wanted)
                self._seconds[what] = (monotonic() - begun) / wanted.size
            if not np.isfinite(fields).all():
                raise UserError(
                    f"{what} gave no finite field at {self.source.time[span][wanted[0]]}"
                )
            out[wanted] = np.round(fields * _PRECISION) / _PRECISION
            if array is not None:
                try:
                    array[span] = out[: span.stop - start]
                except OSError as error:
                    self._give_up_disk(model, error)
        return out

    @contextmanager
    def _alone(self, key: tuple[str, int]) -> Iterator[None]:
        """Hold a block's own lock, which exists only while somebody wants it."""
        with self._lock:
            lock, users = self._busy.get(key, (Lock(), 0))
            self._busy[key] = lock, users + 1
        try:
            with lock:
                yield
        finally:
            with self._lock:
                lock, users = self._busy[key]
                if users == 1:
                    del self._busy[key]
                else:
                    self._busy[key] = lock, users - 1

    def _point(self, point: Callable[[str, int, int], Float], row: int, column: int) -> Float:
        """The truth's whole series of a cell; read anew when months have been added."""
        count = int(np.count_nonzero(self.source.available))
        key = (f"point {row} {column} {count}", 0)
        found = self._memory.get(key)
        if found is None:
            with self._alone(key):
                found = point("co2", row, column)
                self._memory.put(key, found)
        return found

    # -- disk -----------------------------------------------------------------------------

    def _array(self, model: Reconstructor) -> Any:
        """The model's fields on disk (N, H, W), NaN where not computed; None without a disk."""
        digest = model.info.digest
        with self._lock:
            if digest not in self._disk:
                self._disk[digest] = None
                if self._cache is not None:
                    path = self._cache / f"{model.info.name}-{digest}"
                    try:
                        self._disk[digest] = _open_array(path, self.source, model.info)
                    except OSError as error:
                        self._give_up_disk(model, error)
            return self._disk[digest]

    def _give_up_disk(self, model: Reconstructor, error: OSError) -> None:
        """A full or read-only disk costs the cache, not the answer."""
        self._disk[model.info.digest] = None
        self.faults["cache"] = f"fields are not kept in {self._cache}: {error.strerror or error}"


def _holds(block: Float, need: Index) -> bool:
    return bool(np.isfinite(block[need, 0, 0]).all())


class _Memory:
    """Arrays by key within a bound in bytes; the least recently used go first."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0
        self._kept: OrderedDict[tuple[str, int], Float] = OrderedDict()
        self._lock = Lock()

    def get(self, key: tuple[str, int]) -> Float | None:
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def put(self, key: tuple[str, int], values: Float) -> None:
        with self._lock:
            old = self._kept.pop(key, None)
            self.used -= 0 if old is None else old.nbytes
            self._kept[key] = values
            self.used += values.nbytes
            while self.used > self.limit and self._kept:
                self.used -= self._kept.popitem(last=False)[1].nbytes


class _Shared:
    """A store whose fields are read through the engine's memory, so that windows that overlap
    decode no chunk twice."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine.source, name)

    def read(self, names: Sequence[str], index: Index) -> Float:
        """See `co2net.source.FieldSource.read`."""
        index = np.asarray(index, dtype=np.int64)
        out = np.empty((len(names), index.size, *self._engine.grid.shape), dtype=np.float32)
        for slot, name in zip(out, names, strict=True):
            for rows, frames in self._engine._by_block(name if name != "co2" else TRUTH, index):
                slot[rows] = frames
        return out


def _stamp(item: str | Path) -> tuple[int, ...] | None:
    """When the files of a checkpoint were written; None where there are none."""
    folder = Path(item) if Path(item).is_dir() else data_path("checkpoints", str(item))
    files = sorted(folder.glob("*.safetensors"))
    return tuple(file.stat().st_mtime_ns for file in files) or None


def _open_array(path: Path, source: FieldSource, info: ModelInfo) -> Any:
    """Open, or make in one stroke, the folder of a model's fields."""
    import zarr
    from zarr.codecs import BloscCodec, BloscShuffle

    if not path.exists():
        try:
            with atomic_path(path) as draft:
                array = zarr.create_array(
                    store=str(draft),
                    shape=(source.time.size, *source.grid.shape),
                    chunks=(MODEL_BLOCK, *source.grid.shape),
                    dtype="f4",
                    fill_value=float("nan"),
                    dimension_names=("time", "lat", "lon"),
                    compressors=BloscCodec(cname="zstd", clevel=3, shuffle=BloscShuffle.bitshuffle),
                )
                array.attrs.update({"model": info.name, "digest": info.digest})
        except OSError:
            if not path.exists():  # else another process made it meanwhile
                raise
    array = zarr.open_array(str(path), mode="r+")
    if array.shape[0] < source.time.size:  # the data set has grown
        array.resize((source.time.size, *array.shape[1:]))
    return array
