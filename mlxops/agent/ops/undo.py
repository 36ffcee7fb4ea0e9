"""undo: take back the last edit of entries, if nothing has changed what it changed since."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Dict, List, Mapping, Optional

from ..context import Context
from ..errors import AssignmentConflict, Failed, mlxops_command
from ..history.choice import Choice, choose, require_known
from ..history.edit import Edit
from ..history.rows import HistoryRow
from ..history.sources import History, read_history
from ..history.undo import Reversal, moved_servers, name_of_undo, reverse, revert_command
from ..jobs.reservations import require_unreserved
from ..jobs.starts import rename_starts
from ..registry.action import Action
from ..registry.entries import Registry


def undo(ctx: Context, args: Mapping[str, Any]) -> Dict[str, Any]:
    """`expect`: the edit that the user agreed to undo."""
    now, dry = ctx.store.read(), bool(args.get("dry_run"))
    choice = choose(ctx, now, args.get("about") or (), "")
    row = _last(ctx, now, choice)
    edit = _require_edit(now, row)
    _require_expected(edit, args.get("expect"))
    done = _reverse(ctx, now, edit)
    if not dry:
        done = _apply(ctx, choice, edit)
    return {
        "change": row.to_wire(),
        "edit": _token(edit),
        "changed": not dry,
        "actions": [
            Action(step.action, step.entry, None, step.reason, applied=not dry).to_wire()
            for step in done.steps
        ],
    }


def _apply(ctx: Context, choice: Choice, edit: Edit) -> Reversal:
    made: List[Reversal] = []

    def change(current: Registry) -> Registry:
        # Nobody adds to the history while the registry is locked.
        _require_expected(_require_edit(current, _last(ctx, current, choice)), _token(edit))
        made.append(_reverse(ctx, current, edit))
        return made[-1].registry

    ctx.store.edit(name_of_undo(edit.why), change)
    for step in made[-1].steps:
        if step.action == "rename":
            old = step.reason.partition(" ")[2]
            rename_starts(ctx.procs, ctx.site.state_dir, step.entry, old)
    return made[-1]


def _reverse(ctx: Context, now: Registry, edit: Edit) -> Reversal:
    require_unreserved(ctx, edit.entries)
    done = reverse(now, edit)
    for step in done.steps:
        entry = now.entries.get(step.entry) if step.action == "rename" else None
        if entry and entry.port is not None and entry.port not in ctx.site.slots:
            raise AssignmentConflict(
                "not undone: clients of port %d ask for %s" % (entry.port, entry.name),
                mlxops_command("unload", entry.port),
                entry=entry.name,
                port=entry.port,
            )
    return done


def _last(ctx: Context, now: Registry, choice: Choice) -> HistoryRow:
    """The newest change of the registry that is meant; Failed if there is none."""

    def changes(row: HistoryRow) -> bool:
        return choice.matches(row) and any(edit.changes for edit in row.edits)

    history: History = read_history(ctx, lambda rows: any(map(changes, rows)))
    row: Optional[HistoryRow] = next(filter(changes, history.rows), None)
    if row is None:
        require_known(ctx, now, choice, history.rows)
        raise Failed("nothing to undo: no change of the registry is recorded", "mlxops history")
    return row


def _require_edit(now: Registry, row: HistoryRow) -> Edit:
    """The row's edit; Failed, with the command that reverts it, if it moved servers."""
    edit = row.edits[-1]
    if row.work is None and not moved_servers(edit):
        return edit
    command = revert_command(now, row)
    what = "%s (%s, by %s)" % (row.to_wire()["why"], row.at, row.to_wire()["who"])
    if not command:
        raise Failed("the last change is %s, which undo cannot take back" % what, "mlxops history")
    raise Failed(
        "the last change is %s; undo changes entries only and moves no server" % what,
        "to revert it: " + command,
        command=command,
        port=row.port,
        entry=row.entry,
    )


def _require_expected(edit: Edit, token: Optional[str]) -> None:
    if token is not None and token != _token(edit):
        raise Failed(
            "not undone: there is a newer change (%s)" % edit.why, "mlxops history", edit=edit.why
        )


def _token(edit: Edit) -> str:
    """Tells an edit from all others."""
    text = json.dumps([edit.at, edit.who, edit.why, edit.changes], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
