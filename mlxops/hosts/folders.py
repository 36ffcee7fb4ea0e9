"""The folders of host files: one that the user named, else the user's own and the checkout's.

Never the current folder: a host file names programs to run, and anyone could have put it there."""

from __future__ import annotations

import os
import pwd
import re
from dataclasses import dataclass
from pathlib import Path

from ..agent.errors import Usage

FLAG, VARIABLE, OWN, CHECKOUT = "--hosts-dir", "MLXOPS_HOSTS_DIR", "user", "checkout"
VENDORED = ("site-packages", "dist-packages")


@dataclass(frozen=True)
class Folder:
    """`source`: what named it, one of the constants above."""

    path: Path
    source: str

    @property
    def named(self) -> bool:
        """Whether the user named it, by the flag or the variable."""
        return self.source in (FLAG, VARIABLE)


@dataclass(frozen=True)
class Candidate:
    """A host file, by its name."""

    path: Path
    folder: Folder

    @property
    def name(self) -> str:
        return self.path.stem


def home() -> Path | None:
    """The user's home: HOME if it is an absolute path, else the account's; None without either."""
    variable = os.environ.get("HOME", "")
    if variable.startswith("/"):
        return Path(variable)
    try:
        path = pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        return None
    return Path(path) if path.startswith("/") else None


def config_path() -> Path | None:
    return _below_home("config.toml")


def _below_home(name: str) -> Path | None:
    at = home()
    return at / ".config/mlxops" / name if at else None


def folders(hosts_dir: str | None) -> list[Folder]:
    """The folders to search, first match wins. A folder that the user named is the only one."""
    if hosts_dir is not None:
        if not hosts_dir:
            raise Usage("--hosts-dir is empty", "mlxops hosts --hosts-dir DIR")
        return [Folder(_absolute(hosts_dir), FLAG)]
    named = os.environ.get(VARIABLE)
    if named:
        if not named.startswith(("/", "~")):
            hint = f"export {VARIABLE}={_absolute(named)}"
            raise Usage(f"{VARIABLE} must be an absolute path, not {named!r}", hint, folder=named)
        return [Folder(_absolute(named), VARIABLE)]
    return _usual()


def new_file_folder(hosts_dir: str | None) -> Path:
    """Where a new host file belongs: the folder that the user named, else the user's own."""
    for folder in folders(hosts_dir):
        if folder.named or folder.source == OWN:
            return folder.path
    raise Usage("HOME is not set", "name a folder: --hosts-dir DIR")


def _usual() -> list[Folder]:
    own, checkout = _below_home("hosts"), checkout_hosts()
    return [
        *([Folder(own, OWN)] if own else []),
        *([Folder(checkout, CHECKOUT)] if checkout else []),
    ]


def _absolute(folder: str) -> Path:
    """The absolute path. Only the flag may be relative, to the current folder."""
    at = home()
    if at and (folder == "~" or folder.startswith("~/")):
        return at / folder[2:]
    return Path(os.path.join(os.getcwd(), os.path.expanduser(folder)))


def checkout_hosts(package: Path = Path(__file__).parents[1]) -> Path | None:
    """The hosts/ of the checkout that this program runs from; None for an installed copy."""
    top = package.resolve().parent
    if top.name in VENDORED or not (top / "hosts").is_dir():
        return None
    try:
        project = (top / "pyproject.toml").read_text("utf-8", "replace")
    except OSError:
        return None
    return top / "hosts" if re.search(r'^name *= *"mlxops"', project, re.M) else None


def candidates(hosts_dir: str | None) -> list[Candidate]:
    """All host files; of two with the same name, the first counts."""
    return _in(folders(hosts_dir))


def skipped_candidates(hosts_dir: str | None) -> list[Candidate]:
    """The host files that are ignored because the user named a folder."""
    used = folders(hosts_dir)
    return _in([folder for folder in _usual() if folder.path not in [one.path for one in used]])


def _in(places: list[Folder]) -> list[Candidate]:
    return [
        Candidate(path, folder) for folder in places for path in sorted(folder.path.glob("*.toml"))
    ]


def ignored_files() -> list[Path]:
    """Host files in ./hosts, which earlier versions searched first."""
    try:
        return sorted(Path("hosts").glob("*.toml"))
    except OSError:
        return []
