"""The registry as a value: which model belongs to which port. Pure: bytes in, bytes out."""

from __future__ import annotations

import json
from typing import Any, Dict, List, Mapping, NamedTuple, NoReturn, Optional, Set, Tuple

from ..errors import RegistryInvalid
from .fields import as_args, as_hosts, as_port, is_text

VERSION = 1
LAST_PROCESS = ("pid", "start_time", "launched_at", "launched_by")
OPTIONAL_TEXT = (
    "slot",
    "revision",
    "runtime",
    "chat_template",
    "tool_call_parser",
    "reasoning_parser",
)


class Entry(NamedTuple):
    """One model. `fields`: known and unknown keys, the known ones coerced to their types.

    `stored`: the same fields as in the file, None for a new entry. A write repeats them for every
    field that did not change."""

    name: str
    fields: Mapping[str, Any]
    stored: Optional[Mapping[str, Any]] = None

    def __eq__(self, other: object) -> bool:
        """Entries are equal if their coerced fields are, whatever their spelling in a file."""
        return isinstance(other, Entry) and (self.name, self.fields) == (other.name, other.fields)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash(self.name)

    @property
    def repo_id(self) -> str:
        return self.fields["repo_id"] or ""

    @property
    def model_id(self) -> str:
        return self.fields["model_id"] or ""

    @property
    def cache_path(self) -> str:
        return self.fields["cache_path"] or ""

    @property
    def port(self) -> Optional[int]:
        port: Optional[int] = self.fields["port"]
        return port

    @property
    def slot(self) -> Optional[int]:
        return self.fields.get("slot")

    @property
    def wanted(self) -> Optional[int]:
        """The port where it should be served: the one it was last loaded on. A crash, a reboot and
        reconcile leave it; unload clears it."""
        return self.fields.get("wanted")

    @property
    def on_trial(self) -> bool:
        """Whether its server was started with `load --no-keep`."""
        return (self.process or {}).get("keep") is False

    @property
    def args(self) -> Tuple[str, ...]:
        return tuple(self.fields.get("args") or ())

    @property
    def process(self) -> Optional[Mapping[str, Any]]:
        return self.fields.get("process")

    @property
    def last_process(self) -> Mapping[str, Any]:
        """Its last server, if that ended by itself: LAST_PROCESS of its record, `gone` ("reboot",
        "crash" or "unknown") and `gone_at`. {} without one. unload and the next load drop it."""
        record = self.fields.get("last_process")
        return record if isinstance(record, dict) else {}

    def text(self, key: str) -> Optional[str]:
        """An optional text field; None if absent, null or empty."""
        return self.fields.get(key) or None

    def with_fields(self, **changes: Any) -> Entry:
        """The entry with these fields; None removes an optional field and empties a required
        one."""
        fields = {**self.fields, **changes}
        result = {
            k: v for k, v in fields.items() if v is not None or k not in changes or k in REQUIRED
        }
        return Entry(self.name, result, self.stored)

    @property
    def stored_fields(self) -> Dict[str, Any]:
        """The fields to write: as stored, except for those that changed since they were read."""
        if self.stored is None:
            return dict(self.fields)
        read = _coerced(self.name, self.stored)
        changed = {
            key: value
            for key, value in self.fields.items()
            if key not in read or read[key] != value
        }
        base = {key: value for key, value in self.stored.items() if key in self.fields}
        return {**base, **changed}


REQUIRED: Dict[str, Any] = {
    "repo_id": "",
    "model_id": "",
    "cache_path": "",
    "format": "mlx",
    "port": None,
}


