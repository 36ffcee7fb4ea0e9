"""The errors of verbs that checked something and found problems."""

from __future__ import annotations

import shlex

from ..agent.errors import DriftFound, Failed, MlxopsError, from_wire
from .run import Result

# Checks that test no answer: status has the reason and the next command.
_OF_STATUS = ("registry", "state")


def registry_fault(result: Result) -> MlxopsError | None:
    """Why the registry cannot be read, if the answer did without it."""
    return from_wire(result["error"]) if result.get("error") else None


def port_errors(
    ports: list[Result], entries: list[Result], verbose: bool = False
) -> DriftFound | None:
    """DriftFound for ports that failed a check and entries that cannot be started. `verbose`: the
    user has seen every check."""
    failed = [port for port in ports if port.get("ok", True) is False]
    wrong = [str(port["port"]) for port in failed]
    refused = [str(entry["entry"]) for entry in entries if not entry["ok"]]
    parts = [
        f"{what} {', '.join(names)}"
        for what, names in (("checks failed on", wrong), ("cannot start", refused))
        if names
    ]
    if not parts:
        return None
    return DriftFound(
        "; ".join(parts),
        _hint(failed, refused, verbose),
        wrong=wrong,
        refused=refused,
    )


def _hint(failed: list[Result], refused: list[str], verbose: bool) -> str:
    other = [
        str(port["port"])
        for port in failed
        if any(c["check"] in _OF_STATUS and c["ok"] is False for c in port.get("checks") or [])
    ]
    if other:
        return shlex.join(["mlxops", "status", *other])
    if not failed:
        return shlex.join(["mlxops", "show", refused[0]])
    if verbose:
        return f"mlxops logs {failed[0]['port']}"
    return shlex.join(["mlxops", "verify", "-v", *(str(port["port"]) for port in failed)])


def verify_error(result: Result, verbose: bool = False) -> MlxopsError | None:
    """The error of verify: failed checks first, then ports that could not be tested."""
    unknown = [port["port"] for port in result["ports"] if port["ok"] is None]
    if error := port_errors(result["ports"], result["entries"], verbose):
        return error
    if unknown:
        names = ", ".join(map(str, unknown))
        return Failed(
            f"port{'s' if len(unknown) > 1 else ''} {names} could not be tested",
            f"mlxops status {' '.join(map(str, unknown))}",
            ports=unknown,
        )
    return None


def drift_error(result: Result) -> DriftFound | None:
    """The error of --check: DriftFound if there is drift or a broken server."""
    drift, broken = result.get("drift") or [], result.get("broken") or []
    kinds: dict[str, list[str]] = {}
    for one in [*drift, *broken]:
        kinds.setdefault(str(one.get("port") or one.get("entry")), []).append(
            str(one.get("drift") or one.get("state"))
        )
    if not kinds:
        return None
    detail = ", ".join(f"{place} {' and '.join(names)}" for place, names in kinds.items())
    what = "drift found" if drift else "broken servers found"
    return DriftFound(f"{what}: {detail}", "mlxops status", drift=drift, broken=broken)
