"""What the host file says of the Hub: where it is, how to log in, whether it may be asked."""

from __future__ import annotations

import os
import stat
from typing import MutableMapping

from ..errors import NotDownloadable
from ..site import HubSettings
from .process import TOKEN_PATH, TOKENS

OFFLINE = "offline"
MAX_TOKEN_BYTES = 4096


def apply_settings(hub: HubSettings, environ: MutableMapping[str, str]) -> None:
    """Set them for the children that talk to the Hub; the login's are for hosts without the
    keys."""
    if hub.endpoint:
        environ["HF_ENDPOINT"] = hub.endpoint
    if hub.token_file:
        # A token in a variable would overrule the file.
        for name in TOKENS:
            environ.pop(name, None)
        environ[TOKEN_PATH] = hub.token_file


def require_access(hub: HubSettings, repo_id: str = "") -> None:
    """NotDownloadable if the host file says offline, or its token cannot be read: without it the
    Hub would call a private repository unknown."""
    if hub.offline:
        raise NotDownloadable(
            "offline is set under [hub] in the host file, so nothing is asked of the Hub",
            "remove offline there to download; mlxops list shows what is on the host",
            repo_id=repo_id or None,
            reason=OFFLINE,
        )
    fault = token_fault(hub)
    if fault:
        raise NotDownloadable(
            fault,
            "correct token_file under [hub] in the host file",
            repo_id=repo_id or None,
            reason="token",
        )


def token_fault(hub: HubSettings) -> str:
    """Why the token cannot be used; "" if it can, or if none is configured."""
    if not hub.token_file:
        return ""
    try:
        if not stat.S_ISREG(os.stat(hub.token_file).st_mode):
            return "token_file %s is not a regular file" % hub.token_file
        with open(hub.token_file, "rb") as stream:
            content = stream.read(MAX_TOKEN_BYTES + 1)
    except OSError as exc:
        return "token_file %s cannot be read: %s" % (hub.token_file, exc.strerror)
    if not content.strip():
        return "token_file %s is empty" % hub.token_file
    # huggingface_hub reads all of it, and sends it in a header.
    text = content.decode("latin-1").strip()
    plain = len(content) <= MAX_TOKEN_BYTES and text.isascii() and text.isprintable()
    return "" if plain else "token_file %s has no token: one line of ASCII" % hub.token_file


def readable_by_others(path: str) -> bool:
    """Whether another account may read the file."""
    try:
        return bool(os.stat(path).st_mode & (stat.S_IRGRP | stat.S_IROTH))
    except OSError:
        return False
