"""Give servers the model spelling of the registry, so that later comparisons are simple.

On a command line typed by hand, a path may end with a slash, lead through a link, or be relative,
and a repository name may be in another case."""

from __future__ import annotations

import os
from typing import Dict, Iterable, List, Mapping, Optional, Tuple

from ..models.location import folder_identity, same_repo
from ..procs import Procs, Unobservable
from ..registry.entries import Entry, Registry
from .evidence import Server

Servers = Mapping[int, Tuple[Server, ...]]


def with_registry_spelling(
    procs: Procs, servers: Servers, registry: Registry, ports: Iterable[int]
) -> Dict[int, Tuple[Server, ...]]:
    """The servers of these ports with their models spelled as in the entry they mean; others
    unchanged."""
    spellings = _Spellings(procs, registry)
    changed = {
        port: tuple(spellings.of(one, port) for one in servers[port])
        for port in ports
        if port in servers
    }
    return {**servers, **changed}


class _Spellings:
    """Looks up paths only if no entry spells the model like the server."""

    def __init__(self, procs: Procs, registry: Registry) -> None:
        self._procs, self._entries = procs, list(registry.entries.values())
        self._places: Optional[Dict[str, str]] = None

    def of(self, server: Server, port: int) -> Server:
        model = server.invocation.model
        entries = sorted(
            self._entries, key=lambda entry: (entry.port != port, entry.port is not None)
        )
        if not model or any(model in (e.cache_path, e.repo_id, e.model_id) for e in entries):
            return server
        spelling = self._find_spelling(server, model, entries)
        return (
            server
            if spelling is None
            else server._replace(invocation=server.invocation.with_model(spelling))
        )

    def _find_spelling(self, server: Server, model: str, entries: List[Entry]) -> Optional[str]:
        if self._places is None:
            self._places = {
                entry.name: folder_identity(entry.cache_path) for entry in self._entries
            }
        where = folder_identity(model, self._folder(server))
        for entry in entries:
            if where and where == self._places[entry.name]:
                return entry.cache_path
        if where and not os.path.isabs(where):
            return None  # a local folder, even if a repository has that name
        return next((entry.repo_id for entry in entries if same_repo(model, entry.repo_id)), None)

    def _folder(self, server: Server) -> Optional[str]:
        try:
            return self._procs.folder(server.process.pid)
        except Unobservable:
            return None
