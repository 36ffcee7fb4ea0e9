"""Why a load of an entry would be refused, according to the runtimes installed on this host."""

from __future__ import annotations

from typing import Dict, List, Union

from ..context import Context
from ..errors import Failed, MlxopsError, mlxops_command
from ..models import cache as hfcache
from ..models.options import launch_options, require_servable
from ..programs.installed import Installed, require_installed
from ..registry.entries import Entry
from . import references


class Acceptance:
    """Checks entries; asks each runtime for its help once."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._installed: Dict[str, Union[Installed, MlxopsError]] = {}

    def reasons(self, entry: Entry) -> List[str]:
        """One sentence per reason; [] if the entry can be started, as far as is known. A model that
        is not downloaded yet is not checked."""
        site = self._ctx.site
        installed = self._runtime(entry.text("runtime") or site.runtime)
        if isinstance(installed, MlxopsError):
            return [installed.message]
        chosen = launch_options(site, entry, installed)
        missing = references.rejections(self._ctx, installed.runtime, entry, entry.port or 0)
        reasons = [*chosen.problems, *(one.reason for one in missing)]
        if reasons or not hfcache.is_complete(entry.cache_path):
            return reasons
        try:
            require_servable(site, chosen, installed)
        except Failed as exc:
            return ["%s (%s)" % (exc.message, exc.hint)]
        return []

    def fix(self, entry: Entry) -> str:
        """The command that makes an entry with reasons acceptable."""
        named = entry.text("runtime")
        lacking = isinstance(self._runtime(named or self._ctx.site.runtime), MlxopsError)
        return mlxops_command("set", entry.name, "runtime=" if named and lacking else "KEY=VALUE")

    def _runtime(self, name: str) -> Union[Installed, MlxopsError]:
        """The runtime, or why it cannot be used."""
        if name not in self._installed:
            ctx = self._ctx
            try:
                outcome: Union[Installed, MlxopsError] = require_installed(
                    ctx.site, name, ctx.report, ctx.client.check
                )
            except MlxopsError as exc:
                outcome = exc
            self._installed[name] = outcome
        return self._installed[name]
