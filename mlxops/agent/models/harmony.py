"""gpt-oss writes in OpenAI's Harmony format: what has to be there before such a model is
started."""

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
# openai-harmony 0.0.8 reads this file from TIKTOKEN_ENCODINGS_BASE, and else downloads it at the
# first chat.
BASE, VOCABULARY = "TIKTOKEN_ENCODINGS_BASE", "o200k_base.tiktoken"
SHA256 = "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d"
_MAX_BYTES = 8 << 20


def check(
    entry: Entry, found: Defaults, installed: Installed, folder: str, env: Mapping[str, str]
) -> Tuple[str, ...]:
    """Warnings for a gpt-oss that can be started, () for every other model; Failed where it could
    not serve.

    `folder`: the host's templates, "" for none; `env`: what the server will find in its
    environment."""
    if found.model_type != MODEL_TYPE:
        return ()
    if not found.template.text:
        raise _no_template(entry, folder)
    runtime = installed.runtime
    if not runtime.tool_call_parser:
        return (
            "%s has no harmony parser: the raw channel tags of %s reach clients"
            % (runtime.name, entry.name),
        )
    if PARSER not in (installed.choices("tool_call_parser") or ()):
        return ()
    if not uses_harmony_parser(entry, runtime):
        return (
            "%s runs without the harmony parser: its raw channel tags reach clients" % entry.name,
        )
    return _vocabulary(env)


def uses_harmony_parser(entry: Entry, runtime: Runtime) -> bool:
    """Whether its server is told to take the format apart: what leaks in spite of that is a server
    that failed."""
    return bool(runtime.tool_call_parser) and PARSER in (
        entry.text("tool_call_parser"),
        entry.text("reasoning_parser"),
    )


def _no_template(entry: Entry, folder: str) -> Failed:
    places = "the entry, its snapshot, %s" % (
        folder or "a template folder (the host file names none)"
    )
    own = "or " + mlxops_command("set", entry.name, "chat_template=PATH")
    there = "put one on the host, as %s/%s.jinja" % (folder or "DIR", MODEL_TYPE)
    return Failed(
        "%s is a gpt-oss and has no chat template; looked in: %s" % (entry.name, places),
        "%s%s, %s"
        % (there, "" if folder else ' with templates = "DIR" under [studio] in the host file', own),
        entry=entry.name,
    )


def _vocabulary(env: Mapping[str, str]) -> Tuple[str, ...]:
    base = env.get(BASE)
    if not base:
        text = "its server downloads a vocabulary at the first chat, and without a network every chat is an error: "
        return (text + "%s in the env of [runtime] names a folder with %s" % (BASE, VOCABULARY),)
    path = os.path.join(base, VOCABULARY)
    if hashlib.sha256(read_bounded(path, _MAX_BYTES) or b"").hexdigest() == SHA256:
        return ()
    raise Failed(
        "%s is not the vocabulary that %s promises: every chat would be an error" % (path, BASE),
        "put %s there, or take %s out of the env of [runtime]" % (VOCABULARY, BASE),
        path=path,
    )
