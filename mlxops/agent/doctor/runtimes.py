"""Checks of the programs a load needs: runtimes, the entries they accept, and huggingface_hub."""

from __future__ import annotations

import os
from typing import Iterator

from ..context import Context
from ..errors import MlxopsError, NotDownloadable
from ..hub import interpreter as hubpython
from ..load.acceptance import Acceptance
from ..programs import find as programs
from ..programs.installed import require_installed
from ..programs.version import version
from .finding import ERROR, OK, UNKNOWN, WARNING, Finding

MAX_ROWS = 20


def runtime(ctx: Context) -> Iterator[Finding]:
    """Check the host's own runtime, and each other one that the host file configures."""
    yield from _runtime(ctx, ctx.site.runtime, ERROR)
    for name in ctx.site.raw.get("runtimes", {}):
        if name != ctx.site.runtime:
            # The check of the entries says whether one needs it.
            yield from _runtime(ctx, name, WARNING)


def _runtime(ctx: Context, name: str, lost: str) -> Iterator[Finding]:
    """Check that the runtime is installed, starts, and can be given a served name."""
    try:
        installed = require_installed(ctx.site, name, ctx.report, ctx.client.check)
    except MlxopsError as exc:
        yield Finding("runtime", lost, exc.message, exc.hint)
        return
    known = installed.runtime
    number = version(known.distribution, installed.command)
    detail = "%s, version %s" % (" ".join(installed.command), number or "unknown")
    yield Finding("runtime", OK, detail)
    if known.served_name and known.served_name not in (installed.flags or {}):
        detail = (
            "this version has no %s: clients must request the model's path, not the slot's name"
            % known.served_name
        )
        yield Finding(
            "runtime", WARNING, detail, "on the host: update %s" % (known.distribution or name)
        )


def entries(ctx: Context) -> Iterator[Finding]:
    """Check that the runtimes accept each entry: its options, and its model on disk."""
    refused = Acceptance(ctx)
    known = list(ctx.store.read().entries.values())
    stuck = [entry for entry in known if refused.lacks_host_runtime(entry)]
    if stuck:
        detail = "not checked without the host's runtime, %s: %d" % (ctx.site.runtime, len(stuck))
        yield Finding("entries", UNKNOWN, detail, "mlxops hosts")
    faults = [(entry, refused.reasons(entry)) for entry in known if entry not in stuck]
    wrong = [(entry, why) for entry, why in faults if why]
    for entry, why in wrong[:MAX_ROWS]:
        detail = "%s: %s" % (entry.name, "; ".join(why))
        yield Finding("entries", ERROR, detail, refused.fix(entry))
    if len(wrong) > MAX_ROWS:
        yield Finding(
            "entries", ERROR, "%d more would be refused" % (len(wrong) - MAX_ROWS), "mlxops list"
        )
    if not wrong and (faults or not stuck):
        text = "accepted by their runtimes: %d of %d" % (len(faults), len(faults))
        yield Finding("entries", OK, text if faults else "no entries")


def hub(ctx: Context) -> Iterator[Finding]:
    """Check for huggingface_hub. Missing is a warning, since a cached model needs no download; a
    wrong hub_python is an error."""
    try:
        words = programs.require_command(ctx.site, ctx.site.runtime_named(None))
    except MlxopsError:
        words = ()
    try:
        detail = "%s has it" % " ".join(hubpython.find_interpreter(ctx.site, words))
    except NotDownloadable as exc:
        yield Finding(
            "huggingface_hub", ERROR if ctx.site.hub_python else WARNING, exc.message, exc.hint
        )
    else:
        yield Finding("huggingface_hub", OK, detail)
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        detail = (
            "HF_HUB_OFFLINE is set in the host's login environment, so nothing can be downloaded"
        )
        yield Finding(
            "huggingface_hub",
            WARNING,
            detail,
            "remove HF_HUB_OFFLINE from the login environment of the host",
        )
