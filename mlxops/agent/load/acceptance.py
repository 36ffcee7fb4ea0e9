"""Why a load of an entry would be refused, by what the runtimes installed on this host say of
themselves."""

from __future__ import annotations

import os
from typing import Dict, List, Optional, Tuple

from ..context import Context
from ..errors import Failed, MlxopsError
from ..models import cache as hfcache
from ..models.defaults import Installed
from ..models.flags import choose_options
from ..models.rejections import find_rejections
from ..programs import find as programs
from ..programs.environment import site_packages
from ..registry.entries import Entry
from ..runtimes.table import Runtime, parse_help
from . import references

Known = Tuple[Optional[Runtime], str, Tuple[str, ...], str]


class Acceptance:
    """Each runtime is asked once, however many entries are for it."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._known: Dict[str, Known] = {}

    def reasons(self, entry: Entry) -> List[str]:
        """One sentence each, as far as the entry's own fields go; none when it would be started."""
        name = entry.text("runtime") or self._ctx.site.runtime
        if name not in self._known:
            self._known[name] = self._offered(name)
        known, text, beside, fault = self._known[name]
        if known is None:
            return [fault]
        flags = parse_help(text)
        said = [
            refusal.reason for refusal in find_rejections(known, entry, flags, os.path.isfile, text)
        ]
        said += [
            refusal.reason
            for refusal in references.rejections(self._ctx, known, entry, entry.port or 0)
        ]
        return said or self._cannot_serve(entry, Installed(known, flags, beside))

    def _cannot_serve(self, entry: Entry, installed: Installed) -> List[str]:
        """Why the model as it lies on disk would be refused; of one that is still to be downloaded
        nothing is known."""
        if not hfcache.is_complete(entry.cache_path):
            return []
        try:
            choose_options(self._ctx.site, entry, installed)
        except Failed as exc:
            return ["%s (%s)" % (exc.message, exc.hint)]
        return []

    def _offered(self, name: str) -> Known:
        """A runtime with its help, or why there is none."""
        site = self._ctx.site
        try:
            known = site.runtime_named(name)
            words = programs.require_command(site, known)
            say, check = self._ctx.report, self._ctx.client.check
            text = programs.help_text(known, words, site.state_dir, say, check)
            return known, text, tuple(site_packages(words)), ""
        except MlxopsError as exc:
            return None, "", (), exc.message
