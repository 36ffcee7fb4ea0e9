"""What a load was asked to do, and what it was found to mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Mapping, NamedTuple, Optional, Tuple, Union

from ..errors import pasteable
from ..hub.download import Remote
from ..memory.fit import Asked, Fit
from ..ports.survey import Ground
from ..registry.entries import Entry
from ..runtimes.table import Launch, Runtime

if TYPE_CHECKING:
    from ..servers.start import Service
    from .restart import Lost


class Order(NamedTuple):
    """The arguments of `load`. Times in seconds, None for the host's own.

    `download`: what is missing may be downloaded. `ask_above_bytes`: of a larger download NeedsConsent tells first.
    """

    model: str
    port: int
    replace: bool
    force: bool
    rollback: bool
    dry_run: bool
    timeout_s: Optional[float]
    grace_s: Optional[float]
    revision: Optional[str]
    evict: bool = False
    download: bool = False
    ask_above_bytes: Optional[int] = None

    @classmethod
    def from_wire(cls, args: Mapping[str, Any]) -> Order:
        return cls(
            str(args["model"]), int(args["port"]), bool(args.get("replace")), bool(args.get("force")),
            bool(args.get("rollback", True)), bool(args.get("dry_run")),
            args.get("timeout_s"), args.get("grace_s"), args.get("revision"), bool(args.get("evict")),
            bool(args.get("download")), _whole(args.get("ask_above_bytes")),
        )  # fmt: skip

    @property
    def again(self) -> str:
        """The command that asks for it once more."""
        asked = {"--replace": self.replace, "--force": self.force, "--evict": self.evict, "--download": self.download}
        flags = [flag for flag, on in {**asked, "--no-rollback": not self.rollback}.items() if on]
        revision = ["--revision", self.revision] if self.revision else []
        return pasteable("load", self.model, self.port, *flags, *revision)


def _whole(value: Any) -> Optional[int]:
    return value if type(value) is int and value >= 0 else None


class Preparation(NamedTuple):
    """A load that passed every check. `remote`: what must be downloaded first. `words`: the runtime's command.

    `done`: the port already serves exactly this. `warnings`: one sentence each. `asked` of memory, and how it fits.
    `previous`: what brings back the server that has to go, None where there is none.
    """

    order: Order
    entry: Entry
    remote: Optional[Remote]
    runtime: Runtime
    words: Tuple[str, ...]
    ground: Ground
    done: bool
    warnings: Tuple[str, ...]
    asked: Optional[Asked] = None
    fit: Optional[Fit] = None
    previous: Union[Service, Lost, None] = None


def template_text(runtime: Runtime, entry: Entry) -> str:
    """The template's text, for a runtime that takes no path."""
    path = entry.text("chat_template")
    if not path or not runtime.template_inline:
        return ""
    with open(path, encoding="utf-8") as f:
        return f.read()


def launch_of(entry: Entry, port: int, bind: str, served_name: str) -> Launch:
    """What an entry is started with."""
    return Launch(
        model_path=entry.cache_path,
        port=port,
        bind=bind,
        served_name=served_name,
        chat_template=entry.text("chat_template"),
        tool_call_parser=entry.text("tool_call_parser"),
        reasoning_parser=entry.text("reasoning_parser"),
        args=entry.args,
    )
