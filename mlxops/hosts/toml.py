"""A host file's TOML, key by key: each key is checked when it is taken, and a key that is never
taken is an error."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..agent.errors import Usage
from ..agent.runtimes.secrets import secret_options
from ..agent.wire import values
from .folders import home

REQUIRED = object()
MAX_PORTS = values.MAX_PORTS
MAX_PATHS = 32
# The same rules as for a request's arguments.
seconds, port = values.seconds, values.port


class Table:
    """One table of a TOML file. Usage names file and key that is missing, invalid or unknown."""

    def __init__(self, path: Path, values: Any, name: str = "") -> None:
        self.path, self.name = path, name
        if not isinstance(values, dict):
            raise self.error("", "must be a table")
        self._values = values
        self._known: list[str] = []

    def take(self, key: str, check: Callable[[Any], Any], default: Any = REQUIRED) -> Any:
        """The key's checked value, or `default` if the file does not have it."""
        self._known.append(key)
        if key not in self._values:
            if default is REQUIRED:
                raise self.error(key, "is missing")
            return default
        try:
            return check(self._values[key])
        except ValueError as exc:
            raise self.error(key, str(exc)) from None

    def table(self, key: str) -> Table:
        """The table under this key, empty if the file does not have it."""
        self._known.append(key)
        return Table(self.path, self._values.get(key, {}), _dotted(self.name, key))

    def names(self) -> list[str]:
        return list(self._values)

    def close(self) -> None:
        """Usage for a key that was never taken."""
        for key in self._values:
            if key not in self._known:
                raise self.error(key, "is not a known key", self._near(key))

    def error(self, key: str, what: str, hint: str = "") -> Usage:
        dotted = _dotted(self.name, key)
        return Usage(
            f"{self.path}: {dotted} {what}",
            hint or f"edit {self.path}",
            file=str(self.path),
            key=dotted,
        )

    def _near(self, key: str) -> str:
        import difflib

        near = difflib.get_close_matches(key, self._known, 1)
        return (
            f"did you mean {near[0]}?" if near else f"known keys: {', '.join(sorted(self._known))}"
        )


def _dotted(*parts: str) -> str:
    return ".".join(part for part in parts if part)


def key_source(table: Table) -> dict[str, str]:
    """Where a table says that the host has the API key of a server; {} if it does not."""
    found = {
        "api_key_env": table.take("api_key_env", variable, None),
        "api_key_file": table.take("api_key_file", home_path, None),
    }
    if all(found.values()):
        raise table.error("api_key_env", "is set beside api_key_file", "keep one of the two")
    return {key: value for key, value in found.items() if value}


def read(path: Path) -> Table:
    """The top table of a TOML file; Usage if it cannot be read or is not TOML."""
    try:
        return parse(path, path.read_text("utf-8"))
    except OSError as exc:
        raise Usage(
            f"{path}: {exc.strerror}", "check that the file exists and may be read", file=str(path)
        ) from None
    except UnicodeDecodeError:
        raise Usage(f"{path}: is not UTF-8 text", f"save {path} as UTF-8", file=str(path)) from None


def parse(path: Path, text: str) -> Table:
    """The top table of this text, which is or will be the content of `path`."""
    try:
        return Table(path, tomllib.loads(text))
    except (ValueError, RecursionError) as exc:
        raise Usage(f"{path}: {exc}", f"correct the TOML of {path}", file=str(path)) from None


# Checks of values. Each returns the value as the program uses it, or raises ValueError with the
# rule.


def text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        raise ValueError("must be a non-empty string of printable characters")
    return value


def boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def one_of(*choices: str) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        if value not in choices:
            raise ValueError(f"must be {' or '.join(choices)}")
        return str(value)

    return check


def ssh_word(value: Any) -> str:
    """A host or user name. ssh would take one that begins with a dash for an option."""
    if text(value).startswith("-") or any(c.isspace() for c in value):
        raise ValueError("must not begin with a dash or contain spaces")
    return str(value)


