"""authorize: install the forced command of a restricted key, and return its command line."""

from __future__ import annotations

import shlex
import sys
from typing import Any, Dict, List, Mapping, Optional

from ..context import Context
from ..errors import Failed
from ..restricted import grant
from ..restricted import install as authorized


def authorize(ctx: Context, args: Mapping[str, Any]) -> Dict[str, Any]:
    granted = grant.Grant(
        grant.check_verbs(args["verbs"]),
        grant.without_environment(ctx.site.raw),
        authorized.agent_digest(),
    )
    made = authorized.key_file(granted, ctx.site.state_dir)
    line = shell_line(made.folder)
    changed = not args.get("dry_run") and authorized.install(made, ctx.procs.sync)
    return {
        "verbs": list(granted.verbs),
        "command": line,
        "folder": made.folder,
        "changed": changed,
        "warnings": elsewhere(args.get("key"), line),
    }


def shell_line(folder: str) -> str:
    """The forced command, for any login shell. Python ignores site packages, PYTHON*, the cwd."""
    if not sys.executable or not (sys.executable + folder).isprintable():
        text = "%r or %r cannot be part of a command line" % (sys.executable, folder)
        raise Failed(text, "correct python and state_dir in the host file")
    return "exec " + shlex.join(
        [sys.executable, "-I", "-S", "-B", "-X", "utf8", "-c", authorized.LOADER, folder]
    )


def elsewhere(key: Optional[str], command: str) -> List[str]:
    """Warnings for other lines of authorized_keys with the same key."""
    words = key.split() if key else []
    advice = (
        "line %d of %s gives this key other permissions, and the first line wins:"
        " use a key of its own: ssh-keygen -f ~/.ssh/mlxops-cron"
    )
    lines = authorized.other_lines(words[1] if len(words) > 1 else "", command)
    return [advice % (number, authorized.KEYS) for number, _ in lines]
