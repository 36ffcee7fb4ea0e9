"""What TAB offers: names from the host file, and those in the last answers of the host. Nothing is
asked of the host."""

from __future__ import annotations

import os
from typing import Any, NoReturn

import click
from click.shell_completion import CompletionItem

from ..run import Flags, Run
from .known_names import NOTHING, PARSERS, KnownNames, names_of

KEYS = (
    *("chat_template", "tool_call_parser", "reasoning_parser", "runtime", "revision", "slot"),
    *("args", "hosts", "repo_id", "model_id", "cache_path", "format"),
)
BUILT_IN_RUNTIMES = ("mlx-openai-server", "mlx_lm.server", "vllm")
# As the agent can grant them.
GRANTABLE = (
    *("status", "verify", "list", "show", "fit", "plan", "logs", "jobs", "follow", "lock"),
    *("history", "cancel", "reconcile", "init", "unload", "unload-all"),
)


def answer_shell(run: Run, program: str, instruction: str) -> NoReturn:
    """Print what TAB offers, and end. A shell shows errors in the middle of the line that is being
    typed, so there are none."""
    import sys

    from click.shell_completion import shell_complete

    from ..root import root

    try:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - until the end of the program
        shell_complete(root, {"obj": run}, program, f"_{program.upper()}_COMPLETE", instruction)
        sys.stdout.flush()
    finally:
        os._exit(0)


class HostWords:
    """The words that name something on the host that the flags mean; none if that is unclear."""

    def __init__(self, ctx: click.Context) -> None:
        from ...agent.errors import MlxopsError
        from ...hosts.files import find_host

        run = ctx.find_object(Run)
        flags = run.flags if run else Flags()
        self.ports: dict[str, str] = {}
        self.runtimes: list[str] = []
        self.names: KnownNames = NOTHING
        try:
            host = find_host(flags.first_host, flags.hosts_dir)
        except (MlxopsError, OSError):
            return
        self.names = names_of(host)
        slots = {str(port): name for name, port in host.slots.items()}
        loaded = self.names.loaded
        for port in map(str, host.site["ports"]):
            self.ports[port] = " ".join(filter(None, [slots.get(port), loaded.get(port)]))
        self.ports |= {name: f"{port} {loaded.get(port, '')}" for port, name in slots.items()}
        self.ports |= {name: port for port, name in loaded.items() if name not in self.ports}
        self.runtimes = [host.site["runtime"]["name"], *host.site["runtimes"]]


def ports(ctx: click.Context, param: click.Parameter, prefix: str) -> list[CompletionItem[str]]:
    """Ports, slots and loaded models; also in a list with commas."""
    before, comma, last = prefix.rpartition(",")
    return _items(HostWords(ctx).ports, last, before + comma)


def models(ctx: click.Context, param: click.Parameter, prefix: str) -> list[CompletionItem[str]]:
    """Entries; repos once a slash was typed."""
    entries = HostWords(ctx).names.entries
    if "/" in prefix:
        return _items({repo: name for name, repo in entries.items() if repo}, prefix)
    return _items(entries, prefix)


def things(ctx: click.Context, param: click.Parameter, prefix: str) -> list[CompletionItem[str]]:
    """Entries, ports and slots."""
    if "/" in prefix:
        return models(ctx, param, prefix)
    words = HostWords(ctx)
    return _items({**words.names.entries, **words.ports}, prefix)


def jobs(ctx: click.Context, param: click.Parameter, prefix: str) -> list[CompletionItem[str]]:
    words = HostWords(ctx)
    return _items({**dict.fromkeys(words.names.jobs, ""), **words.ports}, prefix)


def runtimes(ctx: click.Context, param: click.Parameter, prefix: str) -> list[CompletionItem[str]]:
    return _items(dict.fromkeys(_runtimes(HostWords(ctx)), ""), prefix)


def parsers(ctx: click.Context, param: click.Parameter, prefix: str) -> list[CompletionItem[str]]:
    """The parsers for the key of an option or of KEY=VALUE."""
    return _items(dict.fromkeys(_values(HostWords(ctx), str(param.name)), ""), prefix)


def changes(ctx: click.Context, param: click.Parameter, prefix: str) -> list[CompletionItem[str]]:
    """KEY= or KEY=VALUE. bash passes KEY, = and VALUE as three words."""
    key, equals, value = prefix.partition("=")
    if equals:
        return _items(dict.fromkeys(_values(HostWords(ctx), key), ""), value, f"{key}=")
    typed = [word for word in ctx.params.get(str(param.name)) or () if word != "="]
    if typed and "=" not in typed[-1] and typed[-1] in KEYS:
        return _items(dict.fromkeys(_values(HostWords(ctx), typed[-1]), ""), prefix)
    return _items({f"{key}=": "" for key in KEYS}, prefix)


def columns(ctx: click.Context, param: click.Parameter, prefix: str) -> list[CompletionItem[str]]:
    """The columns that the help of the option lists."""
    listed = next(one for one in ctx.command.params if one.name == "columns")
    names = str(getattr(listed, "help", "")).partition(" Of: ")[2].rstrip(".").lower().split(", ")
    before, comma, last = prefix.rpartition(",")
    return _items(dict.fromkeys(names, ""), last, before + comma)


def verbs(ctx: click.Context, param: click.Parameter, prefix: str) -> list[CompletionItem[str]]:
    """The verbs that a key can be limited to."""
    before, comma, last = prefix.rpartition(",")
    return _items(dict.fromkeys(GRANTABLE, ""), last, before + comma)


def _runtimes(words: HostWords) -> list[str]:
    return [*dict.fromkeys([*words.runtimes, *BUILT_IN_RUNTIMES])]


def _values(words: HostWords, key: str) -> list[str]:
    """The values to offer for a key of an entry."""
    if key in PARSERS:
        return [*(words.names.parsers.get(key) or []), "auto", "none"]
    known: dict[str, list[str]] = {
        "chat_template": ["auto", "none"],
        "args": ["auto", "none"],
        "runtime": _runtimes(words),
        "slot": [word for word in words.ports if word not in words.names.loaded.values()],
        "revision": ["main"],
        "format": ["mlx"],
    }
    return known.get(key, [])


def _items(words: dict[str, Any], prefix: str, before: str = "") -> list[CompletionItem[str]]:
    """The words that begin with the prefix, whatever its case, each with a short explanation."""
    begun = [word for word in words if word.lower().startswith(prefix.lower())]
    return [CompletionItem(before + word, help=str(words[word]).strip() or None) for word in begun]
