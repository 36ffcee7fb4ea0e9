"""Work on one port: its lock, which says who does what since when, and its log of events."""

from __future__ import annotations

import contextlib
import json
import os
import time
from typing import Any, Dict, Iterator, Mapping, Optional, Sequence, Tuple

from ..clock import now, utc
from ..errors import Failed, Locked, to_mlxops_error, write_error
from ..procs import local_procs
from ..registry.lock import FileLock, describe_holder, holder_hint
from ..wire.client import ClientLink
from .finished import finished, prune_logs, record_finished
from .log import STAMP, log_path, unfinished_job
from .undo import Undo

# Beyond this a job's log takes no more progress events, as of a download that takes days.
MAX_LOG_BYTES = 4 << 20
# The port of jobs that work on none, such as a download: they run one at a time.
NO_PORT = 0
# An interrupted load is reported for a week.
INTERRUPTED_KEPT_S = 7 * 86400.0
# Longer than a read of the lock takes, shorter than a person notices.
LOCK_TIMEOUT_S = 0.3
# How often the lock shows the progress of a download.
PROGRESS_INTERVAL_S = 1.0
# The key in a lock's text for a running server that is not in the registry.
UNRECORDED = "unnoted"


def lock_path(registry_path: str, port: int) -> str:
    return "%s.%d.lock" % (registry_path, port)


def _lock(registry_path: str, port: int) -> FileLock:
    return FileLock(lock_path(registry_path, port), registry=registry_path)


def logs_folder(state_dir: str) -> str:
    """The folder of the job logs."""
    return os.path.join(state_dir, "jobs")


def blocker(registry_path: str, port: int) -> Optional[Dict[str, Any]]:
    """As holder(), and also a holder of a shared lock, which blocks a job too."""
    return _lock(registry_path, port).holder(shared=True)


def holder(registry_path: str, port: int) -> Optional[Dict[str, Any]]:
    """The job on the port now; None if there is none."""
    return _lock(registry_path, port).holder()


def interrupted_load(registry_path: str, port: int) -> Optional[Dict[str, Any]]:
    """The load that died on the port before its end, from the lock's text; None once a later job
    has settled the port."""
    is_held, last = _last_text(registry_path, port)
    return None if is_held else _interrupted(last)


def _last_text(registry_path: str, port: int) -> Tuple[bool, Dict[str, Any]]:
    """As FileLock.peek; no text where the lock is not a file, as no job can have taken it."""
    try:
        return _lock(registry_path, port).peek()
    except Failed:
        return False, {}


def _interrupted(last: Mapping[str, Any]) -> Optional[Dict[str, Any]]:
    """The last description of a load if it has no end, else the one that later jobs carried on."""
    died = last.get("again") and not last.get("ended")
    cut = last if died else last.get("cut")
    if not isinstance(cut, dict) or not is_name_list(cut.get("entries", [])):
        return None
    if str(cut.get("since") or "") < utc(time.time() - INTERRUPTED_KEPT_S):
        return None
    return {key: value for key, value in cut.items() if key != "cut"}


def running_job(registry_path: str, port: int) -> Optional[Dict[str, Any]]:
    """As holder(), but None where the lock is not a file, as no job can have taken it."""
    try:
        return holder(registry_path, port)
    except Failed:
        return None


def unrecorded_server(
    registry_path: str, port: int, own_lock: bool = False
) -> Optional[Dict[str, Any]]:
    """{"entry", "process"} of a server that the last job here could not record in the registry;
    None while another job holds the port."""
    is_held, last = _last_text(registry_path, port)
    record = None if is_held and not own_lock else last.get(UNRECORDED)
    whole = (
        isinstance(record, dict)
        and isinstance(record.get("entry"), str)
        and isinstance(record.get("process"), dict)
    )
    return record if whole else None


def is_name_list(value: Any) -> bool:
    """Whether it is a list of names. Others can write to a lock file."""
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def next_step_hint(job: Mapping[str, Any]) -> str:
    """The hint for a port that another job has locked."""
    if not job.get("job"):
        return holder_hint(job)
    return "mlxops jobs --follow {0}, or mlxops cancel {0}".format(job.get("job", "JOB"))


