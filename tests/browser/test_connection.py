"""What a visitor sees while the server is gone, and when it is there again."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from dashboard.components import ASSETS

SOCKETS = """
window.sockets = []
window.WebSocket = class extends WebSocket {
  constructor(...all) { super(...all); sockets.push(this) }
}
"""
"""Remembers the connections of a page."""


@pytest.mark.parametrize(
    ("lang", "said", "button"),
    [("en", "Jobs go on", "Reload now"), ("zh", "后台任务会继续运行", "立即重新加载")],
)
def test_a_lost_server_is_told_and_the_view_comes_back(browser, address, lang, said, button):
    context = browser.new_context(viewport={"width": 1280, "height": 720})
    context.set_default_timeout(120_000)
    page = context.new_page()
    gone = [True]
    page.add_init_script(SOCKETS)
    page.route(
        "**/ready",
        lambda route: route.fulfill(status=503) if gone[0] else route.continue_(),
    )
    page.goto(f"{address}/?page=data&lang={lang}&theme=dark")
    page.wait_for_selector(".card .coverage")
    alert = page.locator(".lost[role=alert]")
    expect(alert).to_be_hidden()
    page.evaluate("window.before = true")
    seen = page.url
    page.evaluate("sockets.at(-1).close()")
    expect(alert).to_contain_text(said)
    expect(alert.get_by_role("button", name=button)).to_be_visible()
    gone[0] = False
    page.wait_for_function("window.before === undefined")  # it has loaded itself anew
    page.wait_for_selector(".card .coverage")
    expect(alert).to_be_hidden()
    assert page.url == seen
    context.close()


_HEAR = """([source, messages]) => {
  const made = new Function(`${source}; return on_news`)()
  const facts = {rows: "none", title: ""}, drawn = []
  let hear
  made({on: (kind, heard) => { hear = heard }}, facts, (news) => drawn.push(news))
  for (const message of messages) { hear(message) }
  return {facts, drawn}
}"""


def test_of_two_messages_that_overtake_each_other_the_later_told_stays(browser):
    page = browser.new_page()
    later = {"order": 2, "facts": {"rows": "four"}}
    earlier = {"order": 1, "facts": {"rows": "three", "title": "t"}}
    heard = page.evaluate(_HEAR, [(ASSETS / "news.js").read_text(), [later, earlier]])
    assert heard["facts"] == {"rows": "four", "title": "t"}
    assert heard["drawn"] == [{"rows": "four"}, {"title": "t"}]
    page.close()
