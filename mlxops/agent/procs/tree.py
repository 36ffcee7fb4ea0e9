"""Parents and children in a table of processes. Pure."""

from __future__ import annotations

from typing import Dict, List, Mapping, Tuple

from .facts import Process


def descendants(table: Mapping[int, Process], pid: int) -> Tuple[Process, ...]:
    """All descendants of `pid`, parents before children, without zombies and without the process
    itself."""
    children = _children(table)
    found: List[Process] = []
    pids = {pid}
    queue = [pid]
    for parent in queue:
        for child in children.get(parent, ()):
            if child.pid not in pids:
                pids.add(child.pid)
                queue.append(child.pid)
                found.append(child)
    return tuple(process for process in found if not process.zombie)


def ancestors(table: Mapping[int, Process], pid: int) -> Tuple[Process, ...]:
    """Parent, grandparent and so on, as far as the table has them."""
    line: List[Process] = []
    pids = {pid}
    process = table.get(pid)
    while process is not None and process.ppid not in pids:
        pids.add(process.ppid)
        process = table.get(process.ppid)
        if process is not None:
            line.append(process)
    return tuple(line)


def tree(table: Mapping[int, Process], pid: int) -> Tuple[Process, ...]:
    """The process, unless it is gone or a zombie, and all its descendants."""
    root = table.get(pid)
    own = () if root is None or root.zombie else (root,)
    return own + descendants(table, pid)


def _children(table: Mapping[int, Process]) -> Dict[int, List[Process]]:
    children: Dict[int, List[Process]] = {}
    for process in table.values():
        children.setdefault(process.ppid, []).append(process)
    return children
