"""CarbonTracker's daily mole-fraction files: fetched, and brought into the canonical store.

The original files, ``CT2022.molefrac_glb3x2_YYYY-MM-DD.nc``, hold eight 3-hourly means on 34
levels and 35 level boundaries, 90 x 120 cells of 2 x 3 degrees. A store holds the surface:

* ``co2``, temperature, humidity, wind: level 0, the lowest (its centre some 25 m above ground);
* ``air_pressure``: ``pressure`` on boundary 0, the surface pressure;
* ``geopotential_height``: mean of ``gph`` on boundaries 0 and 1, the centre of the lowest level;
* ``surface_altitude``: ``orography`` (m2 s-2) over standard gravity;
* times as they are, the centres of the intervals.

Older releases (``press``, ``temp``, ``shum``, ``date``, ``lat``, ``lon``) are read alike.
"""

from __future__ import annotations

from co2net.datasets.carbontracker.fetching import fetch, remote_files
from co2net.datasets.carbontracker.preparing import PREPARED_BY, Prepared, prepare
from co2net.datasets.carbontracker.reading import DayFields, day_in_name, read_day

__all__ = [
    "PREPARED_BY",
    "DayFields",
    "Prepared",
    "day_in_name",
    "fetch",
    "prepare",
    "read_day",
    "remote_files",
]
