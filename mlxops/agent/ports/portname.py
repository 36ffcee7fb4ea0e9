"""Resolve a word to a port, or to the entry on a port.

A port has a number, and may have a slot's name; the name of an entry stands for the port that it is
on. A word with two meanings is refused, so that no server is stopped by mistake."""

from __future__ import annotations

import difflib
import os
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Tuple, Union

from ..context import Context
from ..errors import ModelAmbiguous, ModelUnknown, RegistryInvalid, Usage, mlxops_command
from ..jobs import reservations
from ..models.location import folder_identity, missing_reason
from ..registry import resolve
from ..registry.entries import EMPTY, Entry, Registry
from ..registry.init_plan import free_name
from ..site import Site, Slot

# These also accept a part of a name, if it stands for one port.
READ_VERBS = ("status", "verify", "logs", "show", "fit", "jobs", "follow", "history")
# For these, an entry whose server is gone stands for the port that it wants.
INCLUDES_LOST = (
    "status",
    "verify",
    "logs",
    "show",
    "jobs",
    "history",
    "unload",
    "restart",
    "plan",
    "apply",
)
PLAN_VERBS = ("plan", "apply")
# For these, the name of an entry that is not loaded never means a port where another model is
# loaded.
STOP_VERBS = ("unload", "cancel", "restart", "show")
# verb -> the argument where a port stands for the entry on it, or where a port is refused
ENTRY_ARGUMENTS: Mapping[str, str] = {"set": "name", "fit": "model"}
NAMES_ONLY: Mapping[str, str] = {"remove": "name", "rename": "name", "load": "model"}
# Arguments that may be the path of an entry's folder.
WORD_KEYS = ("port", "name", "model", "what")
MAX_SUGGESTIONS = 3
MAX_WORD_LENGTH = 200
COMMANDS: Mapping[str, Tuple[str, ...]] = {
    "follow": ("jobs", "--follow"),
    "plan": ("apply", "--dry-run"),
}


def resolve_words(ctx: Context, verb: str, args: Mapping[str, Any]) -> Dict[str, Any]:
    """The arguments of a verb with words replaced by ports. `word`: what was typed for `port`;
    `words`: port -> what was typed for it."""
    args = {key: _without_path(ctx, verb, key, value) for key, value in args.items()}
    done = dict(args)
    if isinstance(args.get("port"), str):
        before = [args["model"]] if verb in ("load", "fit") else []
        done.update(port=PortResolver(ctx, verb, before).resolve(args["port"]), word=args["port"])
    if isinstance(args.get("ports"), list):
        resolver = PortResolver(ctx, verb)
        words = {
            (resolver.resolve(one) if isinstance(one, str) else one): one for one in args["ports"]
        }
        done["ports"] = list(words)
        done["words"] = {port: word for port, word in words.items() if isinstance(word, str)}
    key = ENTRY_ARGUMENTS.get(verb) or NAMES_ONLY.get(verb)
    if key and isinstance(args.get(key), str):
        done[key] = _entry_word(ctx, verb, args[key])
    return done


def _without_path(ctx: Context, verb: str, key: str, value: Any) -> Any:
    """The value of an argument, with the names of entries in place of their folders."""
    if key == "ports" and isinstance(value, list):
        return [_without_path(ctx, verb, "port", one) for one in value]
    if key not in WORD_KEYS or verb == "register" or not isinstance(value, str):
        return value
    is_path = "/" in value and value.startswith(("/", "~", "."))
    return _entry_at(ctx, value).name if is_path else value


def _entry_at(ctx: Context, word: str) -> Entry:
    """The entry of the folder that a path leads to, however it spells it; ModelUnknown for none."""
    path = os.path.abspath(os.path.expanduser(word))
    folder, registry = folder_identity(path), ctx.store.read_or_empty()[0]
    # A registry edited by hand may have a name that looks like a path.
    if word in registry.entries:
        return registry.entries[word]
    found = [e for e in registry.entries.values() if folder_identity(e.cache_path) == folder]
    if len(found) > 1:
        names = [entry.name for entry in found]
        text = "the entries %s have the folder %s" % (" and ".join(names), path)
        raise ModelAmbiguous(text, "give the name", matches=names, model=word)
    if not found:
        gone = missing_reason(path)
        hint = "mlxops list" if gone else mlxops_command("register", "--path", path)
        text = "no entry has the folder %s%s" % (path, " (%s)" % gone if gone else "")
        raise ModelUnknown(text, hint, model=word, near=[])
    report_meaning(ctx, word, found[0].name)
    return found[0]


