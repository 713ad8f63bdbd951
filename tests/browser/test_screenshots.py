"""When a picture of the page is taken: of parts that are in shadow trees, as the page has them."""

from __future__ import annotations

import pytest

from dashboard import screenshots

_BUILD = """({progress, waiting, field, chart}) => {
  document.title = "Oceans · co2net"
  const inside = (host, html) => {
    const tree = host.attachShadow({mode: "open"})
    tree.innerHTML = html
    return tree
  }
  document.body.replaceChildren()
  const shell = inside(document.body.appendChild(document.createElement("div")),
    '<div class="app" data-page="oceans"><div class="board"><div id="page"></div></div></div>')
  const page = inside(shell.querySelector("#page"),
    `<div id="map"></div><p class="progress" role="status">${progress}</p><div class="plot">
     <div id="chart"></div></div><p hidden class="progress" role="status">of another tab</p>`)
  const map = inside(page.querySelector("#map"),
    `<figure class="panel ${waiting ? "waiting" : ""}"><div class="map"><i></i></div></figure>`)
  const canvas = (tree, name, drawn) => {
    const made = tree.appendChild(document.createElement("canvas")), pen = made.getContext("2d")
    made.className = name
    const colours = drawn ? ["red", "green", "blue"] : ["grey"]
    colours.forEach((colour, n) => { pen.fillStyle = colour; pen.fillRect(20 * n, 0, 20, 20) })
  }
  canvas(inside(map.querySelector(".map").appendChild(document.createElement("div")), ""),
    "field", field)
  canvas(inside(page.querySelector("#chart"), ""), "bk-layer", chart)
}"""
_WHOLE = {"progress": "", "waiting": False, "field": True, "chart": True}


@pytest.fixture(scope="module")
def page(browser):
    opened = browser.new_page()
    yield opened
    opened.close()


@pytest.mark.parametrize(
    ("what", "ready"),
    [
        ({}, True),
        ({"progress": "CO2-Net: 33% of all computed"}, False),
        ({"waiting": True}, False),
        ({"field": False}, False),
        ({"chart": False}, False),
    ],
    ids=["whole", "computing", "waiting", "map without field", "empty chart"],
)
def test_a_picture_waits_for_what_is_not_there_yet(page, what, ready):
    page.evaluate(_BUILD, _WHOLE | what)
    assert page.evaluate(screenshots._PAINTED, "oceans") is ready
    assert not page.evaluate(screenshots._PAINTED, "explore")
