"""What the registry and the host file expect on a port, for its diagnosis; and how a server that is
missed there ended."""

from __future__ import annotations

import difflib
import os
import re
import time
from typing import Any, Dict, Iterable, Iterator, List, Mapping, Optional, Tuple

from ..clock import epoch, now, utc
from ..context import Context
from ..jobs.starts import supervision_of
from ..models.cache import repo_folder, repo_of, weights_bytes
from ..models.location import missing_reason, same_repo
from ..procs import Procs, Unobservable
from ..registry.entries import OPTIONAL_TEXT, REQUIRED, Entry, Registry
from ..registry.resolve import is_repo_id
from ..runtimes.log_errors import last_error
from ..runtimes.table import Runtime
from ..site import Site, log_path
from ..untrusted import read_bounded
from .evidence import Expected, Loss

KEYS = (*REQUIRED, *OPTIONAL_TEXT, "start_s", "args", "hosts", "process", "wanted", "last_process")
REBOOT, CRASH, UNKNOWN = "reboot", "crash", "unknown"
MAX_TAIL_BYTES, MAX_LINE = 16 << 10, 100
NO_NAMES: Mapping[str, str] = {}
# An error further up did not end the server.
MAX_ERROR_LINES = 20
# A server reads little more than its model. Half of it is noticed, so that the return to it is; and
# 256 MiB, as another model may be small.
MIN_READ_BYTES, MAX_READ_BYTES = 64 << 10, 256 << 20
# Both moments of a record are whole seconds.
ROUNDING_S = 1.0
_SERVED = re.compile(r' HTTP/[0-9.]+" [123][0-9]{2}\b')


def expected(ctx: Context, registry: Registry, port: int) -> Expected:
    """The assigned entries, the name clients use, the entries whose snapshots are missing, and
    those that want the port, with what is known of the server that is missed there."""
    known = expect(ctx.site, registry, port, missing_snapshots(registry, [port]))
    if known.entries:
        known = known._replace(switched=_has_switched(ctx.procs, known.entries[0].process or {}))
    if not known.lost:
        return known
    return known._replace(
        loss=_loss(ctx, port, known.lost[0]),
        supervision=supervision_of(ctx.procs, ctx.site.state_dir, port, known.lost[0].name),
    )


def read_limit(
    procs: Procs, runtime: Runtime, process: Mapping[str, Any], path: str
) -> Dict[str, Any]:
    """What the record of a server keeps, if a request can make it load another model: the number of
    bytes read that shows that it has. `path`: of its own model."""
    read = procs.bytes_read(_pids(process)) if runtime.client_model else None
    if read is None:
        return {}
    half = (weights_bytes(path) or MAX_READ_BYTES) // 2
    return {"read_limit": read + min(max(half, MIN_READ_BYTES), MAX_READ_BYTES)}


def _has_switched(procs: Procs, process: Mapping[str, Any]) -> bool:
    limit = process.get("read_limit")
    if not isinstance(limit, int):
        return False
    read = procs.bytes_read(_pids(process))
    return read is not None and read > limit


def _pids(process: Mapping[str, Any]) -> List[int]:
    """The recorded process and its family."""
    family = process.get("family")
    members = [process, *(family if isinstance(family, list) else [])]
    pids = [member.get("pid") for member in members if isinstance(member, dict)]
    return [pid for pid in pids if isinstance(pid, int)]


def missing_snapshots(registry: Registry, ports: Iterable[int]) -> Dict[str, str]:
    """The entries, assigned to one of the ports or lost there, whose snapshots are missing, and
    what of their paths does not exist."""
    entries = [e for port in ports for e in (*registry.holders(port), *registry.lost(port))]
    paths = {e.name: os.path.expanduser(e.cache_path) for e in entries if e.cache_path}
    return {name: missing_reason(p) or p for name, p in paths.items() if not os.path.isdir(p)}


def expect(
    site: Site, registry: Registry, port: int, missing: Mapping[str, str] = NO_NAMES
) -> Expected:
    """The same, without a look at the disk. `missing`: entries whose snapshots are missing."""
    entries, lost = registry.holders(port), registry.lost(port)
    names = {e.name for e in (*entries, *lost)}
    return Expected(
        entries=entries,
        served_name=site.served_name(port, entries[0].name) if entries else None,
        missing={name: why for name, why in missing.items() if name in names},
        lost=lost,
        wanting=registry.wanting(port),
        declared=site.declared_model(port),
    )


def wanted_since(registry: Registry, port: int) -> Tuple[Optional[str], Optional[str]]:
    """Since when, in UTC, the port is wanted, and who loaded the entry that wants it. None where
    the record of its server does not show it."""
    wanting = registry.wanting(port)
    if len(wanting) != 1:
        return None, None
    entry = wanting[0]
    return _since((entry.process if entry.port == port else entry.last_process) or {})


def wanted_outside(registry: Registry, ports: Iterable[int]) -> List[Entry]:
    """The entries that want a port that is not one of the host's."""
    return [e for e in registry.entries.values() if e.wanted is not None and e.wanted not in ports]


