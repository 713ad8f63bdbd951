"""ObsPack GLOBALVIEWplus: measured CO2 at sites, averaged onto the frames of a data set.

* **Formats**: NetCDF (one file a dataset) and NOAA's text files; several folders deep.
* **Units**: as the file states them (mol mol-1 or micromol mol-1). A value that is not above zero
  is missing, whatever the fill is called: -1e34, -999.999, and the -999.99 that no attribute names.
* **Quality**: a value counts when the first character of ``qcflag`` is a dot (or it has no flag),
  and, unless local values are wanted, ``obs_flag`` is not 0 (0: local or regional influence).
* **Time**: a value belongs to the frame that holds the middle of its interval. Averages over longer
  than a frame (daily files for 3-hourly frames) are left out.
* **Sites with several datasets**: every frame takes the values of one dataset, the first that has
  any, in this order: continuous before flasks; intake nearest to the wanted height above ground;
  NOAA's own laboratory; more values; name.
* **Mobile platforms** (ships, aircraft, drifting stations) are left out, or on request become sites
  of their own, one a cell of the data set that they visit often enough.
"""

from __future__ import annotations

from co2net.datasets.obspack.archive import steps, unpack
from co2net.datasets.obspack.reader import Dataset, read_dataset, solar_hours
from co2net.datasets.obspack.sites import (
    HEIGHT_M,
    Frames,
    Selection,
    parse_clock,
    parse_hours,
    parse_sites,
)
from co2net.datasets.obspack.writing import PREPARED_BY, Prepared, prepare

__all__ = [
    "HEIGHT_M",
    "PREPARED_BY",
    "Dataset",
    "Frames",
    "Prepared",
    "Selection",
    "parse_clock",
    "parse_hours",
    "parse_sites",
    "prepare",
    "read_dataset",
    "solar_hours",
    "steps",
    "unpack",
]
