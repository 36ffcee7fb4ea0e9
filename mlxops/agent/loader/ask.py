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
from .description import Description, description_of
from .process import Answer, ask_child, child_text
from .source import Source

# A stage of the child -> the field that says why it failed.
_ERRORS = {"model": "refusal", "tokenizer": "tokenizer_error", "template": "template_error"}


def describe(
    ctx: Context,
    runtime: Runtime,
    command: Sequence[str],
    source: Source,
    *,
    remote_code: bool = False,
    template: str = "",
    vision: bool = False,
    name: str = "the model",
) -> Optional[Description]:
    """What the loader says of the model; None if there is no loader to ask on this host.

    `command`: the words that start the runtime. `remote_code`: the model's own Python may run, as
    with --trust-remote-code. `template`: the text of the chat template that the server is given.
    `vision`: mlx-vlm builds it, for images too; of its tokenizer and weights nothing is said then.
    `name`: of the model, for the line of progress.
    Takes 1 to 3 s, unless the answer is in the state folder."""
    wanted = {"remote_code": remote_code, "template": template, "vision": vision}
    path = _answer_path(ctx, runtime, command, source, wanted)
    kept = _read(path) if path else None
    python = _interpreter(command)
    if kept is not None or not path or not python:
        return kept
    config = source.config()
    if config is None:
        return Description("", failure="config.json is missing, or is not a regular file")
    ctx.report("asking %s about %s" % (runtime.name, name))
    answer = ask_child(ctx, python, {**source.request(), **wanted})
    if answer is None or not answer.fields.get("program"):
        return None
    # Not if the model was changed meanwhile.
    if not answer.stage and path == _answer_path(ctx, runtime, command, source, wanted):
        save_answer(path, json.dumps(answer.fields))
    return description_of(_with_failure(answer))


def _answer_path(
    ctx: Context,
    runtime: Runtime,
    command: Sequence[str],
    source: Source,
    wanted: Mapping[str, object],
) -> str:
    """The file of the cached answer; "" if there is nothing to ask, or to ask about."""
    if not runtime.mlx_lm or not command:
        return ""
    try:
        identity = source.identity()
    except OSError:
        return ""
    digest = hashlib.sha256(b"".join(child_text()))
    text = "\0%s\0%s" % (json.dumps(wanted, sort_keys=True), identity)
    digest.update(text.encode("utf-8", "surrogateescape"))
    return answer_path(ctx.site.state_dir, fingerprint([*command, digest.hexdigest()]))


def _read(path: str) -> Optional[Description]:
    try:
        record = json.loads(read_answer(path) or "")
    except (ValueError, RecursionError):
        return None
    found = description_of(record) if isinstance(record, dict) else None
    return found if found and found.program else None


def _interpreter(command: Sequence[str]) -> Tuple[str, ...]:
    return next(
        (prefix for prefix in runtime_interpreters(command) if os.access(prefix[0], os.X_OK)), ()
    )


def _with_failure(answer: Answer) -> Mapping[str, object]:
    """The fields of an answer, with the reason if it broke off."""
    if not answer.stage:
        return answer.fields
    why = {"failure": "%s: the loader %s" % (answer.stage, answer.why)}
    # A time limit may be the fault of a busy machine.
    field = "" if answer.timed_out else _ERRORS.get(answer.stage, "")
    return {**answer.fields, **why, **({field: "the loader " + answer.why} if field else {})}
