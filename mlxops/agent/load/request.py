"""The request for a load, and the plan that preflight makes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Mapping, NamedTuple, Optional, Tuple, Union

from ..errors import PortBusy, mlxops_command
from ..hub.remote import Remote
from ..memory.fit import Fit, MemoryRequest
from ..ports.survey import PortSurvey
from ..programs.installed import Installed
from ..registry.entries import Entry
from ..runtimes.table import Runtime

if TYPE_CHECKING:
    from ..servers.start import ServerSpec
    from .restart import Unrestartable


class Substitute(NamedTuple):
    """A complete snapshot that is served because the Hub cannot be asked, and the warning."""

    path: str
    warning: str


class LoadRequest(NamedTuple):
    """The arguments of `load`. Times in seconds, None for the host's default.

    `download`: missing files may be downloaded. `ask_above_bytes`: a larger download raises
    NeedsConsent. `keep`: the entry wants the port from then on. `by_plan`: a step of a plan, which
    decides itself what goes where: the entry's `slot` does not count, and a server that is right
    already stays, also with `replace`. `if_wanted`: only if the entry wants the port. `pids`: the
    servers that `replace` may stop; None for any. `restart`: the model is the one that the port has
    already: its planned slot does not count, and it is not downloaded. `move`: the model may serve
    elsewhere, and is unloaded there. `start_id`: the record in
    the journal of starts; without one a person asked for it. `substitute`: found by the plan."""

    model: str
    port: int
    replace: bool
    force: bool
    rollback: bool
    dry_run: bool
    timeout_s: Optional[float]
    grace_s: Optional[float]
    revision: Optional[str]
    evict: bool = False
    download: bool = False
    ask_above_bytes: Optional[int] = None
    keep: bool = True
    by_plan: bool = False
    if_wanted: bool = False
    pids: Optional[Tuple[int, ...]] = None
    restart: bool = False
    move: bool = False
    start_id: Optional[str] = None
    substitute: Optional[Substitute] = None

    @classmethod
    def from_wire(cls, args: Mapping[str, Any]) -> LoadRequest:
        return cls(
            model=str(args["model"]),
            port=int(args["port"]),
            replace=bool(args.get("replace")),
            force=bool(args.get("force")),
            rollback=bool(args.get("rollback", True)),
            dry_run=bool(args.get("dry_run")),
            timeout_s=args.get("timeout_s"),
            grace_s=args.get("grace_s"),
            revision=args.get("revision"),
            evict=bool(args.get("evict")),
            download=bool(args.get("download")),
            ask_above_bytes=_whole(args.get("ask_above_bytes")),
            keep=bool(args.get("keep", True)),
            by_plan=bool(args.get("by_plan")),
            if_wanted=bool(args.get("if_wanted")),
            pids=tuple(args["pids"]) if "pids" in args else None,
            move=bool(args.get("move")),
            start_id=args.get("start_id"),
        )

    @property
    def why(self) -> str:
        """The request in a few words, for locks, jobs and the history."""
        return "%s %s %d" % ("restart" if self.restart else "load", self.model, self.port)

    @property
    def retry_command(self) -> str:
        """The command that repeats the request."""
        if self.by_plan or self.restart:
            return mlxops_command("apply" if self.by_plan else "restart", self.port)
        switches = {
            "--move": self.move,
            "--replace": self.replace,
            "--force": self.force,
            "--evict": self.evict,
            "--download": self.download,
            "--no-rollback": not self.rollback,
            "--no-keep": not self.keep,
        }
        flags = [flag for flag, on in switches.items() if on]
        revision = ["--revision", self.revision] if self.revision else []
        return mlxops_command("load", self.model, self.port, *flags, *revision)


def _whole(value: Any) -> Optional[int]:
    return value if type(value) is int and value >= 0 else None


class LoadPlan(NamedTuple):
    """A load that passed every check. `remote`: what must be downloaded first. `installed`: the
    runtime it starts.

    `already_served`: the port already serves exactly this. `warnings`: one sentence each.
    `previous`: restarts the server that has to stop; None if there is none."""

    request: LoadRequest
    entry: Entry
    remote: Optional[Remote]
    installed: Installed
    survey: PortSurvey
    already_served: bool
    warnings: Tuple[str, ...]
    memory_request: Optional[MemoryRequest] = None
    fit: Optional[Fit] = None
    previous: Union[ServerSpec, Unrestartable, None] = None

    @property
    def runtime(self) -> Runtime:
        return self.installed.runtime

    @property
    def home(self) -> Optional[int]:
        """The port that the entry leaves for this one; None if it is on no other."""
        there = self.survey.registry.entries.get(self.entry.name)
        return None if there is None or there.port == self.request.port else there.port

    @property
    def only_keeps(self) -> bool:
        """Whether nothing is to be done but to record that the entry wants the port."""
        alone = self.survey.registry.is_wanted_alone(self.entry.name, self.request.port)
        return self.already_served and self.request.keep and not alone


def no_restart_error(lost: Unrestartable, request: LoadRequest) -> PortBusy:
    return PortBusy(
        "the server on port %d could not be restarted if the load failed: %s"
        % (request.port, lost.reason),
        request._replace(replace=True, rollback=False, by_plan=False, restart=False).retry_command
        + " replaces it anyway",
        port=request.port,
    )
