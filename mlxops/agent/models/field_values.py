"""The fields of an entry as words on a command line: KEY=VALUE."""

from __future__ import annotations

import os
import shlex
from typing import Any, List, Optional

from ..context import Context
from ..errors import RegistryInvalid, Usage
from ..registry import resolve
from ..registry.entries import OPTIONAL_TEXT, REQUIRED, coerce
from ..registry.fields import MAX_HOSTS
from . import defaults
from .location import folder_identity

SETTABLE = ("repo_id", "model_id", "cache_path", "format", *OPTIONAL_TEXT, "args", "hosts")
# KEY=auto clears the value, so that a load uses the default of the model family. KEY= and KEY=none
# turn it off.
AUTO, NONE = "auto", "none"


def parse_field(ctx: Context, key: str, text: Optional[str]) -> Any:
    """A field's value from the text of the command line; None clears it."""
    if key in ("port", "process", "wanted", "last_process"):
        raise Usage("only load and unload change %s" % key, "mlxops load NAME PORT", key=key)
    if key not in SETTABLE:
        raise Usage("%r cannot be set" % key, "keys: " + ", ".join(SETTABLE), key=key)
    if key == "repo_id" and not resolve.is_repo_id(text or ""):
        raise Usage("repo_id must be org/name, not %r" % (text or ""), "mlxops show NAME", key=key)
    if text is None or (text == NONE and key in defaults.KEYS):
        return [] if key == "args" else "" if key in defaults.KEYS else REQUIRED.get(key)
    if text == AUTO and key in defaults.KEYS:
        return None
    if key == "cache_path":
        return _folder(text)
    if key == "slot":
        named = [slot.port for slot in ctx.site.slots.values() if slot.name == text]
        return named[0] if named else ctx.site.require_port(_number(key, text))
    if key == "hosts":
        return parse_hosts(text.split())
    return _words(text) if key == "args" else text


def show_field(key: str, value: Any) -> str:
    if not value and key in defaults.KEYS:
        return AUTO if value is None else NONE
    return (
        shlex.join(map(str, value))
        if isinstance(value, (list, tuple)) and value
        else str(value or "not set")
    )


def _folder(text: str) -> str:
    """An absolute path, without a slash at its end and without detours."""
    path = os.path.expanduser(text)
    if not os.path.isabs(path):
        raise Usage(
            "cache_path must be an absolute path on the host, not %r" % text,
            "mlxops set NAME cache_path=/PATH",
            key="cache_path",
        )
    tidy = os.path.normpath(path)
    return tidy if folder_identity(tidy) == folder_identity(path) else path


def parse_hosts(words: List[str]) -> List[str]:
    try:
        coerce("", {"hosts": words})
    except RegistryInvalid:
        text = "hosts must be 2 to %d pairs NAME=ADDRESS, this host first, not %r" % (
            MAX_HOSTS,
            " ".join(words),
        )
        hint = "mlxops set NAME hosts='studio=10.0.0.1 studio2=10.0.0.2'"
        raise Usage(text, hint, hosts=words) from None
    return words


def _words(text: str) -> List[str]:
    try:
        return shlex.split(text)
    except ValueError:
        message = "args is split as in a shell, and a quote in %r is not closed" % text
        raise Usage(message, "mlxops set NAME args='--context-length 32768'", key="args") from None


def _number(key: str, text: str) -> int:
    if not text.isdigit():
        raise Usage("%s must be a port, not %r" % (key, text), "mlxops status", key=key)
    return int(text)
