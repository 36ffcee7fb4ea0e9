"""HTTP requests to a port, with a limit on time and size."""

from __future__ import annotations

import contextlib
import errno
import json
import socket
import threading
import time
from typing import TYPE_CHECKING, Any, Callable, Dict, Mapping, NamedTuple, Optional, Tuple, TypeVar

from ..api_key import NO_KEY, REFUSED, ApiKey
from ..background import CHECK_INTERVAL_S, BackgroundCall, Value
from ..clock import Deadline
from .evidence import NO_ANSWER, HttpAnswer

if TYPE_CHECKING:
    from http.client import HTTPResponse

MAX_REPLY_BYTES = 1 << 20
# Limits on what a listener reports.
MAX_NAME_LENGTH, MAX_ERROR_LENGTH, MAX_MODELS = 1024, 300, 1000
Key = TypeVar("Key")
MAX_THREADS = 32
OUT_OF_RESOURCES = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)


class Reply(NamedTuple):
    """An HTTP response: its status and up to 1 MiB of its body."""

    status: int
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON; None if it is not JSON."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None


def call_all(calls: Mapping[Key, Callable[[], Value]], most: int = MAX_THREADS) -> Dict[Key, Value]:
    """The result of each call, with a bounded number of threads: a host may have 256 ports.

    After all have ended, raises the first error. Without threads, the calls run one by one."""
    todo, done, faults = list(calls.items()), {}, []

    def work() -> None:
        while todo:
            try:
                key, call = todo.pop()
            except IndexError:
                return
            try:
                done[key] = call()
            except Exception as exc:  # raised below
                faults.append(exc)

    threads = [threading.Thread(target=work, daemon=True) for _ in range(min(most, len(todo)) - 1)]
    with contextlib.suppress(RuntimeError):
        for thread in threads:
            thread.start()
    work()
    for thread in threads:
        if thread.ident is not None:
            thread.join()
    if faults:
        raise faults[0]
    return {key: done[key] for key in calls}


class CancellableRequest:
    """One HTTP request that can be cancelled from another thread, because a server may send bytes
    forever."""

    def __init__(self, address: str, port: int, timeout: float, key: ApiKey = NO_KEY) -> None:
        self._where, self._timeout, self._key = (address, port), timeout, key
        self._socket: Optional[socket.socket] = None

    def send(
        self, path: str, body: Optional[Dict[str, Any]], read: Callable[[HTTPResponse], Value]
    ) -> Value:
        """What `read` returns for the response to a GET, or to a POST if there is a body."""
        from http.client import HTTPConnection

        link = HTTPConnection(*self._where, timeout=self._timeout)
        try:
            link.connect()
            # Kept because the connection drops its socket after the headers.
            self._socket = link.sock
            payload = None if body is None else json.dumps(body).encode()
            link.request(
                "GET" if body is None else "POST",
                path,
                payload,
                {"Content-Type": "application/json", **self._key.headers},
            )
            with link.getresponse() as answer:
                return read(answer)
        finally:
            link.close()

    def cancel(self) -> None:
        try:
            if self._socket is not None:
                self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            # Already closed.
            return


def run_request(
    line: CancellableRequest,
    timeout: float,
    call: Callable[[], Value],
    check: Callable[[], None] = lambda: None,
) -> Value:
    """The result of a call; TimeoutError after `timeout` seconds. `check` is called meanwhile, and
    may raise."""
    deadline, pending = Deadline(timeout), BackgroundCall(call)
    try:
        while not pending.done(min(CHECK_INTERVAL_S, deadline.left())) and not deadline.passed:
            check()
        return pending.value()
    finally:
        line.cancel()


def request(
    address: str,
    port: int,
    path: str,
    timeout: float,
    body: Optional[Dict[str, Any]] = None,
    key: ApiKey = NO_KEY,
) -> Reply:
    """Send one HTTP request; raises OSError (TimeoutError included) or
    http.client.HTTPException."""
    line = CancellableRequest(address, port, timeout, key)
    return run_request(line, timeout, lambda: line.send(path, body, read_reply))


def read_reply(answer: HTTPResponse) -> Reply:
    return Reply(answer.status, answer.read(MAX_REPLY_BYTES))


def accepts_connection(address: str, port: int, timeout: float = 1.0) -> bool:
    """Whether a TCP connection is accepted."""
    try:
        socket.create_connection((address, port), timeout).close()
    except OSError as exc:
        if exc.errno in OUT_OF_RESOURCES:
            raise  # not about the port
        return False
    return True


def reaction_time_ms(address: str, port: int, timeout: float) -> Optional[float]:
    """Milliseconds until the server closes a connection that was half-closed without data; None if
    it does not.

    This needs the server's own event loop: the kernel alone, as for a stopped process, only
    accepts. Neither mlx_lm.server nor uvicorn (mlx-openai-server, vllm) logs it, while they log
    every request, HEAD and OPTIONS included (mlx-lm 0.32, mlx-openai-server 1.8.1)."""
    began = time.monotonic()
    try:
        with socket.create_connection((address, port), timeout) as line:
            line.settimeout(timeout)
            line.shutdown(socket.SHUT_WR)
            if line.recv(1):
                return None
    except OSError:
        return None
    return round((time.monotonic() - began) * 1000, 1)


def ask(
    address: str, port: int, timeout: float, models: bool = True, key: ApiKey = NO_KEY
) -> HttpAnswer:
    """The answers to /health and, with `models`, to /v1/models."""
    if not accepts_connection(address, port, min(timeout, 1.0)):
        return NO_ANSWER
    began = time.monotonic()
    answer = HttpAnswer(reached=True)
    try:
        answer = answer._replace(health=request(address, port, "/health", timeout, key=key).status)
        answer = answer._replace(latency_ms=round((time.monotonic() - began) * 1000, 1))
        if answer.health in REFUSED:
            return answer._replace(refusal=key.refusal(answer.health))
        if not models:
            return answer
        reply = request(address, port, "/v1/models", timeout, key=key)
        if reply.status in REFUSED:
            return answer._replace(refusal=key.refusal(reply.status))
        return answer._replace(models=model_ids(reply.json))
    except (RuntimeError, MemoryError):
        raise  # no thread or memory on this host; not about the port
    except Exception as exc:  # http.client raises ValueError and others on malformed answers
        return answer._replace(error=(str(exc) or type(exc).__name__)[:MAX_ERROR_LENGTH])


def model_ids(document: Any) -> Tuple[str, ...]:
    rows = document.get("data") if isinstance(document, dict) else None
    ids = [row.get("id") for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    return tuple(i[:MAX_NAME_LENGTH] for i in ids[:MAX_MODELS] if isinstance(i, str))


def chat(address: str, port: int, model: str, timeout: float, key: ApiKey = NO_KEY) -> Reply:
    """Send a chat of one token with the model name that clients use."""
    messages = [{"role": "user", "content": "ping"}]
    return request(
        address,
        port,
        "/v1/chat/completions",
        timeout,
        {"model": model, "messages": messages, "max_tokens": 1},
        key,
    )
