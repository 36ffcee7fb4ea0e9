"""A function call in its own thread."""

from __future__ import annotations

import threading
from typing import Callable, Generic, List, Optional, TypeVar

CHECK_INTERVAL_S = 0.1

Value = TypeVar("Value")


class BackgroundCall(Generic[Value]):
    """A call in its own daemon thread; one that never ends is abandoned."""

    def __init__(self, call: Callable[[], Value]) -> None:
        self._call = call
        self._value: List[Value] = []
        self._error: Optional[BaseException] = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._value.append(self._call())
        except Exception as exc:  # value() raises it again
            self._error = exc

    def done(self, seconds: float = 0.0) -> bool:
        """Wait for up to `seconds`; return whether the call has ended."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def value(self) -> Value:
        """Return the call's result or raise its exception; TimeoutError if it is still running."""
        if self._error is not None:
            raise self._error
        if not self._value:
            raise TimeoutError("timed out")
        return self._value[0]

    def wait(self, check: Callable[[], None] = lambda: None) -> Value:
        """Wait, then return the call's result or raise its exception; `check` as below."""
        self.wait_until_done(check)
        return self.value()

    def wait_until_done(self, check: Callable[[], None]) -> None:
        """Wait for the end of the call. `check` is called meanwhile, and may raise."""
        while not self.done(CHECK_INTERVAL_S):
            check()
