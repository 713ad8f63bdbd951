"""Colours: even, honest about zero, readable; numbers and scales."""

import numpy as np
import pytest
from bokeh.models import Range1d

from dashboard.maps.layers import display, nice_limits, number, sample_limits, ticks
from dashboard.plots import span
from dashboard.theme import TOKENS, contrast, lightness, line, palette
from tests.synthetic import SyntheticSource


def test_the_sequential_map_only_gets_lighter():
    steps = np.diff([lightness(c) for c in palette("sequential")])
    assert steps.min() > -0.004  # rounding to 8 bits
    assert lightness(palette("sequential")[-1]) - lightness(palette("sequential")[0]) > 0.6


def test_the_diverging_map_is_lightest_in_the_middle_and_balanced():
    light = np.array([lightness(c) for c in palette("diverging")])
    assert 118 <= light.argmax() <= 138
    assert abs(light[0] - light[-1]) < 0.06
    assert (np.diff(light[:118]) > -0.004).all()
    assert (np.diff(light[138:]) < 0.004).all()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(
    ("text", "ground"),
    [
        ("text", "surface"),
        ("text", "canvas"),
        ("text", "raised"),
        ("text", "accent-soft"),
        ("muted", "surface"),
        ("muted", "canvas"),
        ("on-accent", "accent"),
        ("warn", "warn-soft"),
        ("accent", "surface"),
    ],
)
def test_text_can_be_read(theme, text, ground):
    token = TOKENS[theme]
    assert contrast(token[text], token[ground]) >= 4.5


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_models_differ_in_colour_and_dash(theme):
    names = ["truth", "co2net", "co2net-plus", "vit", "swinlstm", "cyclegan", "senseiver"]
    names += ["interpolation", "climatology"]
    lines = [line(name, theme) for name in names]
    assert len({drawn.colour for drawn in lines}) == len(names)
    assert len({drawn.dash for drawn in lines[1:]}) == len(names) - 1
    assert line("mine", theme) == line("mine", theme)


def test_contrast_is_that_of_wcag():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


def test_limits_do_not_depend_on_the_frame_of_a_year():
    source = SyntheticSource()
    year = np.flatnonzero(source.time.astype("datetime64[Y]") == np.datetime64("2002"))
    assert len({sample_limits(source, "truth", int(i)) for i in year[::40]}) == 1
    low, high = sample_limits(source, "truth", int(year[0]))
    assert 350 < low < high < 400


def test_differences_and_winds_diverge_about_zero():
    assert display("diff:vit").diverging
    low, high = sample_limits(SyntheticSource(), "eastward_wind", 0)
    assert low == -high


@pytest.mark.parametrize(("low", "high"), [(0.0001, 0.0002), (-3, 17), (410.2, 410.9), (5, 6)])
def test_nice_limits_hold_the_values(low, high):
    a, b = nice_limits(low, high)
    assert a <= low
    assert high <= b
    assert b - a < 1.3 * (high - low)
    marks = ticks(a, b)
    assert 3 <= len(marks) <= 9
    assert all(a <= v <= b for v in marks)


def test_numbers_have_a_real_minus():
    assert number(-1.234, 2) == "−1.23"
    assert number(0.5, 1, signed=True) == "+0.5"
    assert number(float("nan"), 1) == "–"


def test_an_axis_holds_series_of_any_lengths():
    axis = Range1d(0, 1)
    span(axis, [np.array([1.0, 2.0]), np.array([5.0, np.nan, 0.0])], 1.0)
    assert (axis.start, axis.end) == pytest.approx((-0.3, 5.3))
    span(axis, np.array([3.0, 3.0]), 2.0, zero=True)
    assert (axis.start, axis.end) == pytest.approx((-0.18, 3.18))
    span(axis, [], 2.0)  # nothing to hold: as it was
    assert axis.end == pytest.approx(3.18)