def outside_warning(entry: Entry) -> str:
    return "%s is wanted on port %d, which is not one of this host's" % (
        entry.name,
        entry.wanted or 0,
    )


def edit_faults(entry: Entry) -> Iterator[str]:
    """What looks like a mistake of a hand edit. An unknown key may belong to another tool, unless
    it resembles a known one."""
    for key in entry.fields:
        near = difflib.get_close_matches(key, KEYS, 1, 0.8) if key not in KEYS else []
        if near:
            yield "unknown key %r (did you mean %r?)" % (key, near[0])
    holder = _other_repo(entry)
    if holder:
        yield "repo_id is %r, but the files are those of %s" % (entry.repo_id, holder)
    elif entry.repo_id and not is_repo_id(entry.repo_id) and not entry.cache_path:
        yield "repo_id %r does not have the form org/name" % entry.repo_id


def _other_repo(entry: Entry) -> str:
    """The repository whose folder of a cache has the entry's files, if it is another one."""
    if not entry.repo_id or "/%s/" % repo_folder(entry.repo_id) in entry.cache_path:
        return ""
    holder = repo_of(entry.cache_path)
    return "" if same_repo(holder, entry.repo_id) else holder


def edit_warnings(registry: Registry) -> List[str]:
    """A sentence for each fault of an entry, and for each port that two entries are assigned to."""
    faults = [
        "%s: %s" % (entry.name, fault)
        for entry in registry.entries.values()
        for fault in edit_faults(entry)
    ]
    doubles = registry.duplicates().items()
    text = "port %d is assigned to %s"
    return [*faults, *(text % (port, " and ".join(names)) for port, names in doubles)]


def _since(record: Mapping[str, Any]) -> Tuple[Optional[str], Optional[str]]:
    at, by = record.get("launched_at"), record.get("launched_by")
    return (
        at if isinstance(at, str) and epoch(at) is not None else None,
        by if isinstance(by, str) and by != "adopted" else None,
    )


def server_end(procs: Procs, record: Mapping[str, Any]) -> Loss:
    """How the recorded server, which is gone, ended: in a reboot, or by itself."""
    try:
        boot = procs.boot()
    except Unobservable:
        return Loss(UNKNOWN, now())
    before = boot.is_before(record.get("start_time"), epoch(record.get("launched_at")))
    if before is None:
        return Loss(UNKNOWN, now())
    return Loss(REBOOT, utc(boot.at)) if before else Loss(CRASH, now())


def _loss(ctx: Context, port: int, entry: Entry) -> Optional[Loss]:
    """What the registry keeps of a server that ended by itself."""
    record = entry.last_process
    how, at = record.get("gone"), record.get("gone_at")
    if how not in (REBOOT, CRASH, UNKNOWN):
        return None
    at = at if isinstance(at, str) and epoch(at) is not None else None
    reason = "wanted%s; %s" % (_since_text(record), _end_text(ctx, port, record, Loss(how, at)))
    return Loss(how, at, reason)


def _since_text(record: Mapping[str, Any]) -> str:
    at, by = _since(record)
    since = " since %s" % _local("%Y-%m-%d", at) if at else ""
    return since + (" by %s" % by.partition("@")[0] if by else "")


def _end_text(ctx: Context, port: int, record: Mapping[str, Any], loss: Loss) -> str:
    if loss.how == REBOOT and loss.at:
        today = _local("%Y-%m-%d", loss.at) == time.strftime("%Y-%m-%d")
        return "gone since the reboot of %s" % _local(
            "%H:%M" if today else "%Y-%m-%d %H:%M", loss.at
        )
    if loss.how == CRASH:
        line = last_log_line(ctx.site.state_dir, port, record.get("launched_at"), loss.at)
        return "crashed (log: %s)" % line if line else "crashed"
    return "gone"


def _local(form: str, at: str) -> str:
    """A moment in the host's time zone."""
    return time.strftime(form, time.localtime(epoch(at)))


def last_log_line(state_dir: str, port: int, launched_at: object, gone_at: Optional[str]) -> str:
    """The last line in the log of a server of this port, cut to MAX_LINE characters; "" if none of
    the port's logs was last written between its launch and its end."""
    begin, end = epoch(launched_at), epoch(gone_at)
    if begin is None or end is None:
        return ""
    log = log_path(state_dir, port)
    for path in (log, log + ".1"):
        try:
            written = os.stat(path).st_mtime
        except OSError:
            continue
        if begin <= written <= end + ROUNDING_S:
            return _last_line(read_bounded(path, MAX_TAIL_BYTES, end=True) or b"")
    return ""


def _last_line(content: bytes) -> str:
    """The last error of the last lines, else the last line, except of requests that went well."""
    lines = content.decode("utf-8", "replace").splitlines()
    lines = [line for line in lines if not _SERVED.search(line)]
    error = last_error(lines[-MAX_ERROR_LINES:])
    lines = [error] if error else lines
    texts = ("".join(c for c in line if c.isprintable()).strip() for line in reversed(lines))
    last = next(filter(None, texts), "")
    return last if len(last) <= MAX_LINE else last[: MAX_LINE - 3] + "..."
