"""Two processes that compile: each waits for what the other is making, as long as it lives."""

import threading

import pytest
from numba.core import config

from kernels import partner
from kernels.cache import Store


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setattr(config, "CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(partner, "_TICK", 0.01)
    return Store("made-for-a-test")


def test_what_is_begun_is_told_and_what_was_begun_before(store):
    lines: list[str] = []
    assert store.begin("a")
    store.join(partner.Partner(lines.append))
    assert store.begin("b")
    store.end("a")
    store.join(None)
    store.end("b")
    assert lines == ["+a", "+b", "-a"]


@pytest.mark.parametrize("end", [lambda other: other.hear("-a"), lambda other: other.leave()])
def test_what_a_partner_makes_is_waited_for(store, end):
    lines: list[str] = []
    other = partner.Partner(lines.append)
    store.join(other)
    other.hear("+a")
    ended = threading.Event()

    def end_it() -> None:
        ended.set()
        end(other)

    timer = threading.Timer(0.05, end_it)
    timer.start()
    assert not store.begin("a")  # it may be there now
    assert ended.is_set()
    assert store.begin("a")  # it is not, and the other is not making it any more
    assert lines == ["+a"]
    timer.join()


@pytest.mark.usefixtures("store")
def test_a_partner_that_stops_is_not_waited_for_without_end(monkeypatch):
    monkeypatch.setattr(partner, "PATIENCE", 0.05)
    other = partner.Partner(print)
    other.hear("+a")
    assert other.wait_for("a")
    assert not other.wait_for("b")
