"""The commands under fault: what is typed, how the host stands before, what must be true once it has been done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .cases import CASES, assigned, stand
from .scene import Scene

Arrange = Callable[[Scene], None]
Goal = Callable[[Scene], list[str]]


@dataclass(frozen=True)
class ClientCase:
    """`words`: the command line, with fields of the scene in braces. `true`: the registry tells no lie before it."""

    name: str
    words: str
    arrange: Arrange
    goal: Goal
    ssh: bool = True
    true: bool = True

    def typed(self, scene: Scene) -> list[str]:
        """With --json: what is said on stdout is one document or nothing."""
        return ["--json", *self.words.format(work=scene.work, free=scene.free).split()]


def _swapped(scene: Scene) -> None:
    stand(scene, work="amber")


def _changing(name: str, words: str, ssh: bool = True, true: bool = True) -> ClientCase:
    """A verb that the agent's own faults know."""
    return ClientCase(f"{name} {'ssh' if ssh else 'local'}", words, CASES[name].arrange, CASES[name].goal, ssh, true)


SWAP = "load jade {work} --replace"
COMMANDS = {
    case.name: case
    for case in (
        _changing("load-swap", SWAP),
        _changing("load-swap", SWAP, ssh=False),
        _changing("unload", "unload {work}", ssh=False),
        _changing("register", "register spare tiny/spare"),
        _changing("reconcile", "reconcile", ssh=False, true=False),
        _changing("reconcile", "reconcile", true=False),
        ClientCase("status", "status", _swapped, assigned(work="amber")),
        ClientCase("list", "list", _swapped, assigned(work="amber"), ssh=False),
        ClientCase("doctor", "doctor", _swapped, assigned(work="amber")),
        ClientCase("hosts", "hosts", stand, assigned(), ssh=False),
    )
}
