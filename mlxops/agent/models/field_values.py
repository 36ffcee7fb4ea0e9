"""The fields of an entry as words on a command line: KEY=VALUE."""

from __future__ import annotations

import difflib
import os
import shlex
from typing import Any, Iterable, List, Optional

from ..context import Context
from ..errors import RegistryInvalid, Usage
from ..registry import resolve
from ..registry.entries import OPTIONAL_TEXT, REQUIRED, Entry, coerce
from ..registry.fields import MAX_HOSTS
from . import defaults
from .cache import name_in_cache
from .location import folder_identity

_CLEARABLE = (*OPTIONAL_TEXT, "hosts")
SETTABLE = ("repo_id", "model_id", "cache_path", "format", *OPTIONAL_TEXT, "args", "hosts")
# KEY=none turns an option off. KEY=auto clears it, so that the next load uses the default of the
# model family.
AUTO, NONE = "auto", "none"


def parse_field(ctx: Context, key: str, text: Optional[str]) -> Any:
    """A field's value from the text of the command line; None and "" stand for its default."""
    if key in ("port", "process", "wanted", "last_process"):
        raise Usage("only load and unload change %s" % key, "mlxops load NAME PORT", key=key)
    if key not in SETTABLE:
        near = difflib.get_close_matches(key.lower(), SETTABLE, 1)
        meant = "did you mean %s?" % near[0] if near else "keys: " + ", ".join(SETTABLE)
        raise Usage("%r cannot be set" % key, meant, key=key)
    if key == "repo_id" and text in (None, "", NONE):
        return ""
    if key == "repo_id" and not resolve.is_repo_id(text or ""):
        raise Usage("repo_id must be org/name, not %r" % (text or ""), "mlxops show NAME", key=key)
    if key == "repo_id":
        return name_in_cache(ctx.site.hf_home, ctx.site.cache_root, str(text))
    if key in defaults.KEYS and text in (None, "", AUTO):
        return None
    if key in defaults.KEYS and text == NONE:
        return [] if key == "args" else ""
    if not text or (text == NONE and key in _CLEARABLE):
        return REQUIRED.get(key)
    if key == "cache_path":
        return parse_folder(text)
    if key == "slot":
        named = [slot.port for slot in ctx.site.slots.values() if slot.name == text]
        return named[0] if named else ctx.site.require_port(_number(key, text))
    if key == "hosts":
        return parse_hosts(text.split())
    return _words(text) if key == "args" else text


def assignments(entry: Entry, keys: Iterable[str]) -> List[str]:
    """The fields of an entry as KEY=VALUE."""
    return ["%s=%s" % (key, show_field(key, entry.fields.get(key))) for key in keys]


def show_field(key: str, value: Any) -> str:
    if not value and key in defaults.KEYS:
        return AUTO if value is None else NONE
    return (
        shlex.join(map(str, value))
        if isinstance(value, (list, tuple)) and value
        else str(value or "not set")
    )


def parse_folder(text: str, key: str = "cache_path") -> str:
    """An absolute path, without a slash at its end and without detours."""
    path = os.path.expanduser(text)
    if not os.path.isabs(path):
        command = "register NAME --path /PATH" if key == "--path" else "set NAME cache_path=/PATH"
        text = "%s must be an absolute path on the host, not %r" % (key, text)
        raise Usage(text, "mlxops " + command, key=key)
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
