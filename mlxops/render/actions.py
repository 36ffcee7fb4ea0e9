"""Actions, done or planned, and what is wrong: a line each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from .drift import location, next_step, one_line
from .format import cell, counted, duration, printable
from .style import Style

# action -> as an infinitive, and as done. Not listed: the action itself, and with "ed".
_VERBS = {
    "clear": ("free", "freed"),
    "note": ("record", "recorded"),
    "plan": ("plan", "planned"),
    "refresh": ("update", "updated"),
    "rename": ("rename", "renamed"),
    "set": ("set", "set"),
    "stop": ("stop", "stopped"),
}
Text = Callable[[dict[str, Any], Style], str]
# kind -> what one is called in a list of counts, if it is not the kind itself.
_KINDS = {
    "drafter": "draft",
    "gguf": "GGUF",
    "unconverted": "not converted to MLX",
    "copy": "copies",
}
# Rows of a plan that say in their reason whether the action is possible.
_UNCERTAIN = ("adopt", "refresh")


def action_lines(actions: list[dict[str, Any]]) -> list[str]:
    """What was done, or could not be done: "added amber: org/amber"."""
    return [
        _line(action, "{1}" if action.get("applied") else "could not {0}") for action in actions
    ]


def plan_lines(actions: list[dict[str, Any]]) -> list[str]:
    """What would be done: "would stop amber on 8100: pid 12 serves it"."""
    return [
        _line(action, "dry run: {0}" if action["action"] in _UNCERTAIN else "would {0}")
        for action in actions
    ]


def _line(action: dict[str, Any], form: str) -> str:
    """`form`: with {0} for the infinitive and {1} for the participle."""
    name = cell(action["action"])
    verbs = _VERBS.get(name, (name, f"{name.removesuffix('e')}ed"))
    start = "kept" if name == "keep" else form.format(*verbs)
    why = f": {printable(action['reason'])}" if action.get("reason") else ""
    return f"{start} {_object(action)}{why}{_next(action)}"


def _object(action: dict[str, Any]) -> str:
    entry, port = action.get("entry"), action.get("port")
    both = entry and port is not None
    if both and action["action"] == "clear":  # frees the port, not the entry
        return f"{cell(port)} ({printable(entry)})"
    return f"{printable(entry)} on {cell(port)}" if both else location(action)


def _next(action: dict[str, Any]) -> str:
    return f" (next: {next_step({**action, 'drift': 'stale'})})" if action.get("next") else ""


def change_lines(result: dict[str, Any], style: Style) -> str:
    """One line per change and per problem; empty if there is neither."""
    lines = action_lines(_news(result, style))
    return "\n".join([*lines, *map(one_line, problems(result))])


def _news(result: dict[str, Any], style: Style) -> list[dict[str, Any]]:
    """The actions; without those that keep something as it is, if only news is asked for."""
    return [one for one in result["actions"] if not style.quiet or one["action"] != "keep"]


def problems(result: dict[str, Any]) -> list[dict[str, Any]]:
    """Every drift and every broken server, except those that the line of an action reports."""
    cleared = [
        (action["port"], action["entry"]) for action in result["actions"] if action.get("applied")
    ]
    failed = [row["port"] for row in result.get("restarts") or [] if row["verdict"] == "failed"]
    drifts = result.get("drift") or []
    rest = [
        one
        for one in drifts
        if one["drift"] != "lost"
        or (one["port"], one["entry"]) not in cleared
        or one["port"] in failed
    ]
    return [*rest, *(result.get("broken") or [])]


def change_summary(result: dict[str, Any], style: Style) -> str:
    """As `change_lines`, with a sentence if there are none."""
    lines = [change_lines(result, style), *_unstarted_lines(result, style)]
    return "\n".join(filter(None, lines)) or style.idle("Nothing to do.")


def _unstarted_lines(result: dict[str, Any], style: Style) -> list[str]:
    """Servers that are not started again now, where no drift says why."""
    return [
        f"not started {location(row)}: {printable(row['reason'])}{_again(row)}"
        for row in result.get("restarts") or []
        if row["verdict"] in ("wait", "left") and not style.quiet
    ]


def _again(row: dict[str, Any]) -> str:
    return f"; again in {duration(row['wait_s'])}" if row.get("wait_s") else ""


def plan_summary(result: dict[str, Any], style: Style) -> str:
    """What would be done, and what is wrong and would stay so."""
    lines = [*plan_lines(_news(result, style)), *map(one_line, problems(result))]
    return "\n".join([*lines, *_unstarted_lines(result, style)]) or style.idle("Nothing to do.")


def with_skipped(text: Text, verbose: bool) -> Text:
    """The text of `init`, with what was left out."""

    def whole(result: dict[str, Any], style: Style) -> str:
        skipped = result.get("skipped") or []
        lines = (
            _skipped_lines(skipped) if verbose else [] if style.quiet else _skipped_summary(skipped)
        )
        return "\n".join(filter(None, [text(result, style), *lines]))

    return whole


def _skipped_summary(skipped: list[dict[str, Any]]) -> list[str]:
    if not skipped:
        return []
    kinds = Counter(str(one["kind"]) for one in skipped)
    counts = ", ".join(f"{n} {_KINDS.get(kind, kind)}" for kind, n in kinds.most_common())
    other = counted(len(skipped), "other model was", "other models were")
    return [f"{other} not added: {counts} (mlxops init -v lists them)"]


def _skipped_lines(skipped: list[dict[str, Any]]) -> list[str]:
    rows = sorted(skipped, key=lambda one: (str(one["kind"]), str(one["model"]).lower()))
    return [f"not added {printable(one['model'])}: {printable(one['reason'])}" for one in rows]
