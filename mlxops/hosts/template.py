"""The text of a new host file: every key with what it means, active where it is not the default."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .files import Ssh
from .machine import GRACE_S

HF_HOME, RUNTIME, BIND, PORTS = (
    "~/.cache/huggingface",
    "mlx-openai-server",
    "127.0.0.1",
    "8100-8109",
)
COMMENT_AT = 44


@dataclass(frozen=True)
class Draft:
    """What a new host file says. None, or an empty command: the default."""

    name: str
    ssh: Ssh | None
    hf_home: str = HF_HOME
    ports: str = PORTS
    bind: str = BIND
    python: str | None = None
    runtime: str = RUNTIME
    command: tuple[str, ...] = ()
    model_dirs: tuple[str, ...] = ()


def host_file_text(draft: Draft) -> str:
    tables = {
        "ssh": _ssh(draft.ssh) if draft.ssh else (),
        "studio": _studio(draft),
        "runtime": _runtime(draft),
        "slots": SLOTS,
    }
    top = [
        f"# The host {draft.name}, as `mlxops hosts add` found it. A line after # is the default."
    ]
    top += [] if draft.ssh else ["", _line("transport", "local", None, "commands run here")]
    parts = ["\n".join(top)]
    for name, lines in tables.items():
        if lines:
            head = [] if name == "slots" else [f"[{name}]"]
            parts.append("\n".join([*head, *lines]))
    return "\n\n".join(parts) + "\n"


def _line(key: str, value: Any, default: Any, comment: str) -> str:
    """The key with its value; commented out if that is the default. `default` None: always
    active."""
    off = "# " if default is not None and value == default else ""
    return f"{f'{off}{key} = {_toml(value)}':<{COMMENT_AT - 1}} # {comment}"


def _toml(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(value, ensure_ascii=False)


def _ssh(ssh: Ssh) -> Iterator[str]:
    yield _line("host", ssh.host, None, f"as in `ssh {ssh.host}`, with ~/.ssh/config")
    if ssh.user:
        yield _line("user", ssh.user, None, "the account on the host")
    if ssh.port:
        yield _line("port", ssh.port, None, "of its SSH server")
    if ssh.identity_file:
        yield _line("identity_file", ssh.identity_file, None, "the private key, on this machine")


def _studio(draft: Draft) -> Iterator[str]:
    yield _line("hf_home", draft.hf_home, None, "HF_HOME there: models, registry")
    yield _line("model_dirs", draft.model_dirs, (), "such as ~/.lmstudio/models")
    yield _line("ports", draft.ports, PORTS, "the ports of the model servers")
    yield _line("bind", draft.bind, BIND, "where servers listen, without a password")
    example = "/usr/bin/python3"
    yield _line("python", draft.python or example, example, "3.9 or later; default: the newest")
    yield _line("state_dir", "~/.mlxops", "~/.mlxops", "logs and jobs, on the host")


def _runtime(draft: Draft) -> Iterator[str]:
    yield _line("name", draft.runtime, RUNTIME, "the server program: docs/runtimes.md")
    command = draft.command or (draft.runtime,)
    default = None if draft.command else command
    yield _line("command", command, default, "if PATH does not have it")
    yield _line("grace_s", int(GRACE_S), int(GRACE_S), "seconds for open requests before a stop")


SLOTS = (
    "# [slots.8100]                              # a fixed name for a port",
    '# name = "chat"',
    '# model = "mlx-community/Qwen3-4B-4bit"     # what `mlxops apply` loads there',
)


class Exists(Exception):
    """There is a file of this name already."""


def write_new(path: Path, text: str, replace: bool) -> None:
    """Write the file whole or not at all, for its owner only; Exists unless `replace`."""
    for folder in [*reversed(path.parent.parents), path.parent]:
        folder.mkdir(mode=0o700, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(
            os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8"
        ) as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if replace:
            os.replace(draft, path)
        else:
            os.link(draft, path)  # unlike a rename, this fails if the name is taken
    except FileExistsError:
        raise Exists(str(path)) from None
    finally:
        draft.unlink(missing_ok=True)
