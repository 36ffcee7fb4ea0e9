"""Memory, as a load asks for it: refused, warned of, or forced."""

from __future__ import annotations

from typing import Optional, Tuple

from ..context import Context
from ..jobs.reservations import promised
from ..memory.fit import Asked, Fit, fit, refusal
from ..procs import Unseen
from .request import Order


def check(
    ctx: Context, asked: Optional[Asked], order: Order
) -> Tuple[Optional[Fit], Tuple[str, ...]]:
    """How it fits, and warnings; NotEnoughMemory where it does not, unless --force, --dry-run or
    --evict answers it."""
    if asked is None:
        return None, ("the size of the weights is unknown, memory was not checked",)
    try:
        found = fit(ctx, asked)
    except Unseen as exc:
        return None, ("memory was not checked: %s" % exc.reason,)
    if found.fits or order.dry_run or (order.evict and found.unload):
        return found, ()
    refused = refusal(found)
    if not order.force:
        raise refused
    return found, (refused.message + "; forced",)


def refuse_promised(ctx: Context, found: Optional[Fit], order: Order) -> None:
    """NotEnoughMemory where loads that began meanwhile will fill what was seen as free. Cheap:
    nothing is measured."""
    if found is None or order.force:
        return
    now = {port: size for port, size in promised(ctx, found.held).items() if port != order.port}
    less = sum(now.values()) - sum(found.promised.values())
    found = found._replace(promised=now, available_bytes=found.available_bytes - less)
    if not found.fits and not (order.evict and found.unload and less <= 0):
        raise refusal(found._replace(unload=()))
