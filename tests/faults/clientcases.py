"""The commands under fault: what is typed, how the host stands before, what must be true once it has been done."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from .cases import CASES, assigned, stand
from .scene import Scene

Arrange = Callable[[Scene], None]
Goal = Callable[[Scene], list[str]]


@dataclass(frozen=True)
class ClientCase:
    """`words`: the command line, with fields of the scene in braces.

    `undone`: what must be true after it was cancelled. `true`: the registry tells no lie before it. `wrong`: it is
    right to end with a complaint about this host.
    """

    name: str
    words: str
    arrange: Arrange
    goal: Goal
    undone: Goal | None = None
    ssh: bool = True
    true: bool = True
    wrong: bool = False

    def typed(self, scene: Scene) -> list[str]:
        """With --json: what is said on stdout is one document or nothing."""
        return ["--json", *self.words.format(work=scene.work, free=scene.free).split()]


def _served(scene: Scene) -> None:
    stand(scene, work="amber")


def _changing(name: str, words: str, undone: Goal | None = None, true: bool = True) -> Iterator[ClientCase]:
    """A verb that the agent's own faults know, by both ways."""
    for ssh in (False, True):
        full = f"{name} {'ssh' if ssh else 'local'}"
        yield ClientCase(full, words, CASES[name].arrange, CASES[name].goal, undone, ssh, true)


COMMANDS = {
    case.name: case
    for case in (
        *_changing("load-swap", "load jade {work} --replace", undone=assigned(work="amber")),
        *_changing("unload", "unload {work}"),
        *_changing("register", "register spare tiny/spare"),
        *_changing("reconcile", "reconcile", true=False),
        ClientCase("status", "status", _served, assigned(work="amber")),
        ClientCase("list", "list", _served, assigned(work="amber"), ssh=False),
        ClientCase("doctor", "doctor", _served, assigned(work="amber"), wrong=True),
        ClientCase("hosts", "hosts", stand, assigned(), ssh=False),
    )
}
