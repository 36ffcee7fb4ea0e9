"""The marks that the installed mlx-lm itself looks for in answers, read from its source."""

from __future__ import annotations

import ast
import os
from typing import Iterable, Iterator, Tuple

from ..untrusted import read_bounded

MAX_SOURCE_BYTES, MAX_FILES, MAX_MARK = 1 << 20, 200, 80
# Names at the top of each mlx_lm/tool_parsers/X.py, and in mlx_lm/tokenizer_utils.py.
_CALLS, _THINKING = ("tool_call_start", "tool_call_end"), ("THINK_TOKENS",)


def installed_marks(folders: Iterable[str]) -> Tuple[str, ...]:
    """The marks around tool calls and reasoning that the mlx-lm in the first of these site-packages
    folders knows; () without one."""
    package = os.path.join(next(iter(folders), ""), "mlx_lm")
    parsers = os.path.join(package, "tool_parsers")
    try:
        names = sorted(name for name in os.listdir(parsers) if name.endswith(".py"))
    except OSError:
        return ()
    found = [
        mark
        for name in names[:MAX_FILES]
        for mark in _constants(os.path.join(parsers, name), _CALLS)
    ]
    found += _constants(os.path.join(package, "tokenizer_utils.py"), _THINKING)
    return tuple(dict.fromkeys(mark for mark in found if _is_mark(mark)))


def _is_mark(text: str) -> bool:
    return 2 < len(text) <= MAX_MARK and text[:1] in "<[" and text.isprintable()


def _constants(path: str, names: Tuple[str, ...]) -> Iterator[str]:
    """The texts that a Python file assigns to these names, also those in tuples and lists."""
    try:
        tree = ast.parse(read_bounded(path, MAX_SOURCE_BYTES) or b"")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    for node in ast.walk(tree):
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if not any(isinstance(t, ast.Name) and t.id in names for t in targets):
            continue
        for part in ast.walk(getattr(node, "value", None) or ast.Pass()):
            if isinstance(part, ast.Constant) and isinstance(part.value, str):
                yield part.value
