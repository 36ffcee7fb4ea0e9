"""The model servers we can start, as data: their flags, their command lines, how they look when ready. Pure."""

from __future__ import annotations

import re
from typing import Dict, Mapping, NamedTuple, Optional, Sequence, Tuple

from .errors import Usage


class Runtime(NamedTuple):
    """One server program. Facts as seen with mlx-openai-server 1.8.1 and mlx-lm 0.31 and 0.32.

    `forms`: the words a command line names it by, the program first. `modules`: the same after `python -m`.
    A flag of None: the program has no such flag. `client_model`: the only safe model name in a request,
    where it is not the served name. `template_inline`: its template flag takes the template, not a path.
    `listens_early`: it answers HTTP before the model is loaded. `worker`: a word in the command line of the
    child that holds the weights, and `tracker` one of the sibling that shows such a child must exist.
    `distribution`: the package it comes in. `gives_up_s`: seconds after which it ends a start by itself.
    `call_per_connection`: an open connection is a request under way, which a SIGTERM would cut off.
    """

    name: str
    forms: Tuple[Tuple[str, ...], ...]
    modules: Tuple[Tuple[str, ...], ...]
    default_port: int
    model: str
    fixed: Tuple[str, ...] = ()
    wanted: Tuple[str, ...] = ()
    served_name: Optional[str] = None
    chat_template: Optional[str] = None
    tool_call_parser: Optional[str] = None
    reasoning_parser: Optional[str] = None
    template_inline: bool = False
    client_model: Optional[str] = None
    listens_early: bool = False
    worker: str = ""
    tracker: str = ""
    distribution: str = ""
    gives_up_s: Optional[float] = None
    call_per_connection: bool = False


RUNTIMES: Mapping[str, Runtime] = {
    r.name: r
    for r in (
        Runtime(
            name="mlx-openai-server",
            forms=(("mlx-openai-server", "launch"),),
            modules=(),
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
        ),
    )
}


def named(name: str) -> Runtime:
    if name not in RUNTIMES:
        raise Usage("no runtime is called %r" % name, "known: " + ", ".join(RUNTIMES), runtime=name)
    return RUNTIMES[name]


class Launch(NamedTuple):
    """What a server is started with. `chat_template` is a path."""

    model_path: str
    port: int
    bind: str
    served_name: str
    chat_template: Optional[str] = None
    tool_call_parser: Optional[str] = None
    reasoning_parser: Optional[str] = None
    args: Tuple[str, ...] = ()


class Invocation(NamedTuple):
    """What a running server's command line says."""

    runtime: str
    port: int
    flags: Mapping[str, str]

    @property
    def model(self) -> Optional[str]:
        return self.flags.get(RUNTIMES[self.runtime].model)

    @property
    def served_name(self) -> Optional[str]:
        flag = RUNTIMES[self.runtime].served_name
        return self.flags.get(flag) if flag else None


Offered = Mapping[str, Tuple[str, ...]]
LONGEST_HELP = 256 << 10


def offered(help_text: str) -> Dict[str, Tuple[str, ...]]:
    """Every flag a `--help` lists, with its choices where it lists them (click's `[a|b]`, argparse's `{a,b}`)."""
    flags: Dict[str, Tuple[str, ...]] = {}
    # Bounded, or a text full of brackets that never close would be gone through from each of them to its end.
    choices_of = r"(?<![\w-])(--[a-zA-Z][\w-]*)(?:[ =](?:\[([^\]\s]{0,2000})\]|\{([^}\s]{0,2000})\}))?"
    for match in re.finditer(choices_of, help_text[:LONGEST_HELP]):
        choices = tuple((match[2] or match[3] or "").replace("|", ",").split(","))
        flags[match[1]] = choices if choices != ("",) else flags.get(match[1], ())
    return flags


