"""The commands under fault: what is typed, how the host stands before, what must be true once it
has been done."""

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

    `undone`: what must be true after it was cancelled. `true`: the registry tells no lie before it.
    `wrong`: it is right to end with a complaint about this host. `undoing_s`: how long it may take
    to undo it."""

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
        """With --json: what is said on stdout is one document or nothing."""
        ports = {"work": scene.work, "free": scene.free, "bystander": scene.bystander}
        return ["--json", *self.words.format(**ports).split()]


def _served(scene: Scene) -> None:
    stand(scene, work="amber")


def _changing(
    name: str, words: str, undone: Goal | None = None, **more: Any
) -> Iterator[ClientCase]:
    """A verb that the agent's own faults know, by both ways."""
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
