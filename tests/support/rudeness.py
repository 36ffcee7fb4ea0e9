"""Invalid HTTP answers, for stand-in servers and foreign processes. Standard library only, Python
3.9."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

ESCAPES = "\x1b]0;owned\x07\x1b[2J\x1b[31mready\x9b0m\r\u202e\ud800\n"
DRIP_S, DRIPS = 0.2, 300
Send = Callable[[bytes], object]


def answer(manner: str, send: Send) -> None:
    """Send one invalid answer, or none, to any request."""
    MANNERS[manner](send)


def _silent(send: Send) -> None:
    time.sleep(DRIP_S * DRIPS)


def _drip(send: Send) -> None:
    for byte in b"HTTP/1.1 200 OK\r\n" + b"X-Pad: 0\r\n" * DRIPS:
        send(bytes([byte]))
        time.sleep(DRIP_S)


def _drip_body(send: Send) -> None:
    _head(send, "200 OK", "Content-Length: 1000")
    for _ in range(DRIPS):
        send(b" ")
        time.sleep(DRIP_S)


def _redirect(send: Send) -> None:
    _head(send, "302 Found", "Location: /health\r\nContent-Length: 0")


def _gigabyte(send: Send) -> None:
    _head(send, "200 OK", "Content-Length: 1073741824")
    for _ in range(1024):
        send(bytes(1 << 20))


def _one_line(send: Send) -> None:
    for _ in range(1024):
        send(b"H" * (1 << 20))


def _continue(send: Send) -> None:
    for _ in range(DRIPS * 1000):
        send(b"HTTP/1.1 100 Continue\r\n\r\n")


def _head(send: Send, status: str, headers: str) -> None:
    send(f"HTTP/1.1 {status}\r\n{headers}\r\n\r\n".encode())


def _json(text: str) -> Callable[[Send], None]:
    def reply(send: Send) -> None:
        _head(send, "200 OK", f"Content-Type: application/json\r\nContent-Length: {len(text)}")
        send(text.encode())

    return reply


MANNERS: dict[str, Callable[[Send], None]] = {
    "silent": _silent,
    "drip": _drip,
    "drip_body": _drip_body,
    "redirect": _redirect,
    "gigabyte": _gigabyte,
    "one_line": _one_line,
    "continue": _continue,
    "closes": lambda send: None,
    "garbage": lambda send: send(b"SSH-2.0-OpenSSH_9.2\r\n\x00\xff"),
    "no_length": lambda send: _head(
        send, "200 OK", "Content-Length: -7\r\nTransfer-Encoding: chunked\r\n\r\nzz"
    ),
    "broken": _json('{"data": [{"id": '),
    "array_bomb": _json("[" * 500_000),
    "object_bomb": _json('{"a":' * 700 + "1" + "}" * 700),
    "wrong_types": _json('{"data": {"id": 1}, "active_requests": true}'),
    "escapes": _json(json.dumps({"data": [{"id": ESCAPES}, {"id": 7}, None]})),
    "long_name": _json(json.dumps({"data": [{"id": "n" * 900_000}]})),
}
