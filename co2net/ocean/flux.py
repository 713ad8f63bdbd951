"""Air-sea exchange of CO2: the bulk formula, with units at every step.

``F = k (K0_w pCO2_sea - K0_s pCO2_air) (1 - ice)``, positive into the atmosphere. ``k`` is the
transfer velocity, ``K0_w`` the solubility of the water and ``K0_s`` that of its skin; without a
cool and salty skin, the default, both are the same and ``F = k K0 (pCO2_sea - pCO2_air)``.

Schmidt number, solubility and vapour pressure are those of the package ``pyseaflux``, which is
loaded when the first of them is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from co2net.errors import UserError

Array = NDArray[Any]

KELVIN = 273.15
"""0 degC in K."""
ATMOSPHERE = 101325.0
"""A standard atmosphere in Pa."""
MOLAR_MASS_CARBON = 12.011
"""g of carbon in a mol of CO2."""
HOURS_A_YEAR = 24 * 365.25
SECONDS_A_YEAR = 3600 * HOURS_A_YEAR


@dataclass(frozen=True)
class Law:
    """A transfer velocity as a polynomial of the wind's moments.

    Parameters
    ----------
    terms : (4,) cm h-1 (m s-1)^-n
        Factors of 1, <U>, <U^2> and <U^3>.
    schmidt : float
        Schmidt number at which they hold; elsewhere k goes with its inverse square root.
    source : str
        Publication.
    """

    terms: tuple[float, float, float, float]
    schmidt: float
    source: str


LAWS: dict[str, Law] = {
    "wanninkhof2014": Law((0, 0, 0.251, 0), 660, "Wanninkhof (2014), doi:10.4319/lom.2014.12.351"),
    "wanninkhof2009": Law(
        (3.0, 0.1, 0.064, 0.011),
        660,
        "Wanninkhof et al. (2009), doi:10.1146/annurev.marine.010908.163742",
    ),
    "sweeney2007": Law((0, 0, 0.27, 0), 660, "Sweeney et al. (2007), doi:10.1029/2006GB002784"),
    "ho2006": Law((0, 0, 0.266, 0), 600, "Ho et al. (2006), doi:10.1029/2006GL026817"),
    "nightingale2000": Law(
        (0, 0.333, 0.222, 0), 600, "Nightingale et al. (2000), doi:10.1029/1999GB900091"
    ),
    "mcgillis2001": Law(
        (3.3, 0, 0, 0.026), 660, "McGillis et al. (2001), doi:10.1029/2000JC000506"
    ),
    "wanninkhof1992": Law((0, 0, 0.31, 0), 660, "Wanninkhof (1992), doi:10.1029/92JC00188"),
}
"""Transfer velocities by name."""


def law(name: str) -> Law:
    """The law of a name.

    Raises
    ------
    UserError
        When there is none.
    """
    if name not in LAWS:
        raise UserError(f"transfer law '{name[:40]}' is unknown; choose from {', '.join(LAWS)}")
    return LAWS[name]


@dataclass(frozen=True)
class FluxSettings:
    """What a flux is computed with, besides the fields.

    Parameters
    ----------
    law : str
        Transfer velocity, a key of `LAWS`.
    cool_skin : K
        How much colder the skin is than the water below; 0.17 in Donlon et al. (1999).
    salty_skin : 1
        How much saltier it is; 0.1 in Woolf et al. (2016).
    wind_height : m
        Height of the data set's wind; it is brought to 10 m by the logarithmic profile over a
        sea of roughness 0.2 mm.
    gusts : m s-1
        Wind that the data set does not resolve; its square is added to that of the wind, as in
        the COARE algorithm (Fairall et al. 1996, doi:10.1029/95JC03205).
    """

    law: str = "wanninkhof2014"
    cool_skin: float = 0.0
    salty_skin: float = 0.0
    wind_height: float = 10.0
    gusts: float = 0.0

    def __post_init__(self) -> None:
        law(self.law)
        if not self.wind_height > 0.01:
            raise UserError(f"wind height {self.wind_height:g} m: give metres above the sea")

    def wind_speed(self, eastward: ArrayLike, northward: ArrayLike) -> Array:
        """Speed at 10 m with gusts, m s-1, from the components of the data set's wind, m s-1."""
        factor = np.log(10.0 / 2e-4) / np.log(self.wind_height / 2e-4)
        squared = np.asarray(eastward) ** 2 + np.asarray(northward) ** 2
        return np.sqrt(squared * factor**2 + self.gusts**2)


# -- chemistry and physics of the surface -----------------------------------------------------


def schmidt_number(sst: ArrayLike) -> Array:
    """Schmidt number of CO2 in sea water (Wanninkhof 2014, table 1).

    Parameters
    ----------
    sst : degC
        Valid from -2 to 40.
    """
    from pyseaflux.gas_transfer_velocity import schmidt_number

    return np.asarray(schmidt_number(np.asarray(sst, dtype=np.float64)))


def vapour_pressure(sst: ArrayLike, salinity: ArrayLike) -> Array:
    """Vapour pressure over sea water, atm (Weiss and Price 1980, equation 10).

    Parameters
    ----------
    sst : degC
    salinity : 1
        Practical salinity.
    """
    from pyseaflux.vapour_pressure import weiss1980

    return np.asarray(weiss1980(np.asarray(salinity), np.asarray(sst, dtype=np.float64) + KELVIN))