def address(value: Any) -> str:
    """An IP address or host name. A name that DNS does not allow would crash the lookup."""
    labels = text(value).rstrip(".").split(".")
    if ":" not in value and not all(
        re.fullmatch(r"\w(?:[\w-]{0,61}\w)?", label, re.A) for label in labels
    ):
        raise ValueError("must be an address or a host name")
    return str(value)


def web_address(value: Any) -> str:
    if not re.fullmatch(r"https?://[\w.-]+(:\d+)?(/[\w./-]*)?", text(value), re.A):
        raise ValueError('must be an address such as "https://hub.example.org"')
    return str(value).rstrip("/")


def variable(value: Any) -> str:
    """The name of an environment variable; the message must not repeat what may be a secret."""
    if not re.fullmatch(r"[A-Za-z_]\w*", text(value), re.A):
        raise ValueError('must be the name of an environment variable, such as "STUDIO_API_KEY"')
    return str(value)


def absolute(value: Any) -> str:
    if not text(value).startswith("/"):
        raise ValueError("must be an absolute path")
    return str(value)


def home_path(value: Any) -> str:
    if not text(value).startswith(("/", "~/")):
        raise ValueError("must be an absolute path or begin with ~/")
    return str(value)


def home_paths(value: Any) -> list[str]:
    """Folders on the host, none of them twice."""
    if not isinstance(value, list) or len(value) > MAX_PATHS:
        raise ValueError(f'must be a list of at most {MAX_PATHS} paths, such as ["~/models"]')
    return [*dict.fromkeys(home_path(one).rstrip("/") or "/" for one in value)]


def client_path(value: Any) -> str:
    """A path on this machine, with ~ expanded."""
    if not home_path(value).startswith("~/"):
        return str(value)
    at = home()
    if at is None:
        raise ValueError("begins with ~/, and HOME is not set")
    return str(at / value[2:])


def program(value: Any) -> str:
    """A program on the host: its path, or its name, which is looked up on PATH. Never relative to
    the current folder."""
    if "/" in text(value) and not value.startswith(("/", "~/")):
        raise ValueError(
            "must be an absolute path, begin with ~/, or be the name of a program on the host's "
            "PATH"
        )
    return str(value)


def ports(value: Any) -> list[int]:
    """Ports in ascending order, from "8100-8109" or a list of numbers."""
    numbers = _range(value) if isinstance(value, str) else value
    if not isinstance(numbers, list) or not 1 <= len(numbers) <= MAX_PORTS:
        raise ValueError(f'must be a range such as "8100-8109" or a list of 1 to {MAX_PORTS} ports')
    return sorted({port(number) for number in numbers})


def number(word: str) -> int | None:
    """The number that a word of at most five digits stands for, else None."""
    return int(word) if word.isdecimal() and len(word) <= 5 else None


def _range(value: str) -> list[int]:
    first, dash, last = value.partition("-")
    if not dash or not first.strip().isdecimal() or not last.strip().isdecimal():
        raise ValueError('must look like "8100-8109"')
    return list(range(port(int(first)), port(int(last)) + 1))


def words(value: Any) -> list[str]:
    if not isinstance(value, list) or not value:
        raise ValueError('must be a list of strings, such as ["/opt/bin/server", "launch"]')
    return [text(word) for word in value]


def command(value: Any) -> list[str]:
    """A program and its arguments."""
    for option in secret_options(words(value)):
        raise ValueError(
            f"has {option}, whose value ps would show: use api_key_file or api_key_env"
        )
    return [program(words(value)[0]), *words(value)[1:]]


def environment(value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or not all(
        isinstance(v, str) and "\0" not in v for v in value.values()
    ):
        raise ValueError('must be a table of strings, such as {HF_HUB_OFFLINE = "1"}')
    if any(not name or "=" in name or not name.isprintable() for name in value):
        raise ValueError("has an invalid variable name")
    return dict(value)
