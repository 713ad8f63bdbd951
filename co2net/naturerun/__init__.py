"""The nature run: a simulated world that the program ships instead of data.

`World` holds the physics, `build_archive` makes years of training data, `WorldSource` reads
them together with the weather, `build_demo` and `add_month` fill the store of the page.
"""

from co2net.naturerun.archive import (
    DEMO_MONTHS,
    WorldSource,
    add_month,
    build_archive,
    build_demo,
)
from co2net.naturerun.check import CheckRow, format_table, run_check
from co2net.naturerun.stations import ObservationConfig, load_stations
from co2net.naturerun.world import WORLD_VERSION, World, WorldConfig

__all__ = [
    "DEMO_MONTHS",
    "WORLD_VERSION",
    "CheckRow",
    "ObservationConfig",
    "World",
    "WorldConfig",
    "WorldSource",
    "add_month",
    "build_archive",
    "build_demo",
    "format_table",
    "load_stations",
    "run_check",
]
