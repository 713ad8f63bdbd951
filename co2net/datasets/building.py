"""What every reader needs to build a store: gaps, what was left out, the stations' cells."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from co2net.assets import data_path
from co2net.errors import UserError
from co2net.schema import VARIABLES
from co2net.source import StationNetwork


@dataclass(frozen=True)
class Skipped:
    """A file that was left out, and why."""

    file: str
    reason: str


def own_network(whose: str) -> StationNetwork:
    """The sites of ``data/stations.csv`` for a store whose own values stand in for theirs."""
    text = f"96 surface sites of ObsPack GLOBALVIEWplus (positions only; values are {whose})"
    return StationNetwork.from_csv(data_path("stations.csv"), text)


def check_range(name: str, values: NDArray[np.float32]) -> None:
    """Raise UserError where values leave the store's range of a variable."""
    variable, low, high = VARIABLES[name], float(values.min()), float(values.max())
    if low < variable.low or high > variable.high:
        raise UserError(
            f"{name} is {low:g} to {high:g} {variable.units}, outside {variable.low:g} to "
            f"{variable.high:g}; check its units"
        )


def gaps_between(whole: NDArray[np.bool_], first: np.datetime64) -> tuple[tuple[str, str], ...]:
    """(first, last) day or month of every stretch that is not whole.

    Parameters
    ----------
    whole
        (n,): which days or months a store holds.
    first
        The first of them, in units of days or months.
    """
    padded = np.concatenate([[True], whole, [True]])
    starts = np.flatnonzero(padded[:-1] & ~padded[1:])
    ends = np.flatnonzero(~padded[:-1] & padded[1:]) - 1
    spans = zip(starts.tolist(), ends.tolist(), strict=True)
    return tuple((str(first + a), str(first + b)) for a, b in spans)


def gap_lines(gaps: tuple[tuple[str, str], ...]) -> list[str]:
    """For people: one line a gap."""
    return [f"gap: {a} to {b}" if a != b else f"gap: {a}" for a, b in gaps]


def note(path: Path, **attributes: Any) -> None:
    """Set attributes of a store that is there."""
    import zarr
    from zarr.errors import ZarrUserWarning

    root = zarr.open_group(str(path), mode="r+", use_consolidated=False)
    root.attrs.update(attributes)
    with warnings.catch_warnings():  # consolidated metadata are an extension of Zarr 3
        warnings.simplefilter("ignore", ZarrUserWarning)
        zarr.consolidate_metadata(str(path))
