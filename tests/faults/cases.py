"""The verbs under fault: the state of the host before, the request, and what must hold
afterwards."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .agentcall import Ended
from .claims import cleared, complete, emptied, mended, taken_in
from .conducting import APPLY, PLAN, Rows, conducted, foreseen, unfinished
from .scene import DYING, FAR, MODELS, PAIR, Scene
from .standing import (
    LOST,
    away,
    before_pair,
    crowded,
    half_here,
    killed,
    paired,
    stand,
    to_exchange,
    to_fail,
    to_swap,
    unknown,
    untidy,
    without_spare,
)

UNANSWERED = re.compile("no answer: |does not answer HTTP: ")
Goal = Callable[[Scene], list[str]]


@dataclass(frozen=True)
class Case:
    """`goal`: where the state differs from what the verb promises, one sentence each. `claims`:
    whether a result claims complete success.

    `ends`: kinds of errors with which a repetition may end. `keeps`: ports that must still be
    served after a failed run; `endures`: ports that must still be served whatever happens to the
    disk. `told`: what is wrong with the output of the run, or with `status` after it. `elsewhere`:
    it works on ports that a repetition leaves to reconcile."""

    name: str
    verb: str
    args: Callable[[Scene], Mapping[str, Any]]
    arrange: Callable[[Scene], None]
    goal: Goal
    claims: Callable[[Any], bool] = bool
    ends: tuple[str, ...] = ()
    keeps: tuple[str, ...] = ()
    endures: tuple[str, ...] = ()
    spares_bystander: bool = True
    told: Callable[[Scene, Ended, Rows], list[str]] = lambda scene, ended, rows: []
    elsewhere: bool = False


def assigned(**wanted: str | None) -> Goal:
    """Goal: these models on these ports of the scene, and only the bystander on the others."""

    def look(scene: Scene) -> list[str]:
        names = {"bystander": "quiet", **wanted}
        expected = {getattr(scene, port): model for port, model in names.items() if model}
        return (
            []
            if scene.assigned() == expected
            else [f"assigned is {scene.assigned()}, not {expected}"]
        )

    return look


def _halves(count: int, work: str | None) -> Goal:
    """Goal: this number of ranks on the other host, and this model on the work port."""

    def look(scene: Scene) -> list[str]:
        ranks = scene.ranks()
        wrong = [f"the ranks there are {ranks}, not {count}"] if len(ranks) != count else []
        return assigned(work=work)(scene) + wrong

    return look


def _undone(scene: Scene) -> list[str]:
    """The previous model is back; if a killed run had already stopped it, nothing records it any
    more."""
    return assigned(work="amber")(scene) and assigned()(scene)


def _roomy(scene: Scene) -> list[str]:
    """It serves; each of the others is where it was or unloaded, because memory that cannot be
    observed is not counted."""
    return assigned(work="spare", **_kept(scene))(scene)


def _made_room(scene: Scene) -> list[str]:
    """As `_undone`, for all three ports."""
    work = "amber" if scene.work in scene.assigned() else None
    return assigned(work=work, **_kept(scene))(scene)


def _kept(scene: Scene) -> dict[str, str | None]:
    found = scene.assigned()
    return {
        "free": "mule" if scene.free in found else None,
        "next": "jade" if scene.next in found else None,
    }


def _evicted(scene: Scene, ended: Ended, rows: Rows) -> list[str]:
    """Every unloaded model serves again, or the command that loads it again is reported: by the
    run, or by status if the run was killed.

    A load that could read the free memory has made room. One killed after its last step is reported
    by its log."""
    over = ended.record is None and "ready_at" in (scene.models()["spare"].get("process") or {})
    said = {one["port"]: one for one in (ended.result or ended.error).get("evicted", ())}
    found = []
    for port, name in ((scene.free, "mule"), (scene.next, "jade")):
        here = [scene.name_of(server) for server in scene.servers() if server.port == port] == [
            name
        ]
        serves = here and (
            scene.assigned().get(port) == name or rows[port]["drift"] in ("orphan", "unrecorded")
        )
        words = str(rows[port]["reason"]) if ended.record is None else str(said.get(port))
        if not (serves or ended.cut or over) and f"mlxops load {name} {port}" not in words:
            found.append(f"{name} no longer serves on {port}, and nothing says so: {words}")
        if serves and ended.result and (ended.result["memory"] or {}).get("kv_bytes"):
            found.append(f"{name} serves on {port}, where there was no room for it: {ended.result}")
        if "'unloaded'" in words and scene.assigned().get(scene.work) != "spare":
            found.append(f"{name} was unloaded for nothing: {words}")
        if not serves and "serves again" in words:
            found.append(f"{name} does not serve on {port}, though it is said: {words}")
    return found


def _named(scene: Scene, found: Any) -> bool:
    return bool(found["unload"] == [scene.free, scene.next] or found["kept"])


def _short(scene: Scene, ended: Ended, rows: Rows) -> list[str]:
    """It does not fit, and the ports to unload are found, or the reason is reported; unless its
    config could not be read."""
    found = ended.result
    if found is None or found["kv_bytes"] is None or (not found["fits"] and _named(scene, found)):
        return []
    return [f"fits: {found['fits']}, unload: {found['unload']}, kept: {found['kept']}"]


def _unstored(scene: Scene) -> list[str]:
    stored = [path.name for path in scene.hub.glob(f"models--tiny--{FAR}*")]
    return assigned()(scene) + [f"{name} was stored" for name in stored]


def _verified(scene: Scene, ended: Ended, rows: Rows) -> list[str]:
    """Each port that serves something is reported, and no problem except that one of our requests
    failed."""
    found = {row["port"]: row for row in ended.result["ports"]} if ended.result else {}
    ours = (scene.work, scene.bystander) if found else ()
    checks = [(port, check) for port in ours if port in found for check in found[port]["checks"]]
    wrong = [
        (port, check)
        for port, check in checks
        if check["ok"] is False and not UNANSWERED.search(check["detail"])
    ]
    missing = [f"nothing is said of {port}" for port in ours if port not in found]
    return missing + [f"{port} is said to be wrong: {check}" for port, check in wrong]


def _all_known(scene: Scene) -> list[str]:
    missing = set(MODELS) - set(scene.models())
    return ([f"no entries for {missing}"] if missing else []) + assigned(work="amber")(scene)


def _spare(present: bool) -> Goal:
    word = "missing" if present else "still there"
    return lambda scene: (
        [] if ("spare" in scene.models()) == present else [f"the entry spare is {word}"]
    )


def _set(scene: Scene) -> list[str]:
    args = scene.models()["spare"].get("args")
    return [] if args == ["--queue-size", "7"] else [f"args are {args}"]


def _tidied(scene: Scene) -> list[str]:
    mode = (scene.folder / "state").stat().st_mode & 0o777
    return assigned(work="amber")(scene) + (
        [f"the state folder has mode {mode:o}"] if mode != 0o700 else []
    )


def _fetched(scene: Scene) -> list[str]:
    """Earlier losses stay where a full disk prevented reading the lock; doctor reports them."""
    parts = [
        path.name
        for path in scene.hub.glob("models--*/blobs/*.incomplete")
        if LOST not in path.name
    ]
    return assigned(free=FAR)(scene) + [f"left of a download: {name}" for name in parts]


def _look(
    verb: str,
    args: Callable[[Scene], Mapping[str, Any]] = lambda s: {},
    name: str = "",
    **more: Any,
) -> Case:
    """A verb that changes nothing."""
    return Case(
        name or verb, verb, args, lambda s: stand(s, work="amber"), assigned(work="amber"), **more
    )


def _load(model: str, port: str, evict: bool = False) -> Callable[[Scene], Mapping[str, Any]]:
    asked = {"model": model, "replace": True, "force": not evict, "evict": evict}
    return lambda scene: {**asked, "port": getattr(scene, port)}


def _apply(name: str, arrange: Callable[[Scene], None], goal: Goal, **more: Any) -> Case:
    """Goal: also nothing is left to do."""
    return Case(
        name,
        "apply",
        lambda s: APPLY,
        arrange,
        lambda s: goal(s) or unfinished(s),
        claims=complete,
        told=conducted,
        **more,
    )


CASES = {
    case.name: case
    for case in (
        Case("init", "init", lambda s: {}, unknown, _all_known, claims=taken_in),
        Case(
            "register",
            "register",
            lambda s: {"name": "spare", "repo": "tiny/spare"},
            without_spare,
            _spare(True),
        ),
        Case(
            "set",
            "set",
            lambda s: {"name": "spare", "changes": {"args": "--queue-size 7"}},
            stand,
            _set,
        ),
        Case(
            "remove",
            "remove",
            lambda s: {"name": "spare"},
            stand,
            _spare(False),
            ends=("ModelUnknown",),
        ),
        Case("load-fresh", "load", _load("jade", "free"), stand, assigned(free="jade")),
        Case(
            "load-swap",
            "load",
            _load("jade", "work"),
            lambda s: stand(s, work="amber"),
            assigned(work="jade"),
            keeps=("work",),
        ),
        Case(
            "load-failing",
            "load",
            _load(DYING, "work"),
            lambda s: stand(s, work="amber"),
            _undone,
            ends=("NotReady",),
            endures=("work",),
        ),
        Case(
            "unload",
            "unload",
            lambda s: {"port": s.work},
            lambda s: stand(s, work="amber"),
            assigned(),
        ),
        Case(
            "unload-all",
            "unload-all",
            lambda s: {},
            lambda s: stand(s, work="amber"),
            assigned(bystander=None),
            claims=emptied,
            spares_bystander=False,
        ),
        Case(
            "load-workers",
            "load",
            _load("ox", "work"),
            lambda s: stand(s, work="mule"),
            assigned(work="ox"),
            keeps=("work",),
        ),
        Case(
            "unload-worker",
            "unload",
            lambda s: {"port": s.work},
            lambda s: stand(s, work="mule"),
            assigned(),
        ),
        Case(
            "unload-all-workers",
            "unload-all",
            lambda s: {},
            lambda s: stand(s, work="mule", free="ox"),
            assigned(bystander=None),
            claims=emptied,
            spares_bystander=False,
        ),
        Case(
            "load-pair", "load", _load(PAIR, "work"), before_pair, _halves(1, PAIR), keeps=("work",)
        ),
        Case("unload-pair", "unload", lambda s: {"port": s.work}, paired, _halves(0, None)),
        Case("load-download", "load", _load(f"tiny/{FAR}", "free"), away, _fetched),
        Case("load-resume", "load", _load(f"tiny/{FAR}", "free"), half_here, _fetched),
        Case(
            "load-evict",
            "load",
            _load("spare", "work", evict=True),
            crowded,
            _roomy,
            keeps=("work", "free", "next"),
            told=_evicted,
            elsewhere=True,
        ),
        Case(
            "load-evict-failing",
            "load",
            _load(DYING, "work", evict=True),
            crowded,
            _made_room,
            ends=("NotReady",),
            endures=("work", "free", "next"),
            told=_evicted,
            elsewhere=True,
        ),
        Case(
            "fit",
            "fit",
            lambda s: {"model": "spare", "port": s.work},
            crowded,
            assigned(work="amber", free="mule", next="jade"),
            told=_short,
        ),
        Case("fit-hub", "fit", lambda s: {"model": f"tiny/{FAR}"}, away, _unstored),
        Case("reconcile", "reconcile", lambda s: {}, killed, assigned(), claims=cleared),
        Case("plan", "plan", lambda s: PLAN, to_swap, assigned(work="amber"), told=foreseen),
        _apply("apply", to_swap, assigned(work="jade", free="mule"), keeps=("work",)),
        _apply("apply-exchange", to_exchange, assigned(work="mule", free="amber")),
        Case(
            "apply-failing",
            "apply",
            lambda s: APPLY,
            to_fail,
            assigned(work="amber", free="mule"),
            claims=complete,
            endures=("work",),
            told=conducted,
        ),
        Case("doctor", "doctor", lambda s: {"fix": True}, untidy, _tidied, claims=mended),
        _look("status"),
        _look("list"),
        _look("jobs"),
        _look("lock"),
        _look("verify", told=_verified),
        _look("status", lambda s: {"deep": True}, "status-deep", told=_verified),
        _look("show", lambda s: {"what": "amber"}),
        _look("logs", lambda s: {"port": s.work, "lines": 20}),
    )
}
