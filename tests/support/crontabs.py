"""A stand-in for the program crontab, which keeps its text in a file beside it."""

from __future__ import annotations

from pathlib import Path

SOURCE = """#!/bin/sh
kept="$(dirname "$0")/crontab.txt"
case "$1" in
-l) [ -e "$kept" ] || { echo "no crontab for me" >&2; exit 1; }; cat "$kept";;
-r) rm "$kept";;
-) cat > "$kept";;
*) exit 2;;
esac
"""


class Crontab:
    """The program is in the folder `bin`, which must come first on PATH."""

    def __init__(self, folder: Path, source: str = SOURCE) -> None:
        self.bin = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.program, self._kept = folder / "crontab", folder / "crontab.txt"
        self.program.write_text(source)
        self.program.chmod(0o755)

    @property
    def content(self) -> bytes | None:
        """None without a crontab."""
        return self._kept.read_bytes() if self._kept.exists() else None

    def write(self, content: bytes) -> None:
        self._kept.write_bytes(content)
