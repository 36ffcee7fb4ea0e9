"""Run the client with a saboteur inside: `python clientsaboteur.py PLAN WORD...`, where PLAN is the
saboteur's, in JSON.

In addition to the saboteur's events, a plan with `moments` makes a step of each function of mlxops
that is entered and of each module that is imported: moments at which a signal may arrive. Its
faults may be signals: "INT", "TERM", or two in a row, "INT INT", the second one at the next
possible step."""

from __future__ import annotations

import json
import os
import runpy
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

from saboteur import Saboteur, wrap  # type: ignore[import-not-found,unused-ignore]
from strikes import os_kill  # type: ignore[import-not-found,unused-ignore]

PACKAGE = "mlxops"


class ClientSaboteur(Saboteur):
    """Its places are call paths through the client's source; in paramiko's own thread, through
    paramiko's."""

    def __init__(self, home: str, plan: dict[str, Any]) -> None:
        super().__init__(home, plan, wire=-1)
        self._ours = os.path.join(home, PACKAGE) + os.sep
        self._to_send: list[int] = []
        self._importing = False

    def profile(self, frame: FrameType, event: str, arg: Any) -> None:
        """The profile function that the interpreter calls in the main thread."""
        code = frame.f_code
        self._importing = code.co_name == "<module>"
        if event == "call" and (self._importing or code.co_filename.startswith(self._ours)):
            self.meet("import" if self._importing else "call", frame.f_globals.get("__name__", ""))
        self._importing = False

    def meet(self, event: str, about: Any, torn: Callable[[], Any] | None = None) -> None:
        if self._to_send and not getattr(self._inside, "busy", False):
            os_kill(os.getpid(), self._to_send.pop(0))
        super().meet(event, about, torn)

    def _place(self) -> str:
        ours: list[str] = []
        theirs = ""
        frame: FrameType | None = sys._getframe(3)
        while frame is not None:
            code = frame.f_code
            if (
                not ours
                and not self._importing
                and code.co_filename.startswith("<frozen importlib")
            ):
                return ""  # the search for a module belongs to Python
            if code.co_filename.startswith(self._ours):
                ours.append(
                    f"{code.co_filename[len(self._ours) :]}:{frame.f_lineno}:{code.co_name}"
                )
            elif f"{os.sep}paramiko{os.sep}" in code.co_filename and not theirs:
                theirs = (
                    f"paramiko/{os.path.basename(code.co_filename)}:{frame.f_lineno}:{code.co_name}"
                )
            frame = frame.f_back
        return " < ".join(ours) or theirs

    def _strike(self, event: str, about: Any, torn: Callable[[], Any] | None) -> None:
        first, *rest = self._fault.split()
        if first not in ("INT", "TERM"):
            return super()._strike(event, about, torn)
        self._to_send = [getattr(signal, f"SIG{name}") for name in rest]
        self._step = {"event": None}
        os_kill(os.getpid(), getattr(signal, f"SIG{first}"))


def main() -> None:
    plan, home = json.loads(sys.argv[1]), os.environ["PYTHONPATH"]
    saboteur = ClientSaboteur(home, plan)
    wrap(saboteur)
    # Reopened through the wrapped open, so that output is a step too.
    sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
    sys.addaudithook(saboteur.audit)
    sys.argv[1:] = sys.argv[2:]
    if plan.get("moments"):
        sys.setprofile(saboteur.profile)
    runpy.run_module(PACKAGE, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
