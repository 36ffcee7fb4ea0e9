"""What a restricted key may do: some verbs, of the host file as it was when the key was
authorized."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Dict, List, Mapping, NamedTuple, Sequence, Tuple

from ..errors import LoginRefused, Usage

# The others choose what a server is started with, or fetch it: a key with one of them could run any
# program.
GRANTABLE = (
    "status",
    "verify",
    "list",
    "show",
    "fit",
    "logs",
    "jobs",
    "follow",
    "lock",
    "cancel",
    "reconcile",
    "init",
    "unload",
    "unload-all",
)


class Grant(NamedTuple):
    """`site` is that of a request; `agent` the hash of the agent that serves it."""

    verbs: Tuple[str, ...]
    site: Mapping[str, Any]
    agent: str

    def text(self) -> bytes:
        """The same bytes for the same grant, whatever order its verbs were named in."""
        fields = {"verbs": sorted(self.verbs), "site": self.site, "agent": self.agent}
        return json.dumps(fields, sort_keys=True, indent=1).encode("ascii") + b"\n"

    def digest(self) -> str:
        return hashlib.sha256(self.text()).hexdigest()

    def renewal_hint(self) -> str:
        """What to do when it no longer fits; it takes a login that may do more than this one."""
        command = "mlxops authorize --verbs %s --key FILE.pub" % ",".join(self.verbs)
        return "with an unrestricted key: `%s`, and put its line in place of the old one" % command


def parse(text: bytes) -> Grant:
    """The grant that `text()` wrote."""
    fields = json.loads(text)
    return Grant(tuple(fields["verbs"]), fields["site"], fields["agent"])


def check_verbs(verbs: Sequence[str]) -> Tuple[str, ...]:
    """Verbs that may be granted, each once; Usage for none and for any other."""
    wrong = [verb for verb in verbs if verb not in GRANTABLE]
    if wrong or not verbs:
        what = (
            "%s cannot be granted to a key" % ", ".join(map(repr, wrong))
            if wrong
            else "no verb is named"
        )
        raise Usage(
            what, "some of: %s" % ",".join(GRANTABLE), verbs=wrong, grantable=list(GRANTABLE)
        )
    return tuple(sorted(set(verbs)))


def without_environment(site: Mapping[str, Any]) -> Dict[str, Any]:
    """The site without the servers' environment: no verb above starts one, and there may be tokens
    in it."""
    return {**site, "runtime": {**site["runtime"], "env": {}}}


# What the verbs above see and stop by. How long a start or a stop may take is no reason to tell
# anybody.
RELEVANT_KEYS = ("registry", "hf_home", "state_dir", "ports", "bind", "slots", "runtimes")


def changed_keys(then: Mapping[str, Any], now: object) -> List[str]:
    """The parts of a host file that differ and matter to a restricted key; its name may be
    another."""
    if not isinstance(now, dict):
        return []
    found = [key for key in RELEVANT_KEYS if then.get(key) != now.get(key)]
    runtimes = [site.get("runtime") for site in (then, now)]
    programs = [[r.get("name"), r.get("command")] if isinstance(r, dict) else [] for r in runtimes]
    return found if programs[0] == programs[1] else [*found, "runtime"]


def require_verb(grant: Grant, verb: object) -> None:
    """LoginRefused unless the grant covers the verb."""
    if verb not in grant.verbs:
        said = "this key may run %s on %s, and not %s" % (
            ", ".join(grant.verbs),
            grant.site["name"],
            verb,
        )
        raise LoginRefused(said, "log in with another key", verbs=list(grant.verbs))
