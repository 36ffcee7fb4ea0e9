"""The forced command of a restricted key: it reads a normal call and uses only its verb and
arguments.

Its stub, state folder and site are ignored, and its bundle is never requested."""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Any, BinaryIO, Dict, List, NamedTuple, NoReturn

from ..errors import LoginRefused, MlxopsError
from ..main import run
from ..wire import arguments
from ..wire import codec as wire
from ..wire.stub import ancestors, first_fault, state_folder
from . import grant
from . import install as authorized
from .grant import Grant

OPENING_TIMEOUT_S = 20
MAX_STUB_BYTES = 64 << 10
MAX_HEAD_BYTES = 8 << 10
MAX_REQUEST_BYTES = 1 << 20
MAX_NAME = 64
# In addition to the stub's exit statuses: not a client of mlxops.
EXIT_NOT_A_CLIENT = 77


class NotAClient(Exception):
    """The input is not the start of a call by mlxops."""


class Opening(NamedTuple):
    """The start of a call: its marker, the hash of the client's agent, and its request."""

    marker: str
    agent: str
    request: Dict[str, Any]


def main(text: bytes, folder: str, agent: Any) -> NoReturn:
    """Serve the call on stdin under the grant in `text`. Only records go to stdout.

    `agent`: the importer, which gets `state` and `distrust` as in a normal call."""
    out = os.dup(1)
    os.dup2(2, 1)
    granted = grant.parse(text)
    agent.state = state_folder(granted.site["state_dir"])
    agent.distrust = first_fault(
        [*((above, False) for above in ancestors(agent.state)), (agent.state, True)]
    )
    if not agent.distrust:
        authorized.mark_used(folder)
    try:
        opening = _read_in_time(sys.stdin.buffer)
    except NotAClient:
        sys.stderr.write(
            "mlxops: this key is for `mlxops %s` only\n" % "` and `mlxops ".join(granted.verbs)
        )
        sys.stderr.flush()
        os._exit(EXIT_NOT_A_CLIENT)
    os.write(out, ("%s OK\n" % opening.marker).encode("ascii"))
    _serve(granted, opening, out)


def _read_in_time(source: BinaryIO) -> Opening:
    """The start of the call, within a time limit."""
    signal.signal(signal.SIGALRM, _on_timeout)
    signal.alarm(OPENING_TIMEOUT_S)
    opening = read_opening(source)
    signal.alarm(0)
    return opening


def _on_timeout(*_: object) -> NoReturn:
    raise NotAClient


def read_opening(source: BinaryIO) -> Opening:
    """Stub, head line and request as written by `Bundle.handshake`; NotAClient for anything
    else."""
    _frame(source, MAX_STUB_BYTES)
    head = source.readline(MAX_HEAD_BYTES).decode("utf-8", "replace").split(" ", 2)
    if len(head) != 3 or not head[0].isalnum() or not head[0].isascii() or len(head[0]) > MAX_NAME:
        raise NotAClient
    return Opening(head[0], head[1], _record(_frame(source, MAX_REQUEST_BYTES)))


def _frame(source: BinaryIO, longest: int) -> bytes:
    size = _size(source)
    payload = source.read(size) if size <= longest else b""
    if len(payload) != size:
        raise NotAClient
    return payload


def _size(source: BinaryIO) -> int:
    """The length before a frame. Read byte by byte: a peer with another protocol may wait for an
    answer and never send a newline."""
    digits = b""
    while True:
        byte = source.read(1)
        if byte == b"\n" and digits:
            return int(digits)
        if not byte.isdigit() or len(digits) == 8:
            raise NotAClient
        digits += byte


def _record(request: bytes) -> Dict[str, Any]:
    try:
        record = json.loads(request)
    except (ValueError, RecursionError):
        raise NotAClient from None
    if not isinstance(record, dict):
        raise NotAClient
    return record


def _serve(granted: Grant, opening: Opening, out: int) -> NoReturn:
    try:
        request = authorize_request(granted, opening)
    except MlxopsError as refusal:
        os.write(out, wire.encode(wire.error(refusal)))
        os._exit(0)
    for text in grant_warnings(granted, opening.request):
        os.write(out, wire.encode(wire.event("warning", message=text)))
    run(wire.encode(request), sys.stdin.buffer, out, traces=False)


def authorize_request(granted: Grant, opening: Opening) -> Dict[str, Any]:
    """The request to serve, with checked arguments; LoginRefused for a verb that is not granted, or
    another version of the client."""
    verb = opening.request.get("verb")
    grant.require_verb(granted, verb)
    if opening.request.get("protocol") != wire.PROTOCOL or opening.agent != granted.agent:
        message = "this key was authorized with another version of mlxops"
        raise LoginRefused(message, granted.renewal_hint(), verbs=list(granted.verbs))
    args = arguments.check_restricted(str(verb), opening.request.get("args"), granted.verbs)
    return {
        "protocol": wire.PROTOCOL,
        "verb": verb,
        "args": args,
        "site": granted.site,
        "who": _who(opening.request.get("who")),
    }


def _who(sent: object) -> Dict[str, str]:
    """User and machine as the client names them, marked as unverified."""
    who = sent if isinstance(sent, dict) else {}
    return {"user": _name(who.get("user")), "from": _name(who.get("from")) + " (restricted key)"}


def _name(sent: object) -> str:
    name = sent if isinstance(sent, str) else "unknown"
    return "".join(c for c in name[:MAX_NAME] if c.isprintable())


def grant_warnings(granted: Grant, request: Dict[str, Any]) -> List[str]:
    """A warning if the host file changed since, in keys that this key's verbs depend on."""
    changed = grant.changed_keys(granted.site, request.get("site"))
    text = "the host file's %s changed since this key was authorized; run mlxops authorize again"
    return [text % " and ".join(changed)] if changed else []
