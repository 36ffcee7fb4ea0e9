"""`python -m tests.support.measuredagent PATH`: write an interpreter for the agents of tests, which
measures coverage.

An agent runs without site-packages and without the environment, so nothing that starts coverage
elsewhere reaches it. This interpreter starts it first. Its configuration and its data file are
those of COVERAGE_PROCESS_START and COVERAGE_FILE when it is written."""

from __future__ import annotations

import os
import shlex
import sys
import sysconfig
from pathlib import Path

FLAGS = "-I -S -X utf8 -c"
# argv holds the program of the agent and its arguments.
PROLOGUE = """
import sys
sys.path.append({packages!r})
import coverage
sys.path.remove({packages!r})
coverage.Coverage({data!r}, data_suffix=True, config_file={config!r}).start()
code = sys.argv.pop(1)
exec(code)
"""


def interpreter() -> str:
    prologue = PROLOGUE.format(
        packages=sysconfig.get_path("purelib"),
        data=os.environ["COVERAGE_FILE"],
        config=os.environ["COVERAGE_PROCESS_START"],
    )
    python = shlex.quote(sys.executable)
    words = " ".join(f"${n}" for n in range(1, 6))
    return (
        f'#!/bin/sh\nif [ "{words}" = "{FLAGS}" ]; then\n    shift 5\n'
        f'    exec {python} {FLAGS} {shlex.quote(prologue)} "$@"\nfi\nexec {python} "$@"\n'
    )


if __name__ == "__main__":
    place = Path(sys.argv[1])
    place.write_text(interpreter())
    place.chmod(0o755)
