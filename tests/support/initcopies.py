"""What `init` leaves behind, run once for all tests with the same models and the same runtime."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from .studio import Studio

# Stands for the Studio's folder in copied texts.
FOLDER = b"{studio}"


class InitCopies:
    """The files that `init` wrote, for each kind of Studio that was initialised before."""

    def __init__(self) -> None:
        self._files: dict[str, dict[Path, tuple[int, bytes]]] = {}

    def init(self, studio: Studio) -> None:
        """Write the registry and the agent as `init` does; the first time of a kind, run it."""
        assert not studio.registry_path.exists(), "a copy would overwrite the registry"
        kind = _kind(studio)
        if kind not in self._files:
            studio.must("init")
            self._files[kind] = {
                path.relative_to(studio.folder): _read(studio, path) for path in _written(studio)
            }
            return
        (studio.state_dir / "agent").mkdir(0o700)
        for name, (mode, content) in self._files[kind].items():
            path = studio.folder / name
            path.parent.mkdir(0o700, exist_ok=True)
            path.write_bytes(content.replace(FOLDER, bytes(studio.folder)))
            path.chmod(mode)


def _kind(studio: Studio) -> str:
    """What the answer of `init` depends on: the models, the runtime, and what its --help lists."""
    program, *words = studio.runtime["command"]
    help_text = Path(f"{program}.help")
    models = sorted(
        str(path.relative_to(studio.hub)) for path in studio.hub.glob("models--*/snapshots/*")
    )
    listed = help_text.read_text() if help_text.exists() else program
    return json.dumps([models, Path(program).name, words, listed])


def _written(studio: Studio) -> Iterator[Path]:
    yield from studio.hub.glob("registry.*")
    yield from studio.state_dir.glob("agent/*/*")


def _read(studio: Studio, path: Path) -> tuple[int, bytes]:
    content = path.read_bytes().replace(bytes(studio.folder), FOLDER)
    return path.stat().st_mode & 0o777, content
