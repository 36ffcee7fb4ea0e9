"""Inputs that showed a defect once, by target."""

from __future__ import annotations

DEEP = b"[" * 3000

KEPT: dict[str, tuple[bytes, ...]] = {
    # A last record without a result, with a result that is not an object, with an invalid error or
    # an odd field; a download size that is text, and one that is too large.
    "session": (
        b"\xff{}\n",
        b'\xff{"result": 5}\n',
        b'\xff{"error": 5}\n',
        b'\xff{"error": {"self": 1, "kind": []}}\n',
        b'\xff{"event": "progress", "done": "x", "total": {}}\n',
        b'\xff{"event": "progress", "done": 1, "total": 1' + b"0" * 400 + b"}\n",
    ),
    # A worker recorded with an impossible pid.
    "registry": (
        b'{"models": {"a": {"port": 8100, "process": {"pid": 7, "family": [{"pid": []}, {}, 5]}}}}',
    ),
    # Truncated lines, and an address without digits.
    "proc": (b"MemTotal:\n", b"\n 0: 0100007F:1FA4 0 0A\n", b"\n 0: :1FA4 0 0A 0 0 0 0 0 0\n"),
    # A year beyond every float; a table whose columns start too late.
    "mac": (
        b"1 1 1 0 S 1 Sun Nov 22 19:40:12 " + b"9" * 400 + b" x\n",
        b"Proto process:pid a b c d e f g\ntcp4 0 0 *.8100 *.* LISTEN 1\n",
    ),
    # More digits than int() accepts.
    "hostfile": (
        b'[studio]\nhf_home = "/hf"\n[slots.' + b"9" * 5000 + b']\nname = "a"\n',
        b'[studio]\nhf_home = "/hf"\n#' + b"9" * 9000,
    ),
    # A deeply nested template.
    "model": (b'\x07{"chat_template": ' + b"[" * 900 + b"]" * 900 + b"}",),
    # A huge number of layers, with a huge number of heads.
    "memory": (
        b'{"num_hidden_layers": 9999, "num_attention_heads": 99999999999, "hidden_size": '
        b"999999999999}",
        b'{"num_hidden_layers": 2, "num_attention_heads": 4, "hidden_size": 64, "kv_lora_rank": '
        b"999999999999}",
    ),
    # Nested too deeply; an invalid error.
    "job_log": (DEEP, b'{"event": "end", "error": "x"}\n', b'{"event": "end", "error": [1]}\n'),
    "lock_file": (DEEP, b'{"who": ' + b"[" * 900 + b"]" * 900 + b"}"),
}
