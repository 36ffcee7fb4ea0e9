"""The demo's steps: what a person types, what is printed, and whether it is right."""

from __future__ import annotations

import json
import os
import socket
import sys
import urllib.request
from collections.abc import Callable

from ..agent.errors import Failed
from ..render import actions, entries, history, ports, restart, status
from ..render.style import Style, style_for
from .stage import MODELS, Print, Result, Stage, answer_of

Text = Callable[[Result, Style], str]
ANSWER_TIMEOUT_S = 60.0
SUMMARY = (
    "Proven: two models were loaded over SSH, one after the other, on one port and under one name. "
    "Each answered a request, status and reconcile agreed, and no server is left running."
)


def run(say: Print) -> None:
    """Run all steps. Failed, or the error of a verb, if a step goes wrong."""
    say("Creating two tiny models and a temporary SSH server on loopback")
    with Stage(say) as stage:
        story = Story(stage, say)
        story.register_models()
        story.swap_models()
        story.check_status()
        story.restart_model()
        story.unload_all()
        story.show_history()
    say(SUMMARY)


class Story:
    def __init__(self, stage: Stage, say: Print) -> None:
        self._stage, self._say = stage, say
        self._style = style_for(sys.stdout.isatty(), os.environ)
        self._port = stage.ports[0]
        say(f"Using the host file {stage.hosts_dir}/demo.toml (removed at the end)")

    def register_models(self) -> None:
        """Fill the registry from the cache."""
        plan = self._verb("mlxops init", "init", actions.change_summary, dry_run=False)
        self._expect(len(plan["actions"]) == len(MODELS), "init added both models")
        listed = self._verb("mlxops list", "list", entries.entry_table)
        self._expect(
            {row["repo_id"] for row in listed["models"]} == set(MODELS), "list shows both models"
        )

    def swap_models(self) -> None:
        """Load and ask the first model, then the second in its place, by the same name."""
        first, second = MODELS.values()
        name = self._load(first, previous=None)
        self._ask(name, first)
        self._expect(
            self._load(second, previous=first) == name, "the served name is the same after the swap"
        )
        self._ask(name, second)

    def check_status(self) -> None:
        result = self._verb("mlxops status", "status", status.status, ports=None)
        states = {row["port"]: (row["state"], row["drift"]) for row in result["ports"]}
        expected = {
            port: ("ready" if port == self._port else "free", None) for port in self._stage.ports
        }
        self._expect(
            states == expected, "one port is ready, the other is free, and there is no drift"
        )
        plan = self._verb("mlxops reconcile", "reconcile", actions.change_summary, dry_run=False)
        self._expect(plan["actions"] == [] == plan["drift"], "reconcile has nothing to do")

    def restart_model(self) -> None:
        """Restart the second model, as after a change of its entry."""
        result = self._verb(
            f"mlxops restart {self._port}", "restart", restart.restart_result, ports=[self._port]
        )
        rows = [(row["ok"], row["entry"], row["state"]) for row in result["ports"]]
        name = list(MODELS.values())[1].lower()
        self._expect(rows == [(True, name, "ready")], f"{name} is ready again")

    def show_history(self) -> None:
        """Show what the demo did."""
        result = self._verb("mlxops history", "history", history.history_table)
        done = [(row["what"], row["outcome"]) for row in reversed(result["changes"])]
        steps = ["init", "load", "load", "restart", "unload"]
        self._expect(done == [(step, "done") for step in steps], "every change is on record")

    def unload_all(self) -> None:
        done = self._verb(
            "mlxops unload --all",
            "unload-all",
            ports.unload_all_result,
            grace_s=None,
            dry_run=False,
        )
        self._expect(all(row["ok"] for row in done["ports"]), "unload-all succeeded")
        self._expect(not _listens(self._port), "nothing listens on the port")
        listed = self._stage.call("list")
        self._expect(
            all(row["port"] is None for row in listed["models"]),
            "no entry is assigned",
        )

    def _load(self, name: str, previous: str | None) -> str:
        """Load a model; return the name that clients ask for."""
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
        """Chat with the model on the port, and check which one answers."""
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
        with urllib.request.urlopen(request, timeout=ANSWER_TIMEOUT_S) as reply:
            answer = json.load(reply)["choices"][0]["message"]["content"]
        self._say(f"  {answer}")
        self._expect(answer == answer_of(name), f"{name} answers")

    def _verb(self, typed: str, verb: str, text: Text, **args: object) -> Result:
        self._say(f"\n$ {typed}")
        result = self._stage.call(verb, **args)
        self._say(text(result, self._style))
        return result

    def _expect(self, condition: bool, what: str) -> None:
        if not condition:
            raise Failed(
                f"the demo failed at this check: {what}", "report the output above", expected=what
            )
        self._say(f"  ok: {what}")


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
