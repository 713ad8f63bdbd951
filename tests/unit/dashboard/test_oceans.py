"""Oceans: what an address says, and what the map shows of it."""

import numpy as np
import pytest

from co2net.ocean import QUANTITIES, basins
from dashboard.oceans.charts import broken, interval, placed
from dashboard.oceans.choices import Choices, went_to
from dashboard.oceans.layers import SHOWN, shown_as
from dashboard.pages import words
from dashboard.state import ViewState, World, parse
from tests.synthetic import SyntheticSource

SOURCE = SyntheticSource()
WORLD = World(SOURCE, ("explore", "oceans"), ("co2net", "vit"), words())
MONTHS = ("2001-12", "2002-02")


def _choices(query, months=MONTHS):
    values, faults = parse(query, WORLD)
    return Choices(ViewState(WORLD, **values), SOURCE, months), faults


def test_an_address_round_trips():
    query = (
        "page=oceans&time=2002-02-10T01:30&show=diff:vit&models=vit&quantity=aragonite"
        "&basin=indian&panel=acidity&reef=reef-red-sea&reach=all"
    )
    chosen, faults = _choices(query)
    assert faults == []
    again, _ = _choices(chosen.state.address())
    assert again.state.details == chosen.state.details
    assert (again.layer, again.place, again.reef, again.every) == (
        chosen.layer,
        "indian",
        "reef-red-sea",
        True,
    )


@pytest.mark.parametrize(
    "word", ["quantity=alkali", "basin=ocean", "basin=../x", "panel=", "reef=x", "mean=month"]
)
def test_words_that_are_none_are_faults(word):
    _, faults = _choices(f"page=oceans&{word}&lang=zh")
    if word.endswith("="):  # an empty word is no word
        assert faults == []
    else:
        assert [fault.name for fault in faults] == [word.split("=")[0]]


def test_the_month_is_that_of_the_time_or_the_nearest():
    assert _choices("page=oceans&time=2002-02-10T01:30")[0].month == "2002-02"
    assert _choices("page=oceans&time=2002-01-30T01:30")[0].month in MONTHS
    chosen, _ = _choices("page=oceans&time=2002-01-30T01:30", months=())
    assert chosen.month == ""
    assert chosen.momentary
    assert not _choices("page=oceans&quantity=ph&mean=moment")[0].momentary


def test_basins_are_the_page_s_and_other_regions_all_pages():
    assert went_to({"panel": "sink"}, "indian") == {
        "details": {"panel": "sink", "basin": "indian"},
        "region": "global",
    }
    box = "box:10,-10,20,10"
    assert went_to({"basin": "indian"}, box) == {"details": {}, "region": box}
    assert _choices("page=oceans")[0].place == "ocean" == basins()[0]


def test_models_are_shown_where_they_differ():
    models = ("co2net", "vit")
    assert shown_as("flux", "diff:vit", models) == "diff:vit"
    assert shown_as("flux", "anom:vit", models) == "truth"
    assert shown_as("sst", "vit", models) == "truth"
    assert set(SHOWN) <= set(QUANTITIES)


def test_numbers_and_gaps():
    assert interval(-2.0, -2.1, -1.9, 1, "PgC/yr") == "−2.0 [−2.1, −1.9] PgC/yr"
    assert interval(-2.0, -2.0, -2.0, 1) == "−2.0"
    months = np.array(["2000-01", "2000-04"], dtype="datetime64[M]")
    axis = broken(months)
    assert axis.size == 4
    np.testing.assert_array_equal(
        placed(axis, months, np.array([1.0, 2.0])), [1, np.nan, np.nan, 2]
    )
