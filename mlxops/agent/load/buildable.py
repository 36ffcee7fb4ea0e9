"""Check that the runtime's packages can build a model from its config.json and parse its chat
template.

Runs in a child under the runtime's interpreter, and only if the load stops a server. If the child
cannot run or takes too long, the load goes on."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from typing import Optional, Sequence, Tuple

from ..context import Context
from ..errors import Failed, mlxops_command
from ..formats.templates import MAX_TEMPLATE_BYTES
from ..models.files import MAX_CONFIG_BYTES, config
from ..programs.environment import runtime_interpreters
from ..programs.find import answer_path, fingerprint, read_answer, run_program, save_answer
from ..registry.entries import Entry
from ..runtimes.table import Runtime
from ..untrusted import read_bounded
from .request import LoadPlan

TIMEOUT_S = 20.0
MARK = "mlxops answer: "
_BEGIN = (
    """
import json, os, re, sys
try:
    os.nice(10)
except OSError:
    pass
def answer(text):
    print(%r + json.dumps(text), flush=True)
    os._exit(0)
"""
    % MARK
)
# As load_model of mlx_lm/utils.py does, without weights: MLX arrays take no memory until used. A
# lack of MLX or of the machine raises other errors than these.
_CONFIG = (
    _BEGIN
    + """
from mlx_lm.utils import _get_classes
with open(sys.argv[1], encoding="utf-8") as f:
    config = json.load(f)
model, args = _get_classes(config=config)
try:
    model(args.from_dict(config))
except (TypeError, ValueError, KeyError, AttributeError, IndexError, ZeroDivisionError) as exc:
    answer("%s: %s" % (type(exc).__name__, exc))
answer("")
"""
)
# The tag `generation` and `break` in loops are transformers' additions
# (utils/chat_template_utils.py).
_TEMPLATE = (
    _BEGIN
    + r"""
import jinja2
with open(sys.argv[1], encoding="utf-8") as f:
    text = f.read()
text = re.sub(r"\{%[-+]?\s*(end)?generation\s*[-+]?%\}", "", text)
more = ["jinja2.ext.loopcontrols"]
env = jinja2.Environment(trim_blocks=True, lstrip_blocks=True, extensions=more)
try:
    env.parse(text)
except jinja2.TemplateSyntaxError as exc:
    answer("line %s: %s" % (exc.lineno, exc.message))
answer("")
"""
)


def check(ctx: Context, entry: Entry, plan: LoadPlan) -> None:
    """Failed if the server is certain to end with an error.

    Not checked if the load stops no server, or with --force.
    """
    runtime, command, request = plan.runtime, plan.installed.command, plan.request
    stops = plan.survey.server is not None or plan.home is not None or request.evict
    if request.force or not stops:
        return
    template = entry.text("chat_template")
    if template and runtime.chat_template:
        raw, message = read_bounded(template, MAX_TEMPLATE_BYTES), "checking the chat template"
        why = _cached_answer(ctx, command, _TEMPLATE, template, raw, message)
        if why:
            raise Failed(
                "the chat template %s has an error: %s" % (template, why),
                "fix it, or %s" % mlxops_command("set", entry.name, "chat_template="),
                entry=entry.name,
                path=template,
            )
    if entry.cache_path and _built_by_mlx_lm(entry, runtime):
        path = os.path.join(entry.cache_path, "config.json")
        raw, message = read_bounded(path, MAX_CONFIG_BYTES), "checking the model's configuration"
        why = _cached_answer(ctx, command, _CONFIG, path, raw, message)
        if why:
            raise Failed(
                "the mlx-lm of %s cannot build a model from %s: %s" % (runtime.name, path, why),
                "restore the file, or load with --force",
                entry=entry.name,
                path=path,
            )


def _built_by_mlx_lm(entry: Entry, runtime: Runtime) -> bool:
    """Whether mlx-lm builds it: not a model with its own code, or of another type."""
    typed = any(word.partition("=")[0] == "--model-type" for word in entry.args)
    return runtime.mlx_lm and not typed and not config(entry.cache_path).get("model_file")


def _cached_answer(
    ctx: Context, command: Sequence[str], source: str, path: str, raw: Optional[bytes], message: str
) -> str:
    """The error of the check, "" if there is none or if unknown. Cached until the file or the
    runtime changes."""
    python = _interpreter(command)
    if not python or raw is None:
        return ""
    digest = hashlib.sha256(source.encode() + raw).hexdigest()
    path_of_answer = answer_path(ctx.site.state_dir, fingerprint([*command, digest]))
    answer = read_answer(path_of_answer)
    if answer is None:
        ctx.report(message)
        answer = _ask_child(ctx, [*python, "-I", "-c", source, path])
        if answer is None:
            return ""
        save_answer(path_of_answer, answer)
    return answer


def _interpreter(command: Sequence[str]) -> Tuple[str, ...]:
    return next(
        (prefix for prefix in runtime_interpreters(command) if os.access(prefix[0], os.X_OK)), ()
    )


def _ask_child(ctx: Context, command: Sequence[str]) -> Optional[str]:
    """The child's answer; None if it gives none."""
    try:
        _, output = run_program(command, ctx.client.check, TIMEOUT_S)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None
    lines = [
        line for line in output.decode("utf-8", "replace").splitlines() if line.startswith(MARK)
    ]
    try:
        answer = json.loads(lines[-1][len(MARK) :]) if lines else None
    except ValueError:
        return None
    return answer[:500] if isinstance(answer, str) else None
