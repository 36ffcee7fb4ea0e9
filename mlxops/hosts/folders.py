"""Where host files are looked up: a folder that was named, else the user's own and the checkout
that the program is.

Never the current folder: a host file names programs that run, and anybody can put one into a
folder."""

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
    """`source`: who names it, one of the words above."""

    path: Path
    source: str

    @property
    def named(self) -> bool:
        """Whether a person named it, for this call or for the shell."""
        return self.source in (FLAG, VARIABLE)


@dataclass(frozen=True)
class Candidate:
    """A host file that was found, under its name."""

    path: Path
    folder: Folder

    @property
    def name(self) -> str:
        return self.path.stem


def home() -> Path | None:
    """The user's home: HOME where it is an absolute path, else what the system says, if
    anything."""
    said = os.environ.get("HOME", "")
    if said.startswith("/"):
        return Path(said)
    try:
        found = pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        return None
    return Path(found) if found.startswith("/") else None


def config_path() -> Path | None:
    return _below_home("config.toml")


def _below_home(name: str) -> Path | None:
    at = home()
    return at / ".config/mlxops" / name if at else None


def folders(hosts_dir: str | None) -> list[Folder]:
    """Where host files are looked up. A folder that was named is the only one; otherwise earlier
    wins."""
    if hosts_dir is not None:
        if not hosts_dir:
            raise Usage("--hosts-dir names no folder", "mlxops hosts --hosts-dir DIR")
        return [Folder(_absolute(hosts_dir), FLAG)]
    named = os.environ.get(VARIABLE)
    if named:
        if not named.startswith(("/", "~")):
            hint = f"export {VARIABLE}={_absolute(named)}"
            raise Usage(f"{VARIABLE} must be an absolute path, not {named!r}", hint, folder=named)
        return [Folder(_absolute(named), VARIABLE)]
    return _usual()


def _usual() -> list[Folder]:
    own, checkout = _below_home("hosts"), checkout_hosts()
    return [
        *([Folder(own, OWN)] if own else []),
        *([Folder(checkout, CHECKOUT)] if checkout else []),
    ]


def _absolute(folder: str) -> Path:
    """A relative one, which only a flag may be, is meant from where the command was typed."""
    at = home()
    if at and (folder == "~" or folder.startswith("~/")):
        return at / folder[2:]
    return Path(os.path.join(os.getcwd(), os.path.expanduser(folder)))


def checkout_hosts(package: Path = Path(__file__).parents[1]) -> Path | None:
    """The hosts/ of the checkout that this program runs from; None for an installed copy, whatever
    lies beside it."""
    top = package.resolve().parent
    if top.name in VENDORED or not (top / "hosts").is_dir():
        return None
    try:
        project = (top / "pyproject.toml").read_text("utf-8", "replace")
    except OSError:
        return None
    return top / "hosts" if re.search(r'^name *= *"mlxops"', project, re.M) else None


def candidates(hosts_dir: str | None) -> list[Candidate]:
    """All host files there are; of two with one name the first one counts."""
    return _in(folders(hosts_dir))


def skipped_candidates(hosts_dir: str | None) -> list[Candidate]:
    """The host files that are passed over because a folder was named."""
    used = folders(hosts_dir)
    return _in([folder for folder in _usual() if folder.path not in [one.path for one in used]])


def _in(places: list[Folder]) -> list[Candidate]:
    return [
        Candidate(path, folder) for folder in places for path in sorted(folder.path.glob("*.toml"))
    ]


def ignored_files() -> list[Path]:
    """Host files of the current folder, where earlier versions looked first."""
    try:
        return sorted(Path("hosts").glob("*.toml"))
    except OSError:
        return []
