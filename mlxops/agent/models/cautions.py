"""What a person has to decide before a model can serve well on a runtime: it has no chat template,
or runs code of its own, or its template does not fit the server."""

from __future__ import annotations

import os
import shlex
from typing import Any, Iterable, Iterator, Mapping, NamedTuple, Tuple

from ..errors import mlxops_command
from ..formats.templates import CONFIG
from ..programs.installed import TRUST, Installed
from ..registry.entries import Entry
from ..runtimes.table import Runtime
from ..untrusted import parse_object, read_bounded
from .completeness import has_tokenizer
from .defaults import Defaults
from .files import config
from .harmony import MODEL_TYPE as HARMONY_MODEL

MAX_JSON_BYTES, MAX_SOURCE_BYTES = 16 << 20, 1 << 20
# Vocabularies that only a tokenizer of the repository reads, as of Kimi, PLaMo and the first Qwen.
_OWN_VOCABULARIES = ("tiktoken.model", "tokenizer.jsonl", ".tiktoken")
# mlx-lm refuses a model with Python code of its own since it has this line.
_REFUSES_CODE = b"if not trust_remote_code"


class Caution(NamedTuple):
    """What is the matter, and the command that settles it. `fatal`: no chat would succeed."""

    text: str
    command: str
    fatal: bool = False

    @property
    def note(self) -> str:
        return "%s: %s" % (self.text, self.command)


def find_cautions(entry: Entry, installed: Installed, defaults: Defaults) -> Tuple[Caution, ...]:
    """The cautions for an entry whose snapshot is on disk, with its defaults filled in."""
    if not os.path.isdir(entry.cache_path):
        return ()
    settings = parse_object(read_bounded(os.path.join(entry.cache_path, CONFIG), MAX_JSON_BYTES))
    return (
        *_remote_code(entry, installed, settings),
        *_template_code(entry, installed, settings),
        *_template(entry, installed.runtime, defaults),
    )


def trust_command(entry: Entry) -> str:
    """The command that lets the model's own code run: a model that `load` has found under its
    repository has no entry yet."""
    words = [*entry.args, TRUST]
    if entry.stored is None and entry.name and entry.repo_id:
        flags = ["--arg=" + word for word in words]
        return mlxops_command("register", entry.name, entry.repo_id, *flags)
    return mlxops_command("set", _name(entry), "args=" + shlex.join(words))


def _name(entry: Entry) -> str:
    """What `set` knows it by; `init` has not named it yet."""
    return entry.name or entry.repo_id or "NAME"


def _template(entry: Entry, runtime: Runtime, defaults: Defaults) -> Iterator[Caution]:
    if defaults.template.exists or defaults.model_type == HARMONY_MODEL:
        return
    effect = (
        "every chat fails"
        if runtime.needs_template
        else "%s would prompt it without one" % runtime.name
    )
    if not runtime.needs_template and not runtime.mlx_lm:
        effect = "chats may fail"
    yield Caution(
        "no chat template found (a base model?), so %s" % effect,
        mlxops_command("set", _name(entry), "chat_template=PATH"),
        runtime.needs_template,
    )


def _template_code(
    entry: Entry, installed: Installed, settings: Mapping[str, Any]
) -> Iterator[Caution]:
    """The code that mlx-lm has in place of a template must accept what the server passes."""
    name, runtime = settings.get("chat_template_type"), installed.runtime
    if not isinstance(name, str) or not name.isidentifier() or not installed.packages:
        return
    place = os.path.join(installed.packages[0], "mlx_lm", "chat_templates", name + ".py")
    source = (read_bounded(place, MAX_SOURCE_BYTES) or b"").decode("utf-8", "replace")
    lacks = [word for word in runtime.renders_with if word not in source]
    if not source or not lacks:
        return
    yield Caution(
        "%s passes %s, which the chat template %s of its mlx-lm does not accept, so every chat"
        " fails" % (runtime.name, " and ".join(lacks), name),
        "update mlx-lm in %s" % installed.packages[0]
        if runtime.name == "mlx_lm.server"
        else mlxops_command("set", _name(entry), "runtime=mlx_lm.server"),
        True,
    )


def _remote_code(
    entry: Entry, installed: Installed, settings: Mapping[str, Any]
) -> Iterator[Caution]:
    why = _own_code(entry, installed, settings)
    if not why or TRUST in entry.args:
        return
    text = "%s, which runs with your rights" % why
    if installed.flags is not None and TRUST not in installed.flags:
        text += "; this %s has no %s" % (installed.runtime.name, TRUST)
    yield Caution(text, trust_command(entry), True)


def _own_code(entry: Entry, installed: Installed, settings: Mapping[str, Any]) -> str:
    """Why the model needs Python code of its repository, by its files; "" if it does not."""
    model = _model_code(config(entry.cache_path), installed)
    if model:
        return model
    classes = settings.get("auto_map")
    named = classes.get("AutoTokenizer") if isinstance(classes, dict) else None
    own = next((one for one in named if one), "") if isinstance(named, list) else named
    try:
        names = [name for name in os.listdir(entry.cache_path) if name != "tiktoken.model"]
    except OSError:
        return ""
    # transformers reads the files of the usual tokenizers without the repository's code.
    if not isinstance(own, str) or not own or has_tokenizer(names):
        return ""
    return "its tokenizer is Python code of the repository (%s)" % own[:80]


def code_of_repository(
    settings: Mapping[str, Any], files: Iterable[str], installed: Installed
) -> str:
    """The same before a download, by its config.json and the names of its files; "" if they do
    not show it."""
    names = frozenset(files)
    # Which class the tokenizer is stands in a file that is not here yet.
    source = min((n for n in names if n.startswith("tokeniz") and n.endswith(".py")), default="")
    usual = has_tokenizer(n for n in names if not n.endswith(_OWN_VOCABULARIES))
    if settings.get("auto_map") and source and not usual:
        return "its tokenizer is Python code of the repository (%s)" % source[:80]
    return _model_code(settings, installed)


def _model_code(settings: Mapping[str, Any], installed: Installed) -> str:
    name = settings.get("model_file")
    if not isinstance(name, str) or not name or not _refuses_code(installed):
        return ""
    return "its model is Python code of the repository (%s)" % name[:80]


def _refuses_code(installed: Installed) -> bool:
    place = os.path.join(next(iter(installed.packages), ""), "mlx_lm", "utils.py")
    return _REFUSES_CODE in (read_bounded(place, MAX_SOURCE_BYTES) or b"")
