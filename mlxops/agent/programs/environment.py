"""What lies beside a runtime's program on this host: the packages of its environment, and the models they know."""

from __future__ import annotations

import os
import re
from typing import FrozenSet, Iterable, Iterator, Optional, Sequence

from ..hub.interpreter import of_runtime
from ..models.files import read

_LARGEST = 1 << 20
# mlx-lm's utils.py names model types that another module serves: MODEL_REMAPPING = {"mistral": "llama", ...}
_REMAPPED = re.compile(r"^MODEL_REMAPPING\s*=\s*\{(.*?)^\}", re.M | re.S)
_KEY = re.compile(r'^\s*"([\w.-]+)":', re.M)


def packages(words: Sequence[str]) -> Iterator[str]:
    """The site-packages of the environments these words may belong to."""
    for python in of_runtime(words):
        libraries = os.path.join(os.path.dirname(os.path.dirname(python[-1])), "lib")
        if os.path.isabs(libraries) and os.path.isdir(libraries):
            for name in sorted(os.listdir(libraries)):
                folder = os.path.join(libraries, name, "site-packages")
                if name.startswith("python") and os.path.isdir(folder):
                    yield folder


def beside(package: str, folders: Iterable[str]) -> bool:
    """Whether a package is installed in the first environment there is."""
    first = next(iter(folders), None)
    return first is not None and os.path.isdir(os.path.join(first, package))


def model_types(folders: Iterable[str]) -> Optional[FrozenSet[str]]:
    """The model types that the mlx-lm there can build; None where it does not lie open."""
    first = next(iter(folders), "")
    try:
        names = os.listdir(os.path.join(first, "mlx_lm", "models"))
    except OSError:
        return None
    text = (read(os.path.join(first, "mlx_lm", "utils.py"), _LARGEST) or b"").decode("utf-8", "replace")
    remapped = _REMAPPED.search(text)
    # Without that table it is another mlx-lm than we know how to ask.
    built = frozenset(name[:-3] for name in names if name.endswith(".py"))
    return built | frozenset(_KEY.findall(remapped[1])) if remapped else None