def argv(
    runtime: Runtime, command: Sequence[str], launch: Launch, help_flags: Offered, template: str = ""
) -> Tuple[str, ...]:
    """The command line, with only the flags this installed version lists.

    `template`: the template's text, for a runtime that takes no path.
    """
    pairs = [
        (runtime.served_name, launch.served_name),
        (runtime.chat_template, template if runtime.template_inline else launch.chat_template),
        (runtime.tool_call_parser, launch.tool_call_parser),
        (runtime.reasoning_parser, launch.reasoning_parser),
    ]
    words = [*command, runtime.model, launch.model_path, *runtime.fixed]
    words += ["--port", str(launch.port), "--host", launch.bind]
    for flag, value in pairs:
        words += [flag, value] if flag and value and flag in help_flags else []
    return (*words, *(w for w in runtime.wanted if w in help_flags), *launch.args)


def recognise(words: Sequence[str]) -> Optional[Invocation]:
    """The server a command line runs; None for everything that only mentions one, such as `tail` or an editor."""
    rest = _program(words)
    for runtime in RUNTIMES.values():
        for forms, line in ((runtime.forms, rest), (runtime.modules, _module(words))):
            for form in forms:
                if line[: len(form)] == form and "--help" not in line:
                    return _invocation(runtime, line[len(form) :])
    return None


def is_worker(words: Sequence[str]) -> bool:
    """Whether a command line is that of a child that serves a server: the one with the weights, or their tracker."""
    line = " ".join(words)
    return any(mark in line for r in RUNTIMES.values() for mark in (r.worker, r.tracker) if mark)


def _invocation(runtime: Runtime, rest: Sequence[str]) -> Invocation:
    flags = _flags(rest)
    port = flags.get("--port", "")
    # Any user's process can say anything here, digits that int() refuses included.
    plain = port.isdecimal() and len(port) <= 5
    return Invocation(runtime.name, int(port) if plain else runtime.default_port, flags)


def _flags(rest: Sequence[str]) -> Dict[str, str]:
    flags: Dict[str, str] = {}
    for word, after in zip(rest, (*rest[1:], "")):
        if word.startswith("--"):
            name, equals, value = word.partition("=")
            flags[name] = value if equals else ("" if after.startswith("--") else after)
    return flags


UV_OPTIONS_WITH_VALUE = (
    "--project", "--directory", "--with", "--python", "-p", "--extra", "--group", "--env-file", "--index",
)  # fmt: skip


def _program(words: Sequence[str]) -> Tuple[str, ...]:
    """The words from the program on: of a script its interpreter, and of uv its own words, are cut off."""
    if not words:
        return ()
    base = _base(words[0])
    if base == "uv" and "run" in words[1:]:
        return _program(_after_options(words[words.index("run") + 1 :], UV_OPTIONS_WITH_VALUE))
    if base.lower().startswith("python"):
        return _python(words[1:])[0]
    return (base, *words[1:])


def _module(words: Sequence[str]) -> Tuple[str, ...]:
    if words and _base(words[0]) == "uv" and "run" in words[1:]:
        return _module(_after_options(words[words.index("run") + 1 :], UV_OPTIONS_WITH_VALUE))
    if words and _base(words[0]).lower().startswith("python"):
        return _python(words[1:])[1]
    return ()


def _python(words: Sequence[str]) -> Tuple[Tuple[str, ...], Tuple[str, ...]]:
    """What an interpreter runs: its script and its module, each with the words behind it; () for what it does not run.

    Its options may be joined (-Ic), and -c, -m, -W and -X take the rest of their word, else the next one.
    """
    at = 0
    while at < len(words) and words[at].startswith("-"):
        word = words[at]
        cut = 0 if word.startswith("--") else next((n for n, letter in enumerate(word) if letter in "cmWX"), 0)
        letter, rest = word[cut], word[cut + 1 :]
        if letter == "m":
            return (), (*([rest] if rest else []), *words[at + 1 :])
        if letter == "c" or word == "-":
            return (), ()
        at += 2 if (cut and not rest) or word == "--check-hash-based-pycs" else 1
    return ((_base(words[at]), *words[at + 1 :]) if at < len(words) else ()), ()


def _after_options(words: Sequence[str], with_value: Sequence[str]) -> Sequence[str]:
    at = 0
    while at < len(words) and words[at].startswith("-"):
        if words[at] in ("-c", "-m"):
            return ()
        at += 2 if words[at] in with_value else 1
    return words[at:]


def _base(path: str) -> str:
    return path.rsplit("/", 1)[-1]
