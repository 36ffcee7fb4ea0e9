"""The main job, told step by step: what a person would type, what comes back, and whether it was
right."""

from __future__ import annotations

import json
import os
import socket
import sys
import urllib.request
from collections.abc import Callable

from ..agent.errors import Failed
from ..render import actions, entries, ports, status
from ..render.style import Style, style_for
from .stage import SPEAKERS, Result, Say, Stage, sentence

Text = Callable[[Result, Style], str]
ANSWERS_WITHIN_S = 60.0
PROVEN = (
    "Proven: over SSH, two models took turns on one port under one name, each answering for itself; status and "
    "reconcile agreed, and nothing is left running."
)


def run(say: Say) -> None:
    """Play the demo; Failed, or the error of the verb that failed, when any step did not prove
    right."""
    say("Making two tiny models and a throw-away SSH server on loopback")
    with Stage(say) as stage:
        story = Story(stage, say)
        story.fill()
        story.swap()
        story.look()
        story.empty()
    say(PROVEN)


class Story:
    def __init__(self, stage: Stage, say: Say) -> None:
        self._stage, self._say = stage, say
        self._style = style_for(sys.stdout.isatty(), os.environ)
        self._port = stage.ports[0]
        say(f"export MLXOPS_HOSTS_DIR={stage.hosts_dir}")

    def fill(self) -> None:
        """The registry from the cache."""
        found = self._verb("mlxops init", "init", actions.change_summary, dry_run=False)
        self._expect(len(found["actions"]) == len(SPEAKERS), "init adds both models")
        listed = self._verb("mlxops list", "list", entries.entry_table)
        self._expect(
            {row["repo_id"] for row in listed["models"]} == set(SPEAKERS), "list shows both models"
        )

    def swap(self) -> None:
        """The first model, asked; the second in its place, asked by the same name."""
        first, second = SPEAKERS.values()
        name = self._load(first, previous=None)
        self._ask(name, first)
        self._expect(
            self._load(second, previous=first) == name, "the name stays the same through the swap"
        )
        self._ask(name, second)

    def look(self) -> None:
        seen = self._verb("mlxops status", "status", status.status, ports=None)
        states = {row["port"]: (row["state"], row["drift"]) for row in seen["ports"]}
        wanted = {
            port: ("ready" if port == self._port else "free", None) for port in self._stage.ports
        }
        self._expect(states == wanted, "one port is ready, the other free, and nothing drifted")
        plan = self._verb("mlxops reconcile", "reconcile", actions.change_summary, dry_run=False)
        self._expect(plan["actions"] == [] == plan["drift"], "reconcile finds nothing to do")

    def empty(self) -> None:
        done = self._verb(
            "mlxops unload-all", "unload-all", ports.unload_all_result, grace_s=None, dry_run=False
        )
        self._expect(all(row["ok"] for row in done["ports"]), "unload-all succeeds")
        self._expect(not _listens(self._port), "nothing listens any more")
        listed = self._stage.call("list")
        self._expect(
            all(row["port"] is None for row in listed["models"]),
            "the registry has no assignment left",
        )

    def _load(self, name: str, previous: str | None) -> str:
        """Load, and return the name clients may ask for."""
        entry = name.lower()
        typed = f"mlxops load {entry} {self._port}" + (" --replace" if previous else "")
        words = {
            "model": entry,
            "port": self._port,
            "replace": bool(previous),
            "force": False,
            "rollback": True,
        }
        result = self._verb(typed, "load", ports.load_result, **words, dry_run=False)
        before = previous.lower() if previous else None
        instead = f", in place of {before}" if before else ""
        self._expect(
            (result["state"], result["previous"]) == ("ready", before), f"{entry} is ready{instead}"
        )
        return str(result["served_model"])

    def _ask(self, model: str, name: str) -> None:
        """A chat with whoever is on the port."""
        where = f"http://127.0.0.1:{self._port}/v1/chat/completions"
        question = {
            "model": model,
            "messages": [{"role": "user", "content": "Who are you?"}],
            "max_tokens": 32,
        }
        self._say(
            f"\n$ curl {where} -H 'Content-Type: application/json' -d '{json.dumps(question)}'"
        )
        request = urllib.request.Request(
            where, json.dumps(question).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=ANSWERS_WITHIN_S) as reply:
            answer = json.load(reply)["choices"][0]["message"]["content"]
        self._say(f"  {answer}")
        self._expect(answer == sentence(name), f"{name} answers")

    def _verb(self, typed: str, verb: str, text: Text, **args: object) -> Result:
        self._say(f"\n$ {typed}")
        result = self._stage.call(verb, **args)
        self._say(text(result, self._style))
        return result

    def _expect(self, true: bool, what: str) -> None:
        if not true:
            raise Failed(
                f"the demo did not prove that {what}", "report what it printed", expected=what
            )
        self._say(f"  ok: {what}")


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
