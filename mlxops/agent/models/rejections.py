"""The values of an entry that the installed runtime would refuse, and why. Pure."""

from __future__ import annotations

import difflib
from typing import Callable, NamedTuple, Tuple

from ..registry.entries import Entry
from ..runtimes import grammar
from ..runtimes.secrets import ADVICE, REASON, is_secret
from ..runtimes.table import HelpFlags, Runtime

FIELDS = ("chat_template", "tool_call_parser", "reasoning_parser")


class Rejection(NamedTuple):
    """One value that would be refused: the entry's field, the value, and the reason."""

    field: str
    value: str
    reason: str


def find_rejections(
    runtime: Runtime,
    entry: Entry,
    help_flags: HelpFlags,
    is_file: Callable[[str], bool],
    help_text: str = "",
) -> Tuple[Rejection, ...]:
    """All rejections, () if the entry can be started. A key without an option in the runtime is not
    rejected, but left out of the command line. `is_file`: whether a path is a file on the host.
    `help_text`: if known, the values in `args` are checked too."""
    args = _args(runtime, entry, help_flags) or _words(entry, help_text)
    return (*_template(entry, is_file), *_choices(runtime, entry, help_flags), *args)


def _template(entry: Entry, is_file: Callable[[str], bool]) -> Tuple[Rejection, ...]:
    path = entry.text("chat_template")
    if not path or is_file(path):
        return ()
    return (Rejection("chat_template", path, "the chat template %s does not exist" % path),)


def _choices(runtime: Runtime, entry: Entry, help_flags: HelpFlags) -> Tuple[Rejection, ...]:
    rejections = []
    for field in FIELDS:
        flag, value = getattr(runtime, field), entry.text(field)
        choices = help_flags.get(flag or "", ())
        if flag and value and flag not in help_flags:
            rejections.append(Rejection(field, value, "this version has no %s" % flag))
        elif flag and value and choices and value not in choices:
            near = difflib.get_close_matches(value, choices, 1)
            meant = " (did you mean %s?)" % near[0] if near else ""
            reason = "%s %s is not one of %s%s" % (flag, value, ", ".join(choices), meant)
            rejections.append(Rejection(field, value, reason))
    return tuple(rejections)


def _args(runtime: Runtime, entry: Entry, help_flags: HelpFlags) -> Tuple[Rejection, ...]:
    rejections = []
    ours = ("--port", "--host", runtime.model or "--model", runtime.served_name)
    for flag in [word.split("=")[0] for word in entry.args if word.startswith("--")]:
        if is_secret(flag):
            text = "%s cannot be used in args: %s; %s" % (flag, REASON, ADVICE)
            rejections.append(Rejection("args", flag, text))
        elif flag in ours:
            rejections.append(
                Rejection("args", flag, "%s cannot be used in args: mlxops sets it" % flag)
            )
        elif flag not in help_flags:
            rejections.append(Rejection("args", flag, "this version has no %s" % flag))
    return tuple(rejections)


def _words(entry: Entry, help_text: str) -> Tuple[Rejection, ...]:
    """Values of the wrong type, options without a value, words that belong to no option."""
    known = grammar.grammar(help_text) if entry.args else None
    faults = grammar.find_faults(known, entry.args) if known else ()
    return tuple(Rejection("args", fault.word, fault.why) for fault in faults)
