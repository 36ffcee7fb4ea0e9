"""Judge the whole cache, and remove items of it that are still unused."""

from __future__ import annotations

from typing import Any, Dict, Iterable, List, NamedTuple, Optional, Tuple

from ..context import Context
from ..errors import Failed, mlxops_command
from ..models import files as modelfiles
from ..models.kinds import CHAT, kind_of
from ..models.location import folder_identity
from ..registry.entries import Registry
from .content import Held, Repo, read_cache
from .judge import OTHER, Item, Use, judge_repo
from .removal import remove_loose, remove_snapshot
from .users import Users, read_users


class Pruned(NamedTuple):
    """An item that was removed, or why not."""

    path: str
    repo_id: str
    revision: str
    error: Optional[str]

    def to_wire(self) -> Dict[str, Any]:
        return self._asdict()


def judge_cache(ctx: Context, registry: Registry, repos: Iterable[Repo]) -> List[Item]:
    users = read_users(ctx, registry)
    return [item for repo in repos for item in _judge(users, repo)]


def _judge(users: Users, repo: Repo) -> List[Item]:
    return judge_repo(repo, {held.path: _use(users, held) for held in repo.snapshots})


def _use(users: Users, held: Held) -> Use:
    return Use(
        entries=users.entries_of(held),
        others=users.others_of(held),
        declared=users.is_declared(held),
        servable=modelfiles.format_of(held.path) == "mlx"
        and kind_of(held.path, held.repo_id).name == CHAT,
    )


def require_unused(ctx: Context, registry: Registry, name: str, path: str) -> Item:
    """The snapshot of a former entry, which nothing in `registry` or on the host uses; Failed with
    the reason otherwise."""
    folder = folder_identity(path)
    items = judge_cache(ctx, registry, read_cache(ctx.site.hf_home))
    item = next((one for one in items if folder and folder_identity(one.path) == folder), None)
    keep = mlxops_command("remove", name)
    if item is None:
        outside = "%s is outside of the cache, where mlxops removes nothing" % path
        why = outside if path else "%s has no files" % name
        raise Failed(why, "%s removes the entry alone" % keep, entry=name)
    if not item.removable and item.state != OTHER:
        text = "the files of %s are %s (%s); nothing was removed" % (name, item.state, item.reason)
        raise Failed(text, "%s removes the entry alone" % keep, entry=name, state=item.state)
    return item


def prune_items(ctx: Context, items: Iterable[Item]) -> List[Pruned]:
    """Remove items. Each is judged again under the registry's lock, so that no command begins to
    use it meanwhile; one that is used by now stays."""
    pruned = []
    for item in items:
        ctx.client.check()
        ctx.client.emit(
            "phase", phase="remove", message="removing %s" % (item.repo_id or item.path)
        )
        pruned.append(Pruned(item.path, item.repo_id, item.revision, _remove(ctx, item)))
    return pruned


def _remove(ctx: Context, item: Item) -> Optional[str]:
    """Why the item was not removed; None if it was."""
    with ctx.store.locked("disk --prune"):
        repos = read_cache(ctx.site.hf_home)
        now = {one.path: one for one in judge_cache(ctx, ctx.store.read(), repos)}.get(item.path)
        if now is None:
            return None
        if now.state != item.state:
            return "it is %s now: %s" % (now.state, now.reason)
        try:
            _delete(repos, item.path)
        except OSError as exc:
            return "%s: %s" % (exc.filename or item.path, exc.strerror)
    return None


def _delete(repos: Tuple[Repo, ...], path: str) -> None:
    for repo in repos:
        for held in repo.snapshots:
            if held.path == path:
                remove_snapshot(repo, held)
        for loose in repo.loose:
            if loose.path == path:
                remove_loose(loose)
