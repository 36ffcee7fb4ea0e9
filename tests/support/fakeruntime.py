"""Installs the stand-in model server under a runtime's name in a bin folder, and controls it."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
HELP = ROOT / "tests" / "fixtures" / "help"
SHOWN = {
    "mlx-openai-server": HELP / "mlx-openai-server-1.8.1.txt",
    "mlx_lm.server": HELP / "mlx_lm.server-0.32.2.txt",
    "vllm": HELP / "vllm-serve-by-its-source.txt",
    "house-server": HELP / "house-server.txt",
}
SUBCOMMANDS = {"mlx-openai-server": ["launch"], "vllm": ["serve"], "house-server": ["serve"]}
SOURCE = """#!{python}
import sys

sys.path.insert(0, {here!r})
from tests.support.fakeserver import main

if __name__ == "__main__":
    main()
"""


class FakeRuntime:
    """The stand-in of one runtime: `program` is its executable, named like the real one."""

    def __init__(
        self,
        folder: Path,
        name: str = "mlx-openai-server",
        python: str = sys.executable,
        root: Path = ROOT,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.program = folder / name
        self.program.write_text(SOURCE.format(python=python, here=str(root)))
        self.program.chmod(0o755)
        self.shows(SHOWN[name].read_text())

    def shows(self, help_text: str) -> None:
        """Set the output of --help; flags and parsers that it does not list are rejected."""
        self.program.with_name(self.program.name + ".help").write_text(help_text)

    @property
    def command(self) -> list[str]:
        """The `command` of a host file's [runtime] table."""
        return [str(self.program), *SUBCOMMANDS.get(self.program.name, [])]

    def argv(self, model: str, port: int) -> list[str]:
        """The command line of a server of mlx_lm.server's kind."""
        return [*self.command, "--model", model, "--host", "127.0.0.1", "--port", str(port)]

    def table(self, **more: Any) -> dict[str, Any]:
        """The [runtime] table of a host file."""
        times = {"startup_timeout_s": 30, "grace_s": 10}
        return {"name": self.program.name, "command": self.command, **times, **more}

    def behaves(self, where: str = "", **switches: Any) -> None:
        """Set the switches of servers with the text `where` in their command line, replacing
        earlier ones."""
        path = self.program.with_name("behaviour.json")
        chosen = json.loads(path.read_text()) if path.exists() else {}
        chosen[where] = switches
        draft = path.with_suffix(".draft")
        draft.write_text(json.dumps(chosen))
        os.replace(draft, path)

    def journal(self, event: str | None = None) -> list[dict[str, Any]]:
        """What its servers recorded, oldest first: started, child, request, signal, respawn, died;
        each with its pid."""
        path = self.program.with_name("journal.jsonl")
        lines = path.read_text().splitlines() if path.exists() else []
        records = [json.loads(line) for line in lines]
        return [record for record in records if event in (None, record["event"])]
