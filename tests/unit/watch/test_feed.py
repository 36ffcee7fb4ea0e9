"""When a connection is made again, and when not."""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import islice
from typing import Any

import pytest

from mlxops.agent.errors import HostKeyRefused, LinkLost, LoginRefused, MlxopsError
from mlxops.watch.feed import MAX_PAUSE_S, Feed, pauses

Ending = Callable[[Callable[[dict[str, Any]], None]], dict[str, Any]]


class Calls:
    """Stands for session.call: each call ends as the next of `endings` does."""

    def __init__(self, *endings: Ending) -> None:
        self._endings = iter(endings)
        self.made = 0
        self.lost: list[tuple[MlxopsError, float | None]] = []
        self.records: list[dict[str, Any]] = []
        self.idle = threading.Event()

    def __call__(self, host: Any, verb: str, args: Any, on_event: Any) -> dict[str, Any]:
        self.made += 1
        assert verb == "watch"
        return next(self._endings)(on_event)

    def note(self, error: MlxopsError, pause: float | None) -> None:
        self.lost.append((error, pause))
        self.idle.set()

    def feed(self) -> Feed:
        host: Any = type("Host", (), {"name": "studio"})()
        return Feed(host, {}, self.records.append, self.note, self)


def fails(error: Exception) -> Ending:
    def ending(on_event: Any) -> dict[str, Any]:
        raise error

    return ending


def reports_then_fails(on_event: Any) -> dict[str, Any]:
    on_event({"event": "ping"})
    on_event({"event": "watch"})
    raise LinkLost("gone")


def until_stopped(stopped: threading.Event) -> Ending:
    def ending(on_event: Any) -> dict[str, Any]:
        stopped.wait(10)
        on_event({"event": "ping"})
        raise AssertionError("it went on")

    return ending


def test_pauses_grow_to_half_a_minute() -> None:
    several = [*islice(pauses(), 10)]
    assert 0.9 <= several[0] <= 1.1 and several[4] > 10
    assert max(several) <= MAX_PAUSE_S * 1.1 and several[-1] >= MAX_PAUSE_S * 0.9


@pytest.mark.parametrize("error", [LoginRefused("no"), HostKeyRefused("changed")])
def test_a_refusal_is_tried_again_only_when_someone_asks(error: MlxopsError) -> None:
    over = threading.Event()
    calls = Calls(fails(error), until_stopped(over))
    feed = calls.feed()
    feed.start()
    assert calls.idle.wait(10) and calls.lost == [(error, None)]
    assert calls.made == 1
    feed.retry()
    feed.stop()
    over.set()


def test_a_lost_link_is_made_again_and_what_was_reported_counts() -> None:
    over = threading.Event()
    calls = Calls(reports_then_fails, fails(ValueError("odd")), until_stopped(over))
    feed = calls.feed()
    feed._again.wait = lambda pause: True  # type: ignore[method-assign]
    feed.start()
    while calls.made < 3:
        calls.idle.wait(0.01)
    assert calls.records == [{"event": "watch"}]
    assert [type(error).__name__ for error, _ in calls.lost] == ["LinkLost", "Failure"]
    assert "internal error: ValueError: odd" in calls.lost[1][0].message
    feed.stop()
    over.set()
