"""A model server that behaves like the real ones, or misbehaves on demand. Standard library only,
Python 3.9.

It runs as a real program: FakeRuntime creates an executable with the name of a runtime that calls
`main`, and the name decides which runtime it imitates. In the same folder are NAME.help (the output
of --help, which decides the accepted flags and parsers), behaviour.json (see fakeswitches) and
journal.jsonl (what happened)."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.support.fakechat import completion, events, stream
from tests.support.fakeflags import Flags, refuse, shown_help
from tests.support.fakeswitches import PROGRAM, announce, is_openai, journal, switch
from tests.support.rudeness import answer

CHAT = "/v1/chat/completions"
SUBCOMMANDS = {"mlx-openai-server": "launch", "vllm": "serve", "house-server": "serve"}


def hold(pipe: Any, megabytes: int, linger_s: float, orphan: bool) -> None:
    """The child: holds the weights, reports when they are loaded, and ends after its parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    weights = bytearray(os.urandom(1 << 20)) * megabytes
    load()
    pipe.send(len(weights))
    pipe.poll(None)  # readable when the other end is closed
    time.sleep(1e6 if orphan else linger_s)


def load() -> None:
    """Wait as long as the switch says; the switch may change meanwhile."""
    began = time.monotonic()
    while time.monotonic() - began < switch("load_s"):
        time.sleep(0.02)


class Model:
    """The model being served, and the process that holds it."""

    def __init__(self, path: str, served_name: str) -> None:
        self.path, self.served_name = path, served_name
        self.loaded = threading.Event()
        self.failed = not Path(path, "config.json").is_file()
        self.active = 0
        self.lock = threading.Lock()
        self.child: Any | None = None

    def load(self) -> None:
        if not switch("child"):
            self.weights = bytearray(os.urandom(1 << 20)) * switch("own_mb")
            load()
        else:
            self._spawn()
        if not self.failed:
            self.loaded.set()

    def _spawn(self) -> None:
        spawn = multiprocessing.get_context("spawn")
        self.pipe, theirs = spawn.Pipe()
        sizes = switch("child_mb"), switch("linger_s"), bool(switch("orphan"))
        self.child = spawn.Process(target=hold, args=(theirs, *sizes))
        self.child.start()
        theirs.close()
        journal("child", child=self.child.pid)
        try:
            self.pipe.recv()
        except EOFError:
            self.failed = True

    def revive(self) -> None:
        """Restart a dead child, as any request that needs it does."""
        with self.lock:
            if self.child is not None and not self.child.is_alive():
                journal("respawn")
                self._spawn()

    @contextmanager
    def in_flight(self) -> Iterator[None]:
        self.active += 1
        try:
            yield
        finally:
            self.active -= 1

    def says(self) -> str:
        repo = re.search(r"models--(.+?)--([^/]+)", self.path)
        return f"I am {'/'.join(repo.groups()) if repo else self.path}"

    def drop(self) -> None:
        if self.child is not None:
            self.pipe.close()
            self.child.join()


