"""The commands under fault: the command line, the state of the host before, and what must hold
afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from .cases import CASES, assigned
from .scene import Scene
from .standing import stand

Arrange = Callable[[Scene], None]
Goal = Callable[[Scene], list[str]]


@dataclass(frozen=True)
class ClientCase:
    """`words`: the command line, with fields of the scene in braces.

    `undone`: what must hold after it was cancelled. `true`: the registry states nothing false
    before it. `wrong`: ending with a complaint about this host is correct. `undoing_s`: time limit
    for the rollback."""

    name: str
    words: str
    arrange: Arrange
    goal: Goal
    undone: Goal | None = None
    ssh: bool = True
    true: bool = True
    wrong: bool = False
    undoing_s: float = 20.0

    def typed(self, scene: Scene) -> list[str]:
        """With --json: stdout must be one document or empty."""
        ports = {"work": scene.work, "free": scene.free, "bystander": scene.bystander}
        return ["--json", *self.words.format(**ports).split()]


def _served(scene: Scene) -> None:
    stand(scene, work="amber")


def _changing(
    name: str, words: str, undone: Goal | None = None, **more: Any
) -> Iterator[ClientCase]:
    """A verb from the agent's fault cases, over both ways to the host."""
    yield from _both(name, words, CASES[name].arrange, CASES[name].goal, undone=undone, **more)


def _both(name: str, words: str, arrange: Arrange, goal: Goal, **more: Any) -> Iterator[ClientCase]:
    for ssh in (False, True):
        yield ClientCase(
            f"{name} {'ssh' if ssh else 'local'}", words, arrange, goal, ssh=ssh, **more
        )


COMMANDS = {
    case.name: case
    for case in (
        *_changing("load-swap", "load jade {work} --replace", undone=assigned(work="amber")),
        *_changing("unload", "unload {work}"),
        *_changing("register", "register spare tiny/spare"),
        *_changing(
            "load-evict",
            "load spare {work} --replace --evict",
            undoing_s=50.0,
            undone=assigned(work="amber", free="mule", next="jade"),
        ),
        *_both("fit", "fit spare {work}", _served, assigned(work="amber")),
        *_both("verify", "verify {work} {bystander}", _served, assigned(work="amber")),
        *_changing("reconcile", "reconcile", true=False),
        ClientCase("status", "status", _served, assigned(work="amber")),
        ClientCase("list", "list", _served, assigned(work="amber"), ssh=False),
        ClientCase("doctor", "doctor", _served, assigned(work="amber"), wrong=True),
        ClientCase("hosts", "hosts", stand, assigned(), ssh=False),
    )
}
