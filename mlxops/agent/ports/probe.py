"""Ask a port over HTTP, with a bound on time and size whatever the other side does."""

from __future__ import annotations

import contextlib
import errno
import json
import socket
import threading
import time
from typing import TYPE_CHECKING, Any, Callable, Dict, Mapping, NamedTuple, Optional, Tuple, TypeVar

from ..background import CHECK_INTERVAL_S, BackgroundCall, Value
from ..clock import Deadline
from .evidence import NO_ANSWER, HttpAnswer

if TYPE_CHECKING:
    from http.client import HTTPResponse

MAX_REPLY_BYTES = 1 << 20
# Of what a listener says of itself: more is no name, and no reason.
MAX_NAME_LENGTH, MAX_ERROR_LENGTH, MAX_MODELS = 1024, 300, 1000
Key = TypeVar("Key")
MAX_THREADS = 32
OUT_OF_RESOURCES = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)


class Reply(NamedTuple):
    """An HTTP answer: its status and the first MiB of its body."""

    status: int
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON; None when it is not."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None


def call_all(calls: Mapping[Key, Callable[[], Value]], most: int = MAX_THREADS) -> Dict[Key, Value]:
    """What each call returns, several at a time in a bounded number of threads: a host may have 256
    ports.

    Raises what one raised, once all have ended. Where no thread can be started, they are made here
    one by one."""
    todo, done, faults = list(calls.items()), {}, []

    def work() -> None:
        while todo:
            try:
                key, call = todo.pop()
            except IndexError:
                return
            try:
                done[key] = call()
            except Exception as exc:  # raised below, whatever it is
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
    """One HTTP exchange that can be cut from outside: whoever drips bytes for ever is not read for
    ever."""

    def __init__(self, address: str, port: int, timeout: float) -> None:
        self._where, self._timeout = (address, port), timeout
        self._socket: Optional[socket.socket] = None

    def send(
        self, path: str, body: Optional[Dict[str, Any]], read: Callable[[HTTPResponse], Value]
    ) -> Value:
        """What `read` makes of the answer to a GET, or to a POST where there is a body."""
        from http.client import HTTPConnection

        link = HTTPConnection(*self._where, timeout=self._timeout)
        try:
            link.connect()
            # Kept here, since the connection lets go of it once the headers have come.
            self._socket = link.sock
            payload = None if body is None else json.dumps(body).encode()
            link.request(
                "GET" if body is None else "POST",
                path,
                payload,
                {"Content-Type": "application/json"},
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
            # Over already.
            return


def run_request(
    line: CancellableRequest,
    timeout: float,
    call: Callable[[], Value],
    check: Callable[[], None] = lambda: None,
) -> Value:
    """The value of a call on the line, TimeoutError after `timeout` seconds. `check` is called all
    the while, and may raise."""
    deadline, pending = Deadline(timeout), BackgroundCall(call)
    try:
        while not pending.done(min(CHECK_INTERVAL_S, deadline.left())) and not deadline.passed:
            check()
        return pending.value()
    finally:
        line.cancel()


def request(
    address: str, port: int, path: str, timeout: float, body: Optional[Dict[str, Any]] = None
) -> Reply:
    """One HTTP exchange; OSError (TimeoutError included) or http.client.HTTPException when there is
    none."""
    line = CancellableRequest(address, port, timeout)
    return run_request(line, timeout, lambda: line.send(path, body, read_reply))


def read_reply(answer: HTTPResponse) -> Reply:
    return Reply(answer.status, answer.read(MAX_REPLY_BYTES))


def accepts_connection(address: str, port: int, timeout: float = 1.0) -> bool:
    """Whether a TCP connection is accepted."""
    try:
        socket.create_connection((address, port), timeout).close()
    except OSError as exc:
        if exc.errno in OUT_OF_RESOURCES:
            raise  # it says nothing about the port
        return False
    return True


def reaction_time_ms(address: str, port: int, timeout: float) -> Optional[float]:
    """Milliseconds until the server closes a connection on which we say nothing and are done; None
    where it does not.

    It takes the server's own loop to notice and to close: the kernel alone, as for a stopped
    process, only accepts. Neither mlx_lm.server nor uvicorn (mlx-openai-server, vllm) writes a log
    line for it, as they do for every request, HEAD and OPTIONS included (seen with mlx-lm 0.32 and
    mlx-openai-server 1.8.1)."""
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


def ask(address: str, port: int, timeout: float, models: bool = True) -> HttpAnswer:
    """What the port says: /health, and with `models` the ids of /v1/models."""
    if not accepts_connection(address, port, min(timeout, 1.0)):
        return NO_ANSWER
    began = time.monotonic()
    answer = HttpAnswer(reached=True)
    try:
        answer = answer._replace(health=request(address, port, "/health", timeout).status)
        answer = answer._replace(latency_ms=round((time.monotonic() - began) * 1000, 1))
        if not models:
            return answer
        return answer._replace(models=model_ids(request(address, port, "/v1/models", timeout).json))
    except (RuntimeError, MemoryError):
        raise  # no thread or no memory here: that says nothing about the port
    except Exception as exc:  # http.client raises ValueError and more on hostile answers
        return answer._replace(error=(str(exc) or type(exc).__name__)[:MAX_ERROR_LENGTH])


def model_ids(document: Any) -> Tuple[str, ...]:
    rows = document.get("data") if isinstance(document, dict) else None
    ids = [row.get("id") for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    return tuple(i[:MAX_NAME_LENGTH] for i in ids[:MAX_MODELS] if isinstance(i, str))


def chat(address: str, port: int, model: str, timeout: float) -> Reply:
    """The answer to a chat of one token, under the name that clients use."""
    messages = [{"role": "user", "content": "ping"}]
    return request(
        address,
        port,
        "/v1/chat/completions",
        timeout,
        {"model": model, "messages": messages, "max_tokens": 1},
    )