class Registry(NamedTuple):
    """All entries, in file order, and all other keys of the file."""

    entries: Mapping[str, Entry]
    extra: Mapping[str, Any]

    def holders(self, port: int) -> Tuple[Entry, ...]:
        """The entries assigned to a port: at most one, unless the file was edited by hand."""
        return tuple(e for e in self.entries.values() if e.port == port)

    def put(self, *entries: Entry) -> Registry:
        return Registry({**self.entries, **{e.name: e for e in entries}}, self.extra)

    def drop(self, name: str) -> Registry:
        return Registry({k: v for k, v in self.entries.items() if k != name}, self.extra)

    def wanting(self, port: int) -> Tuple[Entry, ...]:
        """The entries that want a port: at most one, unless the file was edited by hand."""
        return tuple(e for e in self.entries.values() if e.wanted == port)

    def is_wanted_alone(self, name: str, port: int) -> bool:
        """Whether this entry, and no other, wants the port."""
        return [e.name for e in self.wanting(port)] == [name]

    def lost(self, port: int) -> Tuple[Entry, ...]:
        """The entries that want this port and are not assigned to any port."""
        return tuple(e for e in self.wanting(port) if e.port is None)

    def clear(self, port: int, *names: str) -> Registry:
        """Free the port, from these entries or from all. What is wanted, and slots, stay."""
        held = (e for e in self.holders(port) if not names or e.name in names)
        return self.put(*(e.with_fields(port=None, process=None) for e in held))

    def miss(self, port: int, name: str, gone: Mapping[str, Any]) -> Registry:
        """Free the port from an entry whose server ended by itself. If the port is wanted by it,
        keep what shows how that was."""
        entry = self.entries[name]
        known = {k: v for k, v in (entry.process or {}).items() if k in LAST_PROCESS}
        cleared = self.clear(port, name)
        if entry.wanted != port or not known:
            return cleared
        return cleared.put(cleared.entries[name].with_fields(last_process={**known, **gone}))

    def want(self, name: str, port: int) -> Registry:
        """Make this entry the only one that wants the port."""
        return self.forget(port).put(self.entries[name].with_fields(wanted=port, last_process=None))

    def forget(self, port: int) -> Registry:
        """Make no entry want this port."""
        return self.put(
            *(e.with_fields(wanted=None, last_process=None) for e in self.wanting(port))
        )

    def assign(self, name: str, port: int, process: Optional[Mapping[str, Any]]) -> Registry:
        """Move the port to this entry, from any other, in one step."""
        registry = self.clear(port)
        return registry.put(registry.entries[name].with_fields(port=port, process=process))

    def duplicates(self) -> Dict[int, Tuple[str, ...]]:
        """port -> names, for every port with more than one entry."""
        claims: Dict[int, List[str]] = {}
        for entry in self.entries.values():
            if entry.port is not None:
                claims.setdefault(entry.port, []).append(entry.name)
        return {port: tuple(names) for port, names in claims.items() if len(names) > 1}


EMPTY = Registry({}, {})


def parse(content: bytes) -> Registry:
    """Parse the bytes of a registry file; RegistryInvalid, with line and column if known."""
    document = _load(content)
    if not isinstance(document, dict):
        raise RegistryInvalid("the registry is not a JSON object")
    _check_version(document)
    models = document.get("models")
    if models is not None and not isinstance(models, dict):
        raise RegistryInvalid("the registry's `models` is not an object")
    entries = {name: coerce(name, fields) for name, fields in (models or {}).items()}
    extra = {k: v for k, v in document.items() if k not in ("version", "models")}
    return with_implied_wants(Registry(entries, extra))


def with_implied_wants(registry: Registry) -> Registry:
    """An entry without the field `wanted`, as earlier versions and other tools write it, wants the
    port that it is assigned to. The next write stores that."""
    implied = [
        entry._replace(fields={**entry.fields, "wanted": entry.port})
        for entry in registry.entries.values()
        if entry.port is not None
        and "wanted" not in entry.fields
        and not entry.on_trial
        and not _is_loading(entry)
        and not registry.wanting(entry.port)
        and len(registry.holders(entry.port)) == 1
    ]
    return registry.put(*implied)


def _is_loading(entry: Entry) -> bool:
    """Whether mlxops started its server, which was never ready: by a load in progress, or one that
    was killed."""
    record = entry.process or {}
    return record.get("launched_by") not in (None, "adopted") and "ready_at" not in record