class Answers(BaseHTTPRequestHandler):
    model: Model
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        print(self.address_string(), "-", format % args, flush=True)

    def do_GET(self) -> None:
        if self._misbehaves():
            return
        if not self._authorized():
            return self._reply(401, {"error": "Unauthorized"})
        pages = {
            "/health": self._health,
            "/v1/models": self._models,
            "/v1/queue/stats": self._queue,
        }
        pages.get(self.path, self._unknown)()

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
        if self._misbehaves():
            return
        if not self._authorized():
            return self._reply(401, {"error": "Unauthorized"})
        self._chat(request) if self.path == CHAT else self._unknown()

    def _authorized(self) -> bool:
        """Whether the request has the key, if one is needed there. vllm takes it from VLLM_API_KEY,
        and only /v1 needs it."""
        key = switch("api_key") or (PROGRAM.name == "vllm" and os.environ.get("VLLM_API_KEY"))
        if not key or not self.path.startswith(switch("guarded") or "/v1/"):
            return True
        return self.headers.get("Authorization") == f"Bearer {key}"

    def _misbehaves(self) -> bool:
        journal("request", path=self.path)
        while switch("hang") is True or self.path in (switch("hang") or ()):
            time.sleep(0.05)
        time.sleep(switch("slow_s") or 0)
        if switch("rude"):
            answer(switch("rude"), self.wfile.write)
            self.close_connection = True
            return True
        status = (switch("status") or {}).get(self.path)
        if status:
            self._reply(status, {"error": "as asked"})
        return bool(status)

    def _reply(self, status: int, body: Any) -> None:
        payload = json.dumps(body).encode()
        self._headers(
            status, {"Content-Type": "application/json", "Content-Length": str(len(payload))}
        )
        self.wfile.write(payload)

    def _headers(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def _unknown(self) -> None:
        self._reply(404, {"detail": "Not Found"})

    def _health(self) -> None:
        if is_openai():
            self._reply(200, {"status": "ok", "model_id": self.model.served_name})
        elif self.model.failed:
            self._reply(503, {"status": "unavailable"})
        else:
            self._reply(200, {"status": "ok"})

    def _models(self) -> None:
        name = self.model.served_name if is_openai() else "some/cached-model"
        self._reply(
            200, {"object": "list", "data": [{"id": name, "object": "model", "owned_by": "local"}]}
        )

    def _queue(self) -> None:
        if not is_openai():
            return self._unknown()
        self.model.revive()
        stats = {"running": True, "queue_size": 0, "active_requests": self.model.active}
        self._reply(200, {"status": "ok", "queue_stats": {"queue_stats": stats}})

    def _chat(self, request: dict[str, Any]) -> None:
        asked = request.get("model")
        journal("chat", model=asked, stream=bool(request.get("stream")))
        if is_openai() and asked not in (None, self.model.served_name) and not switch("any_name"):
            text = f"Model {asked!r} not found. Available models: {self.model.served_name}"
            return self._reply(
                404,
                {"detail": {"error": {"message": text, "type": "model_not_found", "code": 404}}},
            )
        if self.model.failed:
            return self._reply(404, {"error": "generation thread died"})
        if not is_openai() and asked not in (None, "default_model"):
            self.model.path = asked  # a request's model is a load request here
        self.model.loaded.wait()
        self.model.revive()
        with self.model.in_flight():
            self._stream(request) if request.get("stream") else self._whole(request)

    def _whole(self, request: dict[str, Any]) -> None:
        self._reply(200, completion(request, self.model.says(), self._named(request)))

    def _stream(self, request: dict[str, Any]) -> None:
        self._headers(200, {"Content-Type": "text/event-stream", "Connection": "close"})
        stream(
            self._while_it_lives(events(request, self.model.says(), self._named(request))),
            self.wfile.write,
        )

    def _named(self, request: dict[str, Any]) -> str:
        return (
            self.model.served_name if is_openai() else str(request.get("model") or "default_model")
        )

    def _while_it_lives(self, lines: Iterator[bytes]) -> Iterator[bytes]:
        for line in lines:
            while self.model.child is not None and not self.model.child.is_alive():
                time.sleep(0.05)  # the answer never comes: its worker is gone
            yield line


class Stop:
    """SIGTERM drains, SIGINT stops at once; mlx_lm.server stops at once on either."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        for name in ("TERM", "INT"):
            signal.signal(getattr(signal, "SIG" + name), self._receive)

    def _receive(self, signum: int, frame: Any) -> None:
        name = signal.Signals(signum).name[3:]
        journal("signal", signal=name)
        if name in (switch("ignore") or ()):
            return
        if not is_openai() or name == "INT":
            end_by(signum)
        self.asked.set()


def end_by(signum: int) -> None:
    signal.signal(signum, signal.SIG_DFL)
    os.kill(os.getpid(), signum)


def die(reason: str, status: int) -> None:
    journal("died", reason=reason)
    print(
        f"Traceback (most recent call last):\nRuntimeError: {reason}", file=sys.stderr, flush=True
    )
    os._exit(status)


def die_in_time() -> None:
    if switch("die_after_s") is not None:
        time.sleep(switch("die_after_s"))
        die("died as asked", switch("exit_status"))


def bind(flags: Flags, model: Model) -> ThreadingHTTPServer:
    Answers.model = model
    address = flags.values.get("--host") or "127.0.0.1", int(flags.values.get("--port") or 8080)
    ThreadingHTTPServer.daemon_threads = True
    try:
        server = ThreadingHTTPServer(address, Answers)
    except OSError as taken:
        print(
            f"ERROR: [Errno {taken.errno}] error while attempting to bind on address {address}",
            flush=True,
        )
        model.drop()
        while not is_openai():
            time.sleep(1)  # the real one prints its error and hangs for ever
        sys.exit(1)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    return server


def serve(flags: Flags) -> None:
    stop = Stop()
    while os.environ.get("MLX_RANK", "0") != "0":
        stop.asked.wait(0.2)  # of the ranks of mlx_lm.server only the first one listens
    path = flags.first("--model-path", "--model", "--weights") or flags.positional
    model = Model(
        path, switch("served_name") or flags.first("--served-model-name", "--name") or path
    )
    early = switch("listen_early") or not is_openai()
    server = bind(flags, model) if early else None
    if model.failed and is_openai():
        time.sleep(switch("fail_s"))
        die(f"Handler process for {path!r} failed to initialize", switch("exit_status"))
    model.load()
    if model.failed and is_openai():
        die("Handler process ended while loading", switch("exit_status"))
    server = server or bind(flags, model)
    print("Uvicorn running", flush=True)
    drain(stop, server, model)


def drain(stop: Stop, server: ThreadingHTTPServer, model: Model) -> None:
    """Serve until told to stop. The port closes at once; mlx-openai-server stays until its last
    stream has ended."""
    while not stop.asked.wait(
        0.2
    ):  # a signal that another thread received is handled when this one wakes
        pass
    server.shutdown()
    server.server_close()
    while model.active and is_openai():
        time.sleep(0.02)
    model.drop()
    end_by(signal.SIGTERM)


def main() -> None:
    words = sys.argv[1:]
    help_text = PROGRAM.with_name(PROGRAM.name + ".help").read_text()
    if words[-1:] in (["--help"], ["--help=all"]):
        print(shown_help(help_text, words[-1]), end="")
        return
    if PROGRAM.name in SUBCOMMANDS and words.pop(0) != SUBCOMMANDS[PROGRAM.name]:
        refuse("No such command")
    flags = Flags(help_text)
    flags.parse(words)
    announce()
    threading.Thread(target=die_in_time, daemon=True).start()
    serve(flags)
