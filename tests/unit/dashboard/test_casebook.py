"""The flux that an ocean case shows, on a still world whose numbers follow by hand."""

from __future__ import annotations

import re

import numpy as np
import pytest

from co2net.evaluation.cases import Case, case_series
from co2net.inference import Engine
from co2net.ocean import ProductFields
from dashboard.casebook import flux_series, flux_story, flux_table
from dashboard.i18n import Translator
from dashboard.oceans.wording import OceanWording
from dashboard.service import Service
from dashboard.state import ViewState, World
from dashboard.wording import Wording
from tests.synthetic import SyntheticSource
from tests.unit.evaluation.fakes import GRID, Fake

DAYS = ("2002-01-07", "2002-01-08", "2002-01-09")


class Still(SyntheticSource):
    """A wind of 10 m/s, a standard atmosphere, and CO2 that rises by 10 ppm a day from 400."""

    def _field(self, name, seconds):
        day = np.floor(seconds / 86400) - np.datetime64(DAYS[0], "D").astype(int)
        values = {"eastward_wind": 6.0, "northward_wind": 8.0, "air_pressure": 101325.0}
        values["surface_altitude"] = 0.0
        shape = (seconds.size, *self.grid.shape)
        rising = (400 + 10 * day)[:, None, None]
        return np.broadcast_to(rising if name == "co2" else values.get(name, 288.0), shape)


def by_hand(co2: float) -> float:
    """mol m-2 yr-1 of a sea of 380 uatm, 20 degC and a salinity of 35.

    Schmidt number 668 (Wanninkhof 2014, table 1), solubility 0.03241 mol kg-1 atm-1 (Weiss 1974)
    of water of 1.0248 kg/l, vapour pressure 0.0227 atm (Weiss and Price 1980).
    """
    velocity = 0.251 * 10**2 * (660 / 668) ** 0.5  # cm/h
    metres = velocity / 100 * 24 * 365.25
    return metres * 0.03241 * 1024.8 * 1e-6 * (380 - co2 * (1 - 0.0227))


class Visitor(Wording):
    """The words of a page, without the page."""

    def __init__(self, service: Service, language: str) -> None:
        self.service, self.t = service, Translator(language)
        self.state = ViewState(World(service.source, ("cases",), ("near",), {}), lang=language)


@pytest.fixture(scope="module")
def case() -> Case:
    text = {"en": "{days}", "zh": "{days}"}
    box = "box:-160,-40,-120,-10"  # of the South Pacific: nothing but sea
    return Case("calm", text, "ocean", box, DAYS[0], DAYS[-1], (), (DAYS[0],), (), text)


@pytest.fixture(scope="module")
def service() -> Service:
    """With a model that is 5 ppm too high, over a sea without ice or seasons."""
    source = Still(GRID, *DAYS[::2], sites=3)
    engine = Engine(source, [Fake("near", 5.0)])
    months = np.datetime64("2002-01", "M") + np.arange(12)
    everywhere = {"pco2": 380.0, "sst": 20.0, "salinity": 35.0}
    fields = {name: np.full((12, *GRID.shape), value) for name, value in everywhere.items()}
    return Service(engine, sea=ProductFields(fields, months, GRID, GRID))


def test_the_flux_of_a_case_is_the_bulk_formulas(case, service):
    told = []
    found = case_series(service.engine, case, ["near"])
    flux = flux_series(service.ocean, found, lambda share, name: told.append(share), None)
    assert flux.days.astype(str).tolist() == list(DAYS)
    for name, shift in (("truth", 0), ("near", 5)):
        wanted = [by_hand(400 + shift + 10 * n) for n in range(3)]
        np.testing.assert_allclose(flux.values[name], wanted, rtol=0.01)
    assert flux.values["truth"][0] < 0  # into the sea
    slope = by_hand(1) - by_hand(0)
    assert flux.scores["near"]["rmse"] == pytest.approx(-5 * slope, rel=0.01)
    assert told == sorted(told)


def test_names_come_one_after_the_other(case, service):
    seen = []
    found = case_series(service.engine, case, ["near"])
    flux_series(service.ocean, found, show=lambda flux: seen.append(list(flux.values)))
    assert seen == [["truth"], ["truth", "near"]]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_text_and_table_of_the_flux_hold_these_numbers(case, service, language):
    visitor = Visitor(service, language)
    flux = flux_series(service.ocean, case_series(service.engine, case, ["near"]))
    first, last = flux.values["truth"][[0, -1]]
    signed = [f"−{abs(value):.2f}" for value in (last - first, first, last)]
    text = flux_story(flux, visitor)
    assert re.findall(r"[+−]\d\.\d\d", text)[:3] == signed
    assert "mol m⁻² yr⁻¹" in text
    html = flux_table(flux, OceanWording(visitor), "light")
    truth, model = re.findall(r"<tr data-model=.*?</tr>", html)
    cells = re.findall(r"<td[^>]*>(.*?)</td>", truth)
    assert cells[:3] == [signed[1], signed[2], signed[0]]
    assert f"{flux.scores['near']['rmse']:.3f}" in model
