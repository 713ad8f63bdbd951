"""Where sums are taken: basins that part the ocean, reefs, and every named region or box."""

from __future__ import annotations

from functools import cache

from co2net.assets import data_path
from co2net.regions import Region, read_regions, region, regions

NINO = "nino34"
"""Key of the Nino-3.4 box, 5S-5N and 170W-120W."""
_REEF = "reef-"


@cache
def ocean_regions() -> dict[str, Region]:
    """Basins, the Nino-3.4 box and reefs of ``data/ocean/regions.geojson``, in its order."""
    return read_regions(data_path("ocean", "regions.geojson"))


def basins() -> tuple[str, ...]:
    """Keys of the whole ocean and of the basins that part it."""
    parts = [key for key in ocean_regions() if key != NINO and not key.startswith(_REEF)]
    return ("ocean", *parts)


def reefs() -> dict[str, Region]:
    """Waters of coral reefs, by key."""
    return {key: place for key, place in ocean_regions().items() if key.startswith(_REEF)}


def boxes() -> tuple[str, ...]:
    """Keys of the named regions over the sea, the whole ocean left out."""
    return tuple(
        key for key, place in regions().items() if place.surface == "ocean" and place.polygons
    )


def basin(key: str) -> Region:
    """A basin, a reef, a named region or a drawn box.

    Raises
    ------
    UserError
        When there is no such place.
    """
    return ocean_regions()[key] if key in ocean_regions() else region(key)
