"""The grant of a restricted key: some verbs, with the host file as it was when the key was
authorized."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Dict, List, Mapping, NamedTuple, Sequence, Tuple

from ..errors import LoginRefused, Usage

# The other verbs choose or download what a server is started with, so they could run any program.
GRANTABLE = (
    "status",
    "verify",
    "list",
    "show",
    "fit",
    "plan",
    "logs",
    "jobs",
    "history",
    "follow",
    "lock",
    "cancel",
    "reconcile",
    "init",
    "unload",
    "unload-all",
)


class Grant(NamedTuple):
    """`site`: as in a request; `agent`: the hash of the agent that serves it."""

    verbs: Tuple[str, ...]
    site: Mapping[str, Any]
    agent: str

    def text(self) -> bytes:
        """The grant as bytes, the same for any order of the verbs."""
        fields = {"verbs": sorted(self.verbs), "site": self.site, "agent": self.agent}
        return json.dumps(fields, sort_keys=True, indent=1).encode("ascii") + b"\n"

    def digest(self) -> str:
        return hashlib.sha256(self.text()).hexdigest()

    def renewal_hint(self) -> str:
        """How to replace an outdated grant; that needs an unrestricted login."""
        command = "mlxops authorize --verbs %s --key FILE.pub" % ",".join(self.verbs)
        return "with an unrestricted key: `%s`, then replace the old line with its output" % command


def parse(text: bytes) -> Grant:
    """The grant in the output of `text()`."""
    fields = json.loads(text)
    return Grant(tuple(fields["verbs"]), fields["site"], fields["agent"])


def check_verbs(verbs: Sequence[str]) -> Tuple[str, ...]:
    """The verbs, each once; Usage without a verb, or for one that cannot be granted."""
    wrong = [verb for verb in verbs if verb not in GRANTABLE]
    if wrong or not verbs:
        what = (
            "%s cannot be granted to a key" % ", ".join(map(repr, wrong))
            if wrong
            else "no verb given"
        )
        hint = "verbs that can be granted: %s" % ",".join(GRANTABLE)
        raise Usage(what, hint, verbs=wrong, grantable=list(GRANTABLE))
    return tuple(sorted(set(verbs)))


def without_environment(site: Mapping[str, Any]) -> Dict[str, Any]:
    """The site without the servers' environment, which may hold tokens: no grantable verb starts a
    server."""
    return {**site, "runtime": {**site["runtime"], "env": {}}}


# The keys by which those verbs find, ask and stop servers, and ask the Hub. A changed timeout does
# not matter.
RELEVANT_KEYS = ("registry", "hf_home", "state_dir", "ports", "bind", "slots", "runtimes", "hub")


def changed_keys(then: Mapping[str, Any], now: object) -> List[str]:
    """The keys of a host file that changed and matter to a restricted key; the name does not."""
    if not isinstance(now, dict):
        return []
    found = [key for key in RELEVANT_KEYS if then.get(key) != now.get(key)]
    runtimes = [site.get("runtime") for site in (then, now)]
    keys = ("name", "command", "api_key_env", "api_key_file")
    programs = [[r.get(key) for key in keys] if isinstance(r, dict) else [] for r in runtimes]
    return found if programs[0] == programs[1] else [*found, "runtime"]


def require_verb(grant: Grant, verb: object) -> None:
    """LoginRefused unless the grant covers the verb."""
    verb = "status" if verb == "watch" else verb  # the same report, without any request
    if verb not in grant.verbs:
        message = "this key may only run %s on %s, not %s" % (
            ", ".join(grant.verbs),
            grant.site["name"],
            verb,
        )
        raise LoginRefused(message, "use another key", verbs=list(grant.verbs))
