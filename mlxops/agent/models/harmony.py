"""Checks before a gpt-oss model is started, which writes in OpenAI's Harmony format."""

from __future__ import annotations

import hashlib
import os
from typing import Mapping, Tuple

from ..errors import Failed, mlxops_command
from ..programs.installed import Installed
from ..registry.entries import Entry
from ..runtimes.table import Runtime
from ..untrusted import read_bounded
from .defaults import Defaults

MODEL_TYPE, PARSER = "gpt_oss", "harmony"
# openai-harmony 0.0.8 reads this file from TIKTOKEN_ENCODINGS_BASE, or downloads it at the first
# chat.
BASE, VOCABULARY = "TIKTOKEN_ENCODINGS_BASE", "o200k_base.tiktoken"
SHA256 = "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d"
_MAX_BYTES = 8 << 20


def check(
    entry: Entry, found: Defaults, installed: Installed, folder: str, env: Mapping[str, str]
) -> Tuple[str, ...]:
    """Warnings about a gpt-oss model, () for every other model; Failed if it could not serve.

    `folder`: the host's templates, "" for none; `env`: the environment of the server."""
    if found.model_type != MODEL_TYPE:
        return ()
    if not found.template.text:
        raise _no_template(entry, folder)
    runtime = installed.runtime
    if not runtime.tool_call_parser:
        return (
            "%s has no harmony parser: %s returns raw channel tags to clients"
            % (runtime.name, entry.name),
        )
    if PARSER not in (installed.choices("tool_call_parser") or ()):
        return ()
    if not uses_harmony_parser(entry, runtime):
        return (
            "%s runs without the harmony parser and returns raw channel tags to clients"
            % entry.name,
        )
    return _vocabulary(env)


def uses_harmony_parser(entry: Entry, runtime: Runtime) -> bool:
    """Whether its server parses the format. If control tokens still leak, the server is broken."""
    return bool(runtime.tool_call_parser) and PARSER in (
        entry.text("tool_call_parser"),
        entry.text("reasoning_parser"),
    )


def _no_template(entry: Entry, folder: str) -> Failed:
    places = "the entry, the snapshot, %s" % (
        folder or "a template folder (not set in the host file)"
    )
    own = "or " + mlxops_command("set", entry.name, "chat_template=PATH")
    there = "put one on the host as %s/%s.jinja" % (folder or "DIR", MODEL_TYPE)
    return Failed(
        "%s is a gpt-oss model and has no chat template; looked in: %s" % (entry.name, places),
        "%s%s, %s"
        % (there, "" if folder else ' with templates = "DIR" under [studio] in the host file', own),
        entry=entry.name,
    )


def _vocabulary(env: Mapping[str, str]) -> Tuple[str, ...]:
    base = env.get(BASE)
    if not base:
        text = (
            "the server downloads a vocabulary at the first chat; without a network every chat"
            " fails. "
        )
        hint = "To avoid that, set %s in the env of [runtime] to a folder with %s"
        return (text + hint % (BASE, VOCABULARY),)
    path = os.path.join(base, VOCABULARY)
    if hashlib.sha256(read_bounded(path, _MAX_BYTES) or b"").hexdigest() == SHA256:
        return ()
    raise Failed(
        "%s, set by %s, is not the expected vocabulary: every chat would fail" % (path, BASE),
        "put %s there, or remove %s from the env of [runtime]" % (VOCABULARY, BASE),
        path=path,
    )
