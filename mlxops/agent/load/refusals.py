"""Refuse a load whose server is certain to fail, before another one is stopped for it: the
runtime's own loader is asked about the model on the disk."""

from __future__ import annotations

import os
from typing import Optional, Tuple

from ..context import Context
from ..errors import Failed, mlxops_command
from ..hub.remote import Remote
from ..loader.description import Description
from ..models.cautions import code_of_repository, trust_command
from ..models.defaults import args_in_use, model_type_of
from ..models.files import config
from ..models.harmony import MODEL_TYPE as HARMONY
from ..programs.installed import MODEL_TYPE, MULTIMODAL, TRUST, Installed
from ..registry.entries import Entry
from .memory import describe_model
from .request import LoadPlan


def check(ctx: Context, entry: Entry, plan: LoadPlan) -> None:
    """`require_loadable`, if the load stops a server, and without --force."""
    request = plan.request
    stops = plan.survey.server is not None or plan.home is not None or request.evict
    if stops and not request.force:
        require_loadable(ctx, entry, plan.installed)


def require_loadable(ctx: Context, entry: Entry, there: Installed) -> None:
    """Failed if the loader refuses the model on the disk, its tokenizer, or the entry's template.

    A loader that cannot be asked, or that takes too long, refuses nothing."""
    typed = any(word.partition("=")[0] == MODEL_TYPE for word in entry.args)
    # Neither mlx-lm nor mlx-vlm builds a model of a further type.
    other = typed and MULTIMODAL not in entry.args
    if other or not entry.cache_path:
        return
    path = entry.text("chat_template") if there.runtime.chat_template else ""
    said = describe_model(ctx, entry, there)
    reason = said and (_reason(entry, said, path or "") or _no_template(entry, there, said))
    if reason:
        text, hint = reason
        raise Failed(text, hint, entry=entry.name, path=path or entry.cache_path)


def require_built(
    ctx: Context, entry: Entry, there: Installed, remote: Optional[Remote] = None
) -> None:
    """Failed if the loader cannot build a model from its config, on the disk or on the Hub."""
    config_json = remote.config if remote is not None else config(entry.cache_path)
    if MODEL_TYPE in args_in_use(entry, there, config_json):
        return
    if remote is not None and TRUST not in entry.args:
        code = code_of_repository(remote.config, dict(remote.files), there)
        if code:
            text = "%s needs %s: %s" % (entry.name, TRUST, code)
            raise Failed(
                text, "if you trust that code: %s" % trust_command(entry), entry=entry.name
            )
    found = describe_model(ctx, entry, there, remote)
    if found is not None and found.refusal:
        name = remote.repo_id if remote is not None else entry.name
        raise Failed(
            "%s cannot load %s: %s" % (found.program, name, found.refusal),
            "update it, choose another model, or load with --force to try anyway",
            entry=entry.name,
        )


def _no_template(entry: Entry, there: Installed, said: Description) -> Optional[Tuple[str, str]]:
    """For a template that is in the files, and that the tokenizer does not find."""
    given = entry.text("chat_template") or model_type_of(config(entry.cache_path)) == HARMONY
    if given or said.template != "" or not there.runtime.needs_template:
        return None
    return (
        "%s cannot serve: the tokenizer of %s finds no chat template, so every chat fails"
        % (entry.name, said.program),
        mlxops_command("set", entry.name, "chat_template=PATH"),
    )


def _reason(entry: Entry, said: Description, template: str) -> Optional[Tuple[str, str]]:
    """Why no server could serve the model, and what to do; None if there is no reason."""
    if said.remote_code and TRUST not in entry.args:
        return (
            "%s needs %s: %s" % (entry.name, TRUST, said.remote_code),
            "if you trust that code: %s" % trust_command(entry),
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
