"""Checks of the programs a load needs: runtimes, the entries they accept, and huggingface_hub."""

from __future__ import annotations

import os
from typing import Iterator, Tuple

from ..api_key import HINT, read_key
from ..context import Context
from ..errors import MlxopsError, NotDownloadable
from ..hub import interpreter as hubpython
from ..hub.download import DEFAULT_ENDPOINT
from ..hub.fetch import hub_fault
from ..hub.settings import readable_by_others, token_fault
from ..load.acceptance import Acceptance
from ..programs import find as programs
from ..programs.installed import require_installed
from ..programs.version import version
from ..site import KeySource
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
        detail = "%s has it" % " ".join(hubpython.find_interpreter(ctx.site, _command(ctx)))
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


def _command(ctx: Context) -> Tuple[str, ...]:
    try:
        return programs.require_command(ctx.site, ctx.site.runtime_named(None))
    except MlxopsError:
        return ()


def hub_settings(ctx: Context) -> Iterator[Finding]:
    """Check the host file's [hub]: the token's file, and one request with both."""
    hub = ctx.site.hub
    if not any(hub):
        return
    if hub.offline:
        yield Finding("hub", OK, "offline is set: nothing is asked of the Hub")
    path = hub.token_file
    if path and not token_fault(hub) and readable_by_others(path):
        yield Finding(
            "hub", WARNING, "other accounts can read %s" % path, "on the host: chmod 600 %s" % path
        )
    fault = token_fault(hub) if hub.offline else hub_fault(ctx, _command(ctx))
    if fault:
        fix = "correct [hub] in the host file"
        yield Finding("hub", ERROR, "%s: %s" % (hub.endpoint or DEFAULT_ENDPOINT, fault), fix)
    elif not hub.offline:
        text = "%s answers" % (hub.endpoint or DEFAULT_ENDPOINT)
        yield Finding("hub", OK, text + " with the token of %s" % path if path else text)


def api_keys(ctx: Context) -> Iterator[Finding]:
    """Check that each API key that the host file names can be read, by this account only."""
    tables = [ctx.site.raw["runtime"], *ctx.site.raw.get("runtimes", {}).values()]
    tables += ctx.site.raw.get("slots", {}).values()
    for source in dict.fromkeys(filter(None, map(KeySource.from_wire, tables))):
        key = read_key(source)
        if key.fault:
            yield Finding("api keys", ERROR, key.fault, HINT)
        elif source.file and readable_by_others(source.file):
            fix = "on the host: chmod 600 %s" % source.file
            yield Finding("api keys", WARNING, "other accounts can read %s" % source.file, fix)
        else:
            yield Finding("api keys", OK, "%s has a key" % key.source)
