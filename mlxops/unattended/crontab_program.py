"""Read and write the user's crontab, with the program of the same name."""

from __future__ import annotations

import os
import subprocess

from ..agent.errors import Failed, MlxopsError
from ..render.format import printable

PROGRAM_TIMEOUT_S = 30.0
# Bytes that are not UTF-8 stay as they are.
ENCODING = ("utf-8", "surrogateescape")


def read() -> str:
    """The crontab; "" if the user has none. Failed if it cannot be read."""
    done = _crontab("-l")
    stderr = done.stderr.decode("utf-8", "replace")
    if done.returncode == 0:
        return done.stdout.decode(*ENCODING)
    if "no crontab for" in stderr:
        return ""
    raise _refused("read", stderr)


def write(text: str) -> None:
    """Replace the crontab, or remove it if the text is empty; Failed unless the program took it."""
    done = _crontab("-", text=text) if text else _crontab("-r")
    stderr = done.stderr.decode("utf-8", "replace")
    if done.returncode and not (not text and "no crontab for" in stderr):
        raise _refused("write", stderr)
    if read() != text:
        raise Failed(
            "the crontab is not what was written: another program changed it", "crontab -l"
        )


def _refused(what: str, stderr: str) -> MlxopsError:
    why = printable(next(filter(None, map(str.strip, stderr.splitlines())), "no reason given"))
    hint = "crontab -l"
    if "not allowed" in stderr or "allowed to use" in stderr:
        hint = "ask root to add you to cron.allow (or to take you out of cron.deny)"
    elif "ermission" in stderr or "not permitted" in stderr:
        hint = "on macOS: give the terminal Full Disk Access in System Settings"
    return Failed(f"cannot {what} the crontab: {why}", hint)


def _crontab(word: str, text: str | None = None) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(
            ["crontab", word],
            input=b"" if text is None else text.encode(*ENCODING),
            capture_output=True,
            env={**os.environ, "LC_ALL": "C"},
            timeout=PROGRAM_TIMEOUT_S,
        )
    except FileNotFoundError:
        raise Failed(
            "no crontab program on PATH",
            "install cron, or run the line of `mlxops cron` by another scheduler",
        ) from None
    except subprocess.TimeoutExpired:
        raise Failed(f"`crontab {word}` did not end within {PROGRAM_TIMEOUT_S:.0f} s") from None
    except OSError as exc:
        raise Failed(f"cannot run crontab: {exc.strerror}", "crontab -l") from None
