"""Addresses: they round-trip, and nothing in them can do harm."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dashboard.state import ViewState, World, parse
from tests.synthetic import SyntheticSource

WORLD = World(SyntheticSource(), ("explore", "compare"), ("co2net", "vit", "interpolation"))


def test_a_view_round_trips():
    view = ViewState(
        WORLD,
        page="compare",
        frame=17,
        show="diff:vit",
        models=("vit", "interpolation", "co2net"),
        region="box:-20,-10,40.5,30",
        projection="platecarree",
        point=(12.5, -170.25),
        lang="zh",
        theme="dark",
        co2=(360.0, 390.5),
        spread=2.5,
        cells=True,
        stations=False,
        wind=True,
        cases=True,
        present=True,
        centre=(-90.0, 12.5),
        window=(10.5, -20.0, 30.0),
        span=30,
    )
    values, faults = parse("?" + view.address(), WORLD)
    assert faults == []
    again = ViewState(WORLD, **values)
    assert again.address() == view.address()
    assert values["point"] == (12.5, -170.25)
    assert values["frame"] == 17


def test_the_default_address_is_short():
    assert ViewState(WORLD).address() == "page=explore&time=2002-02-15T01:30&models=co2net,vit"


def test_a_new_visitor_sees_the_latest_month():
    time = WORLD.source.time[ViewState(WORLD).frame]
    assert str(time).startswith("2002-02")


@pytest.mark.parametrize(
    "query",
    [
        "page=<script>alert(1)</script>",
        "time=99999999-01-01",
        "time=2002-02-30",
        "time=NaT",
        "time=1850-01-01T00:00",
        "time=" + "9" * 5000,
        "point=nan,0",
        "point=1e999,0",
        "point=91,0",
        "point=1,2,3",
        "point=",
        "region=box:1,2,3",
        "region=box:0,0,0,0",
        "region=../../etc/passwd",
        "co2=400,300",
        "co2=-5,300",
        "co2=1,inf",
        "spread=0",
        "spread=nan",
        "lang=xx",
        "theme=%00",
        "cells=yes",
        "models=__class__",
        "models=vit,vit,nobody",
        "models=,",
        "models=co2net,vit,interpolation,co2net,vit,a,b,c,d",
        "window=1,2",
        "window=0,0,1e9",
        "window=nan,0,10",
        "centre=91,0",
        "centre=x",
        "span=11",
        "span=-2",
        "span=1e1",
        "wind=true",
        "present=2",
        "show=anom:nobody",
        "show=std:vit",
        "show=diff:nobody",
    ],
)
def test_hostile_values_are_reported_and_left_out(query):
    values, faults = parse(query, WORLD)
    blank = query.endswith("=")  # a parameter without a value counts as not given
    assert blank or len(faults) == 1
    assert values == {}
    assert all(len(fault.value) <= 60 for fault in faults)
    ViewState(WORLD, **values)


def test_unknown_parameters_are_ignored():
    assert parse("utm_source=x&__proto__=1&frame=3", WORLD) == ({}, [])


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=200))
def test_no_text_raises(text):
    names = [
        "time",
        "point",
        "region",
        "co2",
        "region=box:",
        "models",
        "centre",
        "window",
        "span",
        "show",
    ]
    for name in ["", *(f"{name}=".replace(":=", ":") for name in names)]:
        values, _ = parse(name + text, WORLD)
        ViewState(WORLD, **values)


def test_times_of_day_go_to_the_nearest_frame():
    values, faults = parse("time=2002-02-03T02:10", WORLD)
    assert faults == []
    assert WORLD.source.time[values["frame"]] == np.datetime64("2002-02-03T01:30")


WORDS = "page time show models region projection point lang theme co2 spread cells stations"
WORDS += " wind cases present centre window span"
NASTY = (
    "%3Cscript%3Ealert(1)%3C/script%3E",
    "../../../../etc/passwd",
    "nan",
    "1e999,-1e999,0",
    "__class__.__init__",
    "%00%ff%fe",
    "'; DROP TABLE models; --",
)


@pytest.mark.parametrize("name", WORDS.split())
def test_nothing_nasty_gets_in(name):
    """More than a hundred hostile addresses: each falls back with one notice and does no harm."""
    for nasty in NASTY:
        values, faults = parse(f"page=compare&{name}={nasty}", WORLD)
        assert [fault.name for fault in faults] == [name], nasty
        view = ViewState(WORLD, **values)
        assert parse(view.address(), WORLD)[1] == []
