"""The arguments of each verb, checked before it runs: known names, types, bounds."""

from __future__ import annotations

from typing import Any, Callable, Dict, Mapping, Tuple

from ..errors import LoginRefused, Usage
from . import values

Check = Callable[[Any], Any]
DRY: Dict[str, Check] = {"dry_run": values.flag}
GRACE: Dict[str, Check] = {"grace_s": values.seconds}
TIMEOUT: Dict[str, Check] = {"timeout_s": values.seconds}
CONTEXT, LINES = values.count(1, values.MAX_CONTEXT), values.count(0, values.MAX_LINES)
BYTES = values.count(0, 1 << 60)
PLAN: Dict[str, Check] = {
    "ports": values.ports,
    "to": values.choice("both", "declared", "wanted"),
    "prune": values.flag,
    "evict": values.flag,
    "jobs": values.count(1, values.MAX_JOBS),
}

ARGUMENTS: Mapping[str, Mapping[str, Check]] = {
    "list": {},
    "discover": {},
    "show": {"what": values.port_or_word},
    "fit": {
        "model": values.text,
        "port": values.port_or_word,
        "context": CONTEXT,
        "revision": values.word,
    },
    "register": {
        "name": values.word,
        "repo": values.word,
        "path": values.text,
        "slots": values.flag,
        "again": values.flag,
        "slot": values.port,
        "args": values.words,
        "hosts": values.words,
        "chat_template": values.text,
        "tool_call_parser": values.word,
        "reasoning_parser": values.word,
        "runtime": values.word,
        "revision": values.word,
        **DRY,
    },
    "set": {"name": values.text, "changes": values.fields, **DRY},
    "rename": {"name": values.text, "new": values.word, **DRY},
    "remove": {"name": values.text, "files": values.flag, **DRY},
    "init": DRY,
    "status": {
        "ports": values.ports,
        "deep": values.flag,
        "fresh": values.flag,
        "metrics": values.flag,
        **TIMEOUT,
    },
    "watch": {"ports": values.ports, "interval_s": values.seconds},
    "verify": {"ports": values.ports, **TIMEOUT},
    "load": {
        "model": values.text,
        "port": values.port_or_word,
        "replace": values.flag,
        "move": values.flag,
        "pids": values.pids,
        "force": values.flag,
        "evict": values.flag,
        "rollback": values.flag,
        "keep": values.flag,
        "by_plan": values.flag,
        "if_wanted": values.flag,
        "start_id": values.word,
        "revision": values.word,
        "download": values.flag,
        "ask_above_bytes": BYTES,
        **TIMEOUT,
        **GRACE,
        **DRY,
    },
    "restart": {"ports": values.ports, "pids": values.pids, **TIMEOUT, **GRACE, **DRY},
    "pull": {"model": values.text, "revision": values.word, "ask_above_bytes": BYTES, **DRY},
    "disk": {"repos": values.words, "prune": values.flag, "paths": values.words, **DRY},
    "unload": {
        "port": values.port_or_word,
        "ports": values.ports,
        "pids": values.pids,
        "keep_wanted": values.flag,
        **GRACE,
        **DRY,
    },
    "unload-all": {"registered": values.flag, "pids": values.pids, **GRACE, **DRY},
    "plan": PLAN,
    "apply": {
        **PLAN,
        "pids": values.pids,
        "ask_above_bytes": BYTES,
        **TIMEOUT,
        **GRACE,
    },
    "reconcile": {"restart": values.flag, "metrics": values.flag, **DRY},
    "logs": {
        "port": values.port_or_word,
        "ports": values.ports,
        "lines": LINES,
        "follow": values.flag,
        "previous": values.flag,
        "since": values.since,
        "grep": values.text,
    },
    "jobs": {"job": values.text},
    "history": {
        "about": values.words,
        "count": values.count(1, values.MAX_ROWS),
        "since": values.since,
        "samples": values.flag,
    },
    "undo": {"about": values.words, "expect": values.word, **DRY},
    "follow": {"job": values.text},
    "cancel": {"job": values.text},
    "lock": {},
    "authorize": {"verbs": values.words, "key": values.long_text, **DRY},
    "doctor": {"fix": values.flag, **DRY},
}
REQUIRED: Mapping[str, Tuple[str, ...]] = {
    "show": ("what",),
    "fit": ("model",),
    "set": ("name", "changes"),
    "rename": ("name", "new"),
    "remove": ("name",),
    "load": ("model", "port"),
    "restart": ("ports",),
    "pull": ("model",),
    "authorize": ("verbs",),
}
# Verbs that need one of these arguments.
NEEDS_ONE_OF: Mapping[str, Tuple[str, ...]] = {"unload": ("port", "ports")}
# Limits for one call with a restricted key.
MAX_RESTRICTED_S, MAX_RESTRICTED_LINES = 3600.0, 10_000


