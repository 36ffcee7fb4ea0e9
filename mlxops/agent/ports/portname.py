"""Resolve a word to a port: the name of a slot, or of an entry that is loaded.

A word with two meanings is refused, so that no server is stopped by mistake."""

from __future__ import annotations

import difflib
from typing import Any, Dict, List, Mapping, Optional, Tuple, Union

from ..context import Context
from ..errors import ModelAmbiguous, RegistryInvalid, Usage, mlxops_command
from ..jobs import reservations
from ..registry import resolve
from ..registry.entries import Entry, Registry
from ..site import Site, Slot

READ_VERBS = ("status", "verify", "logs", "show", "fit", "jobs", "follow")
# For these, the name of an entry that is not loaded never means a port where another model is
# loaded.
STOP_VERBS = ("unload", "restart", "cancel", "show")
MAX_SUGGESTIONS = 3
MAX_WORD_LENGTH = 200


def resolve_ports(ctx: Context, verb: str, args: Mapping[str, Any]) -> Dict[str, Any]:
    """The arguments of a verb with words replaced by ports. `word`: what was typed for `port`;
    `words`: port -> what was typed for it."""
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
    return done


class PortResolver:
    """Resolves words for one verb. `before`: its arguments before the port, for hints."""

    def __init__(
        self, ctx: Context, verb: str, before: Union[List[Any], Tuple[Any, ...]] = ()
    ) -> None:
        self._ctx, self._verb, self._before = ctx, verb, tuple(before)

    def resolve(self, word: str, registry: Optional[Registry] = None) -> int:
        """The port. Raises Usage for an unknown word, ModelAmbiguous for one with two meanings."""
        site = self._ctx.site
        if word.isascii() and word.isdecimal() and len(word) <= 5:
            return site.require_port(int(word))
        slot = find_slot(site, word)
        entry = self._entry(word, slot, registry)
        if slot is None:
            return self._of_entry(word, entry, registry)
        if entry is not None:
            self._refuse_two(word, slot, entry, registry)
        return slot.port

    def _read(self, registry: Optional[Registry]) -> Registry:
        return self._ctx.store.read() if registry is None else registry

    def _entry(
        self, word: str, slot: Optional[Slot], registry: Optional[Registry]
    ) -> Optional[Entry]:
        try:
            return resolve.find_exact(self._read(registry), word)
        except RegistryInvalid:
            if slot is None or self._verb not in READ_VERBS:
                raise
            return None

    def _of_entry(self, word: str, entry: Optional[Entry], registry: Optional[Registry]) -> int:
        if entry is None:
            raise self._unknown(word, self._read(registry))
        there = current_port(self._ctx, entry)
        if there is None:
            raise Usage(
                "%s is not loaded on any port" % entry.name,
                "mlxops status",
                port=word,
                entry=entry.name,
            )
        return self._ctx.site.require_port(there)

    def _refuse_two(
        self, word: str, slot: Slot, entry: Entry, registry: Optional[Registry]
    ) -> None:
        there = current_port(self._ctx, entry)
        if there == slot.port:
            return
        others = [e.name for e in self._read(registry).holders(slot.port)]
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
        return mlxops_command(self._verb, *self._before, what)

    def _unknown(self, word: str, registry: Registry) -> Usage:
        site = self._ctx.site
        loaded = {e.name: e.port for e in registry.entries.values() if e.port in site.ports}
        known = {**loaded, **{slot.name: slot.port for slot in site.slots.values()}}
        text = "no port, slot or loaded entry %r on %s" % (word[:MAX_WORD_LENGTH], site.name)
        near = similar_names(word, known)
        hint = (
            "did you mean %s?" % ", ".join("%s (%d)" % (n, known[n] or 0) for n in near)
            if near
            else "mlxops status"
        )
        return Usage(text, hint, port=word[:MAX_WORD_LENGTH], near=near)


def find_slot(site: Site, word: str) -> Optional[Slot]:
    """The slot of this name; case only matters if two names differ by it."""
    exact = [slot for slot in site.slots.values() if slot.name == word]
    alike = exact or [slot for slot in site.slots.values() if slot.name.lower() == word.lower()]
    return alike[0] if len(alike) == 1 else None


def current_port(ctx: Context, entry: Entry) -> Optional[int]:
    """The port that an entry is on, or is being loaded on."""
    return (
        entry.port if entry.port is not None else reservations.loading_entries(ctx).get(entry.name)
    )


def similar_names(word: str, names: Mapping[str, Any]) -> List[str]:
    """A few names that start with the word or are spelled almost like it."""
    short = word[:MAX_WORD_LENGTH].lower()
    begun = [name for name in names if short and name.lower().startswith(short)]
    spelled = {name.lower(): name for name in names}
    close = difflib.get_close_matches(short, spelled, n=MAX_SUGGESTIONS, cutoff=0.7)
    return list(dict.fromkeys([*begun, *(spelled[one] for one in close)]))[:MAX_SUGGESTIONS]
