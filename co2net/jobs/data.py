"""What a job reads: a data set that is told from one that has vanished."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from co2net.assets import data_path
from co2net.errors import UserError
from co2net.observations import observed
from co2net.schema import StoreSource
from co2net.source import FieldSource, Index


class _WatchedStore(StoreSource):
    """A store that notices when it vanishes; Zarr reads chunks that are gone as missing values."""

    def _watch(self) -> None:
        if not (self.path / "zarr.json").is_file():
            raise UserError(f"the data set {self.path} has vanished; put it back and resume")

    @property
    def available(self) -> NDArray[np.bool_]:
        """See `StoreSource.available`."""
        found = super().available
        self._watch()
        return found

    def read(self, names: Sequence[str], index: Index) -> NDArray[np.float32]:
        """See `StoreSource.read`."""
        values = super().read(names, index)
        self._watch()
        return values

    def observations(self, index: Index) -> NDArray[np.float32]:
        """See `StoreSource.observations`."""
        values = super().observations(index)
        self._watch()
        return values


def open_data(path: str | Path | None, observations: str | Path | None = None) -> FieldSource:
    """Open a store or an archive of the embedded world, to be read for long.

    Parameters
    ----------
    path
        Folder. None: the embedded world.
    observations
        What the sites measured (`co2net.observations`), in place of what the stations report.

    Raises
    ------
    UserError
        When there is none; later, when a store vanishes while it is read.
    """
    if observations is not None:
        return observed(open_data(path), observations)
    path = data_path("demo", "world.zarr") if path is None else Path(path)
    if not path.exists():
        raise UserError(f"the data set {path} has vanished; put it back and resume")
    if (path / "meta.json").is_file():
        from co2net.naturerun import WorldSource

        return WorldSource(path)
    return _WatchedStore(path)
