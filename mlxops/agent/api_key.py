"""The API key of a server: from an environment variable or a file of the host, which the host file
names. It is sent to this user's own servers only."""

from __future__ import annotations

import os
from typing import Dict, NamedTuple

from .errors import Failed
from .runtimes.table import Runtime
from .site import KeySource, Site
from .untrusted import read_bounded

MAX_KEY_BYTES = 4096
REFUSED = (401, 403)
HINT = "set api_key_file or api_key_env in the host file: docs/runtimes.md#api-keys"


class ApiKey(NamedTuple):
    """`text`: "" without one. `source`: where it comes from, "" if the host file names nothing.
    `fault`: why it cannot be read."""

    text: str = ""
    source: str = ""
    fault: str = ""

    @property
    def headers(self) -> Dict[str, str]:
        return {"Authorization": "Bearer " + self.text} if self.text else {}

    def environment(self, runtime: Runtime) -> Dict[str, str]:
        """What a server gets, if its program takes its key from a variable."""
        variable = runtime.key_variable
        return {variable: self.text} if variable and self.text else {}

    def refusal(self, status: int) -> str:
        """Why the server answered with this status, one of REFUSED."""
        if self.text:
            return "it refuses the API key of %s (HTTP status %d)" % (self.source, status)
        asks = "it asks for an API key (HTTP status %d)" % status
        return "%s: %s" % (asks, self.fault or "set api_key_file in the host file")


NO_KEY = ApiKey()


def api_key(site: Site, port: int, runtime: str) -> ApiKey:
    """The key of this runtime's server on the port."""
    source = site.key_source(port, runtime)
    return read_key(source) if source else NO_KEY


def require_api_key(site: Site, port: int, runtime: str) -> None:
    """Failed if the host file names a key that cannot be read."""
    fault = api_key(site, port, runtime).fault
    if fault:
        raise Failed("the API key of port %d: %s" % (port, fault), HINT, port=port)


def read_key(source: KeySource) -> ApiKey:
    if source.variable:
        name, text = "the variable %s" % source.variable, os.environ.get(source.variable)
        fault = "" if text else "%s is not set in the login of the host" % name
    else:
        name, content = "the file %s" % source.file, read_bounded(source.file, MAX_KEY_BYTES)
        text = None if content is None else content.decode("utf-8", "replace").strip()
        fault = "" if text is not None else "%s cannot be read" % name
    if not fault and not _is_key(text or ""):
        fault = "%s has no key: one line of printable ASCII characters" % name
    return ApiKey("" if fault else text or "", name, fault)


def _is_key(text: str) -> bool:
    """Whether it can be sent in an HTTP header."""
    return bool(text) and text.isascii() and text.isprintable()