def _entry_word(ctx: Context, verb: str, word: str) -> str:
    """The word, or the name of the entry on the port that it means; Usage where that is refused."""
    port = _port_or_slot(ctx.site, word)
    if port is None:
        return word
    registry, fault = ctx.store.read_or_empty()
    named = None if fault else resolve.find_exact(registry, word)
    there = registry.holders(port) or registry.lost(port)
    if fault or named is not None:
        if named is not None and verb in ENTRY_ARGUMENTS and not word.isdecimal():
            _refuse_two_entries(verb, word, named, port, there)
        return word
    what = "%s is %s, not a model" % (word, "a port" if word.isdecimal() else "port %d" % port)
    if len(there) != 1:
        raise Usage("%s, and no model is loaded there" % what, "mlxops list", word=word)
    name = there[0].name
    if verb in ENTRY_ARGUMENTS:
        report_meaning(ctx, word, name)
        return name
    more = ["PORT"] if verb == "load" else ["NEW"] if verb == "rename" else []
    hint = mlxops_command(verb, name, *more)
    raise Usage("%s; the model there is %s" % (what, name), hint, word=word, entry=name)


def _refuse_two_entries(
    verb: str, word: str, named: Entry, port: int, there: Tuple[Entry, ...]
) -> None:
    """ModelAmbiguous for the name of a slot where another model is, and of an entry."""
    if not there or named.name in [entry.name for entry in there]:
        return
    text = "%r is an entry, and the slot of port %d, where %s is" % (word, port, there[0].name)
    other = mlxops_command(verb, there[0].name)
    hint = "%s (the model on %d)" % (other, port)
    if named.repo_id and named.repo_id != word:
        hint = "%s (the entry) or %s" % (mlxops_command(verb, named.repo_id), hint)
    raise ModelAmbiguous(text, hint, word=word, entry=named.name, slot_port=port)


def _port_or_slot(site: Site, word: str) -> Optional[int]:
    if word.isascii() and word.isdecimal() and len(word) <= 5 and int(word) in site.ports:
        return int(word)
    slot = find_slot(site, word)
    return slot.port if slot else None


def report_meaning(ctx: Context, word: str, meaning: str) -> None:
    """Tell the user what a word was taken for, if that is not the word itself."""
    ctx.client.emit("note", message="%s is taken as %s" % (word[:MAX_WORD_LENGTH], meaning))


class Place(NamedTuple):
    """A name of a slot or an entry, and its port."""

    name: str
    port: int


