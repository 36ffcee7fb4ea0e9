"""The state of a host before a fault."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from typing import Any

from tests.support.cramped import LARGE

from .scene import DYING, FAR, LIGHT, MODELS, PAIR, PEER, Scene

# The random part in the name of a download that cannot be resumed.
LOST = "0123abcd"
# The free memory of a machine with enough room.
SLACK_BYTES = 16 << 20


def stand(
    scene: Scene, work: str | None = None, free: str | None = None, beside: str | None = None
) -> None:
    """Servers on the requested ports, the bystander on its own, every model registered and nothing
    else."""
    wanted = {scene.work: work, scene.bystander: "quiet", scene.free: free, scene.next: beside}
    scene.declared = {}
    scene.memory.size(LARGE)
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
    halves = f"here=127.0.0.1 {PEER}=127.0.0.1"
    scene.must("set", name=PAIR, changes={"hosts": halves, "runtime": LIGHT})
    scene.plain = scene.models()


def _registered(scene: Scene) -> bool:
    return scene.registry_path.exists() and set(MODELS) - {"spare"} <= set(scene.models())


def _now(scene: Scene, port: int) -> tuple[str | None, str | None]:
    """The model assigned to a port, and the one really served there."""
    served = [scene.name_of(server) for server in scene.servers() if server.port == port]
    return scene.assigned().get(port), (
        served[0] if len(served) == 1 else ("several" if served else None)
    )


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


def before_pair(scene: Scene) -> None:
    """The other host is reachable, and nothing runs there."""
    scene.reach_peer()
    stand(scene, work="amber")


def paired(scene: Scene) -> None:
    """A complete model on two hosts."""
    scene.reach_peer()
    stand(scene, work=PAIR)
    if len(scene.ranks()) != 1:
        _bring(scene, scene.work, None)
        _bring(scene, scene.work, PAIR)


def killed(scene: Scene) -> None:
    """The server of the work port was killed unnoticed."""
    stand(scene, work="amber")
    for server in scene.servers():
        if server.port == scene.work:
            scene.kill(server.pid)


def unknown(scene: Scene) -> None:
    """Servers run, and the registry contains neither them nor any model."""
    stand(scene, work="amber")
    scene.write_registry({})


def untidy(scene: Scene) -> None:
    """Other users may read the state folder."""
    stand(scene, work="amber")
    (scene.folder / "state").chmod(0o755)


def without_spare(scene: Scene) -> None:
    stand(scene)
    scene.write_registry(
        {name: fields for name, fields in scene.models().items() if name != "spare"}
    )


def away(scene: Scene) -> None:
    """One model exists only on the Hub."""
    stand(scene)
    for place in (scene.hub, scene.hub / ".locks"):
        shutil.rmtree(place / f"models--tiny--{FAR}", ignore_errors=True)


def half_here(scene: Scene) -> None:
    """A download of it was killed: everything except the weights has arrived, and a useless part of
    these."""
    away(scene)
    here = scene.hub / f"models--tiny--{FAR}"
    shutil.copytree(scene.remote.root / here.name, here, symlinks=True)
    shutil.rmtree(here / "refs")
    for link in here.glob("snapshots/*/model.safetensors"):
        blob = link.resolve()
        blob.with_name(f"{blob.name}.{LOST}.incomplete").write_bytes(blob.read_bytes()[:1000])
        blob.unlink()
        link.unlink()


def crowded(scene: Scene) -> None:
    """No other model fits, unless two ports are unloaded in addition to the work port."""
    stand(scene, work="amber", free="mule", beside="jade")
    found = scene.must("fit", model="spare", port=scene.work)
    scene.memory.size(found["need_bytes"] + found["held_bytes"][str(scene.bystander)] + SLACK_BYTES)


def to_swap(scene: Scene) -> None:
    """Another model is declared for a port that serves, and one for a free port."""
    stand(scene, work="amber")
    scene.declared = {scene.work: "jade", scene.free: "mule"}


def to_fail(scene: Scene) -> None:
    """As to_swap, but the model for the port that serves cannot start."""
    stand(scene, work="amber")
    scene.declared = {scene.work: DYING, scene.free: "mule"}


def to_exchange(scene: Scene) -> None:
    """Two models are declared for each other's port."""
    stand(scene, work="amber", free="mule")
    scene.declared = {scene.work: "mule", scene.free: "amber"}
