"""The errors of verbs that checked something and found problems."""

from __future__ import annotations

import shlex

from ..agent.errors import DriftFound, Failed, MlxopsError
from .run import Result


def port_errors(ports: list[Result], entries: list[Result]) -> DriftFound | None:
    """DriftFound for ports that failed a check and entries that cannot be started."""
    wrong = [str(port["port"]) for port in ports if port.get("ok", True) is False]
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
        shlex.join(["mlxops", "verify", "-v", *wrong]),
        wrong=wrong,
        refused=refused,
    )


def verify_error(result: Result) -> MlxopsError | None:
    """The error of verify: failed checks first, then ports that could not be tested."""
    unknown = [port["port"] for port in result["ports"] if port["ok"] is None]
    if error := port_errors(result["ports"], result["entries"]):
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
