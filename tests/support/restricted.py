"""A host with two keys: one without restrictions, and one whose line `mlxops authorize` printed."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

from mlxops import session
from mlxops.demo.loopback import Login
from mlxops.hosts import files as hosts
from mlxops.hosts.files import Host
from tests.support.sshd import Sshd, make_key
from tests.support.studio import ROOT, Answer, Studio, finished

VERBS = "status,reconcile"


class Restricted:
    """An sshd whose logins are the account's own: an sshd_config with ForceCommand would override
    authorized_keys.

    The path of the state folder contains blanks and quotes. Code that must never run would create
    the file `canary`."""

    def __init__(self, folder: Path, runtime: dict[str, Any]) -> None:
        extra = (
            "ForceCommand none",
            f"SetEnv SHLVL=9 HOME={folder / 'sshd' / 'home'}",
            "LogLevel VERBOSE",
            "Subsystem sftp internal-sftp",
        )
        self.server = Sshd(folder / "sshd", extra=extra)
        self.canary = folder / "canary"
        self.key = make_key(folder / "cron key")
        self.public = Path(f"{self.key}.pub")
        self.studio = Studio(folder / "studio", self.login(self.server.client_key), runtime)
        self.state = self.studio.folder / 'it\'s the "state" $HOME'
        self.studio.describe(state_dir=str(self.state))
        self.cron_hosts = folder / "cron hosts"
        self.cron_hosts.mkdir()

    def login(self, key: Path) -> Login:
        return Login(
            "127.0.0.1", self.server.port, self.server.user, str(key), str(self.server.known_hosts)
        )

    def authorize(self, verbs: str = VERBS) -> dict[str, Any]:
        """Limit the key to these verbs, and write a host file that uses it."""
        result = self.studio.must("authorize", "--verbs", verbs, "--key", self.public)
        full = self.server.client_key.with_suffix(".pub").read_text()
        self.server.authorized_keys.write_text(f"{full}{result['line']}\n")
        text = (self.studio.hosts_dir / "studio.toml").read_text()
        text = text.replace(json.dumps(str(self.server.client_key)), json.dumps(str(self.key)))
        (self.cron_hosts / "studio.toml").write_text(text)
        return result

    def mlxops(self, *words: object) -> Answer:
        """Run the program with the restricted key, in the environment of cron."""
        env = {"PATH": "/usr/bin:/bin", "HOME": str(self.studio.folder), "PYTHONPATH": str(ROOT)}
        argv = self.studio.argv(*words, "--hosts-dir", self.cron_hosts)
        pipe = subprocess.PIPE
        return finished(
            subprocess.Popen(
                argv, text=True, env=env, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe
            )
        )

    @property
    def host(self) -> Host:
        """The host as reached with the restricted key."""
        return hosts.find_host("studio", str(self.cron_hosts))

    def call(
        self,
        verb: str,
        args: dict[str, Any],
        on_event: session.OnEvent = lambda event: None,
        **site: Any,
    ) -> Any:
        """One call with the restricted key; keywords replace fields of the site that the client
        sends."""
        changed = replace(self.host, site={**self.host.site, **site})
        return session.call(changed, verb, args, on_event)

    def openssh(
        self, program: str, key: Path, *words: str, text: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run OpenSSH's ssh or sftp with that key and these arguments."""
        options = [
            f"IdentityFile={str(key)!r}".replace("'", '"'),
            f"UserKnownHostsFile={self.server.known_hosts}",
            "IdentitiesOnly=yes",
            "BatchMode=yes",
            f"Port={self.server.port}",
        ]
        argv = [
            program,
            "-F",
            "none",
            *(word for option in options for word in ("-o", option)),
            *words,
        ]
        env = {**os.environ, "SSH_AUTH_SOCK": ""}
        return subprocess.run(argv, input=text, capture_output=True, text=True, timeout=30, env=env)
