"""What a command that puts servers to the proof ends with."""

from __future__ import annotations

from ..agent.errors import DriftFound, Failed, MlxopsError
from .run import Result


def port_errors(ports: list[Result], entries: list[Result]) -> DriftFound | None:
    """Ports that do not serve as they should, and entries that would not be started."""
    wrong = [str(port["port"]) for port in ports if port.get("ok", True) is False]
    refused = [str(entry["entry"]) for entry in entries if not entry["ok"]]
    told = [
        f"{what}: {', '.join(names)}"
        for what, names in (("wrong", wrong), ("would be refused", refused))
        if names
    ]
    if not told:
        return None
    return DriftFound(
        "; ".join(told),
        "the lines above say why; --json tells all checks",
        wrong=wrong,
        refused=refused,
    )


def verify_error(result: Result) -> MlxopsError | None:
    """The error of verify: differences first, then what could not be examined."""
    unknown = [port["port"] for port in result["ports"] if port["ok"] is None]
    if found := port_errors(result["ports"], result["entries"]):
        return found
    if unknown:
        names = ", ".join(map(str, unknown))
        return Failed(
            f"could not be examined: {names}", "mlxops status; then verify again", ports=unknown
        )
    return None


def drift_error(result: Result) -> DriftFound | None:
    """What a command asked to check ends with, where there is drift or a broken server."""
    drift, broken = result.get("drift") or [], result.get("broken") or []
    kinds: dict[str, list[str]] = {}
    for one in [*drift, *broken]:
        kinds.setdefault(str(one.get("port") or one.get("entry")), []).append(
            str(one.get("drift") or one.get("state"))
        )
    if not kinds:
        return None
    told = ", ".join(f"{place} {' and '.join(names)}" for place, names in kinds.items())
    what = "drift found" if drift else "broken servers found"
    return DriftFound(f"{what}: {told}", "mlxops status", drift=drift, broken=broken)