def solubility(sst: ArrayLike, salinity: ArrayLike) -> Array:
    """Solubility K0 of CO2 in sea water, mol L-1 atm-1 (Weiss 1974, table I).

    ``pyseaflux`` divides it by the pressure of dry air. The vapour is in pCO2 already, so it is
    asked at a dry pressure of one atmosphere, where it gives what Weiss published.

    Parameters
    ----------
    sst : degC
    salinity : 1
    """
    from pyseaflux.solubility import solubility_weiss1974

    kelvin = np.asarray(sst, dtype=np.float64) + KELVIN
    pressure = 1.0 + vapour_pressure(sst, salinity)
    return np.asarray(solubility_weiss1974(np.asarray(salinity), kelvin, pressure, checks=False))


def transfer_velocity(
    name: str,
    sst: ArrayLike,
    wind: ArrayLike,
    second: ArrayLike | None = None,
    third: ArrayLike | None = None,
) -> Array:
    """Gas transfer velocity of CO2, cm h-1.

    Parameters
    ----------
    name
        Key of `LAWS`.
    sst : degC
    wind : m s-1
        Wind speed at 10 m: of a moment, or the mean <U> of a period.
    second, third : m2 s-2, m3 s-3
        <U^2> and <U^3> of a period. None: the powers of ``wind``, which is right for a moment.
    """
    one, two, three, four = law(name).terms
    wind = np.asarray(wind, dtype=np.float64)
    k = one + three * (wind**2 if second is None else np.asarray(second))
    if two:
        k = k + two * wind
    if four:
        k = k + four * (wind**3 if third is None else np.asarray(third))
    return k * np.sqrt(law(name).schmidt / schmidt_number(sst))


def pco2_air(xco2: ArrayLike, pressure: ArrayLike, sst: ArrayLike, salinity: ArrayLike) -> Array:
    """Partial pressure of CO2 in the moist air at the surface, uatm.

    ``xCO2 (P - pH2O)``; the air that touches the sea is saturated at its temperature.

    Parameters
    ----------
    xco2 : umol mol-1
        Mole fraction in dry air.
    pressure : Pa
        At sea level.
    sst : degC
    salinity : 1
    """
    dry = np.asarray(pressure) / ATMOSPHERE - vapour_pressure(sst, salinity)
    return np.asarray(xco2) * dry


def sea_level_pressure(pressure: ArrayLike, altitude: ArrayLike, temperature: ArrayLike) -> Array:
    """Pressure at sea level, Pa: a coastal cell's ground lies above the sea beside it.

    Hypsometric equation with 6.5 K km-1.

    Parameters
    ----------
    pressure : Pa
        At the ground.
    altitude : m
        Of the ground.
    temperature : K
        At the ground.
    """
    altitude = np.asarray(altitude)
    mean = np.maximum(np.asarray(temperature) + 0.00325 * altitude, 210.0)
    return np.asarray(pressure) * np.exp(9.80665 / 287.05 * altitude / mean)


def conductance(k: ArrayLike, k0: ArrayLike, ice: ArrayLike = 0.0) -> Array:
    """What a pressure difference of 1 uatm drives through the surface, mol m-2 yr-1 uatm-1.

    Parameters
    ----------
    k : cm h-1
    k0 : mol L-1 atm-1
    ice : 0..1
        Share of the sea under ice, through which nothing goes.
    """
    metres_a_year = np.asarray(k) * (0.01 * HOURS_A_YEAR)
    mol_m3_uatm = np.asarray(k0) * (1000.0 * 1e-6)
    return metres_a_year * mol_m3_uatm * (1.0 - np.asarray(ice))


def bulk_flux(
    k: ArrayLike,
    pco2_sea: ArrayLike,
    pco2_of_air: ArrayLike,
    sst: ArrayLike,
    salinity: ArrayLike,
    ice: ArrayLike = 0.0,
    settings: FluxSettings | None = None,
) -> Array:
    """Flux of CO2 through the surface, mol m-2 yr-1 of sea, positive into the atmosphere.

    Parameters
    ----------
    k : cm h-1
        `transfer_velocity`.
    pco2_sea, pco2_of_air : uatm
        `pco2_air` of the skin where there is one.
    sst : degC
        Below the skin.
    salinity : 1
    ice : 0..1
    settings
        Cool and salty skin; none by default.
    """
    settings = settings or FluxSettings()
    water = conductance(k, solubility(sst, salinity), ice)
    skin = water
    if settings.cool_skin or settings.salty_skin:
        skin_t = np.asarray(sst) - settings.cool_skin
        skin_s = np.asarray(salinity) + settings.salty_skin
        skin = conductance(k, solubility(skin_t, skin_s), ice)
    return water * np.asarray(pco2_sea) - skin * np.asarray(pco2_of_air)


def integral(flux: ArrayLike, area: ArrayLike) -> Array:
    """(...,) PgC yr-1: sum of fluxes (..., H, W) in mol m-2 yr-1 over areas (H, W) in m2.

    Cells without a value count as nothing.
    """
    grams = np.asarray(flux, dtype=np.float64) * (MOLAR_MASS_CARBON * 1e-15)
    return np.nansum(grams * np.asarray(area), axis=(-2, -1))
