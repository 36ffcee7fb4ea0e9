"""Refuse a load whose server is certain to fail, before another one is stopped for it: the
runtime's own loader is asked about the model on the disk."""

from __future__ import annotations

import os
from typing import Optional, Tuple

from ..context import Context
from ..errors import Failed, mlxops_command
from ..loader.description import Description
from ..programs.installed import MODEL_TYPE, MULTIMODAL
from ..registry.entries import Entry
from .memory import describe_model
from .request import LoadPlan

TRUST = "--trust-remote-code"


def check(ctx: Context, entry: Entry, plan: LoadPlan) -> None:
    """Failed if the loader refuses the model, its tokenizer, or the entry's chat template.

    Not checked if the load stops no server, or with --force. A loader that cannot be asked, or that
    takes too long, blocks no load."""
    request = plan.request
    stops = plan.survey.server is not None or plan.home is not None or request.evict
    typed = any(word.partition("=")[0] == MODEL_TYPE for word in entry.args)
    # Neither mlx-lm nor mlx-vlm builds a model of a further type.
    other = typed and MULTIMODAL not in entry.args
    if request.force or not stops or other or not entry.cache_path:
        return
    path = entry.text("chat_template") if plan.runtime.chat_template else ""
    said = describe_model(ctx, entry, plan.installed)
    reason = said and _reason(entry, said, path or "")
    if reason:
        text, hint = reason
        raise Failed(text, hint, entry=entry.name, path=path or entry.cache_path)


def _reason(entry: Entry, said: Description, template: str) -> Optional[Tuple[str, str]]:
    """Why no server could serve the model, and what to do; None if there is no reason."""
    if said.remote_code and TRUST not in entry.args:
        args = " ".join([*entry.args, TRUST])
        return (
            "%s needs %s: %s" % (entry.name, TRUST, said.remote_code),
            "if you trust that code: %s" % mlxops_command("set", entry.name, "args=" + args),
        )
    plain = said.template_error.startswith("without tools: ")
    error = said.template_error.partition(": ")[2].partition("; with tools: ")[0] if plain else ""
    if error and template:
        text = "the chat template %s has an error: %s" % (template, error)
        return text, "fix it, or " + mlxops_command("set", entry.name, "chat_template=")
    faults = [(name + ": " if name else "") + why for name, why in sorted(said.faults.items())]
    # A tokenizer may be on the Hub, which the loader was not let to.
    tokenizer = "" if "offline" in said.tokenizer_error.lower() else said.tokenizer_error
    reasons = (
        ("build a model from %s", said.refusal),
        ("load the weights in %s", "; ".join(faults[:3])),
        ("load the tokenizer in %s", tokenizer),
        ("render the chat template in %s", error),
    )
    for what, why in reasons:
        if why:
            where = os.path.join(entry.cache_path, "config.json" if why == said.refusal else "")
            text = "%s cannot %s: %s" % (said.program, what % where.rstrip("/"), why)
            return text, "restore the file, or load with --force"
    return None
