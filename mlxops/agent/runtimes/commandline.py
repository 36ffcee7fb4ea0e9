"""The program that a command line runs: a script under its interpreter, a module, a program under
uv. Pure."""

from __future__ import annotations

from typing import Sequence, Tuple

UV_OPTIONS_WITH_VALUE = (
    "--project",
    "--directory",
    "--with",
    "--python",
    "-p",
    "--extra",
    "--group",
    "--env-file",
    "--index",
)


def program(words: Sequence[str]) -> Tuple[str, ...]:
    """The words from the program on, without its interpreter or uv."""
    if not words:
        return ()
    name = base(words[0])
    if name == "uv" and "run" in words[1:]:
        return program(_after_options(words[words.index("run") + 1 :], UV_OPTIONS_WITH_VALUE))
    if name.lower().startswith("python"):
        return _python(words[1:])[0]
    return (name, *words[1:])


def module(words: Sequence[str]) -> Tuple[str, ...]:
    if words and base(words[0]) == "uv" and "run" in words[1:]:
        return module(_after_options(words[words.index("run") + 1 :], UV_OPTIONS_WITH_VALUE))
    if words and base(words[0]).lower().startswith("python"):
        return _python(words[1:])[1]
    return ()


def _python(words: Sequence[str]) -> Tuple[Tuple[str, ...], Tuple[str, ...]]:
    """The script and the module that an interpreter runs, each with the words after it; () for
    neither.

    Options may be joined (-Ic). -c, -m, -W and -X take the rest of their word, else the next
    one."""
    at = 0
    while at < len(words) and words[at].startswith("-"):
        word = words[at]
        cut = (
            0
            if word.startswith("--")
            else next((n for n, letter in enumerate(word) if letter in "cmWX"), 0)
        )
        letter, rest = word[cut], word[cut + 1 :]
        if letter == "m":
            return (), (*([rest] if rest else []), *words[at + 1 :])
        if letter == "c" or word == "-":
            return (), ()
        at += 2 if (cut and not rest) or word == "--check-hash-based-pycs" else 1
    return ((base(words[at]), *words[at + 1 :]) if at < len(words) else ()), ()


def _after_options(words: Sequence[str], with_value: Sequence[str]) -> Sequence[str]:
    at = 0
    while at < len(words) and words[at].startswith("-"):
        if words[at] in ("-c", "-m"):
            return ()
        at += 2 if words[at] in with_value else 1
    return words[at:]


def base(path: str) -> str:
    return path.rsplit("/", 1)[-1]
