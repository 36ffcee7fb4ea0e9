"""What a shell was started to run: the text of -c, or that of its script.

Anyone can write a command line. Its script is relative to the shell's working directory, and may
name a FIFO, a device or a descriptor: only the beginning of a regular file is read."""

from __future__ import annotations

import os
import re
from typing import Iterator, NamedTuple, Optional, Sequence

from ..errors import Unobservable
from ..untrusted import read_bounded
from .contract import Procs
from .facts import Process

MAX_SCRIPT_BYTES = 64 << 10
FILE_OPTIONS = ("--rcfile", "--init-file")
# These differ in each process: a descriptor of the shell names another file here.
PRIVATE_FOLDERS = ("/dev/", "/proc/")
# A loop at the start of a command, not the word in a comment or a string.
LOOP = re.compile(
    r"(?:^|[;&|(){`\n]|(?<![\w-])(?:do|then|else|time|!))[ \t]*(?:while|until|for)(?![\w-])"
)


class ShellInput(NamedTuple):
    """A shell's input on its command line: the `text` of -c, or the `file` of a script."""

    text: str = ""
    file: str = ""


def shell_input(argv: Sequence[str]) -> Optional[ShellInput]:
    """None for a shell that reads its standard input, such as an interactive one."""
    words, at = argv[1:], 0
    while at < len(words):
        word = words[at]
        if word in ("-", "--"):
            return ShellInput(file=words[at + 1]) if at + 1 < len(words) else None
        if not word.startswith(("-", "+")):
            return ShellInput(file=word)
        if word.startswith("-") and "c" in word and not word.startswith("--"):
            return ShellInput(text=_behind_options(words[at:]))
        at += 1 + _values(word)
    return None


def _behind_options(words: Sequence[str]) -> str:
    """More options may stand between -c and its text."""
    at = 0
    while at < len(words) and words[at].startswith(("-", "+")):
        at += 1 + _values(words[at])
    return words[at] if at < len(words) else ""


def _values(option: str) -> int:
    """How many of the next words are the option's values."""
    if option.startswith("--") or " " in option:
        return int(option in FILE_OPTIONS)
    return sum(letter in "oO" for letter in option)


def runs_loop(procs: Procs, shell: Process) -> bool:
    """Whether the shell is known to run a loop."""
    found = shell_input(shell.argv)
    if found is None:
        return False
    texts = [found.text] if found.text else _contents(procs, shell, found.file)
    return any(LOOP.search(text) for text in texts)


def _contents(procs: Procs, shell: Process, word: str) -> Iterator[str]:
    for path in _places(procs, shell, word):
        raw = (
            None
            if os.path.normpath(path).startswith(PRIVATE_FOLDERS)
            else read_bounded(path, MAX_SCRIPT_BYTES)
        )
        if raw is not None:
            yield raw.decode("utf-8", "replace")


def _places(procs: Procs, shell: Process, word: str) -> Iterator[str]:
    """Possible paths of the script: relative to the shell's working directory, or among its open
    files if the script has changed directory."""
    if os.path.isabs(word):
        yield word
        return
    try:
        folder, files = procs.folder(shell.pid), procs.files(shell.pid)
    except Unobservable:
        return
    if folder:
        yield os.path.join(folder, word)
    yield from (path for path in files if os.path.basename(path) == os.path.basename(word))
