"""The verbs under fault: how the host stands before, what is asked, what must be true once it has been done."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .scene import DYING, FAR, MODELS, Scene

# The random part in the name of a download that nobody can resume.
LOST = "0123abcd"


@dataclass(frozen=True)
class Case:
    """`goal`: what is not as the verb promises, a sentence each. `claims`: whether a result says it was all done.

    `ends`: kinds of errors with which a repetition may rightly end. `keeps`: a failed run leaves the work port served.
    """

    name: str
    verb: str
    args: Callable[[Scene], Mapping[str, Any]]
    arrange: Callable[[Scene], None]
    goal: Callable[[Scene], list[str]]
    claims: Callable[[Any], bool] = bool
    ends: tuple[str, ...] = ()
    keeps: bool = False
    spares_bystander: bool = True


def stand(scene: Scene, work: str | None = None, free: str | None = None) -> None:
    """Servers on the ports as wished, the bystander on its own, every model registered and nothing else."""
    wanted = {scene.work: work, scene.bystander: "quiet", scene.free: free}
    if not _registered(scene):
        scene.clear()
        begin(scene)
    elif "spare" not in scene.models():
        scene.write_registry({**scene.models(), "spare": scene.plain["spare"]})
    for port, model in wanted.items():
        if _now(scene, port) != (model, model):
            _bring(scene, port, model)
    fields = scene.models()
    scene.write_registry({n: {**scene.plain[n], **_served(fields[n])} for n in MODELS})
    scene.forget()


def begin(scene: Scene) -> None:
    """An empty host with every model registered."""
    for path in scene.hub.glob("registry*"):
        path.unlink()
    for name in MODELS:
        scene.must("register", name=name, repo=f"tiny/{name}")
    scene.plain = scene.models()


def _registered(scene: Scene) -> bool:
    return scene.registry_path.exists() and set(MODELS) - {"spare"} <= set(scene.models())


def _now(scene: Scene, port: int) -> tuple[str | None, str | None]:
    """The model assigned to a port, and the one really served there."""
    served = [scene.name_of(server) for server in scene.servers() if server.port == port]
    return scene.assigned().get(port), (served[0] if len(served) == 1 else ("several" if served else None))


def _bring(scene: Scene, port: int, model: str | None) -> None:
    if model is None:
        scene.must("unload", port=port)
        return
    there = {name: at for at, name in scene.assigned().items()}.get(model)
    if there not in (None, port):
        scene.must("unload", port=there)
    scene.must("load", model=model, port=port, replace=True, force=True)


def _served(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {key: fields[key] for key in ("port", "process") if key in fields}


def killed(scene: Scene) -> None:
    """The work port's server has died unseen."""
    stand(scene, work="amber")
    for server in scene.servers():
        if server.port == scene.work:
            scene.kill(server.pid)


def unknown(scene: Scene) -> None:
    """Servers run, and the registry knows neither them nor any model."""
    stand(scene, work="amber")
    scene.write_registry({})


def untidy(scene: Scene) -> None:
    """Others may look into the state folder."""
    stand(scene, work="amber")
    (scene.folder / "state").chmod(0o755)


def without_spare(scene: Scene) -> None:
    stand(scene)
    scene.write_registry({name: fields for name, fields in scene.models().items() if name != "spare"})


def away(scene: Scene) -> None:
    """One model is on the Hub only."""
    stand(scene)
    for place in (scene.hub, scene.hub / ".locks"):
        shutil.rmtree(place / f"models--tiny--{FAR}", ignore_errors=True)


def half_here(scene: Scene) -> None:
    """A download of it was killed: all but the weights has come, and of these there is a useless part."""
    away(scene)
    here = scene.hub / f"models--tiny--{FAR}"
    shutil.copytree(scene.remote.root / here.name, here, symlinks=True)
    shutil.rmtree(here / "refs")
    for link in here.glob("snapshots/*/model.safetensors"):
        blob = link.resolve()
        blob.with_name(f"{blob.name}.{LOST}.incomplete").write_bytes(blob.read_bytes()[:1000])
        blob.unlink()
        link.unlink()


def assigned(**wanted: str | None) -> Callable[[Scene], list[str]]:
    """Goal: these models on these ports of the scene, and nothing on its others but the bystander."""

    def look(scene: Scene) -> list[str]:
        names = {"bystander": "quiet", **wanted}
        expected = {getattr(scene, port): model for port, model in names.items() if model}
        return [] if scene.assigned() == expected else [f"assigned is {scene.assigned()}, not {expected}"]

    return look


