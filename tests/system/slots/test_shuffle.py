"""Ten models change places on ten ports, with the real mlx_lm.server."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from mlxops.demo.tinymodel import model_files
from tests.support.intent import applied, by_port, nothing_to_do, planned, served
from tests.support.ports import free_range
from tests.support.studio import Studio, finished
from tests.support.watching import RegistryWatch
from tests.system.load.test_ten_ports import NAMES

pytestmark = pytest.mark.slow

# Five models in a circle, three, and two that change places.
CIRCLES = ((0, 1, 2, 3, 4), (5, 6, 7), (8, 9))


@pytest.fixture
def ten(make_studio: Callable[..., Studio], light_runtime: dict[str, Any]) -> Studio:
    studio = make_studio(None, light_runtime, ports=free_range(10))
    for seed, name in enumerate(NAMES):
        studio.add(repo(name), model_files(["I", " am", f" {name}", "."], seed=seed))
    studio.must("init")
    return studio


def repo(name: str) -> str:
    return f"tiny/{name.lower()}"


def declare(studio: Studio, names: Sequence[str]) -> None:
    studio.declare({port: repo(name) for port, name in zip(studio.ports, names, strict=True)})


def shuffled(names: Sequence[str]) -> list[str]:
    """Every name moves to the next place of its circle."""
    moved = list(names)
    for circle in CIRCLES:
        for here, there in zip(circle, (*circle[1:], circle[0]), strict=True):
            moved[there] = names[here]
    return moved


def text(studio: Studio, *words: str) -> list[str]:
    """The lines for people, without the memory in use, which others change meanwhile."""
    answer = finished(studio.start(*words))
    assert answer.exit == 0, answer
    return [line for line in answer.stdout.splitlines() if "memory" not in line]


def answers(studio: Studio) -> list[str]:
    return [studio.ask(port, "default_model") for port in studio.ports]


def test_every_port_says_its_new_name(ten: Studio) -> None:
    declare(ten, NAMES)
    first = applied(ten)
    assert first.exit == 0 and first.result["changes"] == 10, first
    assert answers(ten) == [f"I am {name}." for name in NAMES]
    nothing_to_do(ten)
    before = served(ten)

    moved = shuffled(NAMES)
    assert not [name for name, old in zip(moved, NAMES, strict=True) if name == old]
    declare(ten, moved)
    rows = planned(ten)
    assert {row["verdict"] for row in rows.values()} == {"swap"}
    # One unload per circle, and no other port is without a model before its own swap.
    first_off = {port for port, row in rows.items() if row["unload_first"]}
    assert [len(first_off & {ten.ports[at] for at in circle}) for circle in CIRCLES] == [1, 1, 1]
    assert text(ten, "apply", "--dry-run") == text(ten, "plan") and served(ten) == before

    with RegistryWatch(ten) as watch:
        second = applied(ten)
    assert second.exit == 0, second
    assert [row["ok"] and row["changed"] for row in second.result["rows"]] == [True] * 10
    assert watch.faults == [] and watch.looks > 1
    assert answers(ten) == [f"I am {name}." for name in moved]
    assert {port: row["entry"] for port, row in by_port(second.result).items()} == {
        port: name.lower() for port, name in zip(ten.ports, moved, strict=True)
    }
    assert not {one.pid for one in before.values()} & {one.pid for one in served(ten).values()}
    nothing_to_do(ten)
