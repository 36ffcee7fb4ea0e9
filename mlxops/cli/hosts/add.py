"""The steps of `hosts add`: each is tested and shown; the file is written at the end, or not at
all."""

from __future__ import annotations

import re
import shlex
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ... import host_setup
from ...agent.errors import Failed, HostKeyRefused, LoginRefused, MlxopsError, Usage
from ...hosts import files, folders, template
from ...hosts.default import keep_only_host
from ...hosts.files import Ssh
from ...hosts.template import Draft
from ...render.hosts import (
    bind_line,
    model_dir_line,
    next_commands,
    short_path,
    show_key_command,
    step_line,
    unknown_key_text,
)
from ..run import Result, Run
from .choices import NOTHING_WRITTEN, Runtime, choose_bind, choose_home, choose_runtime

NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,62}", re.A)
Steps = list[dict[str, str]]
# key of the host file -> the word of the command line that gives it
WORDS = {
    "ssh.host": "ADDRESS",
    "ssh.user": "USER",
    "ssh.identity_file": "--identity",
    "studio.ports": "--ports",
    "studio.python": "--python",
}


@dataclass(frozen=True)
class Wishes:
    """What the command line says of the new host; None: find out, or ask."""

    name: str
    address: str | None = None
    user: str | None = None
    port: int | None = None
    identity: str | None = None
    fingerprint: str | None = None
    python: str | None = None
    runtime: str | None = None
    hf_home: str | None = None
    ports: str | None = None
    bind: str | None = None
    force: bool = False
    yes: bool = False
    dry_run: bool = False

    def ssh(self) -> Ssh:
        user, at, host = (self.address or self.name).rpartition("@")
        identity = str(Path(self.identity).expanduser().absolute()) if self.identity else None
        if identity and not Path(identity).exists():
            raise Usage(f"--identity {identity} does not exist", "name a private key")
        return Ssh(
            host=host,
            user=self.user or (user if at else None),
            port=self.port,
            identity_file=identity,
        )


