"""Find the entry that a word means. Pure."""

from __future__ import annotations

import difflib
import re
from posixpath import normpath
from typing import List, Optional, Tuple

from ..errors import ModelAmbiguous, ModelUnknown, Usage, mlxops_command
from .entries import Entry, Registry

# A number is a port, 8100-8103 are several, and a comma separates them.
_PORTS = re.compile(r"[\d.-]*", re.ASCII)
REPO_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)
MAX_NAMES = 5


def is_repo_id(word: str) -> bool:
    """Whether a word has the form org/name. Only such a word can be downloaded."""
    return bool(REPO_ID.fullmatch(word)) and ".." not in word and "--" not in word


# The client separates names by commas, and strips quotes and brackets from what was pasted.
_UNTYPABLE = frozenset("/,\"'`<>\u201c\u201d\u2018\u2019")


def require_valid_name(name: str) -> None:
    """Usage for a name that no entry can have, because it could not be typed, or means a port."""
    typed = name.isprintable() and name.split() == [name] and not _UNTYPABLE & set(name)
    if typed and not name.startswith("-") and not _PORTS.fullmatch(name):
        return
    raise Usage(
        "%r is not a valid entry name" % name,
        "use letters, digits, dots and dashes; it must not be a number",
        name=name,
    )


def typable_name(text: str) -> str:
    """The text as the name of an entry: with a dash for each character that no name can have."""
    name = "".join(
        "-" if c in _UNTYPABLE or c.isspace() or not c.isprintable() else c for c in text
    )
    name = name.strip("-.")
    return name if not _PORTS.fullmatch(name) else "-".join(filter(None, ("model", name)))


def find_exact(registry: Registry, word: str) -> Optional[Entry]:
    """The entry with exactly this name, repo_id or model_id, case ignored; ModelAmbiguous for
    several.

    Verbs that stop, remove or change something do not accept parts of a name."""
    return registry.entries.get(word) or _only(_whole(registry, word), word)


def find_entry(registry: Registry, word: str) -> Optional[Entry]:
    """The entry with this name, repo_id or model_id, or with it as a unique part of one, case
    ignored.

    None if nothing matches; ModelAmbiguous for several matches."""
    return find_exact(registry, word) or _only(_parts(registry, word), word)


def _only(matches: List[Entry], word: str) -> Optional[Entry]:
    if len(matches) > 1:
        names = [e.name for e in matches]
        text = "%r could be %s" % (word, _several(names))
        raise ModelAmbiguous(text, "give the full name", matches=names, model=word)
    return matches[0] if matches else None


def _several(names: List[str]) -> str:
    more = len(names) - MAX_NAMES
    shown = [*names[:MAX_NAMES], "%d more" % more] if more > 0 else names
    return "%s or %s" % (", ".join(shown[:-1]), shown[-1])


def unknown_model(registry: Registry, word: str) -> ModelUnknown:
    """The error for a word without a match, with similar names; for a path, with the entry that is
    there."""
    if word.startswith(("/", "~/", "./", "../")):
        here = [e.name for e in registry.entries.values() if e.cache_path == normpath(word)]
        hint = "to add a folder of the host: " + mlxops_command("register", "--path", word)
        hint = "did you mean %s?" % here[0] if here else hint
        return ModelUnknown("no entry matches %r" % word, hint, model=word, near=here[:1])
    pieces = [pair for e in registry.entries.values() for pair in _pieces(e)]
    near = difflib.get_close_matches(word.lower(), [piece for piece, _ in pieces], n=3, cutoff=0.6)
    exact = list(dict.fromkeys(name for piece, name in pieces if piece in near))[:3]
    hint = (
        "did you mean %s?" % ", ".join(exact)
        if exact
        else "mlxops list, or give the full name, org/name, to download it"
    )
    return ModelUnknown("no entry matches %r" % word, hint, model=word, near=exact)


def require_entry(registry: Registry, word: str) -> Entry:
    """The entry that a word means; ModelUnknown, with similar names, if there is none."""
    entry = find_entry(registry, word)
    if entry is None:
        exc = unknown_model(registry, word)
        # Only load can download a model.
        raise exc if exc.fields["near"] else ModelUnknown(exc.message, "mlxops list", **exc.fields)
    return entry


def require_exact(registry: Registry, word: str) -> Entry:
    """The entry with exactly this name; ModelUnknown, with the names that contain it, if there is
    none."""
    entry = find_exact(registry, word)
    if entry is not None:
        return entry
    raise no_such_name(registry, word)


def no_such_name(registry: Registry, word: str, verb: str = "", port: object = "") -> ModelUnknown:
    """The error for a word that names no entry in full, with the names that it may stand for.
    `verb`, `port`: for the command to type if there is one such name."""
    parts = [e.name for e in _parts(registry, word)][:MAX_NAMES]
    unknown = unknown_model(registry, word)
    near = parts or list(unknown.fields["near"])
    hint = "did you mean %s?" % " or ".join(near) if near else "mlxops list"
    if verb == "load":
        one = mlxops_command(verb, near[0], port) if len(near) == 1 else ""
        hint = "did you mean %s" % one if one else hint if near else unknown.hint
    return ModelUnknown("no entry has the name %r" % word, hint, model=word, near=near)


def _whole(registry: Registry, word: str) -> List[Entry]:
    return [
        e for e in registry.entries.values() if word.lower() in [n.lower() for n in names_of(e)]
    ]


def _parts(registry: Registry, word: str) -> List[Entry]:
    # org/name is a full name, never a part: it may be a model that is not downloaded yet.
    if not word or is_repo_id(word):
        return []
    return [
        e for e in registry.entries.values() if any(word.lower() in n.lower() for n in names_of(e))
    ]


def _pieces(entry: Entry) -> List[Tuple[str, str]]:
    """(text to compare with, name to show), also for the parts of names: a typo in one part
    resembles that part, not the full name."""
    whole = [(name.lower(), name) for name in names_of(entry)]
    return whole + [(part, entry.name) for text, _ in whole for part in re.split(r"[/_.-]", text)]


def names_of(entry: Entry) -> Tuple[str, ...]:
    return tuple(n for n in (entry.name, entry.repo_id, entry.model_id) if n)
