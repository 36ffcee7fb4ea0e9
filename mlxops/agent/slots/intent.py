"""What should serve on each port: the model that the host file declares, or the entry that wants
the port. Pure."""

from __future__ import annotations

from typing import Dict, Iterable, List, Mapping, NamedTuple, Optional, Tuple

from ..errors import AssignmentConflict, MlxopsError, ModelAmbiguous, Usage, mlxops_command
from ..models.location import same_repo
from ..registry import resolve
from ..registry.entries import Entry, Registry
from ..site import Site

BOTH, DECLARED, WANTED = "both", "declared", "wanted"
# What ties one of several entries of a repository to a port.
_TIES = ("port", "wanted", "slot")


class PlanOptions(NamedTuple):
    """`ports`: those that may change; the others stand as they are. `to`: BOTH means what is
    declared, and where nothing is declared what is wanted.

    `prune`: unload servers that are neither. `evict`: unload servers to make room. `jobs`: steps at
    a time."""

    ports: Tuple[int, ...]
    to: str = BOTH
    prune: bool = False
    evict: bool = False
    jobs: int = 2


class Target(NamedTuple):
    """What should serve on one port. `declared`: the host file's org/name. `wanted`: the entry that
    wants the port. `source`: DECLARED or WANTED, "" if nothing should serve here.

    `model`: org/name or the name of the entry. `entry`: None if the registry has none for it.
    `problem`: why there is no such target. `declared_for`: where the wanted entry belongs
    instead."""

    declared: Optional[str] = None
    wanted: Optional[str] = None
    source: str = ""
    model: str = ""
    entry: Optional[Entry] = None
    problem: Optional[MlxopsError] = None
    declared_for: Optional[int] = None


def find_targets(site: Site, registry: Registry, options: PlanOptions) -> Dict[int, Target]:
    """port -> its target, for all ports of the host.

    Usage if a port of `options` declares what is not org/name, or the model of another port."""
    declared = {p: s.model for p, s in sorted(site.slots.items()) if s.model}
    entries = {p: _declared_entry(registry, p, word) for p, word in declared.items()}
    if options.to != WANTED:
        _require_models(registry, declared, options.ports)
        _require_one_port_each(declared, entries, options.ports)
    ports = sorted({*site.ports, *options.ports})
    targets = {p: _declared_target(registry, p, declared.get(p)) for p in ports}
    places = {e.name: p for p, e in entries.items() if isinstance(e, Entry)}
    return {
        p: _with_wanted(target, registry.wanting(p), places if options.to == BOTH else {}, options)
        for p, target in targets.items()
    }


def intent_warnings(site: Site, registry: Registry) -> List[str]:
    """A sentence for each entry that wants a port outside of the host's range."""
    return [
        "%s wants port %d, which is not a port of %s" % (entry.name, entry.wanted, site.name)
        for entry in registry.entries.values()
        if entry.wanted is not None and entry.wanted not in site.ports
    ]


def plan_warnings(site: Site, registry: Registry, entry: Entry) -> List[str]:
    """A sentence for each other model that is planned for the entry's slot."""
    if entry.slot is None:
        return []
    others = [e.name for e in registry.entries.values() if e.slot == entry.slot]
    others = [name for name in others if name != entry.name]
    declared = site.slots[entry.slot].model if entry.slot in site.slots else None
    if declared and not (same_repo(declared, entry.repo_id) or declared == entry.name):
        others.append("%s (the host file)" % declared)
    text = "port %d is planned for %s as well as for %s: only one can serve there"
    return [text % (entry.slot, other, entry.name) for other in others]


def is_local(registry: Registry, word: str) -> bool:
    """Whether the word is the name of an entry without a repository, which a slot can plan only by
    its name."""
    return word in registry.entries and not registry.entries[word].repo_id


