"""Check the memory for a load: refuse, warn, or accept with --force."""

from __future__ import annotations

from typing import Optional, Tuple

from ..context import Context
from ..errors import NotEnoughMemory
from ..jobs.reservations import reserved_bytes
from ..memory.fit import Fit, MemoryRequest, fit, not_enough_memory
from ..procs import Unobservable
from .request import LoadPlan, LoadRequest


def check_memory(
    ctx: Context, needed: Optional[MemoryRequest], request: LoadRequest
) -> Tuple[Optional[Fit], Tuple[str, ...]]:
    """The fit and warnings; NotEnoughMemory if it does not fit and neither --force, --dry-run nor
    --evict applies."""
    if needed is None:
        return None, ("memory was not checked: the size of the weights is unknown",)
    try:
        memory_fit = fit(ctx, needed)
    except Unobservable as exc:
        return None, ("memory was not checked: %s" % exc.reason,)
    if memory_fit.fits or request.dry_run or (request.evict and memory_fit.unload):
        return memory_fit, ()
    error = not_enough_memory(memory_fit)
    if not request.force:
        raise error
    return memory_fit, (error.message + "; forced",)


def require_still_fits(ctx: Context, found: Optional[Fit], request: LoadRequest) -> None:
    """NotEnoughMemory if loads that began meanwhile have reserved the free memory. Measures
    nothing."""
    if found is None or request.force:
        return
    now = {
        port: size
        for port, size in reserved_bytes(ctx, found.used_by_port).items()
        if port != request.port
    }
    less = sum(now.values()) - sum(found.reserved_by_port.values())
    found = found._replace(reserved_by_port=now, available_bytes=found.available_bytes - less)
    if not found.fits and not (request.evict and found.unload and less <= 0):
        raise not_enough_memory(found._replace(unload=()))


def memory_refusal(plan: LoadPlan) -> Optional[NotEnoughMemory]:
    """The error of a planned load that does not fit and neither forces nor evicts."""
    fit, request = plan.fit, plan.request
    spared = fit is None or fit.fits or request.force or (request.evict and fit.unload)
    return None if fit is None or spared else not_enough_memory(fit)
