"""Parents and children of processes, in invented process tables."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mlxops.agent.procs.facts import Process
from mlxops.agent.procs.tree import ancestors, descendants, tree


def process(pid: int, ppid: int, zombie: bool = False) -> Process:
    return Process(pid, ppid, pid, 501, str(pid), None, None, (), zombie)


def table(*processes: Process) -> dict[int, Process]:
    return {one.pid: one for one in processes}


def pids(processes: tuple[Process, ...]) -> list[int]:
    return [one.pid for one in processes]


FAMILY = table(
    process(1, 0),
    process(10, 1),
    process(11, 10),
    process(12, 10, zombie=True),
    process(13, 12),
    process(20, 1),
)


def test_descendants_are_all_generations_without_the_zombies_but_with_their_children():
    assert pids(descendants(FAMILY, 10)) == [11, 13]


def test_descendants_of_a_process_that_is_gone_are_those_that_still_name_it():
    assert pids(descendants(table(process(1, 0), process(6, 5)), 5)) == [6]


def test_ancestors_come_nearest_first():
    assert pids(ancestors(FAMILY, 13)) == [12, 10, 1]


def test_a_process_not_in_the_table_has_no_ancestors():
    assert ancestors(FAMILY, 99) == ()


def test_a_tree_starts_with_its_root():
    assert pids(tree(FAMILY, 10)) == [10, 11, 13]


def test_a_zombie_or_missing_root_is_no_part_of_its_tree():
    assert pids(tree(FAMILY, 12)) == [13]
    assert tree(FAMILY, 99) == ()


def test_the_kernel_that_is_its_own_parent_ends_the_walk():
    assert pids(ancestors(table(process(0, 0), process(1, 0)), 1)) == [0]
    assert pids(descendants(table(process(0, 0), process(1, 0)), 0)) == [1]


@given(
    st.dictionaries(st.integers(0, 12), st.integers(0, 12)), st.integers(0, 12), st.integers(0, 12)
)
def test_the_two_directions_agree_whatever_the_table(parents: dict[int, int], low: int, high: int):
    some = table(*(process(pid, ppid) for pid, ppid in parents.items()))
    if low != high and low in some and high in some:
        assert (high in pids(ancestors(some, low))) == (low in pids(descendants(some, high)))


@given(st.dictionaries(st.integers(0, 12), st.integers(0, 12)), st.integers(0, 12))
def test_nothing_is_listed_twice_and_no_process_is_its_own_kin(parents: dict[int, int], pid: int):
    some = table(*(process(child, ppid) for child, ppid in parents.items()))
    for kin in (pids(ancestors(some, pid)), pids(descendants(some, pid))):
        assert len(kin) == len(set(kin))
        assert pid not in kin
