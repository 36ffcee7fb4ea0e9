"""The switches and the journal of the stand-in model server. Runs on Python 3.9 too.

behaviour.json maps a text in the command line or in MLX_RANK=N ("" matches always) to switches;
later ones win:
  load_s          how long loading takes; mlx-openai-server opens its port afterwards
  listen_early    open the port before the model is loaded, as mlx_lm.server does
  die_after_s     exit that long after the start; fail_s: how long a failing start takes
  prints          a line for its log, before it loads
  exit_status     of such an exit and of a failed start (0 for mlx-openai-server, as the real one)
  ignore          signals that do nothing, such as ["TERM", "INT"]
  served_name     answer to this name instead of the one asked for
  hang            true, or a list of paths: requests are accepted and never answered
  status          {path: HTTP status} to answer with; slow_s: wait before every answer
  api_key         the key that it asks for; guarded: the paths that need it ("/v1/")
  rude            a manner of rudeness to answer everything with
  child           false: a single process, as in older versions, holding own_mb of weights
  child_mb        the weights the child holds
  linger_s        how long the child outlives its parent; orphan: for ever
fakechat has the switches for the content of its answers.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

OPENAI = "mlx-openai-server"
LIGHT = "mlx_lm.server"
DEFAULTS: dict[str, Any] = {
    "load_s": 0.1,
    "fail_s": 0.2,
    "linger_s": 0.1,
    "child_mb": 1,
    "own_mb": 0,
    "token_s": 0.1,
}
PROGRAM = Path(sys.argv[0]).absolute()


def is_openai() -> bool:
    """Whether it imitates mlx-openai-server, or a server that looks the same to clients: it has a
    served name, and opens no port before the model is loaded."""
    return PROGRAM.name != LIGHT


def switch(name: str) -> Any:
    """The current value of a switch of behaviour.json."""
    switches = {"child": PROGRAM.name == OPENAI, "exit_status": 0 if is_openai() else 1, **DEFAULTS}
    try:
        chosen = json.loads(PROGRAM.with_name("behaviour.json").read_text())
    except FileNotFoundError:
        chosen = {}
    for text, values in chosen.items():
        if text in " ".join([*sys.argv, "MLX_RANK=" + os.environ.get("MLX_RANK", "0")]):
            switches.update(values)
    return switches.get(name)


def journal(event: str, **fields: Any) -> None:
    line = json.dumps({"event": event, "pid": os.getpid(), "time": time.time(), **fields}) + "\n"
    with PROGRAM.with_name("journal.jsonl").open("a") as file:
        file.write(line)


def announce() -> None:
    """Write the first lines of a server to the journal and to its log."""
    journal("started", argv=sys.argv, cwd=os.getcwd(), env=dict(os.environ))
    if switch("prints"):
        print(switch("prints"), flush=True)
