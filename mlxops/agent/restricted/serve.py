"""The forced command of a restricted key: what the client sends is read in the ordinary form, and
hardly believed.

Its stub is dropped, its state folder and its site are ignored, a bundle is never asked for. What is
left: verb and arguments."""

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
# Beside the stub's own: not a client of mlxops.
EXIT_NOT_A_CLIENT = 77


class NotAClient(Exception):
    """Not the opening of an mlxops client."""


class Opening(NamedTuple):
    """What is kept of the client's first bytes: its marker, the hash of the agent it has, its
    request."""

    marker: str
    agent: str
    request: Dict[str, Any]


def main(text: bytes, folder: str, agent: Any) -> NoReturn:
    """Serve the call on stdin, under the grant of this text. stdout is the wire, and nobody else's.

    `agent`: what imports it, which keeps why the state folder must not be used, as for an ordinary
    call."""
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
        opening = _in_time(sys.stdin.buffer)
    except NotAClient:
        sys.stderr.write(
            "mlxops: this key is for `mlxops %s` only\n" % "` and `mlxops ".join(granted.verbs)
        )
        sys.stderr.flush()
        os._exit(EXIT_NOT_A_CLIENT)
    os.write(out, ("%s OK\n" % opening.marker).encode("ascii"))
    _serve(granted, opening, out)


def _in_time(source: BinaryIO) -> Opening:
    """The opening; a login that sends none must not stay for ever."""
    signal.signal(signal.SIGALRM, _late)
    signal.alarm(OPENING_TIMEOUT_S)
    opening = read_opening(source)
    signal.alarm(0)
    return opening


def _late(*_: object) -> NoReturn:
    raise NotAClient


def read_opening(source: BinaryIO) -> Opening:
    """A stub, the head line and a request, as `bundle.opening` writes them; Stranger for anything
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
    """The length before a frame. Byte by byte: who speaks something else waits for an answer, and
    we for a newline."""
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
    """The request that is served; LoginRefused for a verb that is not granted, and for another
    version's client.

    Its arguments are checked here: nothing that a key may not choose gets any further."""
    verb = opening.request.get("verb")
    grant.require_verb(granted, verb)
    if opening.request.get("protocol") != wire.PROTOCOL or opening.agent != granted.agent:
        said = "this key was authorized with another version of mlxops than the one that asks"
        raise LoginRefused(said, granted.renewal_hint(), verbs=list(granted.verbs))
    args = arguments.check_restricted(str(verb), opening.request.get("args"), granted.verbs)
    return {
        "protocol": wire.PROTOCOL,
        "verb": verb,
        "args": args,
        "site": granted.site,
        "who": _who(opening.request.get("who")),
    }


def _who(sent: object) -> Dict[str, str]:
    """The client's word for who it is, marked as one that a restricted key gave."""
    said = sent if isinstance(sent, dict) else {}
    return {"user": _name(said.get("user")), "from": _name(said.get("from")) + " (restricted key)"}


def _name(sent: object) -> str:
    name = sent if isinstance(sent, str) else "unknown"
    return "".join(c for c in name[:MAX_NAME] if c.isprintable())


def grant_warnings(granted: Grant, request: Dict[str, Any]) -> List[str]:
    """What the person should know: that the host file says something else by now that this key's
    verbs depend on."""
    changed = grant.changed_keys(granted.site, request.get("site"))
    text = "the host file's %s changed since this key was authorized; run mlxops authorize again"
    return [text % " and ".join(changed)] if changed else []
