"""Valid texts, from which the fuzzers start."""

from __future__ import annotations

import base64
import json
from pathlib import Path

from mlxops.agent.wire.codec import event, frame
from mlxops.agent.wire.codec import result as done
from mlxops.demo.tinymodel import model_files

ROOT = Path(__file__).parents[2]
MODEL_FILES = (
    "config.json",
    "tokenizer.json",
    "model.safetensors",
    "tokenizer_config.json",
    "chat_template.json",
)


def packed(*documents: object) -> tuple[bytes, ...]:
    return tuple(json.dumps(document).encode() for document in documents)


def lines(*documents: object) -> bytes:
    return b"".join(line + b"\n" for line in packed(*documents))


def files(*patterns: str) -> tuple[bytes, ...]:
    return tuple(
        path.read_bytes()[:6000] for pattern in patterns for path in sorted(ROOT.glob(pattern))
    )


FAULT = {"kind": "PortBusy", "message": "port 8100 is busy", "hint": "add --replace", "port": 8100}
STREAMS = (
    b"\x05"
    + lines(event("phase", phase="wait", message="日本"), event("ping"), done({"port": 8100})),
    b"\x00" + lines(event("progress", done=1, total=2), {"error": FAULT}),
)
ENTRY = {
    "repo_id": "o/m",
    "model_id": "o/m",
    "cache_path": "/hub/x",
    "format": "mlx",
    "port": 8100,
    "slot": "8100",
    "args": ["--x", 1],
    "process": {"pid": 1, "start_time": "start", "family": [{"pid": 2}]},
}
REGISTRIES = packed(
    {
        "version": 1,
        "models": {"amber": ENTRY, "jade": {"port": None, "tool_call_parser": "qwen3"}},
        "x": [1.5],
    },
    {"models": {"a": {"port": "8100", "chat_template": ""}}},
)
PROC = (
    b"4321 (a b) S 17 18 18 0 -1 4194304 900 0 0 0 5 2 0 0 20 0 1 0 123456 31000000 2900 "
    b"18446744073709551615 1 1\n",
    b"head\n   0: 0100007F:1FA4 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000     "
    b"   0 4711 1 f 1\n"
    b"   1: 00000000000000000000000001000000:1FA4 00000000:0000 0A 0:0 00:0 0  1000        0 "
    b"4712 1 f 1 0 0 10 0\n",
    b"MemTotal:       16316412 kB\nMemAvailable:    9213412 kB\n",
    b"python3\0/v/bin/mlx_lm.server\0--model\0/hub/m\0--port\x008100\0",
)
LARGE_MODELS = sorted(ROOT.glob("tests/fixtures/models/*.json"))
CONFIGS = packed(*(json.loads(path.read_text())["config"] for path in LARGE_MODELS))
MAC = files("tests/fixtures/macos/*.txt")
HOST_FILES = (
    *files("hosts/*.toml"),
    b'transport = "local"\n[studio]\nhf_home = "~/hf"\nports = [8100, 8101]\n'
    b'[runtime]\nenv = {A = "1"}\ngrace_s = 1.5\n'
    b'[runtimes.x]\ncommand = ["a"]\n[slots.8100]\nname = "jerry"\n',
)
HELPS = files("tests/fixtures/help/*.txt")
MODELS = (
    *(b"\x00" + content for name, content in model_files(["I"]).items() if len(content) < 6000),
    *(
        b"\x07" + text
        for text in packed(
            {
                "model_type": "qwen3",
                "architectures": ["Qwen3ForCausalLM"],
                "quantization": {"bits": 4},
                "chat_template": "assistant\\n<think>",
            },
            {
                "weight_map": {"a": "model.safetensors", "b": "../x"},
                "chat_template": [{"name": "x"}],
            },
        )
    ),
)
BLOB = base64.b64encode(b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + bytes(32)).decode()
KNOWN_HOSTS = (
    f"studio,192.168.1.* ssh-ed25519 {BLOB}\n"
    f"@revoked [studio]:2222 ssh-ed25519 {BLOB} x\n# {BLOB}\n".encode(),
    f"|1|c2FsdHNhbHRzYWx0c2FsdHM=|c2FsdHNhbHRzYWx0c2FsdHM= ssh-rsa {BLOB}\n"
    f"!a,*?[ ssh-rsa {BLOB}".encode(),
)
KEYS = (f"# mine\nssh-ed25519 {BLOB} cron@mini\n".encode(), f"ssh-ed25519 {BLOB}".encode())
REQUEST = {
    "protocol": 1,
    "verb": "status",
    "args": {},
    "site": {"name": "x", "runtime": {}},
    "who": {"user": "a"},
}
OPENINGS = tuple(
    frame(b"stub") + b"MARK " + b"0" * 64 + b" ~/.mlxops\n" + frame(text)
    for text in packed(REQUEST, {**REQUEST, "verb": "load"})
)
JOB_LOGS = (
    lines(
        {"event": "begin", "port": 8100, "why": "load"},
        {"event": "phase", "phase": "wait"},
        {"event": "end"},
    ),
    b"\n" + lines({"event": "end", "error": FAULT}),
)
LOCKS = packed(
    {
        "who": "alice",
        "from": "mini",
        "since": "noon",
        "why": "load",
        "phase": "stop",
        "pid": 1,
        "job": "x",
    }
)
ANSWERS = packed({"data": [{"id": "jerry"}, {"id": 1}]}, {"data": None})
