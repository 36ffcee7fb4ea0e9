"""Check that a new server can start: the address is this machine's, no socket holds the port, and
the programs still run.

The programs print their --help again while the old server still runs: cached output does not show
that they still start."""

from __future__ import annotations

from typing import Dict, Iterable, Optional, Union

from ..context import Context
from ..errors import EvidenceUnknown, Failed, Interrupted, MlxopsError, PortBusy
from ..jobs.disk_space import disk_space_error
from ..ports.survey import PortSurvey
from ..procs import Listener, Unobservable
from ..programs.installed import Installed, require_installed
from ..runtimes.table import Runtime
from ..servers.start import ServerSpec
from .request import LoadPlan, no_restart_error
from .restart import Unrestartable


def check_bindable(ctx: Context, port_survey: PortSurvey) -> None:
    """Raise if a server could not bind the port; listeners of the occupant do not count."""
    bind, port = ctx.site.bind, port_survey.evidence.port
    try:
        if not ctx.procs.local(bind):
            raise Failed(
                "%s (bind in the host file) is not an address of %s" % (bind, ctx.site.name),
                "correct bind in the host file",
                bind=bind,
            )
        # The probe binds the port for a moment: it must not disturb a server that is starting.
        if port_survey.server is None or port_survey.evidence.listeners:
            require_unbound(ctx, port, port_survey.evidence.listeners or ())
    except Unobservable as exc:
        raise EvidenceUnknown(
            "cannot tell whether port %d is free: %s" % (port, exc.reason), port=port
        ) from exc


def require_unbound(ctx: Context, port: int, listeners: Iterable[Listener] = ()) -> None:
    """PortBusy if a socket other than the listeners' holds the port."""
    addresses = ctx.procs.held(port, ctx.site.bind, listeners)
    if addresses:
        raise PortBusy(
            "port %d is in use on %s by a process that is not listening"
            % (port, " and ".join(addresses)),
            "find it on the host: sudo lsof -nP -i :%d" % port,
            port=port,
            addresses=list(addresses),
        )


def stops_a_server(plan: LoadPlan) -> bool:
    """Whether the load stops a server, on its port or to make room."""
    evicts = plan.request.evict and plan.fit is not None and bool(plan.fit.unload)
    stops = plan.survey.server is not None or plan.home is not None or evicts
    return not plan.already_served and stops


class StartedPrograms:
    """Starts each runtime's program once, for loads that are checked together."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._errors: Dict[str, Optional[MlxopsError]] = {}

    def require(self, runtime: Runtime) -> None:
        """Failed if the runtime does not start."""
        if runtime.name not in self._errors:
            self._errors[runtime.name] = self._error(runtime)
        error = self._errors[runtime.name]
        if error is not None:
            raise error

    def _error(self, runtime: Runtime) -> Optional[MlxopsError]:
        try:
            require_starting(self._ctx, runtime)
        except Interrupted:
            raise
        except MlxopsError as exc:
            return exc
        return None


def check_programs(
    ctx: Context, plan: LoadPlan, programs: Optional[StartedPrograms] = None
) -> LoadPlan:
    """Check the programs of the new and the previous server if the load stops one; return the plan.

    Failed if the runtime does not start, PortBusy if the previous server's does not."""
    if not stops_a_server(plan):
        return plan
    programs = programs or StartedPrograms(ctx)
    programs.require(plan.runtime)
    previous = _check_previous(plan, programs)
    if isinstance(previous, Unrestartable) and plan.request.rollback and not plan.request.dry_run:
        raise no_restart_error(previous, plan.request)
    return plan._replace(previous=previous)


def require_starting(ctx: Context, runtime: Runtime, fresh: bool = True) -> Installed:
    """The runtime as installed; Failed if its program does not start. `fresh`: start it even if its
    help is known."""
    return require_installed(ctx.site, runtime.name, ctx.report, ctx.client.check, fresh)


def _check_previous(
    plan: LoadPlan, programs: StartedPrograms
) -> Union[ServerSpec, Unrestartable, None]:
    previous = plan.previous
    if not isinstance(previous, ServerSpec) or previous.runtime.name == plan.runtime.name:
        return previous
    try:
        programs.require(previous.runtime)
    except Interrupted:
        raise
    except MlxopsError as exc:
        return Unrestartable(exc.message)
    return previous


def refusal(ctx: Context, plan: LoadPlan) -> Optional[MlxopsError]:
    """The error of a planned load without a way back to the server it stops, or without the disk
    space it needs for itself."""
    if isinstance(plan.previous, Unrestartable) and plan.request.rollback:
        return no_restart_error(plan.previous, plan.request)
    return None if plan.already_served else disk_space_error(ctx, plan.request.port)
