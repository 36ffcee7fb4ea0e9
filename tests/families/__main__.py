"""`python -m tests.families ENVIRONMENT [MODEL...]`: run the models through the real server, and
write docs/lab/families.md.

With models named, only their outcomes are printed, and nothing is written."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from .server import Outcome, free_port, outcome, serving
from .speech import SPEECHES
from .table import PAGE, page, proposed, row

# Every model is a separate process, and the server starts them one after the other.
AT_ONCE = 8


def run(environment: Path, names: list[str], flags: bool) -> dict[str, Outcome]:
    """The outcomes of the models, with the proposed flags or with none."""
    found: dict[str, Outcome] = {}
    for first in range(0, len(names), AT_ONCE):
        group = names[first : first + AT_ONCE]
        with tempfile.TemporaryDirectory() as folder:
            models = {f"m{n}": prepared(Path(folder), name, flags) for n, name in enumerate(group)}
            port = free_port()
            with serving(Path(folder), environment, port, models):
                found |= {
                    name: outcome(port, f"m{n}", SPEECHES[name]) for n, name in enumerate(group)
                }
    return found


def prepared(folder: Path, name: str, flags: bool) -> dict[str, str]:
    """Create a model's folder; the fields that the server gets for it."""
    place = folder / name.replace(" ", "-").replace("<", "").replace(">", "")
    place.mkdir()
    for file, content in SPEECHES[name].files().items():
        (place / file).write_bytes(content)
    return {"model_path": str(place), **(proposed(SPEECHES[name]) if flags else {})}


def main(environment: Path, names: list[str]) -> None:
    flagged, bare = (run(environment, names or [*SPEECHES], flags) for flags in (True, False))
    for name in flagged:
        print(*row(name, flagged[name], bare[name]), sep=" | ")
        for heard in (*flagged[name].heard, *bare[name].heard) if names else ():
            print("   ", *heard, sep=" / ")
    if not names:
        PAGE.write_text(page([row(name, flagged[name], bare[name]) for name in SPEECHES]), "utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.families", description=__doc__)
    parser.add_argument(
        "environment", type=Path, help="environment in which mlx-openai-server is installed"
    )
    models = [[], *SPEECHES]
    parser.add_argument(
        "model", nargs="*", choices=models, metavar="MODEL", help="models to run; default: all"
    )
    chosen = parser.parse_args()
    main(chosen.environment.resolve(), chosen.model)
