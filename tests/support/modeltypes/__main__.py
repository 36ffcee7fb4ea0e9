"""`python -m tests.support.modeltypes [types] [large]`: write the tables of docs/lab/caches.md."""

from __future__ import annotations

import argparse

from . import large, page, shapes
from .figures import CASES, ask, fill


def write_types() -> None:
    configs = {name: shapes.config(name) for name in shapes.TYPES}
    dtype = CASES[page.SHOWN][1]
    asked, filled = ask(configs, dtype), fill(configs)
    page.write("types", page.types_table({n: (filled[n], {dtype: asked[n]}) for n in shapes.TYPES}))


def write_large() -> None:
    """Each model has a process of its own."""
    asked = {}
    for name, config in large.configs().items():
        asked |= ask({name: config}, "bfloat16")
    page.write("large", page.large_table(asked))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.support.modeltypes", description=__doc__)
    parser.add_argument("tables", nargs="*", choices=["types", "large"], default=["types", "large"])
    chosen = parser.parse_args().tables
    for table, write in {"types": write_types, "large": write_large}.items():
        if table in chosen:
            write()
