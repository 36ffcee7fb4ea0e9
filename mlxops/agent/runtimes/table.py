"""The model servers that mlxops can start, as data: their flags and command lines. Pure."""

from __future__ import annotations

import re
from typing import Any, Dict, Mapping, NamedTuple, Optional, Sequence, Tuple

from ..errors import Usage
from .commandline import module, program


class Runtime(NamedTuple):
    """One server program; docs/runtimes.md explains each field, and a host file can add more rows.

    `forms`: how its command line starts, the program first. `modules`: the same after `python -m`.
    A flag of None: the program has no such flag; `model` None: the model follows the program
    without one. `fixed` words are always on its command line, `wanted` ones if its help lists them,
    `with_tool_call_parser` beside that parser. `help`: makes it list all its options.
    `client_model`: the model name that requests must use, if it is not the served name.
    `template_inline`: its template flag takes the template, not a path. `listens_early`: it answers
    HTTP before the model is loaded. `worker`: a word in the command line of the child with the
    weights, and `tracker` one of its sibling, which proves that there is such a child.
    `distribution`: its package. `gives_up_s`: seconds after which it aborts a start.
    `call_per_connection`: an open connection is a request in progress, which a SIGTERM would cut
    off. `runs_ranks`: it can serve one model from several hosts. `mlx_lm`: the mlx-lm beside it
    builds its models. `has_parser_table`: its parsers are those of the families' table.
    `key_variable`: the environment variable from which it takes its API key. `needs_template`:
    every chat fails without a template. `renders_with`: what it passes to code that stands for a
    template."""

    name: str
    default_port: int
    forms: Tuple[Tuple[str, ...], ...] = ()
    modules: Tuple[Tuple[str, ...], ...] = ()
    model: Optional[str] = None
    fixed: Tuple[str, ...] = ()
    wanted: Tuple[str, ...] = ()
    served_name: Optional[str] = None
    chat_template: Optional[str] = None
    tool_call_parser: Optional[str] = None
    reasoning_parser: Optional[str] = None
    with_tool_call_parser: Tuple[str, ...] = ()
    help: Tuple[str, ...] = ("--help",)
    template_inline: bool = False
    client_model: Optional[str] = None
    listens_early: bool = False
    worker: str = ""
    tracker: str = ""
    distribution: str = ""
    gives_up_s: Optional[float] = None
    call_per_connection: bool = False
    runs_ranks: bool = False
    mlx_lm: bool = False
    has_parser_table: bool = False
    key_variable: Optional[str] = None
    needs_template: bool = False
    renders_with: Tuple[str, ...] = ()


Runtimes = Mapping[str, Runtime]
# The first two as tested with mlx-openai-server 1.8.1 and mlx-lm 0.31 and 0.32; vllm from the
# source of 0.24 (entrypoints/cli/serve.py, utils/argparse_utils.py, v1/engine/core.py), not tested.
RUNTIMES: Runtimes = {
    r.name: r
    for r in (
        Runtime(
            name="mlx-openai-server",
            forms=(("mlx-openai-server", "launch"),),
            default_port=8000,
            model="--model-path",
            fixed=("--model-type", "lm"),
            wanted=("--no-log-file",),
            served_name="--served-model-name",
            chat_template="--chat-template-file",
            tool_call_parser="--tool-call-parser",
            reasoning_parser="--reasoning-parser",
            worker="multiprocessing.spawn",
            tracker="multiprocessing.resource_tracker",
            distribution="mlx-openai-server",
            gives_up_s=300.0,
            mlx_lm=True,
            has_parser_table=True,
            needs_template=True,
            renders_with=("enable_thinking", "reasoning_effort"),
        ),
        Runtime(
            name="mlx_lm.server",
            forms=(("mlx_lm.server",), ("mlx_lm", "server")),
            modules=(("mlx_lm.server",), ("mlx_lm", "server")),
            default_port=8080,
            model="--model",
            chat_template="--chat-template",
            template_inline=True,
            client_model="default_model",
            listens_early=True,
            distribution="mlx-lm",
            call_per_connection=True,
            runs_ranks=True,
            mlx_lm=True,
            renders_with=("enable_thinking",),
        ),
        Runtime(
            name="vllm",
            forms=(("vllm", "serve"),),
            modules=(("vllm.entrypoints.cli.main", "serve"),),
            default_port=8000,
            served_name="--served-model-name",
            chat_template="--chat-template",
            tool_call_parser="--tool-call-parser",
            reasoning_parser="--reasoning-parser",
            with_tool_call_parser=("--enable-auto-tool-choice",),
            help=("--help=all",),
            worker="VLLM::EngineCore",
            distribution="vllm",
            key_variable="VLLM_API_KEY",
        ),
    )
}


def with_host_rows(rows: Mapping[str, Mapping[str, Any]]) -> Dict[str, Runtime]:
    """The built-in runtimes and those in the rows of a host file; a row with a command only adds
    none."""
    added = {
        name: {k: _frozen(v) for k, v in row.items() if k in Runtime._fields}
        for name, row in rows.items()
    }
    return {
        **RUNTIMES,
        **{name: Runtime(**{"name": name, **row}) for name, row in added.items() if row},
    }


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


def require_runtime(name: str, known: Runtimes) -> Runtime:
    if name not in known:
        raise Usage("unknown runtime %r" % name, "known: " + ", ".join(known), runtime=name)
    return known[name]


class Launch(NamedTuple):
    """The settings a server is started with. `chat_template` is a path."""

    model_path: str
    port: int
    bind: str
    served_name: str
    chat_template: Optional[str] = None
    tool_call_parser: Optional[str] = None
    reasoning_parser: Optional[str] = None
    args: Tuple[str, ...] = ()


