"""The registry file: read it, change it under its lock, durably, with a backup and a history."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
import time
from typing import Any, BinaryIO, Callable, Dict, Iterator, List, Mapping, Optional, Tuple

from . import registry
from .errors import AssignmentConflict, Failed, MlxopsError, RegistryInvalid
from .failures import unwritten
from .lock import FileLock, give_to_owner_of
from .registry import Registry

LOCK_WAIT_S = 10.0
Stamp = Tuple[int, int, int]


def now() -> str:
    """This moment in UTC, ISO 8601 to the second."""
    return utc(time.time())


def utc(moment: float) -> str:
    """Seconds since the epoch, as `now` writes them."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment))


class Store:
    """One `registry.json`. `who` is {"who", "from"} for the lock and the history; `sync` makes a descriptor durable."""

    def __init__(self, path: str, who: Mapping[str, Any], sync: Callable[[int], None] = os.fsync) -> None:
        self.path = path
        self._who = dict(who)
        self._sync = sync
        # Files that exist already, with room for a registry: the next writes take them.
        self.drafts: List[str] = []

    def read(self) -> Registry:
        """The registry as it stands. RegistryInvalid when it is unreadable: never an empty one instead."""
        return self._read()[0]

    def edit(self, why: str, change: Callable[[Registry], Registry]) -> Registry:
        """Re-read, change, replace, all under the lock; the registry as written. Writes nothing when nothing changed.

        `change` is called again if a hand edit slips in before the rename, so it must only compute.
        """
        with self.locked(why):
            return self._edit(why, change)

    @contextlib.contextmanager
    def locked(self, why: str) -> Iterator[None]:
        """No other command changes the registry inside. Not reentrant."""
        lock = FileLock(self.path + ".lock", turn=True)
        try:
            lock.acquire({**self._who, "since": now(), "why": why, "pid": os.getpid()}, LOCK_WAIT_S)
            yield
        finally:
            lock.release()

    def _edit(self, why: str, change: Callable[[Registry], Registry]) -> Registry:
        for _ in range(10):
            before, content, stamp = self._read()
            after = change(before)
            rows = registry.changes(before, after)
            if not rows:
                return before
            _forbid_new_duplicates(before, after)
            if self._replace(registry.dump(after), content, stamp):
                self._append_history(why, rows)
                return after
        raise Failed("somebody keeps editing %s by hand, nothing was written" % self.path, "try again when they stop")

    def _read(self) -> Tuple[Registry, Optional[bytes], Optional[Stamp]]:
        try:
            _need_file(self.path)
            with open(self.path, "rb") as f:
                stamp, content = _stamp(os.fstat(f.fileno())), f.read()
        except FileNotFoundError:
            self._check_first_use()
            return registry.EMPTY, None, None
        except OSError as exc:
            hint = "put a file there that this login may read, or correct `registry` in the host file"
            raise RegistryInvalid("cannot read %s: %s" % (self.path, exc.strerror), hint, path=self.path) from exc
        try:
            return registry.parse(content), content, stamp
        except RegistryInvalid as exc:
            raise self._with_good_copy(exc) from None

    def _check_first_use(self) -> None:
        """A registry that is not there is empty only where there never was one."""
        folder = os.path.dirname(self.path)
        if not os.path.isdir(folder):
            raise RegistryInvalid(
                "the registry's folder %s does not exist" % folder, "mount it, or mkdir it on the host", path=self.path
            )
        if os.path.exists(self.path + ".bak"):
            raise self._with_good_copy(RegistryInvalid("the registry %s is gone, its backup is not" % self.path))

    def _with_good_copy(self, exc: RegistryInvalid) -> MlxopsError:
        backup = self.path + ".bak"
        try:
            with open(backup, "rb") as f:
                registry.parse(f.read())
        except (OSError, RegistryInvalid):
            return RegistryInvalid(exc.message, exc.hint, path=self.path, **exc.fields)
        import shlex

        copy = shlex.join(["cp", backup, self.path])
        hint = exc.hint or "the last good copy is %s; mend the file, or: %s" % (backup, copy)
        return RegistryInvalid(exc.message, hint, path=self.path, backup=backup, **exc.fields)

    def _replace(self, new: bytes, old: Optional[bytes], stamp: Optional[Stamp]) -> bool:
        """Swap the file in; False, and nothing changed, when it is no longer the one that was read."""
        temp = self.path + ".tmp"
        try:
            if old is not None:
                self._write(temp, old)
                os.replace(temp, self.path + ".bak")
            self._write(temp, new)
            if self._stamp_now() != stamp:
                os.unlink(temp)
                return False
            os.replace(temp, self.path)
        except OSError as exc:
            _discard(temp)
            raise unwritten(exc, self.path, "; it is unchanged") from exc
        with contextlib.suppress(OSError):
            # Every reader sees the new file by now: an error here must not say that it is unchanged.
            self._sync_folder()
        return True

    def _write(self, path: str, content: bytes) -> None:
        """A durable file with the registry's owner and mode."""
        with self._draft(path) as f:
            f.write(content)
            f.truncate()
            self._take_after_registry(f.fileno())
            self._sync(f.fileno())

    def _draft(self, path: str) -> BinaryIO:
        """A file of ours to write to: one that holds its room already, as long as there are any."""
        while self.drafts:
            with contextlib.suppress(OSError):
                os.replace(self.drafts.pop(), path)
                fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
                if os.fstat(fd).st_nlink == 1:
                    return os.fdopen(fd, "r+b")
                os.close(fd)
        _discard(path)
        return open(path, "xb")

    @property
    def history(self) -> str:
        return os.path.splitext(self.path)[0] + ".history.jsonl"

    def _take_after_registry(self, fd: int) -> None:
        try:
            was = os.stat(self.path)
        except FileNotFoundError:
            return give_to_owner_of(os.path.dirname(self.path), fd)
        os.fchmod(fd, stat.S_IMODE(was.st_mode))
        mine = os.fstat(fd)
        if (was.st_uid, was.st_gid) != (mine.st_uid, mine.st_gid):
            os.fchown(fd, was.st_uid, was.st_gid)

    def _stamp_now(self) -> Optional[Stamp]:
        try:
            return _stamp(os.stat(self.path))
        except FileNotFoundError:
            return None

    def _sync_folder(self) -> None:
        fd = os.open(os.path.dirname(self.path), os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def _append_history(self, why: str, rows: Any) -> None:
        line: Dict[str, Any] = {"at": now(), **self._who, "what": why, "changes": rows}
        path = self.history
        try:
            # It tells what the registry tells, so it is nobody's to read who may not read that.
            mode = os.stat(self.path).st_mode & 0o644
            fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
            with os.fdopen(fd, "ab") as f:
                give_to_owner_of(os.path.dirname(path), fd)
                f.write(json.dumps(line).encode() + b"\n")
        except OSError:
            # The registry is already true; a history that cannot grow must not undo it.
            return


def _need_file(path: str) -> None:
    """OSError for what would be waited for for ever (a pipe), or read for ever (a device)."""
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError(errno.EINVAL, "it is not a file")


def _stamp(was: os.stat_result) -> Stamp:
    return was.st_ino, was.st_size, was.st_mtime_ns


def _forbid_new_duplicates(before: Registry, after: Registry) -> None:
    known = before.duplicates()
    for port, names in after.duplicates().items():
        if set(names) - set(known.get(port, ())):
            raise AssignmentConflict("port %d would belong to %s" % (port, " and ".join(names)), port=port)


def _discard(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        return
