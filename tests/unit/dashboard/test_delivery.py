"""What threads hand over to a session comes in its order, whatever the loop does."""

from functools import partial
from types import SimpleNamespace

import pytest
from bokeh.document import Document
from hypothesis import given
from hypothesis import strategies as st

from dashboard.delivery import Delivery


class Loop:
    """A document whose loop calls back in the order that a test chooses."""

    def __init__(self, viewers=0):
        self.document = Document()
        self.visit = SimpleNamespace(connection_count=viewers)
        self._context = SimpleNamespace(session=self.visit, server_context=None)
        self.document._session_context = lambda: self._context
        self.there = 0
        self.delivery = Delivery(self.document, self._came)

    def _came(self):
        self.there += 1

    def turn(self, pick=lambda waiting: 0):
        """Call back what waits, one after the other; ``pick`` says which is next."""
        while waiting := list(self.document.session_callbacks):
            chosen = waiting[pick(waiting)]
            self.document.remove_next_tick_callback(chosen)
            chosen.callback()


@given(st.lists(st.integers(0, 9), min_size=2, max_size=12))
def test_results_come_in_the_order_in_which_they_were_handed_over(picks):
    loop = Loop()
    got: list[int] = []
    half = len(picks) // 2
    for n in range(half):  # while the server makes the session
        loop.delivery.deliver(partial(got.append, n))
    assert not loop.document.session_callbacks
    loop.delivery.begin()
    for n in range(half, len(picks)):
        loop.delivery.deliver(partial(got.append, n))
    left = iter(picks)
    loop.turn(lambda waiting: next(left) % len(waiting))
    assert got == list(range(len(picks)))


@pytest.mark.parametrize("pick", [0, -1])
def test_what_comes_while_the_browser_loads_waits_for_it_in_its_order(pick):
    loop = Loop()
    got: list[str] = []
    loop.delivery.begin()
    loop.delivery.deliver(partial(got.append, "before the browser asked"))
    loop.turn()
    loop.visit.connection_count = 1  # it has asked, and has not shown the page yet
    loop.delivery.when_there(partial(got.append, "later"))
    for name in ("first", "second", "third"):
        loop.delivery.deliver(partial(got.append, name))
    loop.turn(lambda _: pick)
    assert got == ["before the browser asked"]
    assert not loop.delivery.loaded
    loop.delivery.browser_is_there()
    loop.turn(lambda _: pick)
    assert got == ["before the browser asked", "later", "first", "second", "third"]
    assert loop.delivery.loaded
    assert loop.there == 1
    loop.delivery.when_there(partial(got.append, "at once"))
    assert got[-1] == "at once"


def test_one_that_fails_does_not_hold_up_the_others():
    loop = Loop(viewers=1)
    got: list[int] = []
    loop.delivery.begin()

    def fail():
        raise ValueError("of this job")

    loop.delivery.when_there(fail)
    loop.delivery.when_there(partial(got.append, 1))
    loop.delivery.browser_is_there()
    with pytest.raises(ValueError, match="of this job"):
        loop.turn()
    loop.turn()
    assert got == [1]
    assert loop.delivery.loaded
