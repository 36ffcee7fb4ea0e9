"""The registry put to the test: its lock is taken, a file is written beside it. And what hands may
have mistyped."""

from __future__ import annotations

import difflib
import os
import shlex
import stat
from typing import Iterator, List

from ..context import Context
from ..errors import MlxopsError, mlxops_command
from ..jobs.job import lock_path
from ..registry import copies
from ..registry.entries import OPTIONAL_TEXT, REQUIRED, Entry
from ..registry.resolve import is_repo_id
from .finding import ERROR, OK, WARNING, Finding, join_some

CHECK, EDITS = "registry writes", "registry keys"
LOCK_TIMEOUT_S = 2.0
KEYS = (*REQUIRED, *OPTIONAL_TEXT, "args", "hosts", "process", "wanted")


def writes(ctx: Context) -> Iterator[Finding]:
    """Nothing is made where there is no registry yet."""
    path = ctx.site.registry
    if not os.path.exists(path):
        yield Finding(CHECK, OK, "there is no registry yet")
        return
    try:
        with ctx.store.locked("doctor", LOCK_TIMEOUT_S):
            ctx.store.check_writable()
    except MlxopsError as exc:
        # Of a lock that is held or cannot be opened its own row tells.
        if "lock" not in exc.fields:
            yield Finding(CHECK, ERROR, exc.message, exc.hint)
        return
    shut = _shut(ctx)
    if shut:
        mend = "on the host, as their owner: chmod g+rw %s" % " ".join(map(shlex.quote, shut))
        yield Finding(
            CHECK,
            WARNING,
            "the group shares the registry, but cannot write %s" % join_some(shut),
            mend,
        )
    if not os.access(ctx.store.history, os.W_OK) and os.path.exists(ctx.store.history):
        seen = "%s cannot be written: changes are made, but not noted" % ctx.store.history
        yield Finding(
            CHECK, WARNING, seen, "on the host: ls -l %s" % shlex.quote(ctx.store.history)
        )
    yield Finding(CHECK, OK, "its lock was taken, and a file written beside it")


def _shut(ctx: Context) -> List[str]:
    """Files beside a registry of a group that only one account can write."""
    path = ctx.site.registry
    if not os.stat(path).st_mode & stat.S_IWGRP:
        return []
    beside = [path + ".lock", copies.backup(path), copies.older_backup(path), ctx.store.history]
    beside += [lock_path(path, port) for port in ctx.site.ports]
    return [
        each for each in beside if os.path.exists(each) and not os.stat(each).st_mode & stat.S_IWGRP
    ]


def keys(ctx: Context) -> Iterator[Finding]:
    """Unknown keys may be another tool's; one that is nearly ours is rather a slip of the hand."""
    found, unread = ctx.store.read_or_empty()
    if unread:
        return
    faults = [(entry.name, fault) for entry in found.entries.values() for fault in _faults(entry)]
    for name, fault in faults:
        yield Finding(
            EDITS,
            WARNING,
            "%s: %s" % (name, fault),
            mlxops_command("show", name) + ", then correct the file",
        )
    if not faults:
        yield Finding(EDITS, OK, "no key looks mistyped")


def _faults(entry: Entry) -> Iterator[str]:
    for key in entry.fields:
        near = difflib.get_close_matches(key, KEYS, 1, 0.8) if key not in KEYS else []
        if near:
            yield "unknown key %r (did you mean %r?)" % (key, near[0])
    if entry.repo_id and not is_repo_id(entry.repo_id) and not entry.cache_path:
        yield "repo_id %r is not of the form org/name" % entry.repo_id
