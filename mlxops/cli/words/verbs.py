"""Other words for the verbs: aliases, which work, and synonyms, which are only suggested."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Sequence

from ...agent.errors import Usage

# word -> the verb, and the options that it stands for
ALIASES: dict[str, tuple[str, ...]] = {
    "ps": ("status",),
    "ls": ("list",),
    "rm": ("remove",),
    "stop": ("unload",),
    "start": ("load",),
    "swap": ("load", "--replace"),
    # Verbs of earlier versions.
    "plan": ("apply", "--dry-run"),
    "unload-all": ("unload", "--all"),
    "lock": ("jobs", "--locks"),
    "follow": ("jobs", "--follow"),
}
# Names that other tools use. Words in capitals stand for arguments.
SYNONYMS: dict[str, tuple[str, ...]] = {
    "models": ("list",),
    "images": ("list",),
    "ports": ("status",),
    "slots": ("status",),
    "health": ("status", "--check"),
    "info": ("show", "NAME"),
    "inspect": ("show", "NAME"),
    "describe": ("show", "NAME"),
    "get": ("show", "NAME"),
    "delete": ("remove", "NAME"),
    "rmi": ("remove", "NAME"),
    "mv": ("rename", "OLD", "NEW"),
    "move": ("load", "--move", "MODEL", "PORT"),
    "kill": ("unload", "PORT"),
    "down": ("unload", "--all"),
    "stop-all": ("unload", "--all"),
    "run": ("load", "MODEL", "PORT"),
    "serve": ("load", "MODEL", "PORT"),
    "launch": ("load", "MODEL", "PORT"),
    "replace": ("load", "--replace", "MODEL", "PORT"),
    "reload": ("restart", "PORT"),
    "up": ("apply",),
    "sync": ("apply",),
    "restore": ("apply",),
    "diff": ("apply", "--dry-run"),
    "download": ("pull", "ORG/NAME"),
    "fetch": ("pull", "ORG/NAME"),
    "log": ("logs", "PORT"),
    "tail": ("logs", "-f", "PORT"),
    "watch": ("status", "--watch"),
    "monitor": ("status", "--watch"),
    "top": ("status", "--watch"),
    "stats": ("status", "--watch"),
    "events": ("history",),
    "undo": ("history", "--undo"),
    "rollback": ("history", "--undo"),
    "locks": ("jobs", "--locks"),
    "attach": ("jobs", "--follow"),
    "abort": ("cancel",),
    "check": ("doctor",),
    "test": ("verify", "PORT"),
    "ping": ("verify", "PORT"),
    "config": ("hosts",),
    "context": ("hosts",),
    "host": ("hosts",),
    "use": ("hosts", "use", "NAME"),
    "setup": ("hosts",),
    "find": ("search", "WORDS"),
    "add": ("register", "NAME", "ORG/NAME"),
    "import": ("init",),
    "scan": ("init",),
    "edit": ("set", "NAME", "KEY=VALUE"),
    "du": ("disk",),
    "df": ("disk",),
    "prune": ("disk", "--prune"),
    "gc": ("disk", "--prune"),
    "clean": ("disk", "--prune"),
    "cleanup": ("disk", "--prune"),
}
MAX_WORD_LENGTH = 50
# Verbs of two words, which are one in the list of verbs.
TWO_WORDS = ("hosts add", "hosts use")


def without_aliases(words: Sequence[str]) -> list[str]:
    """The words of a command line with the verb of an alias in its place, and a verb of two words
    as one."""
    two = " ".join(words[:2])
    if two in TWO_WORDS:
        return [two, *words[2:]]
    return [*ALIASES.get(words[0], words[:1]), *words[1:]]


def unknown_verb(word: str, more: Sequence[str], verbs: Collection[str]) -> Usage:
    """The error for an unknown verb. `more`: what follows it."""
    known = SYNONYMS.get(word.lower())
    if known:
        return Usage(f"unknown verb {word!r}", _command(known, more), word=word)
    import difflib

    near = difflib.get_close_matches(word.lower(), [*verbs, *ALIASES], 1, cutoff=0.7)
    meant = f" (did you mean {near[0]!r}?)" if near else ""
    text = f"unknown verb {word[:MAX_WORD_LENGTH]!r}{meant}"
    return Usage(text, f"mlxops {near[0]} --help" if near else "mlxops --help", word=word)


def second_words(first: str) -> list[str]:
    """What may follow the first word of a verb of two words."""
    return [two.split()[1] for two in TWO_WORDS if two.split()[0] == first]


def unknown_second_word(first: str, word: str) -> Usage | None:
    """The error for `hosts WORD` unless it is a verb of two words; None after other verbs."""
    seconds = second_words(first)
    if not seconds or word.startswith("-"):
        return None
    import difflib

    near = difflib.get_close_matches(word.lower(), [*seconds, "list", "ls"], 1, cutoff=0.5)
    known = {"list": f"mlxops {first}", "ls": f"mlxops {first}"}
    step = known.get(near[0], f"mlxops {first} {near[0]} --help") if near else ""
    return Usage(f"{first} has no {word[:MAX_WORD_LENGTH]!r}", step or f"mlxops {first} --help")


def _command(known: Sequence[str], more: Sequence[str]) -> str:
    """The command to type, with the arguments that were typed if there are any."""
    words = [word for word in known if not word.isupper()] if more else list(known)
    return " ".join(["mlxops", *words, *map(shlex.quote, more)])