def _undone(scene: Scene) -> list[str]:
    """The model before is back; one that a killed run had stopped already is known to nobody any more."""
    return assigned(work="amber")(scene) and assigned()(scene)


def _all_known(scene: Scene) -> list[str]:
    missing = set(MODELS) - set(scene.models())
    return ([f"no entries for {missing}"] if missing else []) + assigned(work="amber")(scene)


def _spare(present: bool) -> Callable[[Scene], list[str]]:
    word = "missing" if present else "still there"
    return lambda scene: [] if ("spare" in scene.models()) == present else [f"the entry spare is {word}"]


def _set(scene: Scene) -> list[str]:
    args = scene.models()["spare"].get("args")
    return [] if args == ["--queue-size", "7"] else [f"args are {args}"]


def _tidied(scene: Scene) -> list[str]:
    mode = (scene.folder / "state").stat().st_mode & 0o777
    return assigned(work="amber")(scene) + ([f"the state folder has mode {mode:o}"] if mode != 0o700 else [])


def _fetched(scene: Scene) -> list[str]:
    """What was lost before stays where a full disk kept everybody from looking at its lock; doctor tells of it."""
    parts = [path.name for path in scene.hub.glob("models--*/blobs/*.incomplete") if LOST not in path.name]
    return assigned(free=FAR)(scene) + [f"left of a download: {name}" for name in parts]


def _emptied(result: Any) -> bool:
    """Every port but the stranger's."""
    return sum(not row["ok"] for row in result["ports"]) <= 1


def _taken_in(result: Any) -> bool:
    """All models, and nothing that could not be seen."""
    added = {action["entry"] for action in result["actions"] if action["action"] == "add"}
    return added >= set(MODELS) and not result["drift"]


def _cleared(result: Any) -> bool:
    return any(action["action"] == "clear" and action["applied"] for action in result["actions"])


def _mended(result: Any) -> bool:
    return any(action["applied"] for action in result["actions"])


def _look(verb: str, args: Callable[[Scene], Mapping[str, Any]] = lambda s: {}) -> Case:
    """A verb that changes nothing."""
    return Case(verb, verb, args, lambda s: stand(s, work="amber"), assigned(work="amber"))


def _load(model: str, port: str) -> Callable[[Scene], Mapping[str, Any]]:
    return lambda scene: {"model": model, "port": getattr(scene, port), "replace": True, "force": True}


CASES = {
    case.name: case
    for case in (
        Case("init", "init", lambda s: {}, unknown, _all_known, claims=_taken_in),
        Case("register", "register", lambda s: {"name": "spare", "repo": "tiny/spare"}, without_spare, _spare(True)),
        Case("set", "set", lambda s: {"name": "spare", "changes": {"args": "--queue-size 7"}}, stand, _set),
        Case("remove", "remove", lambda s: {"name": "spare"}, stand, _spare(False), ends=("ModelUnknown",)),
        Case("load-fresh", "load", _load("jade", "free"), stand, assigned(free="jade")),
        Case("load-swap", "load", _load("jade", "work"), lambda s: stand(s, work="amber"), assigned(work="jade"),
             keeps=True),
        Case("load-failing", "load", _load(DYING, "work"), lambda s: stand(s, work="amber"), _undone,
             ends=("NotReady",)),
        Case("unload", "unload", lambda s: {"port": s.work}, lambda s: stand(s, work="amber"), assigned()),
        Case("unload-all", "unload-all", lambda s: {}, lambda s: stand(s, work="amber"), assigned(bystander=None),
             claims=_emptied, spares_bystander=False),
        Case("load-workers", "load", _load("ox", "work"), lambda s: stand(s, work="mule"), assigned(work="ox"),
             keeps=True),
        Case("unload-worker", "unload", lambda s: {"port": s.work}, lambda s: stand(s, work="mule"), assigned()),
        Case("unload-all-workers", "unload-all", lambda s: {}, lambda s: stand(s, work="mule", free="ox"),
             assigned(bystander=None), claims=_emptied, spares_bystander=False),
        Case("load-download", "load", _load(f"tiny/{FAR}", "free"), away, _fetched),
        Case("load-resume", "load", _load(f"tiny/{FAR}", "free"), half_here, _fetched),
        Case("reconcile", "reconcile", lambda s: {}, killed, assigned(), claims=_cleared),
        Case("doctor", "doctor", lambda s: {"fix": True}, untidy, _tidied, claims=_mended),
        _look("status"), _look("list"), _look("jobs"), _look("lock"),
        _look("show", lambda s: {"what": "amber"}), _look("logs", lambda s: {"port": s.work, "lines": 20}),
    )
}  # fmt: skip
