"""The most important safeguards, each removed once. All of them: `python -m tests.mutations`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .mutant import Mutant
from .mutants import MUTANTS
from .trial import FAILED, PASSED, Copy, copy

CHOSEN = (
    "no fsync of the file",
    "no fsync of the folder",
    "written in place",
    "the edit is computed from what was read before the lock",
    "no flock",
    "no start time before a signal",
    "no start time before a signal on a Mac",
    "a recorded process is known by its pid alone",
    "what could not be seen is gone",
    "the port may be taken after a stop",
    "no gate",
    "a server starts before it is on record",
    "another user's agent is run",
    "a changed host key is let in",
    "reconcile forgets what it clears",
    "what serves right is started again",
    "a step is planned although load's checks refuse it",
    "the whole sum is not checked",
)
NAMED = {mutant.name: mutant for mutant in MUTANTS}


@pytest.fixture(scope="module")
def tree() -> Iterator[Copy]:
    with copy() as tree:
        yield tree


@pytest.mark.slow
def test_the_tests_that_go_red_below_are_green_without_a_mutant(tree: Copy) -> None:
    outcome = tree.run(sorted({test for name in CHOSEN for test in NAMED[name].tests}))
    assert outcome.status == PASSED, outcome.said


@pytest.mark.slow
@pytest.mark.parametrize("name", CHOSEN)
def test_a_test_misses(name: str, tree: Copy) -> None:
    outcome = tree.without(NAMED[name])
    assert outcome.status == FAILED, outcome.said


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_the_text_that_a_mutant_takes_out_stands_in_the_code_once(
    mutant: Mutant, tree: Copy
) -> None:
    text = (tree.folder / "mlxops" / mutant.file).read_text()
    compile(mutant.apply(text), mutant.file, "exec")
