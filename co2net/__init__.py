"""co2net: surface CO2 everywhere, from a few dozen stations and the weather.

The library reconstructs the CO2 at the Earth's surface (CO2-Net, ICCV 2025), evaluates
reconstructions, and ships a simulated world to do both without any download.
"""

__version__ = "0.1.0"
