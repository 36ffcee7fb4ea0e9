"""The registry file: read it, change it under its lock, durably, with a backup and a history."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from typing import Any, BinaryIO, Callable, Dict, Iterator, List, Mapping, Optional, Tuple

from ..clock import Deadline, now, utc
from ..errors import AssignmentConflict, Failed, MlxopsError, RegistryInvalid, write_error
from ..line_file import HOW, older, write_line
from ..untrusted import read_bounded
from . import copies, sharing
from . import entries as registry
from .atomic_file import Stamp, claim, replace_file, stamp_of, write_durably
from .entries import Registry
from .lock import FileLock, chown_to_folder_owner

LOCK_TIMEOUT_S = 10.0
# About 4,000 loads. One older file is kept.
MAX_HISTORY_BYTES = 8 << 20


class Store:
    """One `registry.json`. `who`: {"who", "from"} for the lock and the history; `sync`: fsync of a
    descriptor."""

    def __init__(
        self, path: str, who: Mapping[str, Any], sync: Callable[[int], None] = os.fsync
    ) -> None:
        self.path = path
        self._who = dict(who)
        self._sync = sync
        # Preallocated files with space for a registry, which the next writes use.
        self.drafts: List[str] = []
        # Gets the holder of the lock, if a change has to wait for it.
        self.on_wait: Optional[Callable[[str], None]] = None

    def read(self) -> Registry:
        """The current registry; RegistryInvalid if it cannot be read."""
        return self._read()[0]

    def read_or_empty(self) -> Tuple[Registry, Optional[MlxopsError]]:
        """The registry, or an empty one with the error, for verbs that also work without it."""
        try:
            return self.read(), None
        except MlxopsError as exc:
            return registry.EMPTY, exc

    def read_or_backup(self) -> Tuple[Registry, Optional[MlxopsError]]:
        """The registry, or that of its newest valid copy with the error, to show to a person. The
        error is raised if there is no such copy."""
        try:
            return self.read(), None
        except MlxopsError as exc:
            copy = exc.fields.get("backup")
            content = read_bounded(copy, copies.MAX_BYTES) if copy else None
            if content is None:
                raise
            return registry.parse(content), exc

    def edit(self, why: str, change: Callable[[Registry], Registry]) -> Registry:
        """Re-read, change and replace the registry under its lock; return it as written. Writes
        nothing if nothing changed.

        `change` must be pure: it is called again if the file is edited by hand before the
        rename."""
        deadline = Deadline(LOCK_TIMEOUT_S)
        while True:
            with self.locked(why) as lock:
                done = self._edit(why, change, lock)
            if done is not None:
                return done
            if deadline.passed:
                what = "something keeps removing the lock of %s; nothing was written" % self.path
                raise Failed(
                    what, "stop the program that removes the .lock files beside it", path=self.path
                )

    @contextlib.contextmanager
    def locked(self, why: str, wait_s: Optional[float] = None) -> Iterator[FileLock]:
        """Context in which no other command can change the registry. Not reentrant."""
        lock = FileLock(self.path + ".lock", turn=True, registry=self.path, on_wait=self.on_wait)
        try:
            holder = {**self._who, "since": now(), "why": why, "pid": os.getpid()}
            lock.acquire(holder, LOCK_TIMEOUT_S if wait_s is None else wait_s)
            yield lock
        finally:
            lock.release()

    def check_writable(self) -> None:
        """Failed if an edit could not be written. The caller must hold the lock."""
        trial = copies.draft_path(self.path)
        try:
            # A full disk still takes an empty file.
            self._write(trial, b"\n" * os.stat(self.path).st_size)
        except OSError as exc:
            raise write_error(exc, self.path, "; it is unchanged") from exc
        finally:
            copies.discard(trial)

    def _edit(
        self, why: str, change: Callable[[Registry], Registry], lock: FileLock
    ) -> Optional[Registry]:
        """None if the lock was lost before anything was written."""
        for _ in range(10):
            before, content, stamp = self._read()
            after = registry.with_implied_wants(change(before))
            rows = registry.changes(before, after)
            if not rows:
                return before
            _forbid_new_duplicates(before, after)
            if self._replace(registry.dump(after), content, stamp):
                self._append_history(why, rows)
                return after
            if lock.lost:
                return None
        raise Failed(
            "%s keeps being edited by hand; nothing was written" % self.path,
            "run the command again after that",
        )

    def _read(self) -> Tuple[Registry, Optional[bytes], Optional[Stamp]]:
        try:
            _need_file(self.path)
            with open(self.path, "rb") as f:
                stamp, content = stamp_of(os.fstat(f.fileno())), f.read()
        except FileNotFoundError:
            self._check_first_use()
            return registry.EMPTY, None, None
        except OSError as exc:
            hint = "make it readable for this user, or correct `registry` in the host file"
            if exc.errno in (errno.EIO, errno.ESTALE, errno.EMFILE, errno.ENFILE):
                hint = "check the disk and the limits on the host; the registry was not changed"
            copy = copies.newest_valid(self.path)
            known = {"path": self.path, **({"backup": copy} if copy else {})}
            raise RegistryInvalid(
                "cannot read %s: %s" % (self.path, exc.strerror), hint, **known
            ) from exc
        try:
            return registry.parse(content), content, stamp
        except RegistryInvalid as exc:
            raise self._with_good_copy(exc) from None

    def _check_first_use(self) -> None:
        """A missing registry counts as empty only if there never was one."""
        folder = os.path.dirname(self.path)
        if not os.path.isdir(folder):
            raise RegistryInvalid(
                "the registry's folder %s does not exist" % folder,
                "mount it, or create it on the host with mkdir",
                path=self.path,
            )
        if any(map(os.path.exists, (copies.backup(self.path), copies.older_backup(self.path)))):
            raise self._with_good_copy(
                RegistryInvalid("the registry %s is missing; a backup exists" % self.path)
            )

    def _with_good_copy(self, exc: RegistryInvalid) -> MlxopsError:
        backup = copies.newest_valid(self.path)
        if backup is None:
            return RegistryInvalid(exc.message, exc.hint, path=self.path, **exc.fields)
        import shlex

        written = utc(os.stat(backup).st_mtime)
        hint = "correct the file, or restore the copy of %s, on the host: %s" % (
            written,
            shlex.join(["cp", backup, self.path]),
        )
        fields = {"path": self.path, "backup": backup, "backup_written": written}
        both = "%s; or %s" % (exc.hint, hint.partition(", or ")[2]) if exc.hint else hint
        return RegistryInvalid(exc.message, both, **fields, **exc.fields)

    def _replace(self, new: bytes, old: Optional[bytes], stamp: Optional[Stamp]) -> bool:
        """Replace the file; False, and nothing changed, if it is not the one that was read."""
        temp, copy, earlier = (copies.draft_path(self.path) for _ in range(3))
        known = old is None or copies.has_content(copies.backup(self.path), old)
        try:
            # Write all copies before anything gets its name, so that a full disk changes nothing.
            self._write(copy, new)
            if old is not None and not known:
                self._write(earlier, old)
            self._write(temp, new)
            with claim(self.path, stamp) as unchanged:
                if not unchanged:
                    return False
                replace_file(temp, self.path, stamp)
            with contextlib.suppress(OSError):
                # The new file is in place: an error here must not claim that it is unchanged.
                self._keep(copy, copies.backup(self.path) if known else earlier, old)
        except FileExistsError:
            return False
        except OSError as exc:
            raise write_error(exc, self.path, "; it is unchanged") from exc
        finally:
            for path in (temp, copy, earlier, *copies.abandoned_drafts(self.path)):
                copies.discard(path)
        return True

    def _keep(self, copy: str, earlier: str, old: Optional[bytes]) -> None:
        """Rename the copies of what is written now and of what it replaces."""
        if old is not None:
            os.replace(earlier, copies.older_backup(self.path))
        os.replace(copy, copies.backup(self.path))
        self._sync_folder()

    def _write(self, path: str, content: bytes) -> None:
        """A durable file with the registry's owner and mode."""
        with self._draft(path) as f:
            write_durably(f, content, self.path, self._sync)

    def _draft(self, path: str) -> BinaryIO:
        """A new file to write to: a preallocated one if there is any."""
        while self.drafts:
            with contextlib.suppress(OSError):
                os.replace(self.drafts.pop(), path)
                fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
                if os.fstat(fd).st_nlink == 1:
                    return os.fdopen(fd, "r+b")
                os.close(fd)
        copies.discard(path)
        return open(path, "xb", opener=lambda name, flags: os.open(name, flags, 0o600))

    @property
    def history(self) -> str:
        return os.path.splitext(self.path)[0] + ".history.jsonl"

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
            # Only accounts that may read the registry may read its history.
            mode = os.stat(self.path).st_mode & 0o664
            fd = os.open(path, HOW, mode)
            with os.fdopen(fd, "ab") as f:
                chown_to_folder_owner(os.path.dirname(path), fd)
                sharing.set_mode_and_group(fd, self.path, mode)
                full = write_line(f, line) > MAX_HISTORY_BYTES
            if full:
                os.replace(path, older(path))
        except OSError:
            # The registry is already written; a failure of the history must not undo it.
            return


def _need_file(path: str) -> None:
    """OSError for anything but a regular file: a pipe would block, a device might never end."""
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError(errno.EINVAL, "not a regular file")


def _forbid_new_duplicates(before: Registry, after: Registry) -> None:
    known = before.duplicates()
    for port, names in after.duplicates().items():
        if set(names) - set(known.get(port, ())):
            raise AssignmentConflict(
                "port %d would be assigned to %s" % (port, " and ".join(names)), port=port
            )