@contextlib.contextmanager
def hold_briefly(registry_path: str, about: Mapping[str, Any]) -> Iterator[None]:
    """Hold a port's lock for a moment, without a log, and restore the lock's text afterwards.

    `about`: who, from, why, port and start_time."""
    lock = FileLock(lock_path(registry_path, about["port"]))
    lock.take(LOCK_TIMEOUT_S)
    try:
        text = lock.peek()[1]
        lock.describe({**about, "since": now(), "pid": os.getpid()})
        try:
            yield
        finally:
            lock.describe(text)
    finally:
        lock.release()


class Job:
    """One load or unload of a port. A context that holds the port's lock.

    `about`: who, from, why, port and start_time, and `entry` if it is known; for a load also
    `again`, the command that repeats it, and `start_id`, its record in the journal of starts if no
    person asked for it. `settles`: its success ends the report of an earlier interrupted load.

    Its events carry the port, as a command may run several jobs."""

    def __init__(
        self,
        client: ClientLink,
        registry_path: str,
        state_dir: str,
        about: Mapping[str, Any],
        settles: bool,
    ) -> None:
        port: int = about["port"]
        self.port = port
        self.id = "%s-%d-%d" % (time.strftime(STAMP, time.gmtime()), port, os.getpid())
        self.undo = Undo()
        self._client = client
        self._state_dir, self._folder = state_dir, logs_folder(state_dir)
        self._lock = _lock(registry_path, port)
        self._about = {**about, "since": now(), "pid": os.getpid(), "job": self.id}
        self._state: Dict[str, Any] = {}
        self._settles = settles
        self._facts: Dict[str, Any] = {}
        self._since_s = time.monotonic()
        self._begun, self._line_complete, self._written = False, True, 0
        self._progressed = float("-inf")

    def __enter__(self) -> Job:
        self._lock.take(LOCK_TIMEOUT_S)
        try:
            last = self._lock.peek()[1] or self._refuse_unlocked()
            carried = {"cut": _interrupted(last), UNRECORDED: last.get(UNRECORDED)}
            try:
                self._claim({key: value for key, value in carried.items() if value})
                # A client that loses the link finds the job by this id.
                entry = self._about.get("entry")
                self._client.emit("job", job=self.id, port=self.port, entry=entry)
            except BaseException:
                # Nothing has begun: the earlier text stays true.
                self._set_text(last)
                raise
        except BaseException:
            self._lock.release()
            raise
        return self

    def _refuse_unlocked(self) -> Dict[str, Any]:
        """A lock without text is new: the lock file of a running job may have been removed."""
        begun = unfinished_job(self._folder, self._about["port"], local_procs())
        if begun is None:
            return {}
        text = "locked: %s; its lock file was removed, but it is still running" % describe_holder(
            begun
        )
        raise Locked(text, next_step_hint(begun), lock=self._lock.path, holder=dict(begun))

    def _claim(self, carried: Mapping[str, Any]) -> None:
        """Describe the job in lock and log. If that fails, a load does not begin; an unload goes
        on."""
        self._state.update(carried, phase="claim")
        place = self._lock.path
        try:
            self._lock.describe({**self._about, **self._state})
            place = self.log
            self._write()
        except OSError as exc:
            if self._about.get("again"):
                self._forget_unbegun()
                raise write_error(exc, str(exc.filename or place), "; nothing was stopped") from exc

    def __exit__(self, _: object, exc: Optional[BaseException], __: object) -> None:
        try:
            self._end(exc)
        finally:
            # Release the port even if the end cannot be written.
            self._lock.release()
            self._client.emit("job_end", job=self.id, port=self.port)
        # If the clock was set back, the job's own log looks the oldest.
        prune_logs(self._state_dir, self._folder, keep=self.id)

    def _end(self, exc: Optional[BaseException]) -> None:
        error = to_mlxops_error(exc).to_wire() if isinstance(exc, Exception) else None
        self._append("end", {"error": error})
        self._forget_unbegun()
        if exc is None and self._settles:
            self._state.pop("cut", None)
            self._state.pop(UNRECORDED, None)
        self._state["ended"] = now()
        self._set_text({**self._about, **self._state})
        if self._begun and (exc is None or error):
            self._record_end(error)
        with contextlib.suppress(OSError):
            # Free the space reserved after its end.
            os.truncate(self.log, os.path.getsize(self.log))

    def _record_end(self, error: Optional[Mapping[str, Any]]) -> None:
        record = finished(self._about, self._state, error)
        seconds = round(time.monotonic() - self._since_s, 1)
        record_finished(self._state_dir, record, {"duration_s": seconds, **self._facts})

    def _set_text(self, last_word: Mapping[str, Any]) -> None:
        """Write the lock's text. If the disk is full, clear it: then it reports no interrupted
        load."""
        with contextlib.suppress(OSError, Failed):
            self._lock.reacquire()
            try:
                self._lock.describe(dict(last_word))
            except OSError:
                self._lock.clear()

    def _forget_unbegun(self) -> None:
        """Remove a log that has no beginning."""
        if not self._begun:
            with contextlib.suppress(OSError):
                os.unlink(self.log)

    @property
    def log(self) -> str:
        return log_path(self._folder, self.id)

    def report_unrecorded(self, entry: str, process: Mapping[str, Any]) -> None:
        """Note a running server that the registry could not record: the next command will."""
        self._describe(**{UNRECORDED: {"entry": entry, "process": dict(process)}})

    def clear_unrecorded(self) -> None:
        self._state.pop(UNRECORDED, None)

    def reserve(self, entries: Sequence[str], need_bytes: Optional[int] = None) -> None:
        """Reserve the entries until the end; the caller has checked that no other job has them.
        `need_bytes`: the memory that the load will fill."""
        self._describe(
            entries=list(entries), **({} if need_bytes is None else {"need_bytes": need_bytes})
        )

    def note(self, **facts: Any) -> None:
        """Note what the job did, for the record of finished jobs."""
        self._facts.update(facts)

    def phase(self, phase: str, message: str, **facts: Any) -> None:
        """Report the current step to the client, the log and the lock. `facts`: for the client's
        progress, such as `usual_s`."""
        self._describe(phase=phase, step=message, progress=None)
        self.emit("phase", phase=phase, message=message, **facts)

    def rollback(self, state: str, message: str) -> None:
        """Report a step of the rollback; `state`: the port's, stopping or starting."""
        self._describe(phase="rollback", undo={"state": state, "step": message}, progress=None)
        self.emit("phase", phase="rollback", message=message)

    def set_phase(self, phase: str) -> None:
        """Set the phase in the lock only: the work on this port is done, but it stays locked."""
        self._describe(phase=phase, step=None, progress=None)

    def _describe(self, **fields: Any) -> None:
        """Best effort: a full disk must not end the job."""
        self._state.update(fields)
        with contextlib.suppress(OSError, Failed):
            self._lock.reacquire()
            self._lock.describe({**self._about, **self._state})

    def warn(self, message: str, lasting: Optional[str] = None) -> None:
        """`lasting`: the entry whose every load has this warning, so that the client shows it
        once."""
        more = {} if lasting is None else {"lasting": lasting}
        self.emit("warning", message=message, **more)

    def note_server(self, entry: str, log_fd: int) -> None:
        """Note which file is the log of a server that is started, to find it after a failure."""
        with contextlib.suppress(OSError):
            self._append("server", {"entry": entry, "log": os.fstat(log_fd).st_ino})

    def emit(self, name: str, **fields: Any) -> None:
        """Send an event to the client and append it to the log."""
        self._client.emit(name, port=self.port, **fields)
        self._append(name, fields)
        if name == "progress" and time.monotonic() - self._progressed >= PROGRESS_INTERVAL_S:
            self._progressed = time.monotonic()
            self._describe(progress={key: fields.get(key) for key in ("done", "total")})

    def _append(self, name: str, fields: Mapping[str, Any]) -> None:
        if name == "progress" and self._written > MAX_LOG_BYTES:
            return
        with contextlib.suppress(OSError):
            self._write({"at": now(), "event": name, **fields})

    def _write(self, *events: Mapping[str, Any]) -> None:
        """Append to the log, which begins with a description of the job; may raise OSError."""
        first = () if self._begun else ({"at": now(), "event": "begin", **self._about},)
        os.makedirs(self._folder, mode=0o700, exist_ok=True)
        with open(self.log, "a") as f:
            # After a line that a full disk cut short, begin a new one.
            lead = "" if self._line_complete else "\n"
            self._line_complete = False
            text = lead + "".join(json.dumps(event) + "\n" for event in (*first, *events))
            self._written += len(text)
            f.write(text)
        self._begun = self._line_complete = True
