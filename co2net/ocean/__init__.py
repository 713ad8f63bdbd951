"""Oceans: from the reconstructed air to flux, sink and acidity.

`Ocean` gives fields of flux, pressure and pH for truth and models; `sink`, `acidity` and `enso`
build on it. Flux is positive into the atmosphere, everywhere.
"""

from co2net.ocean.basins import basin, basins, boxes, reefs
from co2net.ocean.engine import QUANTITIES, Ocean, Quantity
from co2net.ocean.fields import OceanFields, ProductFields, SeaState
from co2net.ocean.flux import LAWS, FluxSettings

__all__ = [
    "LAWS",
    "QUANTITIES",
    "FluxSettings",
    "Ocean",
    "OceanFields",
    "ProductFields",
    "Quantity",
    "SeaState",
    "basin",
    "basins",
    "boxes",
    "reefs",
]
