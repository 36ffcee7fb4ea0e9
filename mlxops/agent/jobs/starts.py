"""The journal of starts that no person asked for. A start is on the disk before it begins, and so
is known even if the machine goes down in the middle of it."""

from __future__ import annotations

import contextlib
import json
import os
import time
from typing import Any, Dict, Mapping, NamedTuple, Optional, Tuple

from ..errors import Failed, MlxopsError, Unobservable, write_error
from ..procs import Procs
from ..registry.lock import FileLock
from ..untrusted import read_bounded
from .backoff import NOT_STARTED, Moment, Start, Supervision, supervise
from .log import parse_event

FILE = "starts.jsonl"
LOCK_TIMEOUT_S = 5.0
# The newest of each port; more than those that decisions are made of.
MAX_STARTS_PER_PORT = 16
MAX_TIME = 1e12
MAX_BYTES, MAX_REASON = 4 << 20, 200


class Record(NamedTuple):
    """One line of the journal. `pid` and `start_time`: of the agent that will record the end."""

    id: str
    port: int
    entry: str
    start: Start
    pid: int
    start_time: Optional[str]

    def to_line(self) -> Dict[str, Any]:
        start, fields = self.start, self._asdict()
        ended = {"outcome": start.outcome, "reason": start.reason}
        return {**start.moment._asdict(), **fields, "start": None, **ended}


Records = Tuple[Record, ...]


def this_moment(procs: Procs) -> Moment:
    """Now, and the boot: no two have the same start time of the first process."""
    first = procs.process(1)
    if first is None:
        raise Unobservable("process 1, which shows the boot, is hidden")
    return Moment(at=time.time(), up_s=time.monotonic(), boot=first.start_time)


def read_starts(state_dir: str) -> Records:
    """All starts on record, oldest first, without damaged lines; Failed if there is a journal that
    cannot be read."""
    path = os.path.join(state_dir, FILE)
    content = read_bounded(path, MAX_BYTES)
    if content is None and os.path.lexists(path):
        raise Failed(
            "cannot read %s" % path, "on the host: check its owner and mode (ls -l)", path=path
        )
    lines = (content or b"").decode("utf-8", "replace").splitlines()
    return tuple(record for record in map(_record, map(parse_event, lines)) if record)


def _record(line: Mapping[str, Any]) -> Optional[Record]:
    """The record of a line; None if it is damaged."""
    name, boot, entry, outcome, start_time = (
        _text(line.get(key)) for key in ("id", "boot", "entry", "outcome", "start_time")
    )
    at, up_s = (_time(line.get(key)) for key in ("at", "up_s"))
    port, pid = line.get("port"), line.get("pid")
    if name is None or boot is None or entry is None or at is None or up_s is None:
        return None
    if type(port) is not int or type(pid) is not int:
        return None
    moment, reason = Moment(at=at, up_s=up_s, boot=boot), _text(line.get("reason")) or ""
    return Record(
        id=name,
        port=port,
        entry=entry,
        start=Start(moment=moment, outcome=outcome, reason=reason),
        pid=pid,
        start_time=start_time,
    )


def _text(value: Any) -> Optional[str]:
    return value if isinstance(value, str) else None


def _time(value: Any) -> Optional[float]:
    return float(value) if type(value) in (int, float) and abs(value) < MAX_TIME else None


def starts_of(records: Records, port: int, entry: str) -> Tuple[Start, ...]:
    """The starts on this port and of this model."""
    return tuple(one.start for one in records if port == one.port or entry == one.entry)


def supervision_of(procs: Procs, state_dir: str, port: int, entry: str) -> Supervision:
    """What the journal shows of a server that is gone; NOT_STARTED if it cannot be read."""
    try:
        starts = starts_of(read_starts(state_dir), port, entry)
        return supervise(starts, this_moment(procs)) if starts else NOT_STARTED
    except (MlxopsError, OSError, Unobservable):
        return NOT_STARTED


def forget_starts(procs: Procs, state_dir: str, port: int, entry: str) -> None:
    """Forget the starts on this port and of this model, because a person loads it. A journal that
    cannot be written must not keep a person from that."""
    with contextlib.suppress(MlxopsError, OSError):
        if starts_of(read_starts(state_dir), port, entry):
            with Journal(procs, state_dir) as journal:
                journal.forget(port, entry)


def rename_starts(procs: Procs, state_dir: str, name: str, new: str) -> None:
    """Give the starts of an entry its new name. A journal that cannot be written must not keep a
    person from renaming it."""
    with contextlib.suppress(MlxopsError, OSError):
        if any(one.entry == name for one in read_starts(state_dir)):
            with Journal(procs, state_dir) as journal:
                journal.replace(
                    tuple(
                        one._replace(entry=new) if one.entry == name else one
                        for one in journal.records
                    )
                )


def _newest(records: Records) -> Records:
    """The newest of each port. One port that never gets ready must not displace what holds another
    one."""
    counts: Dict[int, int] = {}
    kept = []
    for record in reversed(records):
        counts[record.port] = counts.get(record.port, 0) + 1
        if counts[record.port] <= MAX_STARTS_PER_PORT:
            kept.append(record)
    return tuple(reversed(kept))


class Journal:
    """The journal of a state folder. A context that locks it."""

    def __init__(self, procs: Procs, state_dir: str) -> None:
        self._procs = procs
        self._folder = state_dir
        self._path = os.path.join(state_dir, FILE)
        self._lock = FileLock(self._path + ".lock")
        self.records: Records = ()

    def __enter__(self) -> Journal:
        self._lock.take(LOCK_TIMEOUT_S)
        try:
            self.records = read_starts(self._folder)
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def begin(self, port: int, entry: str) -> str:
        """Record a start before it begins; return its id. An error if it cannot be recorded."""
        own = self._procs.process(os.getpid())
        record = Record(
            id=os.urandom(8).hex(),
            port=port,
            entry=entry,
            start=Start(this_moment(self._procs), None),
            pid=os.getpid(),
            start_time=own.start_time if own else None,
        )
        self.replace((*self.records, record))
        return record.id

    def end(self, start: str, outcome: str, reason: str) -> None:
        """Record how a start ended."""
        self.replace(
            tuple(
                one._replace(start=one.start._replace(outcome=outcome, reason=reason[:MAX_REASON]))
                if one.id == start
                else one
                for one in self.records
            )
        )

    def forget(self, port: int, entry: str) -> None:
        """Forget the starts on this port and of this model."""
        self.replace(tuple(one for one in self.records if port != one.port and entry != one.entry))

    def replace(self, records: Records) -> None:
        """Write these records durably, unless they are there already; an error if that fails."""
        newest = _newest(records)
        if newest == self.records:
            return
        text = "".join(json.dumps(record.to_line()) + "\n" for record in newest).encode("ascii")
        draft = "%s.%s" % (self._path, os.urandom(6).hex())
        try:
            self._write(draft, text)
            os.replace(draft, self._path)
            self._sync_folder()
        except OSError as exc:
            with contextlib.suppress(OSError):
                os.unlink(draft)
            raise write_error(exc, self._path, "; nothing was started") from exc
        self.records = newest

    def _write(self, draft: str, text: bytes) -> None:
        fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(fd, "wb") as file:
            file.write(text)
            file.flush()
            self._procs.sync(fd)

    def _sync_folder(self) -> None:
        fd = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self._procs.sync(fd)
        finally:
            os.close(fd)
