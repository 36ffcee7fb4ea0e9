"""Chat templates: what a model's tokenizer finds by itself, what else its snapshot holds, and what
the host has for models without one."""

from __future__ import annotations

import os
import zlib
from typing import Any, Collection, Dict, Iterator, Mapping, NamedTuple, Optional, Tuple

from ..untrusted import is_safe_relative_path, parse_object, read_bounded

MAX_TEMPLATE_BYTES, MAX_JSON_BYTES = 4 << 20, 16 << 20
SUFFIX, CONFIG, MAIN = ".jinja", "tokenizer_config.json", "chat_template.jinja"
ADDITIONAL = "additional_chat_templates"
# Only processors, which multimodal servers use, read these.
PROCESSOR_FILES = ("chat_template.json", "processor_config.json")
# With tools, transformers renders the second, if a model has both.
DEFAULT, TOOLS = "default", "tool_use"


class Template(NamedTuple):
    """The text of a template and its origin. `path`: what to pass to the server, "" if it finds the
    template itself. `in_code`: Python code renders it, so it has no text."""

    text: str
    path: str
    source: str
    in_code: bool = False

    @property
    def exists(self) -> bool:
        return bool(self.text) or self.in_code


NO_TEMPLATE = Template("", "", "")
Named = Mapping[str, str]


def read_template(path: str) -> str:
    """The text of a template file; "" if it is missing, empty, unreadable or not a regular file."""
    return (template_bytes(path) or b"").decode("utf-8", "replace")


def template_bytes(path: str) -> Optional[bytes]:
    """The template in a file, or in the `chat_template` of a JSON file; None if there is none."""
    if not path.endswith(".json"):
        return read_bounded(path, MAX_TEMPLATE_BYTES)
    named = _named(_object(path).get("chat_template"))
    text = next((named[name] for name in (DEFAULT, TOOLS, *named) if named.get(name)), "")
    return text.encode("utf-8", "surrogatepass") if text else None


def template_copy(path: Optional[str]) -> str:
    """The name of the copy that a server gets of a template inside of a JSON file; "" if it can
    read the file itself."""
    if not path or not path.endswith(".json"):
        return ""
    return "%08x%s" % (zlib.crc32(path.encode("utf-8", "surrogatepass")), SUFFIX)


def is_copy(given: Optional[str], path: Optional[str]) -> bool:
    """Whether a server was given the copy of the template in this JSON file."""
    copy = template_copy(path)
    return bool(given and copy and given.endswith("/" + copy))


def _object(path: str) -> Dict[str, Any]:
    return parse_object(read_bounded(path, MAX_JSON_BYTES))


def _named(value: Any) -> Dict[str, str]:
    """Name -> text of a `chat_template`: one text, or a list or an object of named ones."""
    if isinstance(value, list):
        rows = [row for row in value if isinstance(row, dict)]
        value = {row.get("name"): row.get("template") for row in rows}
    named = value if isinstance(value, dict) else {DEFAULT: value}
    return {k: v for k, v in named.items() if isinstance(k, str) and isinstance(v, str) and v}


