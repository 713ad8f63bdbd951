"""CMIP6 monthly output (table Amon): found at ESGF, fetched, and brought into the canonical store.

* **Files**: one a variable and period, in any number; co2, ps, and on pressure levels ta, hus, ua,
  va. They must be of one model, experiment, member and grid.
* **Level**: at every cell and month the lowest pressure level above ground: not below the surface
  by ``ps`` (some models fill values under the ground), and not missing.
* **Calendar**: a monthly mean belongs to a calendar month, and all calendars of CMIP6 have the same
  twelve. Its frame is stamped the 16th of that month, 00:00 UTC, whatever the length of the month:
  the stamp is a label. The month is that of the middle of ``time_bnds``, where the file has them;
  no value is moved to another month or made from two.
* **Grid**: bilinear to 2 x 3 degrees, round the circle of longitude.
* Geopotential height and terrain are absent.
"""

from __future__ import annotations

from co2net.datasets.cmip6.esgf import SEARCH, Wanted, fetch, search
from co2net.datasets.cmip6.preparing import (
    PREPARED_BY,
    Prepared,
    co2_is_uniform,
    lowest,
    prepare,
)
from co2net.datasets.cmip6.reading import NAMES, Header, read_header, read_values

__all__ = [
    "NAMES",
    "PREPARED_BY",
    "SEARCH",
    "Header",
    "Prepared",
    "Wanted",
    "co2_is_uniform",
    "fetch",
    "lowest",
    "prepare",
    "read_header",
    "read_values",
    "search",
]
