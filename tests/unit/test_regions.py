"""Regions: masks against areas known from elsewhere, boxes, the date line."""

import numpy as np
import pytest

from co2net.errors import UserError
from co2net.grid import EARTH_RADIUS_M, LatLonGrid
from co2net.regions import box_region, region, regions

GRID = LatLonGrid.ct()


def test_every_region_has_names_and_cells():
    for key, found in regions().items():
        assert found.name_en
        assert found.name_zh
        mask = found.mask(GRID)
        assert mask.shape == GRID.shape
        assert 0 <= mask.min() <= mask.max() <= 1
        assert mask.sum() > 0, key


def test_the_regions_of_the_document_are_there():
    wanted = "global ocean land eurasia amazon california siberia southeast-asia central-africa"
    wanted += " north-america equatorial-east-pacific north-atlantic south-indian-ocean"
    wanted += " southern-ocean great-barrier-reef bohai-yellow-sea"
    assert set(wanted.split()) <= set(regions())


def test_land_and_ocean_make_the_globe():
    both = region("land").mask(GRID) + region("ocean").mask(GRID)
    np.testing.assert_allclose(both, region("global").mask(GRID), atol=1e-12)


@pytest.mark.parametrize(
    ("key", "million_km2"), [("eurasia", 54.0), ("north-america", 22.5), ("ocean", 361.0)]
)
def test_areas_agree_with_the_atlas(key, million_km2):
    area = (region(key).mask(GRID) * GRID.area).sum() / 1e12
    assert area == pytest.approx(million_km2, rel=0.07)


def test_places_in_and_out_of_eurasia():
    mask = region("eurasia").mask(GRID)
    inside = [(55, 37), (35, 105), (20, 78), (65, 175), (67, -175), (40, -4), (62, 15)]
    outside = [(10, 10), (30, 31), (-25, 135), (65, -150), (0, 114), (72, -40)]
    assert all(mask[GRID.cell(*place)] > 0.5 for place in inside)
    assert all(mask[GRID.cell(*place)] < 0.2 for place in outside)


def test_area_of_a_box_by_hand():
    box = box_region(-60, -30, 30, 30)
    exact = EARTH_RADIUS_M**2 * np.radians(90) * 2 * np.sin(np.radians(30))
    assert (box.mask(GRID) * GRID.area).sum() == pytest.approx(exact, rel=1e-9)


def test_a_box_across_the_date_line_is_one_piece():
    mask = region("box:170,-10,-170,10").mask(GRID)
    columns = np.flatnonzero(mask.any(axis=0))
    assert mask.sum() * 6 == pytest.approx(400)
    assert set(columns) == {0, 1, 2, 3, 116, 117, 118, 119}


@pytest.mark.parametrize(
    "key",
    ["atlantis", "box:1,2,3", "box:a,b,c,d", "box:0,10,10,0", "box:0,0,nan,1", "box:0,0,999,1"],
)
def test_bad_regions_get_one_line(key):
    with pytest.raises(UserError) as caught:
        region(key)
    assert "\n" not in str(caught.value)
