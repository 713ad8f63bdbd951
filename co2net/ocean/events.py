"""The sea during an event: daily means over its region."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from co2net.errors import UserError
from co2net.ocean.engine import Ocean

Progress = Callable[[float, str], None]


def daily_means(
    ocean: Ocean,
    quantity: str,
    names: Sequence[str],
    where: str,
    times: ArrayLike,
    progress: Progress | None = None,
) -> tuple[NDArray[np.datetime64], dict[str, NDArray[np.float64]]]:
    """Means of a quantity over the sea of a region, averaged over the frames of each day.

    Parameters
    ----------
    quantity
        Key of `co2net.ocean.engine.QUANTITIES`, whose units the means have.
    names
        ``truth`` and models.
    where
        Key of a region.
    times : (n,) datetime64
        Frames of the data set.
    progress
        Told the share done; what it raises ends the work.

    Returns
    -------
    (D,) datetime64[D]
        Days.
    name -> (D,)

    Raises
    ------
    UserError
        When the region holds no sea, or a frame cannot be had.
    """
    wanted = np.atleast_1d(np.asarray(times, dtype="datetime64[s]"))
    days, day = np.unique(wanted.astype("datetime64[D]"), return_inverse=True)
    values = {}
    for number, name in enumerate(names):

        def tell(share: float, _: str, number: int = number, name: str = name) -> None:
            if progress is not None:
                progress((number + share) / len(names), name)

        series = ocean.series(quantity, name, where, wanted, tell)
        if not np.isfinite(series).all():
            first = wanted[~np.isfinite(series)][0]
            raise UserError(f"{quantity} of {name} cannot be had at {first}; choose other days")
        values[name] = np.bincount(day, series) / np.bincount(day)
    return days, values
