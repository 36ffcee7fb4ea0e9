"""Ask the loader of a runtime about a model, once per snapshot and runtime version."""

from __future__ import annotations

import hashlib
import json
import os
from typing import Mapping, Optional, Sequence, Tuple

from ..context import Context
from ..programs.environment import runtime_interpreters
from ..programs.find import answer_path, fingerprint, read_answer, save_answer
from ..runtimes.table import Runtime
from ..wire.bootstrap import read_part
from .description import Description, description_of
from .process import CHILD, Answer, ask_child
from .source import Source


def describe(
    ctx: Context,
    runtime: Runtime,
    command: Sequence[str],
    source: Source,
    *,
    remote_code: bool = False,
) -> Optional[Description]:
    """What the loader says of the model; None if this host has no loader to ask, or it gives no
    answer.

    `command`: the words that start the runtime. `remote_code`: the model's own Python may run, as
    with --trust-remote-code. Takes 1 to 3 s, unless the answer is in the state folder."""
    path = _answer_path(ctx, runtime, command, source, remote_code)
    if not path:
        return None
    kept = _read(path)
    if kept is not None:
        return kept
    python, config = _interpreter(command), source.config()
    if not python or config is None:
        return None
    ctx.report("asking %s about the model" % runtime.name)
    answer = ask_child(ctx, python, {**source.request(), "remote_code": remote_code})
    if answer is None or not answer.fields.get("program"):
        return None
    if not answer.stage:
        save_answer(path, json.dumps(answer.fields))
    return description_of(_with_failure(answer))


def recall(
    ctx: Context,
    runtime: Runtime,
    command: Sequence[str],
    source: Source,
    *,
    remote_code: bool = False,
) -> Optional[Description]:
    """The answer of an earlier `describe`, None if there is none. Starts nothing."""
    path = _answer_path(ctx, runtime, command, source, remote_code)
    return _read(path) if path else None


def _answer_path(
    ctx: Context, runtime: Runtime, command: Sequence[str], source: Source, remote_code: bool
) -> str:
    """The file of the cached answer; "" if there is nothing to ask, or to ask about."""
    if not runtime.mlx_lm or not command:
        return ""
    try:
        identity = source.identity()
    except OSError:
        return ""
    digest = hashlib.sha256(read_part(CHILD))
    digest.update(("\0%s\0%s" % (remote_code, identity)).encode("utf-8", "surrogateescape"))
    return answer_path(ctx.site.state_dir, fingerprint([*command, digest.hexdigest()]))


def _read(path: str) -> Optional[Description]:
    try:
        record = json.loads(read_answer(path) or "")
    except ValueError:
        return None
    return description_of(record) if isinstance(record, dict) else None


def _interpreter(command: Sequence[str]) -> Tuple[str, ...]:
    return next(
        (prefix for prefix in runtime_interpreters(command) if os.access(prefix[0], os.X_OK)), ()
    )


def _with_failure(answer: Answer) -> Mapping[str, object]:
    """The fields of an answer that broke off, with what that means for the model."""
    why = "loading it " + answer.why
    return {**answer.fields, "refusal": why} if answer.stage == "model" else answer.fields
