"""What ports last answered over HTTP, kept for a minute: a request costs a line in the server's log each time.

Such an answer is used again only for the very same processes, and only while the server reacts (probe.pulse).
"""

from __future__ import annotations

import json
import os
import time
from typing import Any, Callable, List, NamedTuple, Optional

from .evidence import Answer

KEPT_S = 60.0
MOST_NAMES = 20
MOST_BYTES = 64 << 10


class Recall(NamedTuple):
    """The answers kept below a state folder. `use`: whether they may stand for a new one. `clock`: wall time, s."""

    state_dir: str
    use: bool = False
    clock: Callable[[], float] = time.time

    def of(self, port: int, who: List[List[Any]]) -> Optional[Answer]:
        """The last answer of these processes; None where there is none, or an old one."""
        kept = self._read(port) if self.use and who else {}
        at, answer = kept.get("at"), kept.get("answer")
        age = self.clock() - at if isinstance(at, (int, float)) else -1.0
        if kept.get("of") != who or not 0 <= age < KEPT_S or not isinstance(answer, dict):
            return None
        names = answer.get("models")
        models = tuple(name for name in names if isinstance(name, str)) if isinstance(names, list) else ()
        return Answer(True, 200, models, answer.get("chats") is True or None)

    def keep(self, port: int, who: List[List[Any]], answer: Answer) -> None:
        """For the next look. Only a good answer is kept: another is asked for again."""
        if not who or answer.health != 200 or answer.chats is False or answer.error:
            return
        said = {"models": answer.models[:MOST_NAMES], "chats": answer.chats}
        path = self._path(port)
        draft = "%s.%d.tmp" % (path, os.getpid())
        try:
            os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
            with open(draft, "w") as f:
                json.dump({"at": self.clock(), "of": who, "answer": said}, f)
            os.replace(draft, path)
        except OSError:
            # Without it the next look asks again.
            _discard(draft)

    def _path(self, port: int) -> str:
        return os.path.join(self.state_dir, "run", "%d.answer.json" % port)

    def _read(self, port: int) -> Any:
        try:
            with open(self._path(port), "rb") as f:
                kept = json.loads(f.read(MOST_BYTES))
        except (OSError, ValueError, RecursionError):
            return {}
        return kept if isinstance(kept, dict) else {}


def _discard(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        return
