"""What an entry gets from its model's family where nobody has said anything, and where each of its
values is from."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Tuple

from ..programs.environment import has_package
from ..programs.installed import MODEL_TYPE, MULTIMODAL, Installed
from ..registry.entries import Entry
from ..runtimes.table import Runtime
from . import families, templates
from .files import config

PARSERS = ("tool_call_parser", "reasoning_parser")
KEYS = ("chat_template", *PARSERS, "args")
# mlx-openai-server serves a model as text alone unless it is told otherwise; for pictures it
# imports mlx_vlm.
VISION_PACKAGE = "mlx_vlm"

MAX_NAME_LENGTH = 64


class Defaults(NamedTuple):
    """Values for KEYS and why, for one snapshot under one runtime as installed. `template` is the
    one in force, `model_type` what config.json says; `notes`: what cannot be had, one sentence
    each."""

    values: Mapping[str, Any]
    sources: Mapping[str, str]
    notes: Tuple[str, ...]
    model_type: str
    template: templates.Template


def find_defaults(installed: Installed, entry: Entry, folder: Optional[str]) -> Defaults:
    """What to run the entry's model with. `folder`: the host's templates. Where the installed
    version does not answer, no parser is proposed, since it could not be known to be accepted."""
    described = config(entry.cache_path) if entry.cache_path else {}
    model_type = model_type_of(described)
    there = _template_there(entry, model_type, folder)
    template = _template_in_force(entry, there)
    proposal = families.propose(model_type, template.text)
    values: Dict[str, Any] = {"chat_template": there.path} if there.path else {}
    for key, candidates in zip(PARSERS, (proposal.tool, proposal.reasoning)):
        chosen = _accepted(candidates, installed.choices(key), installed.runtime)
        values.update({key: chosen} if chosen else {})
    if "tool_call_parser" not in values:
        values.pop("reasoning_parser", None)
    sees = isinstance(described.get("vision_config"), dict) and installed.supports_vision
    args = vision_args(installed, described)
    values.update({"args": args} if args else {})
    origins = (
        there.source,
        proposal.tool_source,
        proposal.reasoning_source,
        "it takes pictures: vision_config",
    )
    notes = (
        _notes(installed, proposal, values, sees, bool(template.text)) if entry.cache_path else ()
    )
    return Defaults(
        values=values,
        sources={k: v for k, v in zip(KEYS, origins) if k in values},
        notes=notes,
        model_type=model_type,
        template=template,
    )


def _template_there(entry: Entry, model_type: str, folder: Optional[str]) -> templates.Template:
    """The snapshot's, else the host's, whatever the entry says."""
    found = (
        templates.snapshot_template(entry.cache_path) if entry.cache_path else templates.NO_TEMPLATE
    )
    return found if found.text else templates.host_template(folder, entry.repo_id, model_type)


def _template_in_force(entry: Entry, there: templates.Template) -> templates.Template:
    own = entry.text("chat_template")
    if own:
        return templates.Template(templates.read_template(own), own, "the entry")
    # An entry that says none is not given one; what the server finds by itself it finds all the
    # same.
    return (
        there
        if "chat_template" in unset_keys(entry.fields) or not there.path
        else templates.NO_TEMPLATE
    )


def vision_args(installed: Installed, described: Mapping[str, Any]) -> List[str]:
    """The `args` with which a model takes pictures, where it can and all that it needs for them is
    installed."""
    sees = isinstance(described.get("vision_config"), dict) and installed.supports_vision
    return (
        [MODEL_TYPE, MULTIMODAL] if sees and has_package(VISION_PACKAGE, installed.packages) else []
    )


def model_type_of(described: Mapping[str, Any]) -> str:
    """The model type that a config.json says, where it can be one: it ends up in sentences and file
    names."""
    value = described.get("model_type")
    return (
        value
        if isinstance(value, str) and len(value) <= MAX_NAME_LENGTH and value.isprintable()
        else ""
    )


def _accepted(
    candidates: Tuple[str, ...], choices: Optional[Tuple[str, ...]], runtime: Runtime
) -> str:
    """The first candidate that the option takes; "" when there is no such option.

    An option that does not list what it takes is believed of the runtime whose parsers the tables
    name."""
    if choices is None or not (choices or runtime.has_parser_table):
        return ""
    return next((value for value in candidates if not choices or value in choices), "")


def _notes(
    installed: Installed,
    proposal: families.Proposal,
    values: Mapping[str, Any],
    sees: bool,
    chats: bool,
) -> Tuple[str, ...]:
    runtime = installed.runtime
    if not runtime.tool_call_parser or installed.flags is None:
        return ()
    found: List[str] = list(proposal.notes) if runtime.has_parser_table else []
    for key, candidates in zip(PARSERS, (proposal.tool, proposal.reasoning)):
        if candidates and key not in values:
            found.append(
                "the installed %s knows no %s %s" % (runtime.name, key, " or ".join(candidates))
            )
    if not chats:
        found.append("it has no chat template that the server would find: chats may be errors")
    if sees and "args" not in values:
        found.append(
            "it is run on text alone: mlx-vlm, which pictures need, is not beside %s" % runtime.name
        )
    return tuple(found)


def unset_keys(fields: Mapping[str, Any]) -> Tuple[str, ...]:
    """The keys of an entry about which nobody has said anything: absent or null. An empty text
    says: none.

    The two parsers go together: who set one of them has thought of both."""
    said = {key for key in KEYS if fields.get(key) is not None}
    said |= set(PARSERS) if said & set(PARSERS) else set()
    return tuple(key for key in KEYS if key not in said)


def with_defaults(entry: Entry, found: Defaults) -> Entry:
    """The entry with what is suggested for the keys about which nobody has said anything."""
    return entry.with_fields(
        **{key: found.values[key] for key in unset_keys(entry.fields) if key in found.values}
    )
