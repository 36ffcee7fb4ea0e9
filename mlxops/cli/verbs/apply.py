"""The verb apply: make every port serve what it is meant to serve."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from functools import partial
from typing import Any

import click

from ...agent.errors import DriftFound, Failed, MlxopsError, NeedsConsent, from_wire
from ...render.apply import AS_BEFORE, DONE, apply_text, outcome, quiet_apply_text
from ...render.plan import LISTING, download_bytes, is_due, plan_text, question, quiet_plan_text
from .. import options
from ..run import Answer, Result, Run
from ..verb import verb
from ..words.ports import port_words
from .load import ASK_ABOVE_BYTES

TARGETS = ("both", "declared", "wanted")
JOBS, MAX_JOBS = 2, 16
RESULT_KEYS = ("rows", "order", "memory", "changes", "warnings", "changed")


@verb(
    "apply",
    "mlxops apply --dry-run",
    "mlxops apply",
    "mlxops apply 8100 jerry-l",
    "mlxops apply --to wanted --yes        # after a reboot",
    "mlxops apply --check || echo 'changes are due'",
    reads=lambda given: given["dry_run"] or given["check"],
)
@options.port("ports", nargs=-1, metavar="[PORT]...")
@click.option(
    "--to",
    type=click.Choice(TARGETS),
    default="both",
    help="Models of the host file (declared), those loaded last (wanted), or both (default).",
)
@click.option(
    "--prune", is_flag=True, help="Also unload models that are neither declared nor wanted."
)
@click.option(
    "--evict",
    is_flag=True,
    help="If memory is short, also unload as few other models as needed.",
)
@click.option(
    "--jobs",
    type=options.WholeNumber(1, MAX_JOBS),
    default=JOBS,
    metavar="N",
    help=f"Number of ports to work on at once (default {JOBS}).",
)
@options.timeout(
    "Time limit for each model to become ready (default: host file, else estimated from earlier "
    "starts or its size)."
)
@options.grace()
@options.yes()
@options.dry_run()
@click.option(
    "--check",
    is_flag=True,
    help="As --dry-run, and exit 11 if changes are due or a port is blocked.",
)
@options.listing(LISTING)
def apply(
    run: Run,
    timeout_s: float | None,
    grace_s: float | None,
    yes: bool,
    dry_run: bool,
    check: bool,
    **selection: Any,
) -> Answer:
    """Load, swap and unload until every port serves the model it is meant to serve.

    That is the model that the host file declares ([slots.PORT] model); without one, the model that
    was last loaded on the port and not unloaded, which a reboot does not change. --dry-run shows
    the steps.

    Everything is checked before the first one; if the models do not fit together, nothing is
    changed (exit 10). A port that is as planned is not touched. If a port fails, its old model
    comes back, and the other ports go on (exit 1). Ctrl-C undoes the steps that have begun and
    begins no others."""
    if dry_run or check:
        result = run.call("plan", _wire(run, selection))
        return Answer(result, _plan_text(run, selection), _due_error(result) if check else None)
    args = {**_wire(run, selection), "timeout_s": timeout_s, "grace_s": grace_s}
    if run.interactive and not yes:
        args.update(_confirm(run, selection))
    try:
        result = _apply_with_consent(run, args)
    except MlxopsError as exc:
        return _ended_early(run, selection, exc)
    text = quiet_apply_text if run.flags.quiet else apply_text
    return Answer(result, text, _apply_error(result, selection["ports"]))


def _wire(run: Run, selection: Result) -> Result:
    return {**selection, "ports": port_words(run.host, selection["ports"]) or None}


def _plan_text(run: Run, selection: Result) -> Callable[[Result, Any], str]:
    text = quiet_plan_text if run.flags.quiet else plan_text
    return partial(text, command=_command("apply", selection))


def _command(name: str, selection: Result) -> str:
    """The command line of a verb with the same selection."""
    words = ["mlxops", name, *selection["ports"]]
    words += [] if selection["to"] == "both" else ["--to", selection["to"]]
    words += [f"--{flag}" for flag in ("prune", "evict") if selection[flag]]
    words += [] if selection["jobs"] == JOBS else ["--jobs", str(selection["jobs"])]
    return shlex.join(words)


def _due_error(result: Result) -> DriftFound | None:
    """The error of --check: the ports that would change, and those that cannot."""
    due = [f"{row['port']} {row['verdict']}" for row in result["rows"] if is_due(row)]
    blocked = [f"{row['port']} {row['kind']}" for row in result["rows"] if _is_blocked(row)]
    parts = [
        f"{what}: {', '.join(names)}"
        for what, names in (("changes are due", due), ("blocked", blocked))
        if names
    ]
    return (
        DriftFound("; ".join(parts), "mlxops apply --dry-run", due=due, blocked=blocked)
        if parts
        else None
    )


def _is_blocked(row: Result) -> bool:
    return bool(row["verdict"] == "blocked")


def _confirm(run: Run, selection: Result) -> Result:
    """Show the plan and ask before servers are stopped. Return what was agreed to: the servers that
    may be stopped, and the size of a download, in bytes, above which to ask again."""
    planned = run.call("plan", _wire(run, selection))
    asked = question(planned)
    pids = [row["pid"] for row in planned["rows"] if is_due(row) and row.get("pid")]
    agreed: Result = {"pids": pids, "ask_above_bytes": ASK_ABOVE_BYTES}
    if not asked or planned["memory"]["fits"] is False:
        return agreed
    run.preview(plan_text(planned, run.console.err_style, ""))
    run.confirm(asked)
    return {**agreed, "ask_above_bytes": max(ASK_ABOVE_BYTES, download_bytes(planned))}


def _apply_with_consent(run: Run, args: Result) -> Result:
    try:
        return run.call("apply", args)
    except NeedsConsent as large:
        if not run.confirm(f"{large.message}. Go on?"):
            raise
        return run.call("apply", {**args, "ask_above_bytes": None})


def _ended_early(run: Run, selection: Result, exc: MlxopsError) -> Answer:
    """The answer if apply changed nothing, with the plan, or was interrupted, with the rows."""
    fields = (exc.fields.get("outcome") or {}).get("result") or exc.fields
    if "rows" not in fields:
        raise exc
    result = {key: fields[key] for key in RESULT_KEYS if key in fields}
    has_begun = any("ok" in row for row in result["rows"])
    return Answer(result, apply_text if has_begun else _plan_text(run, selection), exc)


def _apply_error(result: Result, words: tuple[str, ...]) -> MlxopsError | None:
    """Failed if a port is not as planned; if it is the only port that was named, its own error."""
    wrong = [row for row in result["rows"] if outcome(row) not in (DONE, AS_BEFORE)]
    if not wrong:
        return None
    if len(words) == 1 and wrong[0].get("error"):
        return from_wire(wrong[0]["error"])
    ports = [row["port"] for row in wrong]
    return Failed(
        f"not as planned: {', '.join(map(str, ports))}", "mlxops apply --dry-run", ports=ports
    )