class Invocation(NamedTuple):
    """The parsed command line of a running server. `first`: the word after the program's own, "" if
    it is a flag."""

    runtime: Runtime
    port: int
    flags: Mapping[str, str]
    first: str = ""

    @property
    def model(self) -> Optional[str]:
        # If the model needs no flag, the old form with --model still works.
        return self.flags.get(self.runtime.model or "--model") or (
            None if self.runtime.model else self.first or None
        )

    def with_model(self, model: str) -> Invocation:
        """The same with another spelling of the model."""
        flag = self.runtime.model or "--model"
        return (
            self._replace(flags={**self.flags, flag: model})
            if flag in self.flags
            else self._replace(first=model)
        )

    @property
    def names_port(self) -> bool:
        """Whether it has the --port flag. If not, a file or an unknown option may set another
        port."""
        return self.flags.get("--port") == str(self.port)

    @property
    def served_name(self) -> Optional[str]:
        flag = self.runtime.served_name
        return self.flags.get(flag) if flag else None


HelpFlags = Mapping[str, Tuple[str, ...]]
MAX_HELP_BYTES = 256 << 10


def parse_help(help_text: str) -> Dict[str, Tuple[str, ...]]:
    """Every flag in a `--help`, with its choices if they are listed (click's `[a|b]`, argparse's
    `{a,b}`)."""
    flags: Dict[str, Tuple[str, ...]] = {}
    # Bounded: with many brackets that never close, the search would be quadratic.
    choices_of = (
        r"(?<![\w-])(--[a-zA-Z][\w-]*)(?:[ =](?:\[([^\]\s]{0,2000})\]|\{([^}\s]{0,2000})\}))?"
    )
    for match in re.finditer(choices_of, help_text[:MAX_HELP_BYTES]):
        choices = tuple((match[2] or match[3] or "").replace("|", ",").split(","))
        flags[match[1]] = choices if choices != ("",) else flags.get(match[1], ())
    return flags


def argv(
    runtime: Runtime,
    command: Sequence[str],
    launch: Launch,
    help_flags: HelpFlags,
    template: str = "",
) -> Tuple[str, ...]:
    """The command line, with only the flags that the installed version lists.

    `template`: the text of the template, for a runtime whose option takes the text."""
    pairs = [
        (runtime.served_name, launch.served_name),
        (runtime.chat_template, template if runtime.template_inline else launch.chat_template),
        (runtime.tool_call_parser, launch.tool_call_parser),
        (runtime.reasoning_parser, launch.reasoning_parser),
    ]
    words = [
        *command,
        *([runtime.model] if runtime.model else []),
        launch.model_path,
        *runtime.fixed,
    ]
    words += ["--port", str(launch.port), "--host", launch.bind]
    for flag, value in pairs:
        words += [flag, value] if flag and value and flag in help_flags else []
    if runtime.tool_call_parser in words:
        words += [word for word in runtime.with_tool_call_parser if word not in launch.args]
    return (*words, *(w for w in runtime.wanted if w in help_flags), *launch.args)


def recognise(words: Sequence[str], known: Runtimes) -> Optional[Invocation]:
    """The server that a command line runs; None for one that only mentions it, such as `tail` or an
    editor."""
    script, run = program(words), module(words)
    for runtime in known.values():
        for forms, line in ((runtime.forms, script), (runtime.modules, run)):
            for form in forms:
                if line[: len(form)] == form and not any(
                    _asks_help(word, runtime) for word in line
                ):
                    return _invocation(runtime, line[len(form) :])
    return None


def _asks_help(word: str, runtime: Runtime) -> bool:
    return word.partition("=")[0] == "--help" or word in runtime.help


def extra_flags(call: Invocation) -> Tuple[str, ...]:
    """The flags of a command line that argv() did not set: the entry's `args` at its start."""
    runtime = call.runtime
    model = runtime.model or "--model"
    ours = {
        "--host",
        "--port",
        model,
        *runtime.fixed,
        *runtime.wanted,
        *runtime.with_tool_call_parser,
        runtime.served_name,
        runtime.chat_template,
        runtime.tool_call_parser,
        runtime.reasoning_parser,
    }
    flags = [*call.flags]
    # Flags before the model belong to the command in the host file.
    behind = flags[flags.index(model) + 1 :] if model in flags else flags if call.first else []
    return tuple(flag for flag in behind if flag not in ours)


def is_worker(words: Sequence[str], known: Runtimes) -> bool:
    """Whether a command line is that of a server's child: the one with the weights, or their
    tracker."""
    line = " ".join(words)
    return any(mark in line for r in known.values() for mark in (r.worker, r.tracker) if mark)


def _invocation(runtime: Runtime, rest: Sequence[str]) -> Invocation:
    flags = flags_of(rest)
    port = flags.get("--port", "")
    # Untrusted: any user's process can have any text here, also digits that int() rejects.
    plain = port.isdecimal() and len(port) <= 5
    first = rest[0] if rest and not rest[0].startswith("-") else ""
    return Invocation(runtime, int(port) if plain else runtime.default_port, flags, first)


def flags_of(rest: Sequence[str]) -> Dict[str, str]:
    """flag -> its value, "" if it has none."""
    flags: Dict[str, str] = {}
    for word, after in zip(rest, (*rest[1:], "")):
        if word.startswith("--"):
            name, equals, value = word.partition("=")
            flags[name] = value if equals else ("" if after.startswith("--") else after)
    return flags


def has_value(given: Optional[str], wanted: Optional[str]) -> bool:
    """Whether a server was given what its entry says: of a template inside of a JSON file, the
    copy."""
    if given == wanted:
        return True
    from ..formats.templates import is_copy

    return is_copy(given, wanted)
