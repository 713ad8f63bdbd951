"""Maps of El Nino and La Nina: what CO2 and flux are then, less what they are on the whole.

A map is the mean, over the months of a phase of the Nino-3.4 index, of monthly means whose seasons
and trend were taken out cell by cell (`co2net.ocean.enso.composite`). For the embedded world, whose
store holds a few months, the maps of its 21 years are shipped.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from co2net.assets import atomic_path, data_path, provenance
from co2net.errors import UserError
from co2net.inference import TRUTH
from co2net.naturerun.world import WorldConfig
from co2net.ocean.engine import QUANTITIES
from co2net.ocean.enso import FEWEST_MONTHS, Composite, composite, nino34

if TYPE_CHECKING:
    from co2net.ocean.engine import Ocean

Progress = Callable[[float, str], None]

COMPOSED = ("flux", "co2")
"""Quantities that have such maps."""


def composites(
    ocean: Ocean, quantity: str, what: str = TRUTH, progress: Progress | None = None
) -> Composite:
    """The maps of a quantity; kept in the ocean's memory for the next call.

    Parameters
    ----------
    quantity
        One of `COMPOSED`.
    what
        ``truth`` or a model.
    progress
        Told the share done; what it raises ends the work.

    Raises
    ------
    UserError
        When the data hold too few months of it.
    """
    if quantity not in COMPOSED:
        raise UserError(f"composites are made of {' and '.join(COMPOSED)}, not of {quantity[:40]}")
    months = ocean.months(what)
    if len(months) < FEWEST_MONTHS and _is_embedded(ocean) and (quantity, what) in shipped():
        return shipped()[quantity, what]
    return _own(ocean, quantity, what, months, progress)


def _own(
    ocean: Ocean, quantity: str, what: str, months: Sequence[str], progress: Progress | None
) -> Composite:
    """The maps of months of the data; kept."""
    if len(months) < FEWEST_MONTHS:
        raise UserError(
            f"maps of El Nino need {FEWEST_MONTHS} whole months of {what}, there are {len(months)}"
        )
    key = ("composites", quantity, what, ocean.digest(what), tuple(months))
    return ocean.kept(key, lambda: _computed(ocean, quantity, what, months, progress))


def _computed(
    ocean: Ocean, quantity: str, what: str, months: Sequence[str], progress: Progress | None
) -> Composite:
    nino = nino34(ocean)
    fields = np.empty((len(months), *ocean.grid.shape), dtype=np.float32)
    for n, month in enumerate(months):
        fields[n] = ocean.month(quantity, what, month)
        if progress is not None:
            progress((n + 1) / len(months), month)
    source = f"{len(months)} months of the data"
    when = np.array(months, dtype="datetime64[M]")
    return composite(nino, when, fields, QUANTITIES[quantity].units, source)


# -- the shipped maps ---------------------------------------------------------------------------


def _is_embedded(ocean: Ocean) -> bool:
    digest = ocean.engine.source.attrs.get("digest")
    return bool(digest == WorldConfig().digest and ocean.fields.simulated)


@cache
def shipped() -> dict[tuple[str, str], Composite]:
    """(quantity, name) -> maps of the embedded world's 21 years; none where there is no file."""
    path = data_path("ocean", "composites.npz")
    if not path.is_file():
        return {}
    with np.load(path, allow_pickle=False) as file:
        label = json.loads(str(file["label"]))
        if label["digest"] != WorldConfig().digest:
            return {}
        cells, shape = file["cells"], tuple(label["shape"])
        when = {side: np.array(label[side], dtype="datetime64[M]") for side in ("warm", "cold")}
        return {
            (quantity, what): Composite(
                _spread(file[f"{quantity} {what} warm"], cells, shape),
                _spread(file[f"{quantity} {what} cold"], cells, shape),
                when["warm"],
                when["cold"],
                QUANTITIES[quantity].units,
                label["source"],
            )
            for quantity, what in label["maps"]
        }


def _spread(
    values: NDArray[np.float32], cells: NDArray[np.int32], shape: tuple[int, ...]
) -> NDArray[np.float64]:
    out = np.full(shape, np.nan)
    out.ravel()[cells] = values
    return out


def write(
    ocean: Ocean,
    whats: Sequence[str],
    months: Sequence[str],
    out: str | Path,
    progress: Progress | None = None,
) -> Path:
    """Write the maps of a data set of many years.

    Parameters
    ----------
    whats
        ``truth`` and models.
    months
        YYYY-MM, that all of them can give.
    out
        ``.npz``: the maps of every quantity and name on the cells of the sea, and a label that says
        which months are in them and what made them.
    progress
        Told the share done; what it raises ends the work.

    Raises
    ------
    UserError
        When there are too few months; shipped maps are not written as if they were of the data.
    """
    cells = np.flatnonzero(ocean.sea > 0)
    wanted = [(quantity, what) for what in whats for quantity in COMPOSED]
    arrays: dict[str, Any] = {}
    found: Composite | None = None
    for number, (quantity, what) in enumerate(wanted):

        def tell(share: float, month: str, number: int = number, what: str = what) -> None:
            if progress is not None:
                progress((number + share) / len(wanted), f"{what} {month}")

        found = _own(ocean, quantity, what, months, tell)
        for side, values in (("warm", found.warm), ("cold", found.cold)):
            arrays[f"{quantity} {what} {side}"] = values.ravel()[cells].astype(np.float32)
    if found is None:
        raise UserError("name the truth or a model whose maps are to be written")
    label = {
        "digest": ocean.engine.source.attrs.get("digest"),
        "source": f"{ocean.engine.source.attrs.get('title')}, {months[0]} to {months[-1]}",
        "shape": list(ocean.grid.shape),
        "maps": wanted,
        "warm": found.warm_months.astype(str).tolist(),
        "cold": found.cold_months.astype(str).tolist(),
        "stride": ocean.stride,
        "models": {what: ocean.digest(what) for what in whats if what != TRUTH},
        "made_by": provenance(),
    }
    out = Path(out)
    with atomic_path(out) as draft, draft.open("wb") as handle:
        np.savez_compressed(
            handle, label=np.array(json.dumps(label)), cells=cells.astype(np.int32), **arrays
        )
    return out