class Snapshot:
    """The templates of a model folder. `types`: the values of chat_template_type that the runtime's
    mlx-lm knows. `processor`: the server reads what a processor reads."""

    def __init__(
        self,
        path: str,
        types: Collection[str] = (),
        processor: bool = False,
    ) -> None:
        self._path, self._types = path, types
        self._processor = processor
        self._settings = _object(os.path.join(path, CONFIG))

    def template(self) -> Template:
        """The template that the server finds itself, else one that it can be given."""
        found = self._found()
        return found if found.exists else self._given()

    @property
    def chat_template_type(self) -> str:
        """The name of the code of mlx-lm that renders it; "" for none."""
        value = self._settings.get("chat_template_type")
        return value if isinstance(value, str) else ""

    def _found(self) -> Template:
        """As `from_pretrained` of transformers and `load` of mlx-lm look for it."""
        if self.chat_template_type in self._types:
            kind = "chat_template_type %s" % self.chat_template_type
            return Template("", "", "the snapshot (%s)" % kind, in_code=True)
        name, named = self._files() or (CONFIG, _named(self._settings.get("chat_template")))
        if DEFAULT not in named and self._processor:
            name, named = next(self._processors(), (name, named))
        if DEFAULT in named:
            # Parsers depend on the calls, which a template of its own may show.
            text = "\n".join([named[DEFAULT], *([named[TOOLS]] if TOOLS in named else [])])
            return Template(text, "", "the snapshot (%s)" % name)
        code = self._own_code()
        return Template("", "", "the snapshot (%s)" % code, in_code=True) if code else NO_TEMPLATE

    def _own_code(self) -> str:
        """The file of the repository's own tokenizer, if that renders chats; "" if not."""
        classes = self._settings.get("auto_map")
        named = classes.get("AutoTokenizer") if isinstance(classes, dict) else None
        for one in named if isinstance(named, list) else [named]:
            file = one.split("--")[-1].partition(".")[0] + ".py" if isinstance(one, str) else ""
            text = read_template(os.path.join(self._path, file)) if file and "/" not in file else ""
            if "def apply_chat_template" in text:
                return file
        return ""

    def _files(self) -> Optional[Tuple[str, Named]]:
        """The template files, which hide the template in tokenizer_config.json; None if there are
        none."""
        main = read_template(os.path.join(self._path, MAIN))
        more = dict(_templates_in(os.path.join(self._path, ADDITIONAL)))
        named = {**({DEFAULT: main} if main else {}), **more}
        return (MAIN if main else ADDITIONAL, named) if named else None

    def _processors(self) -> Iterator[Tuple[str, Named]]:
        for name in PROCESSOR_FILES:
            named = _named(_object(os.path.join(self._path, name)).get("chat_template"))
            if named:
                yield name, named

    def _given(self) -> Template:
        """A template that the server does not find, the likeliest first."""
        for name in self._places():
            path = os.path.join(self._path, name)
            text = read_template(path)
            if text:
                source = "%s of the snapshot, which its tokenizer does not read" % name
                return Template(text, path, source)
        return NO_TEMPLATE

    def _places(self) -> Iterator[str]:
        own = _named(self._settings.get("chat_template"))
        if DEFAULT in own:
            yield CONFIG
        yield from PROCESSOR_FILES
        more = dict(_templates_in(os.path.join(self._path, ADDITIONAL)))
        if TOOLS in more or len(more) == 1:
            name = TOOLS if TOOLS in more else next(iter(more))
            yield os.path.join(ADDITIONAL, name + SUFFIX)
        if own:
            yield CONFIG
        loose = dict(_templates_in(self._path))
        if len(loose) == 1:
            yield next(iter(loose)) + SUFFIX


def _templates_in(folder: str) -> Iterator[Tuple[str, str]]:
    """(name, text) of each template file; not the `._` twins that macOS keeps on foreign disks."""
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return
    for name in names:
        if name.endswith(SUFFIX) and not name.startswith("."):
            text = read_template(os.path.join(folder, name))
            if text:
                yield name[: -len(SUFFIX)], text


def host_template(folder: Optional[str], repo_id: str, model_type: str) -> Template:
    """The template in the host's folder for a model: by the name of its repository, else by its
    model type."""
    for place in _host_places(folder, repo_id, model_type):
        text = read_template(place)
        if text:
            return Template(text, place, "the host's template folder")
    return NO_TEMPLATE


def _host_places(folder: Optional[str], repo_id: str, model_type: str) -> Iterator[str]:
    for name in (repo_id.rpartition("/")[2], model_type):
        if folder and is_safe_relative_path(name) and "/" not in name:
            yield os.path.join(folder, name + SUFFIX)
