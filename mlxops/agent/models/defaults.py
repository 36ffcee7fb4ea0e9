"""The default options of an entry: its chat template, parsers and arguments, from its model's
family."""

from __future__ import annotations

import os
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from ..formats import families, templates
from ..programs.environment import has_package, template_types
from ..programs.installed import MODEL_TYPE, MULTIMODAL, Installed
from ..registry.entries import Entry
from ..runtimes.table import Runtime
from .files import config

PARSERS = ("tool_call_parser", "reasoning_parser")
KEYS = ("chat_template", *PARSERS, "args")
# mlx-openai-server serves a model as text only by default; for images it imports mlx_vlm.
VISION_PACKAGE = "mlx_vlm"

MAX_NAME_LENGTH = 64


class Defaults(NamedTuple):
    """The defaults for KEYS and their origin, for one snapshot and one installed runtime.
    `template`: the one that is used; `model_type`: from config.json; `notes`: one sentence for each
    thing that is missing."""

    values: Mapping[str, Any]
    sources: Mapping[str, str]
    notes: Tuple[str, ...]
    model_type: str
    template: templates.Template


def find_defaults(installed: Installed, entry: Entry, folder: Optional[str]) -> Defaults:
    """Find the defaults for the entry's model. `folder`: the host's templates. Without the help of
    the installed version there is no default parser, as it is unknown whether it is accepted."""
    settings = config(entry.cache_path) if entry.cache_path else {}
    model_type = model_type_of(settings)
    args = vision_args(installed, settings)
    processor = MULTIMODAL in args_in_use(entry, installed, settings)
    found_template = _snapshot_template(installed, entry, processor)
    if not found_template.exists:
        found_template = templates.host_template(
            folder, entry.repo_id or os.path.basename(entry.cache_path), model_type
        )
    template = _template_in_use(entry, found_template)
    proposal = families.propose(model_type, template.text)
    values: Dict[str, Any] = {"chat_template": found_template.path} if found_template.path else {}
    for key, candidates in zip(PARSERS, (proposal.tool, proposal.reasoning)):
        chosen = _accepted(candidates, installed.choices(key), installed.runtime)
        values.update({key: chosen} if chosen else {})
    if "tool_call_parser" not in values:
        values.pop("reasoning_parser", None)
    sees = isinstance(settings.get("vision_config"), dict) and installed.supports_vision
    values.update({"args": args} if args else {})
    origins = (
        found_template.source,
        proposal.tool_source,
        proposal.reasoning_source,
        "the model accepts images: vision_config",
    )
    notes = _notes(installed, proposal, values, sees) if entry.cache_path else ()
    return Defaults(
        values=values,
        sources={k: v for k, v in zip(KEYS, origins) if k in values},
        notes=notes,
        model_type=model_type,
        template=template,
    )


def _snapshot_template(installed: Installed, entry: Entry, processor: bool) -> templates.Template:
    if not entry.cache_path:
        return templates.NO_TEMPLATE
    types = template_types(installed.packages)
    return templates.Snapshot(entry.cache_path, types, processor).template()


def _template_in_use(entry: Entry, template: templates.Template) -> templates.Template:
    own = entry.text("chat_template")
    if own:
        return templates.Template(templates.read_template(own), own, "the entry")
    # "None" set by hand only means that no path is passed: the server still finds the snapshot's
    # own.
    return (
        template
        if "chat_template" in unset_keys(entry.fields) or not template.path
        else templates.NO_TEMPLATE
    )


def vision_args(installed: Installed, settings: Mapping[str, Any]) -> List[str]:
    """The `args` that make the server accept images; [] if the model or the environment cannot."""
    sees = isinstance(settings.get("vision_config"), dict) and installed.supports_vision
    return (
        [MODEL_TYPE, MULTIMODAL] if sees and has_package(VISION_PACKAGE, installed.packages) else []
    )


def args_in_use(entry: Entry, installed: Installed, settings: Mapping[str, Any]) -> Sequence[str]:
    """The `args` that the server of an entry gets: its own, else the default."""
    return vision_args(installed, settings) if entry.fields.get("args") is None else entry.args


def model_type_of(settings: Mapping[str, Any]) -> str:
    """The model type in a config.json; "" if it is unfit for messages and file names."""
    value = settings.get("model_type")
    return (
        value
        if isinstance(value, str) and len(value) <= MAX_NAME_LENGTH and value.isprintable()
        else ""
    )


def _accepted(
    candidates: Tuple[str, ...], choices: Optional[Tuple[str, ...]], runtime: Runtime
) -> str:
    """The first candidate that the option accepts; "" if there is no such option.

    If the help lists no values, all are assumed to be accepted by a runtime that the tables
    cover."""
    if choices is None or not (choices or runtime.has_parser_table):
        return ""
    return next((value for value in candidates if not choices or value in choices), "")


def _notes(
    installed: Installed,
    proposal: families.Proposal,
    values: Mapping[str, Any],
    sees: bool,
) -> Tuple[str, ...]:
    runtime = installed.runtime
    if not runtime.tool_call_parser or installed.flags is None:
        return ()
    notes: List[str] = list(proposal.notes) if runtime.has_parser_table else []
    for key, candidates in zip(PARSERS, (proposal.tool, proposal.reasoning)):
        if candidates and key not in values:
            notes.append(
                "the installed %s has no %s %s" % (runtime.name, key, " or ".join(candidates))
            )
    if sees and "args" not in values:
        notes.append(
            "text only: mlx-vlm, which images need, is not installed with %s" % runtime.name
        )
    return tuple(notes)


def unset_keys(fields: Mapping[str, Any]) -> Tuple[str, ...]:
    """The keys that are not set in an entry: absent or null. An empty text means "none".

    The two parsers belong together: if one is set, so is the other."""
    keys = {key for key in KEYS if fields.get(key) is not None}
    keys |= set(PARSERS) if keys & set(PARSERS) else set()
    return tuple(key for key in KEYS if key not in keys)


def with_defaults(entry: Entry, found: Defaults) -> Entry:
    """The entry with the defaults for the keys that are not set."""
    return entry.with_fields(
        **{key: found.values[key] for key in unset_keys(entry.fields) if key in found.values}
    )
