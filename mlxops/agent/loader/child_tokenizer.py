"""Part of the child process: the tokenizer and its chat template."""

from __future__ import annotations

import contextlib
import inspect
import json
import os
import stat
import sys
from pathlib import Path
from typing import Any, Callable, Dict, List

Record = Dict[str, Any]
Cause = Callable[[BaseException], str]
MESSAGES = [{"role": "user", "content": "Hello"}]
TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the weather of a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "description": "a city"}},
            "required": ["city"],
        },
    },
}


class Opened:
    """The names of files that Python opens in a folder."""

    def __init__(self, folder: str) -> None:
        self.names: List[str] = []
        self.folder = os.path.realpath(folder)
        sys.addaudithook(self._note)

    def _note(self, event: str, args: Any) -> None:
        if event == "open" and isinstance(args[0], (str, bytes)):
            folder, name = os.path.split(os.fsdecode(args[0]))
            if name not in self.names and os.path.realpath(folder) == self.folder:
                self.names.append(name)


def blocking_file(folder: str) -> str:
    """A file that would block its reader, such as a FIFO; "" if there is none."""
    for entry in os.scandir(folder):
        try:
            mode = entry.stat().st_mode
        except OSError:
            continue
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            return entry.name
    return ""


def load(request: Record) -> Any:
    from mlx_lm import utils

    outside = [n for n in own_names(request["path"]) if ".." in n or n.startswith("/")]
    if request["remote_code"] and outside:
        raise ValueError("auto_map leads out of the folder: %s" % outside[0])
    load_tokenizer: Any = utils.load_tokenizer
    return load_tokenizer(Path(request["path"]), {"trust_remote_code": request["remote_code"]})


def template_source(tokenizer: Any, folder: str) -> str:
    """Where the tokenizer found its chat template; "" if it has none."""
    settings, text = tokenizer.init_kwargs, getattr(tokenizer._tokenizer, "chat_template", None)
    if getattr(tokenizer, "_chat_template", None) is not None:
        return "chat_template_type %s" % settings.get("chat_template_type")
    if not text:
        return "its own code" if getattr(tokenizer, "has_chat_template", False) else ""
    jinja = os.path.join(folder, "chat_template.jinja")
    if os.path.isfile(jinja):
        return "chat_template.jinja"
    if os.path.isdir(os.path.join(folder, "additional_chat_templates")):
        return "additional_chat_templates"
    with open(os.path.join(folder, "tokenizer_config.json"), encoding="utf-8") as file:
        own = json.load(file).get("chat_template")
    return "tokenizer_config.json" if own else "its class"


def vocabulary_files(tokenizer: Any, folder: str) -> List[str]:
    """Files that libraries in other languages read."""
    names = getattr(tokenizer, "vocab_files_names", None) or {}
    return [n for n in names.values() if os.path.isfile(os.path.join(folder, n))]


def template_error(tokenizer: Any, bounded: Any, cause: Cause) -> str:
    """Why a test conversation cannot be rendered, with or without tools; "" if it can."""
    faults = []
    for name, more in (("without tools", {}), ("with tools", {"tools": [TOOL]})):
        options = {"tokenize": False, "add_generation_prompt": True, **more}
        try:
            with bounded():
                tokenizer.apply_chat_template(MESSAGES, **options)
        except Exception as exc:
            faults.append("%s: %s" % (name, cause(exc)))
            if "TooSlow" in type(exc).__name__:
                break
    return "; ".join(faults)


def own_names(folder: str) -> List[str]:
    """The classes of the repository's own code that tokenizer_config.json names."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
        with open(os.path.join(folder, "tokenizer_config.json"), encoding="utf-8") as file:
            names = json.load(file)["auto_map"]["AutoTokenizer"]
        return [n for n in (names if isinstance(names, list) else [names]) if isinstance(n, str)]
    return []


def own_code(folder: str) -> str:
    """Which code of the repository makes its tokenizer; "" if none does."""
    named = own_names(folder)
    return "tokenizer_config.json names %s as the tokenizer's code" % named[0] if named else ""


def weights_pattern(load_model: Any) -> str:
    """The pattern of the weights that this version of mlx-lm reads."""
    import re

    found = re.search(r"glob\(str\(model_path / \"([^\"]+)\"\)\)", inspect.getsource(load_model))
    return found[1] if found else "model*.safetensors"
