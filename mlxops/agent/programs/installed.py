"""A runtime as it is installed on this host: its command, its help, and its environment's
packages."""

from __future__ import annotations

from typing import Callable, NamedTuple, Optional, Tuple

from ..runtimes.table import HelpFlags, Runtime, parse_help
from ..site import Site
from .environment import site_packages
from .find import help_text, require_command

MODEL_TYPE, MULTIMODAL = "--model-type", "multimodal"
TRUST = "--trust-remote-code"


class Installed(NamedTuple):
    """`flags`: the options its help lists, None if it gives no help. `packages`: its site-packages
    folders. `command`: the words that start it, () if it was not found."""

    runtime: Runtime
    flags: Optional[HelpFlags]
    packages: Tuple[str, ...] = ()
    command: Tuple[str, ...] = ()
    help_text: str = ""

    def choices(self, key: str) -> Optional[Tuple[str, ...]]:
        """The values that the option for an entry's key accepts, () if the help lists none; None if
        there is no such option."""
        return (self.flags or {}).get(getattr(self.runtime, key) or "")

    @property
    def supports_vision(self) -> bool:
        """Whether an option makes it accept images."""
        return MULTIMODAL in (self.flags or {}).get(MODEL_TYPE, ())


def require_installed(
    site: Site,
    name: Optional[str],
    report: Callable[[str], None] = lambda _: None,
    check: Callable[[], None] = lambda: None,
    fresh: bool = False,
) -> Installed:
    """The runtime called `name`, by default the host's own; `report`, `check` and `fresh` as for
    `help_text`. Usage for an unknown name; Failed if it is not installed or gives no help."""
    runtime = site.runtime_named(name)
    command = require_command(site, runtime)
    text = help_text(runtime, command, site.state_dir, report, check, fresh)
    return Installed(
        runtime=runtime,
        flags=parse_help(text),
        packages=tuple(site_packages(command)),
        command=command,
        help_text=text,
    )
