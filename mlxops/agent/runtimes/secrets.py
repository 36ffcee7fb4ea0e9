"""Options of servers whose value is a secret. Pure."""

from __future__ import annotations

import re
from typing import List, Sequence, Tuple

from ..errors import Usage

MASK = "***"
# argparse also takes the beginning of an option, and some servers an underscore.
_SECRET = re.compile(r"--(api[-_]?k[a-z]*|(hf|auth|access|bearer)[-_]token)", re.IGNORECASE)
ADVICE = "use api_key_file or api_key_env in the host file: docs/runtimes.md#api-keys"
REASON = "the value would be in the registry and in the server's command line, which ps shows"


def is_secret(word: str) -> bool:
    """Whether a word is such an option, with or without its value."""
    return _SECRET.fullmatch(word.partition("=")[0]) is not None


def secret_options(words: Sequence[str]) -> Tuple[str, ...]:
    return tuple(word.partition("=")[0] for word in words if is_secret(word))


def refuse_secrets(words: Sequence[str]) -> None:
    """Usage if one of the words is such an option."""
    for option in secret_options(words):
        raise Usage("%s cannot be used in args: %s" % (option, REASON), ADVICE, option=option)


def masked(words: Sequence[str]) -> List[str]:
    """The words with each secret replaced."""
    shown: List[str] = []
    for word, before in zip(words, ("", *words)):
        option, equals, _ = word.partition("=")
        if is_secret(word) and equals:
            shown.append("%s=%s" % (option, MASK))
        else:
            shown.append(MASK if is_secret(before) and "=" not in before else word)
    return shown


def shown_option(flag: str, value: str) -> str:
    return " ".join(masked([word for word in (flag, value) if word]))
