"""disk: what the Hub's cache holds, and with `prune` the removal of what nobody uses."""

from __future__ import annotations

import os
from typing import Any, Dict, Iterable, List, Mapping, Optional, Set, Tuple

from ..context import Context
from ..errors import ModelUnknown, mlxops_command
from ..models import cache as hfcache
from ..models.location import same_repo
from ..registry.entries import Registry
from ..storage.content import Repo, read_cache
from ..storage.judge import OTHER, Item, bytes_freed
from ..storage.prune import Pruned, judge_cache, prune_items


def disk(ctx: Context, args: Mapping[str, Any]) -> Dict[str, Any]:
    """`repos`: limit it to these repositories or entries. `paths`: remove only these. Without
    `prune`, or in a dry run, nothing is removed."""
    prune = bool(args.get("prune"))
    registry, fault = (ctx.store.read(), None) if prune else ctx.store.read_or_empty()
    repos = read_cache(ctx.site.hf_home)
    chosen = _chosen(registry, repos, args.get("repos") or [])
    items = sorted(judge_cache(ctx, registry, repos), key=lambda item: -item.size_bytes)
    if fault:
        items = [item._replace(state="unknown", reason="the registry is invalid") for item in items]
    shown = [item for item in items if chosen is None or item.repo_id in chosen]
    targets = [item for item in shown if _is_target(item, bool(chosen))]
    agreed = args.get("paths")
    if agreed is not None:
        targets = [item for item in targets if item.path in agreed]
    pruned: List[Pruned] = []
    if prune and not args.get("dry_run"):
        pruned = prune_items(ctx, targets)
    result = {
        "disks": [_free(root) for root in _disks(ctx)],
        "items": [_row(item, bool(chosen)) for item in shown],
        "total_bytes": _total(repos, shown),
        "prunable_bytes": bytes_freed(repos, [item.path for item in targets]),
        "pruned": [one.to_wire() for one in pruned],
        "freed_bytes": bytes_freed(repos, [one.path for one in pruned if not one.error]),
    }
    return {**result, "error": fault.to_wire()} if fault else result


def _chosen(registry: Registry, repos: Iterable[Repo], words: List[str]) -> Optional[Set[str]]:
    """The repositories that the words name, as the cache spells them; None for all."""
    if not words:
        return None
    ids = [repo.repo_id for repo in repos]
    chosen = set()
    for word in words:
        entry = registry.entries.get(word)
        match = [one for one in ids if same_repo(one, entry.repo_id if entry else word)]
        if entry is not None and not entry.repo_id:
            raise ModelUnknown(
                "the files of %s are not in the cache but in %s, which mlxops never removes"
                % (word, entry.cache_path),
                mlxops_command("show", word),
                model=word,
            )
        if not match:
            raise ModelUnknown(
                "%r is neither a repository in the cache nor an entry with one" % word,
                mlxops_command("disk"),
                model=word,
            )
        chosen.update(match)
    return chosen


def _is_target(item: Item, named: bool) -> bool:
    """Whether a prune removes it: models of other programs only if they are named."""
    return item.removable or (named and item.state == OTHER)


def _row(item: Item, named: bool) -> Dict[str, Any]:
    return {
        **item._asdict(),
        "entries": list(item.entries),
        "removable": _is_target(item, named),
    }


def _total(repos: Tuple[Repo, ...], items: Iterable[Item]) -> int:
    """Bytes of the items, each blob counted once."""
    return bytes_freed(repos, [item.path for item in items])


def _disks(ctx: Context) -> List[str]:
    """The cache's folders, one of each disk."""
    devices: Dict[int, str] = {}
    for root in (ctx.site.cache_root, *hfcache.roots(ctx.site.hf_home)):
        if os.path.isdir(root):
            devices.setdefault(os.stat(root).st_dev, root)
    return list(devices.values())


def _free(root: str) -> Dict[str, Any]:
    space = os.statvfs(root)
    return {
        "path": root,
        "total_bytes": space.f_blocks * space.f_frsize,
        "free_bytes": space.f_bavail * space.f_frsize,
    }