class HostSetup:
    """One run of `hosts add`."""

    def __init__(self, run: Run, wishes: Wishes) -> None:
        self._run, self._wishes = run, wishes
        self._asks = run.interactive and not wishes.yes
        self._steps: Steps = []
        self._path = self._new_path()
        ssh = None if run.flags.local else wishes.ssh()
        ports = wishes.ports or template.PORTS
        self._draft = Draft(name=wishes.name, ssh=ssh, python=wishes.python, ports=ports)
        self._require_writable_wishes()

    def _new_path(self) -> Path:
        name = self._wishes.name
        if not NAME.fullmatch(name):
            text = f"{name!r} cannot be the name of a host: use letters, digits, -, _ and ."
            raise Usage(text, "mlxops hosts add NAME [ADDRESS]", name=name)
        path = folders.new_file_folder(self._run.flags.hosts_dir) / f"{name}.toml"
        if path.exists() and not self._wishes.force:
            raise _exists(path)
        return path

    def _require_writable_wishes(self) -> None:
        """Usage, in the words of the command line, for a wish that no host file may have."""
        try:
            files.parse_host(self._path, template.host_file_text(self._draft))
        except Usage as exc:
            key = exc.fields.get("key", "")
            word = WORDS.get(key)
            if word is None:
                raise
            rule = exc.message.partition(f"{key} ")[2]
            raise Usage(f"{word} {rule}", "mlxops hosts add --help", key=key) from None

    def perform(self) -> Result:
        """The result; nothing is written before the last step."""
        with tempfile.TemporaryDirectory() as scratch:
            found = self._look(Path(scratch))
        runtime = self._choose(found)
        text = template.host_file_text(self._draft)
        host = files.parse_host(self._path, text)
        kept = None
        if not self._wishes.dry_run:
            kept = keep_only_host(host.name, self._run.flags.hosts_dir)
            self._write(text)
        port = _first_free(host.site["ports"], found["used_ports"])
        return {**self._result(text, found, runtime, port), "kept_default": kept}

    def _look(self, scratch: Path) -> Result:
        """Connect, and see what is there."""
        if self._draft.ssh is None:
            return self._discovered(self._draft)
        settings = host_setup.ssh_settings(self._draft.ssh)
        self._done("address", host_setup.settings_text(settings))
        self._done("network", host_setup.reach(settings))
        draft = self._draft
        if self._wishes.dry_run and not host_setup.known_files(settings):
            # A dry run trusts a key for itself only.
            trial = replace(self._draft.ssh, known_hosts_file=str(scratch / "known_hosts"))
            draft, settings = replace(draft, ssh=trial), host_setup.ssh_settings(trial)
        try:
            return self._discovered(draft, settings)
        except HostKeyRefused as refused:
            if refused.fields.get("verdict") != "unknown":
                raise
            self._trust(settings, refused)
        return self._discovered(draft, settings)

    def _trust(self, settings: Any, refused: HostKeyRefused) -> None:
        """Add an unknown key to known_hosts, if the user gave its fingerprint or agrees."""
        shown, given = refused.fields["fingerprint"], self._wishes.fingerprint
        if given and given.removeprefix("SHA256:") != shown.removeprefix("SHA256:"):
            text = f"the host key is {shown}, not {given}: nothing was trusted"
            raise HostKeyRefused(text, _compare(refused), **refused.fields)
        if not given and not self._agrees(refused, settings.address_label):
            add = shlex.join(["mlxops", *self._run.argv, "--fingerprint", shown])
            hint = f"{_compare(refused)}, then: {add}"
            raise HostKeyRefused(refused.message, hint, **refused.fields)
        host_setup.trust(settings, refused)

    def _agrees(self, refused: HostKeyRefused, place: str) -> bool:
        """Whether the user, at a terminal, trusts the key; a no ends the set-up."""
        if not self._asks:
            return False
        self._run.progress.close()
        self._run.console.note(unknown_key_text(refused.fields, place))
        return self._run.confirm("Trust this key?", NOTHING_WRITTEN)

    def _discovered(self, draft: Draft, settings: Any = None) -> Result:
        run = self._run
        run.host = host_setup.provisional_host(draft, self._path)
        try:
            found = run.call("discover", {})
        except MlxopsError as fault:
            if settings and isinstance(fault, LoginRefused):
                self._show_key(settings)
            if str(self._path) in fault.hint:  # which is not written yet
                fault.hint = shlex.join(["mlxops", *run.argv, "--python", "/path/to/python3"])
            raise
        if settings:
            self._show_key(settings)
            self._done("login", f"as {settings.user}")
        self._done("python", f"{found['python_version']}, {found['python']}")
        return found

    def _show_key(self, settings: Any) -> None:
        known = " or ".join(host_setup.known_files(settings)) or "known_hosts"
        self._done("host key", f"listed in {known}")

    def _choose(self, found: Result) -> Runtime:
        run, wishes = self._run, self._wishes
        runtime = choose_runtime(run, found, wishes.runtime, self._asks)
        self._done("runtime", runtime.text or f"not installed ({runtime.name})", bool(runtime.text))
        home, text = choose_home(run, found, wishes.hf_home, self._asks)
        self._done("models", text)
        dirs = tuple(short_path(one["path"], found["home"]) for one in found["model_dirs"])
        for one in found["model_dirs"]:
            self._done("more models", model_dir_line(one, found["home"]))
        bind = choose_bind(run, found, wishes.bind, self._asks)
        self._done("bind", bind_line(bind))
        used = found["used_ports"]
        in_use = f"in use: {', '.join(map(str, used))}" if used else "all free"
        self._done("ports", f"{self._draft.ports}, {'unknown' if used is None else in_use}")
        self._draft = replace(
            self._draft,
            runtime=runtime.name,
            command=runtime.command,
            hf_home=home,
            bind=bind,
            model_dirs=dirs,
        )
        return runtime

    def _write(self, text: str) -> None:
        try:
            template.write_new(self._path, text, self._wishes.force)
        except template.Exists:
            raise _exists(self._path) from None
        except OSError as exc:
            raise Failed(f"{self._path}: {exc.strerror}; {NOTHING_WRITTEN}") from None
        files.read_host(self._path)
        self._done("file", str(self._path))

    def _result(self, text: str, found: Result, runtime: Runtime, port: int) -> Result:
        name, dry = self._wishes.name, self._wishes.dry_run
        hidden = [
            str(one.path)
            for one in folders.candidates(self._run.flags.hosts_dir)
            if one.name == name and one.path != self._path
        ]
        ssh = self._draft.ssh
        result = {
            "name": name,
            "path": str(self._path),
            "written": not dry,
            "text": text,
            "steps": self._steps,
            "found": found,
            "runtime": runtime.name if runtime.text else None,
            "hides": hidden,
        }
        reach = f"ssh {ssh.host}" if ssh else ""
        default = not dry and _is_default(name, self._run.flags.hosts_dir)
        return {**result, "next": next_commands(result, reach, default, port)}

    def _done(self, step: str, text: str, ok: bool = True) -> None:
        self._steps.append({"step": step, "verdict": "ok" if ok else "warning", "seen": text})
        if not (self._run.flags.json or self._run.flags.quiet):
            self._run.progress.close()
            verdict = "ok" if ok else "warning"
            self._run.console.note(step_line(step, text, verdict, self._run.console.err_style))


def _compare(refused: HostKeyRefused) -> str:
    return f"compare it with `{show_key_command(refused.fields)}` on the host"


def _first_free(ports: list[int], used: list[int] | None) -> int:
    """The first port that nothing listens on, as far as that is known; else the first one."""
    return next((port for port in ports if port not in (used or [])), ports[0])


def _exists(path: Path) -> Usage:
    return Usage(
        f"{path} exists already",
        f"mlxops doctor --host {path.stem} checks it; --force replaces it",
        file=str(path),
    )


def _is_default(name: str, hosts_dir: str | None) -> bool:
    try:
        return files.choose_host(None, hosts_dir).file.name == name
    except Usage:
        return False