def _declared_entry(registry: Registry, port: int, word: str) -> object:
    """The entry of a declared model, None without one, or the error if several could be meant.

    Of several, the one that is on the port, wants it, or has it as its slot."""
    if is_local(registry, word):
        return registry.entries[word]
    try:
        return resolve.find_exact(registry, word) if resolve.is_repo_id(word) else None
    except ModelAmbiguous as exc:
        names = exc.fields["matches"]
        entries = [registry.entries[name] for name in names]
        ranked = [[e for e in entries if getattr(e, key) == port] for key in _TIES]
        return next((some[0] for some in ranked if len(some) == 1), exc)


def _require_models(registry: Registry, declared: Mapping[int, str], ports: Iterable[int]) -> None:
    for port in ports:
        word = declared.get(port)
        if word is None or resolve.is_repo_id(word) or is_local(registry, word):
            continue
        near = _similar_models(registry, word)
        text = (
            "slots.%d.model is %r: a declared model is an org/name, or the entry of a local model"
        )
        text = text % (port, word)
        hint = "did you mean %s?" % ", ".join(near) if near else "mlxops list shows the models"
        raise Usage(text, hint, key=_key(port), model=word, near=near)


def _similar_models(registry: Registry, word: str) -> List[str]:
    """The repositories of the entries that the word may mean; the names of local ones."""
    try:
        entry = resolve.find_entry(registry, word)
    except ModelAmbiguous as exc:
        names = exc.fields["matches"][: resolve.MAX_NAMES]
    else:
        names = [entry.name] if entry else resolve.unknown_model(registry, word).fields["near"]
    near = [registry.entries[n] for n in names if n in registry.entries]
    words = [e.repo_id or e.name for e in near]
    return list(dict.fromkeys(w for w in words if resolve.is_repo_id(w) or is_local(registry, w)))


def _require_one_port_each(
    declared: Mapping[int, str], entries: Mapping[int, object], ports: Iterable[int]
) -> None:
    """Usage if one of these ports declares the same model, or the same entry, as another port."""
    for port in ports:
        same = [p for p in declared if port in declared and _same(declared, entries, p, port)]
        if len(same) > 1:
            keys = [_key(p) for p in same]
            raise Usage(
                "%s declare the same model, %s: a model serves on one port only"
                % (" and ".join(keys), declared[port]),
                "delete all of them but one in the host file",
                keys=keys,
                model=declared[port],
            )


def _same(declared: Mapping[int, str], entries: Mapping[int, object], one: int, other: int) -> bool:
    entry = entries[one]
    alike = isinstance(entry, Entry) and entry == entries[other]
    return alike or declared[one].lower() == declared[other].lower()


def _key(port: int) -> str:
    return "slots.%d.model" % port


def _declared_target(registry: Registry, port: int, word: Optional[str]) -> Target:
    if word is None:
        return Target()
    entry = _declared_entry(registry, port, word)
    return Target(
        declared=word,
        source=DECLARED,
        model=entry.name if isinstance(entry, Entry) else word,
        entry=entry if isinstance(entry, Entry) else None,
        problem=entry if isinstance(entry, MlxopsError) else None,
    )


def _with_wanted(
    target: Target, wanted: Tuple[Entry, ...], places: Mapping[str, int], options: PlanOptions
) -> Target:
    """The target with the entry that wants the port, which counts where nothing is declared, unless
    that entry is declared for another port."""
    target = target._replace(wanted=wanted[0].name if wanted else None)
    if options.to == DECLARED or (options.to == BOTH and target.source):
        return target
    target = Target(declared=target.declared, wanted=target.wanted)
    free = [entry for entry in wanted if entry.name not in places]
    if not free:
        return target._replace(declared_for=places[wanted[0].name] if wanted else None)
    problem = _two_want_it(free) if len(free) > 1 else None
    return target._replace(source=WANTED, model=free[0].name, entry=free[0], problem=problem)


def _two_want_it(entries: Iterable[Entry]) -> AssignmentConflict:
    names = [entry.name for entry in entries]
    port = next(iter(entries)).wanted
    return AssignmentConflict(
        "%s want the port, and one can have it" % " and ".join(names),
        "load the one that you want: %s" % mlxops_command("load", names[0], port),
        matches=names,
    )