def dump(registry: Registry) -> bytes:
    """The bytes of the file: UTF-8, or ASCII with escapes if a lone surrogate has no UTF-8."""
    models = {name: entry.stored_fields for name, entry in registry.entries.items()}
    document = {"version": VERSION, "models": models, **registry.extra}
    try:
        return (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode()
    except UnicodeEncodeError:
        return (json.dumps(document, indent=2) + "\n").encode()
    except RecursionError:
        # Newer Pythons read deeper than they write.
        raise RegistryInvalid("the registry is nested too deeply to be written") from None


def changes(before: Registry, after: Registry) -> List[Dict[str, Any]]:
    """The differences, one row per field: {"entry", "field", "before", "after"}."""
    rows = []
    for name in {**before.entries, **after.entries}:
        old, new = before.entries.get(name), after.entries.get(name)
        was, now = (old.fields if old else {}), (new.fields if new else {})
        rows += [
            {"entry": name, "field": key, "before": was.get(key), "after": now.get(key)}
            for key in {**was, **now}
            if was.get(key) != now.get(key) or (key in was) != (key in now)
        ]
    return rows


def _load(content: bytes) -> Any:
    if not content.strip():
        raise RegistryInvalid("the registry file is empty", line=1, column=1)
    hooks: Dict[str, Any] = {
        "object_pairs_hook": _unique,
        "parse_constant": _no_constant,
        "parse_float": _finite,
    }
    try:
        return json.loads(content.decode("utf-8-sig"), **hooks)
    except json.JSONDecodeError as exc:
        message = "the registry is not valid JSON: %s (line %d, column %d)" % (
            exc.msg,
            exc.lineno,
            exc.colno,
        )
        raise RegistryInvalid(message, line=exc.lineno, column=exc.colno) from None
    except UnicodeDecodeError:
        raise RegistryInvalid("the registry is not UTF-8 text") from None
    except (RecursionError, ValueError) as exc:
        raise RegistryInvalid("the registry cannot be read as JSON: %s" % exc) from None


def _unique(pairs: List[Tuple[str, Any]]) -> Dict[str, Any]:
    document = dict(pairs)
    if len(document) < len(pairs):
        keys: Set[str] = set()
        duplicate = next(key for key, _ in pairs if key in keys or keys.add(key))  # type: ignore[func-returns-value]
        raise RegistryInvalid("the registry contains the key %r twice" % duplicate)
    return document


def _no_constant(name: str) -> NoReturn:
    raise RegistryInvalid("the registry contains %s, which is not JSON" % name)


def _finite(text: str) -> float:
    # 1e999 would be read as infinity, and written back as Infinity, which is not JSON.
    number = float(text)
    return number if abs(number) != float("inf") else _no_constant(text)


def _check_version(document: Dict[str, Any]) -> None:
    version = document.get("version", VERSION)
    if version in (VERSION, str(VERSION)) and not isinstance(version, bool):
        return
    lanes = " with `lanes`" if "lanes" in document else ""
    raise RegistryInvalid(
        "registry version %s%s is not supported (only version %d is); nothing was changed"
        % (version, lanes, VERSION),
        "use the tool that wrote it, or a newer mlxops",
        version=version,
    )


def coerce(name: str, fields: Any) -> Entry:
    """An entry from its stored fields, converted to their types; RegistryInvalid if they have
    none."""
    return Entry(name, _coerced(name, fields), fields)


def _coerced(name: str, fields: Any) -> Dict[str, Any]:
    if not isinstance(fields, dict):
        raise RegistryInvalid("entry %r is not an object" % name, entry=name)
    coerced = {**REQUIRED, **fields}
    coerced["port"] = as_port(name, "port", coerced["port"])
    for key in ("slot", "wanted"):
        if key in coerced:
            coerced[key] = as_port(name, key, coerced[key])
    if "args" in coerced:
        coerced["args"] = as_args(name, coerced["args"])
    if coerced.get("hosts"):
        coerced["hosts"] = as_hosts(name, coerced["hosts"])
    process = coerced.get("process")
    if process is not None and not (
        isinstance(process, dict) and type(process.get("pid", 0)) is int
    ):
        raise RegistryInvalid(
            "entry %r: `process` is not an object with a pid" % name, entry=name, field="process"
        )
    for key in ("repo_id", "model_id", "cache_path", *OPTIONAL_TEXT[1:]):
        if not (coerced.get(key) is None or is_text(coerced[key])):
            raise RegistryInvalid("entry %r: `%s` is not text" % (name, key), entry=name, field=key)
    return {**coerced, "model_id": coerced["model_id"] or coerced["repo_id"]}
