"""`python -m tests.fuzz TARGET [-runs=N] [-max_total_time=S] [FOLDER]`: libFuzzer, through atheris,
on one target.

Its options are those of libFuzzer. It starts from the samples, and from what it stored in FOLDER
earlier; an input that shows a defect is written to a file crash-*, and belongs in kept.py once the
defect is fixed."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

try:
    import atheris
except ImportError:
    sys.exit(
        "atheris is not installed here; it has wheels for CPython on Linux: pip install atheris"
    )

with atheris.instrument_imports(include=["mlxops", "tomllib"]):
    from .kept import KEPT
    from .targets import TARGETS, Target

BOUNDS = ("-max_len=8192", "-timeout=10", "-rss_limit_mb=2048")


def main() -> None:
    if len(sys.argv) < 2 or sys.argv[1] not in TARGETS:
        sys.exit(f"{__doc__}\ntargets: {' '.join(TARGETS)}")
    target, asked = TARGETS[sys.argv[1]], sys.argv[2:]
    with tempfile.TemporaryDirectory() as folder:
        sow(target, Path(folder))
        atheris.Setup([sys.argv[0], *BOUNDS, *asked, folder], target.read)
        atheris.Fuzz()


def sow(target: Target, folder: Path) -> None:
    for number, content in enumerate((*target.seeds, *KEPT.get(target.name, ()))):
        (folder / f"seed{number}").write_bytes(content)


if __name__ == "__main__":
    main()
