"""What `init` leaves behind, run once for all tests with the same models and the same runtime."""

from __future__ import annotations

import json
from pathlib import Path

from .studio import Studio

# In the place of the Studio's folder.
FOLDER = "{studio}"


class InitCopies:
    """The files that `init` wrote, for each kind of Studio that was initialised before."""

    def __init__(self) -> None:
        self._files: dict[str, dict[str, tuple[int, str]]] = {}

    def init(self, studio: Studio) -> None:
        """Have the registry that a real `init` writes here; only the first one of a kind is run."""
        assert not studio.registry_path.exists(), "a copy would overwrite the registry"
        kind = _kind(studio)
        if kind not in self._files:
            studio.must("init")
            self._files[kind] = {
                path.name: _read(studio, path) for path in studio.hub.glob("registry.*")
            }
            return
        for name, (mode, text) in self._files[kind].items():
            path = studio.hub / name
            path.write_text(text.replace(FOLDER, str(studio.folder)))
            path.chmod(mode)


def _kind(studio: Studio) -> str:
    """What the answer of `init` depends on: the models, the runtime, and what its --help lists."""
    program, *words = studio.runtime["command"]
    help_text = Path(f"{program}.help")
    models = sorted(
        str(path.relative_to(studio.hub)) for path in studio.hub.glob("models--*/snapshots/*")
    )
    shown = help_text.read_text() if help_text.exists() else program
    return json.dumps([models, Path(program).name, words, shown])


def _read(studio: Studio, path: Path) -> tuple[int, str]:
    text = path.read_text().replace(str(studio.folder), FOLDER)
    return path.stat().st_mode & 0o777, text
