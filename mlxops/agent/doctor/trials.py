"""Checks that the registry can be changed, by taking its lock and writing a file, and that no key
looks mistyped."""

from __future__ import annotations

import os
import shlex
import stat
from typing import Iterator, List

from ..context import Context
from ..errors import MlxopsError, mlxops_command
from ..jobs.job import lock_path
from ..ports.expected import edit_faults
from ..registry import copies
from .finding import ERROR, OK, WARNING, Finding, join_some

CHECK, EDITS = "registry writes", "registry keys"
LOCK_TIMEOUT_S = 2.0


def writes(ctx: Context) -> Iterator[Finding]:
    """Try to write the registry. Creates nothing if there is none yet."""
    path = ctx.site.registry
    if not os.path.exists(path):
        yield Finding(CHECK, OK, "no registry yet")
        return
    try:
        with ctx.store.locked("doctor", LOCK_TIMEOUT_S):
            ctx.store.check_writable()
    except MlxopsError as exc:
        # A lock that is held or cannot be opened has its own row.
        if "lock" not in exc.fields:
            yield Finding(CHECK, ERROR, exc.message, exc.hint)
        return
    shut = _shut(ctx)
    if shut:
        fix = "on the host, as their owner: chmod g+rw %s" % " ".join(map(shlex.quote, shut))
        yield Finding(
            CHECK,
            WARNING,
            "the group can write the registry, but not %s" % join_some(shut),
            fix,
        )
    if not os.access(ctx.store.history, os.W_OK) and os.path.exists(ctx.store.history):
        detail = "%s cannot be written: changes are not recorded there" % ctx.store.history
        yield Finding(
            CHECK, WARNING, detail, "on the host: ls -l %s" % shlex.quote(ctx.store.history)
        )
    yield Finding(CHECK, OK, "its lock could be taken and a file written beside it")


def _shut(ctx: Context) -> List[str]:
    """Files beside a group's registry that only one account can write."""
    path = ctx.site.registry
    if not os.stat(path).st_mode & stat.S_IWGRP:
        return []
    beside = [path + ".lock", copies.backup(path), copies.older_backup(path), ctx.store.history]
    beside += [lock_path(path, port) for port in ctx.site.ports]
    return [
        each for each in beside if os.path.exists(each) and not os.stat(each).st_mode & stat.S_IWGRP
    ]


def keys(ctx: Context) -> Iterator[Finding]:
    """Check for mistyped keys: an unknown key may belong to another tool, unless it resembles a
    known one."""
    content, unread = ctx.store.read_or_empty()
    if unread:
        return
    faults = [
        (entry.name, fault) for entry in content.entries.values() for fault in edit_faults(entry)
    ]
    for name, fault in faults:
        yield Finding(
            EDITS,
            WARNING,
            "%s: %s" % (name, fault),
            mlxops_command("show", name) + ", then correct the registry file",
        )
    if not faults:
        yield Finding(EDITS, OK, "no key looks mistyped")
