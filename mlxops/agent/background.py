"""A call in a thread of its own, waited for from outside."""

from __future__ import annotations

import threading
from typing import Callable, Generic, List, Optional, TypeVar

CHECK_INTERVAL_S = 0.1

Value = TypeVar("Value")


class BackgroundCall(Generic[Value]):
    """A call under way in a thread of its own; one that never ends is left behind there."""

    def __init__(self, call: Callable[[], Value]) -> None:
        self._call = call
        self._value: List[Value] = []
        self._error: Optional[BaseException] = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._value.append(self._call())
        except Exception as exc:  # raised again by value(), whatever it is
            self._error = exc

    def done(self, seconds: float = 0.0) -> bool:
        """Whether it has ended, after waiting for up to `seconds`."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def value(self) -> Value:
        """What the call returned; what it raised; TimeoutError while it is under way."""
        if self._error is not None:
            raise self._error
        if not self._value:
            raise TimeoutError("no answer in time")
        return self._value[0]

    def wait(self, check: Callable[[], None] = lambda: None) -> Value:
        """What the call returned, or what it raised, once it has; for `check` see ended()."""
        self.wait_until_done(check)
        return self.value()

    def wait_until_done(self, check: Callable[[], None]) -> None:
        """Wait for its end. `check` is called all the while, and may raise."""
        while not self.done(CHECK_INTERVAL_S):
            check()
