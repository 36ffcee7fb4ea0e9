"""One run of the program: its global flags, the host they name, the one call, and the answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ..agent.errors import Failed, Interrupted, MlxopsError
from ..hosts.files import Host, find_host
from ..render.progress import Progress
from ..render.style import Style
from .console import Console

Result = dict[str, Any]
OnEvent = Callable[[Result], None]
OnSent = Callable[[], object]
HostCall = Callable[[Host, str, Result, OnEvent, OnSent], Result]


@dataclass
class Flags:
    """The global flags, filled in while click parses: they may stand before and after the verb."""

    host: str | None = None
    hosts_dir: str | None = None
    local: bool = False
    json: bool = False
    quiet: bool = False
    verbose: bool = False
    debug: bool = False


@dataclass(frozen=True)
class Answer:
    """What a command has to say: a result, how people read it, and what was found wrong although it
    was carried out.

    `message`: what people read instead of the error, where that is only the way they chose to
    leave."""

    result: Result | None
    text: Callable[[Result, Style], str] | None = None
    error: MlxopsError | None = None
    message: str | None = None


def call_host(host: Host, verb: str, args: Result, on_event: OnEvent, meanwhile: OnSent) -> Result:
    from ..session import call

    return call(host, verb, args, on_event, meanwhile)


class Run:
    def __init__(self, console: Console, call: HostCall = call_host) -> None:
        self.console, self.flags = console, Flags()
        self.command: str | None = None
        self._call = call

    @cached_property
    def host(self) -> Host:
        """The host meant by the flags; Usage when there is no telling."""
        host = find_host(self.flags.host, self.flags.hosts_dir)
        return host.local() if self.flags.local else host

    @property
    def host_name(self) -> str | None:
        """The host's name as far as it is known, for the envelope."""
        return self.host.name if "host" in self.__dict__ else self.flags.host

    @cached_property
    def progress(self) -> Progress:
        return Progress(
            self.console.err, self.console.err.isatty(), self.flags.quiet, self.flags.verbose
        )

    def call(
        self,
        verb: str,
        args: Result,
        on_event: OnEvent | None = None,
        on_sent: OnSent | None = None,
    ) -> Result:
        """The one call of a command; MlxopsError when it fails. `on_sent` is called once the
        request is on its way."""

        def meanwhile() -> None:
            if on_sent:
                on_sent()
            self._preload()

        return self._call(self.host, verb, args, on_event or self.progress, meanwhile)

    def _preload(self) -> None:
        """While the host is at work: import what its answer will be shown with."""
        if self.flags.json:
            from ..render import json_document as document  # noqa: F401
        else:
            from ..render.table import preload

            preload()

    @property
    def interactive(self) -> bool:
        """Whether a person sits there who can be asked, and the answer is not for a program."""
        return self.console.interactive and not self.flags.json

    def confirm(self, question: str, declined: str = "nothing was changed") -> bool:
        """Whether a person says yes; no where nobody can be asked. Who says no is told what was
        `declined`."""
        if not self.interactive:
            return False
        from ..render.format import printable

        self.progress.close()
        try:
            answer = self.console.confirm(printable(question))
        except KeyboardInterrupt:
            self.console.note("")
            raise Interrupted(f"interrupted; {declined}") from None
        if answer is None:
            raise Interrupted(f"no answer; {declined}")
        if not answer:
            raise Failed(f"{declined}: you answered no")
        return True
