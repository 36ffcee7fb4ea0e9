"""authorize: put what a restricted key may do in its place, and tell the command that does it."""

from __future__ import annotations

import os
import shlex
import sys
from typing import Any, Dict, List, Mapping, Optional

from .. import authorized, grant
from ..command import Command
from ..errors import Failed

KEYS = "~/.ssh/authorized_keys"


def authorize(command: Command, args: Mapping[str, Any]) -> Dict[str, Any]:
    digest, files = authorized.agent()
    granted = grant.Grant(grant.checked(args["verbs"]), grant.kept(command.site.described), digest)
    state_dir = command.site.state_dir
    folder = authorized.folder(granted, state_dir)
    line = shell_line(folder)
    changed = not args.get("dry_run") and authorized.install(granted, files, state_dir, command.procs.sync)
    return {
        "verbs": list(granted.verbs),
        "command": line,
        "folder": folder,
        "changed": changed,
        "warnings": elsewhere(args.get("key"), line),
    }


def shell_line(folder: str) -> str:
    """The forced command, for any login shell. Without site and user folders, PYTHON* variables and the cwd."""
    if not sys.executable or not (sys.executable + folder).isprintable():
        said = "no command line can name %r and %r" % (sys.executable, folder)
        raise Failed(said, "correct python and state_dir in the host file")
    return "exec " + shlex.join([sys.executable, "-I", "-S", "-B", "-X", "utf8", folder])


def elsewhere(key: Optional[str], command: str) -> List[str]:
    """Warnings for lines of authorized_keys that let the same key do something else: sshd takes the first."""
    blob = key.split()[1] if key else ""
    try:
        with open(os.path.expanduser(KEYS), encoding="utf-8", errors="replace") as f:
            lines = f.read().splitlines()
    except OSError:
        return []
    others = [n for n, line in enumerate(lines, 1) if blob and blob in line.split() and command not in line]
    advice = "line %d of %s lets this key do something else, and the first line counts: remove it"
    return [advice % (number, KEYS) for number in others]