class PortResolver:
    """Resolves words for one verb. `before`: its arguments before the port, for hints."""

    def __init__(
        self, ctx: Context, verb: str, before: Union[List[Any], Tuple[Any, ...]] = ()
    ) -> None:
        self._ctx, self._verb, self._before = ctx, verb, tuple(before)
        self._loading: Optional[Dict[str, int]] = None

    def resolve(self, word: str, registry: Optional[Registry] = None) -> int:
        """The port. Raises Usage for an unknown word, ModelAmbiguous for one with two meanings."""
        site = self._ctx.site
        if word.isascii() and word.isdecimal() and len(word) <= 5:
            return site.require_port(int(word))
        slot = find_slot(site, word)
        try:
            known = self._ctx.store.read() if registry is None else registry
        except RegistryInvalid as exc:
            if slot is None or self._verb not in READ_VERBS:
                if slot is not None and self._verb == "unload":
                    exc.hint += "; without the registry: %s" % self._typed(slot.port)
                raise
            known = EMPTY
        entry = resolve.find_exact(known, word)
        if slot is None:
            return self._of_entry(word, entry, known)
        if entry is not None:
            self._refuse_two(word, slot, entry, known)
        return slot.port

    def _of_entry(self, word: str, entry: Optional[Entry], registry: Registry) -> int:
        if entry is None:
            declared = self._declared_port(word)
            return self._of_part(word, registry) if declared is None else declared
        there = self._port_of(entry, registry)
        if there is None:
            raise self._not_loaded(word, entry)
        return self._ctx.site.require_port(there)

    def _port_of(self, entry: Entry, registry: Registry) -> Optional[int]:
        """The port that an entry is on, or is being loaded on; for some verbs also the free port
        that it wants; for a plan, the one for which its model is declared."""
        declared = self._declared_port(entry.repo_id or entry.name)
        if declared is not None:
            return declared
        if self._loading is None:
            self._loading = reservations.loading_entries(self._ctx)
        there = entry.port if entry.port is not None else self._loading.get(entry.name)
        if there is not None or self._verb not in INCLUDES_LOST or entry.wanted is None:
            return there
        return None if registry.holders(entry.wanted) else entry.wanted

    def _declared_port(self, repo_id: str) -> Optional[int]:
        if self._verb not in PLAN_VERBS or not repo_id:
            return None
        slots = self._ctx.site.slots.values()
        ports = [slot.port for slot in slots if (slot.model or "").lower() == repo_id.lower()]
        return ports[0] if len(ports) == 1 else None

    def _not_loaded(self, word: str, entry: Entry) -> Usage:
        planned = entry.slot if entry.slot in self._ctx.site.ports else None
        hint = "to load it: %s" % mlxops_command("load", entry.name, planned or "PORT")
        text = "%s is not loaded on any port" % entry.name
        return Usage(text, hint, port=word, entry=entry.name)

    def _of_part(self, word: str, registry: Registry) -> int:
        """The port that part of a name stands for; Usage if the verb wants full names, or if there
        are several."""
        places = self._places(registry)
        short = word.lower()
        found = {places[name].port: places[name] for name in places if short in name.lower()}
        if not short or len(found) != 1 or self._verb not in READ_VERBS or "/" in word:
            raise self._unknown(word, places)
        place = next(iter(found.values()))
        report_meaning(self._ctx, word, "%s (port %d)" % place)
        return place.port

    def _places(self, registry: Registry) -> Dict[str, Place]:
        """Every name that stands for a port: of slots, of entries on ports, and of their models."""
        site = self._ctx.site
        places = {slot.name: Place(slot.name, slot.port) for slot in site.slots.values()}
        for entry in registry.entries.values():
            port = self._port_of(entry, registry)
            if port is not None and port in site.ports:
                place = Place(entry.name, port)
                places.update({name: place for name in resolve.names_of(entry)})
        return places

    def _refuse_two(self, word: str, slot: Slot, entry: Entry, registry: Registry) -> None:
        there = self._port_of(entry, registry)
        if there == slot.port:
            return
        others = [e.name for e in registry.holders(slot.port)]
        if there is None and not (others and self._verb in STOP_VERBS):
            return
        where = "loaded on port %d" % there if there else "not loaded"
        holds = " (%s is loaded there)" % ", ".join(others) if others else ""
        text = "%r is the slot of port %d%s and an entry that is %s" % (
            word,
            slot.port,
            holds,
            where,
        )
        hint = "%s (slot %s)" % (self._typed(slot.port), slot.name)
        if there:
            hint += " or %s (where the entry %s serves)" % (self._typed(there), entry.name)
        elif self._verb == "show" and entry.repo_id and entry.repo_id != word:
            hint += " or %s (the entry)" % self._typed(entry.repo_id)
        raise ModelAmbiguous(
            text, hint, word=word, slot_port=slot.port, entry=entry.name, entry_port=there
        )

    def _typed(self, what: object) -> str:
        return mlxops_command(*COMMANDS.get(self._verb, (self._verb,)), *self._before, what)

    def _unknown(self, word: str, places: Mapping[str, Place]) -> Usage:
        site = self._ctx.site
        text = "no port, slot or loaded entry %r on %s" % (word[:MAX_WORD_LENGTH], site.name)
        near = list(dict.fromkeys(places[name] for name in similar_names(word, places)))
        near = near[:MAX_SUGGESTIONS]
        named = " or ".join("%s (%d)" % place for place in near)
        hint = "did you mean %s?" % named if near else "mlxops status"
        return Usage(text, hint, port=word[:MAX_WORD_LENGTH], near=[place.name for place in near])


def find_slot(site: Site, word: str) -> Optional[Slot]:
    """The slot of this name; case only matters if two names differ by it."""
    exact = [slot for slot in site.slots.values() if slot.name == word]
    alike = exact or [slot for slot in site.slots.values() if slot.name.lower() == word.lower()]
    return alike[0] if len(alike) == 1 else None


class Namesake(NamedTuple):
    """An entry with the name of a slot. `ambiguous`: the two now stand for different ports."""

    entry: Entry
    slot: Slot
    ambiguous: bool
    fix: str

    @property
    def warning(self) -> str:
        text = "the entry %s has the name of the slot of port %d: commands refuse that name"
        return "%s (%s)" % (text % (self.entry.name, self.slot.port), self.fix)


def namesakes(site: Site, registry: Registry) -> List[Namesake]:
    """The entries that are called like a slot."""
    found = []
    for entry in registry.entries.values():
        slot = find_slot(site, entry.name)
        if slot is None:
            continue
        others = [e.name for e in registry.holders(slot.port) if e.name != entry.name]
        place = entry.port if entry.port is not None else entry.wanted
        ambiguous = place not in (None, slot.port) or bool(others)
        new = free_name(registry, entry.repo_id or entry.name + "-model", site.slot_names)
        fix = mlxops_command("rename", entry.name, new)
        found.append(Namesake(entry=entry, slot=slot, ambiguous=ambiguous, fix=fix))
    return found


def similar_names(word: str, names: Mapping[str, Any]) -> List[str]:
    """The names that contain the word or are spelled almost like it, the most alike first."""
    short = word[:MAX_WORD_LENGTH].lower()
    begun = [name for name in names if short and name.lower().startswith(short)]
    inside = [name for name in names if short and short in name.lower()]
    spelled = {name.lower(): name for name in names}
    close = difflib.get_close_matches(short, spelled, n=MAX_SUGGESTIONS, cutoff=0.7)
    near = dict.fromkeys([*begun, *inside, *(spelled[one] for one in close)])
    return list(near)
