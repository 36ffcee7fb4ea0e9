"""One run of the program: global flags, the host they name, the call, and the answer."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ..agent.errors import Failed, Interrupted, MlxopsError
from ..render.style import Style
from .console import YES_OR_NO, Console

if TYPE_CHECKING:  # help and usage errors need none of these
    from ..hosts.files import Host
    from ..render.progress import Progress
    from ..render.table import Listing

Result = dict[str, Any]
OnEvent = Callable[[Result], None]
OnSent = Callable[[], object]
HostCall = Callable[["Host", str, Result, OnEvent, OnSent], Result]


@dataclass
class Flags:
    """The flags of every verb, set while click parses; they may stand before or after the verb.

    `host`: one name, or several with commas between them. `json`: the answer is one document; with
    `output` yaml, a YAML one. `columns` and `sort`: those of a table."""

    host: str | None = None
    every_host: bool = False
    hosts_dir: str | None = None
    local: bool = False
    json: bool = False
    output: str | None = None
    columns: tuple[str, ...] = ()
    sort: str | None = None
    quiet: bool = False
    verbose: bool = False
    debug: bool = False
    cron: bool = False

    @property
    def host_names(self) -> list[str]:
        """The names of --host, each once."""
        return [*dict.fromkeys(name for name in (self.host or "").split(",") if name)]

    @property
    def first_host(self) -> str | None:
        """The only name of --host, for what concerns one host."""
        return self.host_names[0] if self.host_names else None

    @property
    def several_hosts(self) -> bool:
        return self.every_host or len(self.host_names) > 1


@dataclass(frozen=True)
class Answer:
    """The outcome of a verb: a result, the function that formats it, and an error, if any.

    `message`: printed instead of the error, if that is not a failure, such as Ctrl-C in
    `follow`. `listing`: the rows of the result, for -o name and --sort. `verbatim`: no line is
    wrapped at a terminal, because the text is copied or is not ours. `hosts`: the envelopes of a
    command for several hosts."""

    result: Result | None
    text: Callable[[Result, Style], str] | None = None
    error: MlxopsError | None = None
    message: str | None = None
    listing: Listing | None = None
    verbatim: bool = False
    hosts: list[Result] | None = None


def call_host(host: Host, verb: str, args: Result, on_event: OnEvent, meanwhile: OnSent) -> Result:
    from ..session import call

    return call(host, verb, args, on_event, meanwhile)


class Run:
    """`one_of_several`: the same command runs for other hosts too."""

    one_of_several = False

    def __init__(self, console: Console, call: HostCall = call_host) -> None:
        self.console, self.flags = console, Flags()
        self.command: str | None = None
        self.argv: list[str] = []
        # (host, verb, arguments, result) of each call that succeeded
        self.calls: list[tuple[Host, str, Result, Result]] = []
        self._call = call

    @cached_property
    def host(self) -> Host:
        """The host that the flags mean; Usage if that is unclear."""
        from ..hosts.files import find_host

        host = find_host(self.flags.first_host, self.flags.hosts_dir)
        if self.flags.cron:
            host = host.for_cron()
        return host.local() if self.flags.local else host

    @property
    def host_name(self) -> str | None:
        """The name of the host, as far as known, for the JSON envelope."""
        if self.flags.several_hosts:
            return None
        return self.host.name if "host" in self.__dict__ else self.flags.first_host

    @cached_property
    def progress(self) -> Progress:
        from ..render.progress import Progress

        terminal = self.console.err.isatty() and os.environ.get("TERM") != "dumb"
        progress = Progress(self.console.err, terminal, self.flags.quiet, self.flags.verbose)
        progress.is_new = self._is_new_warning
        return progress

    def end_progress(self) -> None:
        """Erase the progress line, if there is one."""
        if "progress" in self.__dict__:
            self.progress.close()

    def _is_new_warning(self, entry: str, message: str) -> bool:
        """Whether a lasting warning was not printed before. Scripts get each with every load."""
        from ..known_warnings import KnownWarnings

        return self.flags.json or KnownWarnings(self.host_name or "").is_new(entry, message)

    @property
    def style(self) -> Style:
        wide = self.flags.output == "wide"
        style = replace(
            self.console.style, quiet=self.flags.quiet, wide=wide, columns=self.flags.columns
        )
        return replace(style, width=None) if wide else style

    def call(
        self,
        verb: str,
        args: Result,
        on_event: OnEvent | None = None,
        on_sent: OnSent | None = None,
    ) -> Result:
        """Call a verb of the agent; MlxopsError if it fails. `on_sent` is called once the request
        was sent."""

        host = self.host

        def meanwhile() -> None:
            self.progress.title = f"{verb} on {host.name}"
            if on_sent:
                on_sent()
            self._preload()

        self.progress.title = f"connecting to {host.name}"
        with self.progress.ticking():
            result = self._call(host, verb, args, on_event or self.progress, meanwhile)
        self.calls.append((host, verb, args, result))
        return result

    def _preload(self) -> None:
        """Import what formats the answer, while the host is at work."""
        if self.flags.json:
            from ..render import json_document as document  # noqa: F401
        else:
            from ..render.table import preload

            preload()

    @property
    def interactive(self) -> bool:
        """Whether a user can be asked: a terminal, and an answer for people."""
        return self.console.interactive and not self.flags.json and self.flags.output != "name"

    def preview(self, text: str) -> None:
        """Print on stderr what a question is about."""
        from ..render.format import for_people

        self.progress.close()
        self.console.note(for_people(text, self.console.err_style.width))

    def confirm(self, question: str, declined: str = "nothing was changed") -> bool:
        """Whether the user says yes; False if there is nobody to ask. On a no, raise Failed with
        `declined`."""
        if not self.interactive:
            return False
        from ..render.format import for_people, printable

        self.progress.close()
        try:
            width = self.console.err_style.width
            room = max(1, width - len(YES_OR_NO)) if width else None
            answer = self.console.confirm(for_people(printable(question), room))
            self.progress.restart()
        except KeyboardInterrupt:
            self.console.note("")
            raise Interrupted(f"interrupted; {declined}") from None
        if answer is None:
            raise Interrupted(f"no answer; {declined}")
        if not answer:
            raise Failed(f"{declined}: you answered no")
        return True
