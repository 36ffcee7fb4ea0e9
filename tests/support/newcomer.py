"""A machine on which nobody has used mlxops yet: an empty home, and an ssh that reaches one sshd
under a name."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.support.sshd import Sshd
from tests.support.studio import ROOT, Answer, finished

NAME = "lab"


class Newcomer:
    """`known`: the known_hosts file of this machine, empty at first."""

    def __init__(self, folder: Path, server: Sshd) -> None:
        self.home, self.server = folder / "home", server
        tools = folder / "tools"
        for place in (self.home, tools):
            place.mkdir()
        server.known_as(NAME, tools)
        self.known = server.known_hosts
        self.known.unlink()
        kept = {k: v for k, v in os.environ.items() if not k.startswith("MLXOPS")}
        path = f"{tools}:{os.environ['PATH']}"
        self.env = {**kept, "HOME": str(self.home), "PATH": path, "PYTHONPATH": str(ROOT)}
        self.env.pop("SSH_AUTH_SOCK", None)

    @property
    def file(self) -> Path:
        return self.home / f".config/mlxops/hosts/{NAME}.toml"

    def start(self, *words: object, **popen: Any) -> subprocess.Popen[str]:
        """As a Studio does, so that a Terminal can start it too."""
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        argv = [sys.executable, "-m", "mlxops", *map(str, words)]
        return subprocess.Popen(argv, text=True, env=self.env, **{**pipes, **popen})

    def run(self, *words: object) -> Answer:
        return finished(self.start(*words))

    def fingerprint(self) -> str:
        words = ["ssh-keygen", "-lf", str(self.server.host_key)]
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()[1]

    def install(self, files: Mapping[str, str]) -> None:
        """Create programs (in a bin/) and other files below the home of the host."""
        for name, text in files.items():
            path = self.server.home / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            if path.parent.name == "bin":
                path.chmod(0o755)