def check_arguments(verb: str, sent: Any) -> Dict[str, Any]:
    """The checked arguments of a verb, without those that are null. Usage for an unknown argument
    or an invalid value."""
    if verb not in ARGUMENTS:
        return sent if isinstance(sent, dict) else {}
    if not isinstance(sent, dict):
        raise Usage("the arguments of %s are not an object" % verb, "mlxops %s --help" % verb)
    known = ARGUMENTS[verb]
    for key in sent:
        if key not in known:
            raise Usage(
                "%s has no argument %s" % (verb, repr(key)[:100]), "mlxops %s --help" % verb
            )
    given = {
        key: _value(verb, key, known[key], value)
        for key, value in sent.items()
        if value is not None
    }
    for key in REQUIRED.get(verb, ()):
        if key not in given:
            raise Usage("%s needs %s" % (verb, key), "mlxops %s --help" % verb, argument=key)
    choices = NEEDS_ONE_OF.get(verb, ())
    if choices and not any(given.get(key) for key in choices):
        text = "%s needs %s" % (verb, " or ".join(choices))
        raise Usage(text, "mlxops %s --help" % verb, argument=choices[0])
    return given


def _value(verb: str, key: str, check: Check, value: Any) -> Any:
    try:
        return check(value)
    except ValueError as exc:
        raise Usage(
            "%s: %s %s" % (verb, key, exc), "mlxops %s --help" % verb, argument=key
        ) from None


def check_restricted(verb: str, sent: Any, verbs: Tuple[str, ...]) -> Dict[str, Any]:
    """The same for a restricted key: it cannot set the grace period, cannot use a verb through an
    option of another one, and its calls are bounded."""
    args = check_arguments(verb, {} if sent is None else sent)
    if "grace_s" in args:
        raise LoginRefused(
            "a restricted key cannot set grace_s: the host file's applies", "omit --grace"
        )
    if args.get("deep") and "verify" not in verbs:
        raise LoginRefused(
            "status --deep sends requests to the models, which needs the verb verify",
            "mlxops status, or authorize the key for verify too",
            verbs=list(verbs),
        )
    if args.get("restart") and "load" not in verbs:
        raise LoginRefused(
            "reconcile --restart starts servers, which no restricted key may",
            "mlxops reconcile without --restart, or use an unrestricted key",
            verbs=list(verbs),
        )
    if args.get("timeout_s", 0) > MAX_RESTRICTED_S:
        raise Usage(
            "timeout_s is limited to %.0f for a restricted key" % MAX_RESTRICTED_S,
            "use a shorter --timeout",
        )
    if args.get("lines", 0) > MAX_RESTRICTED_LINES:
        raise Usage(
            "lines is limited to %d for a restricted key" % MAX_RESTRICTED_LINES,
            "use a smaller --lines",
        )
    if verb == "logs":
        args.setdefault("lines", MAX_RESTRICTED_LINES)
    return args
