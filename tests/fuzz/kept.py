"""Inputs that were defects once, by target."""

from __future__ import annotations

DEEP = b"[" * 3000

KEPT: dict[str, tuple[bytes, ...]] = {
    # A last record without a result, with one that is no object, with an error that is none or has
    # an odd field; a download of text, and of more than anything.
    "session": (
        b"\xff{}\n",
        b'\xff{"result": 5}\n',
        b'\xff{"error": 5}\n',
        b'\xff{"error": {"self": 1, "kind": []}}\n',
        b'\xff{"event": "progress", "done": "x", "total": {}}\n',
        b'\xff{"event": "progress", "done": 1, "total": 1' + b"0" * 400 + b"}\n",
    ),
    # A worker recorded under what can be no pid.
    "registry": (
        b'{"models": {"a": {"port": 8100, "process": {"pid": 7, "family": [{"pid": []}, {}, 5]}}}}',
    ),
    # Lines that end too early, and an address of no digits.
    "proc": (b"MemTotal:\n", b"\n 0: 0100007F:1FA4 0 0A\n", b"\n 0: :1FA4 0 0A 0 0 0 0 0 0\n"),
    # A year beyond every float; a table whose columns come too late.
    "mac": (
        b"1 1 1 0 S 1 Sun Nov 22 19:40:12 " + b"9" * 400 + b" x\n",
        b"Proto process:pid a b c d e f g\ntcp4 0 0 *.8100 *.* LISTEN 1\n",
    ),
    # More digits than int() takes.
    "hostfile": (
        b'[studio]\nhf_home = "/hf"\n[slots.' + b"9" * 5000 + b']\nname = "a"\n',
        b'[studio]\nhf_home = "/hf"\n#' + b"9" * 9000,
    ),
    # A template nested deep.
    "model": (b'\x07{"chat_template": ' + b"[" * 900 + b"]" * 900 + b"}",),
    # Layers without end, of heads without end.
    "memory": (
        b'{"num_hidden_layers": 9999, "num_attention_heads": 99999999999, "hidden_size": '
        b"999999999999}",
        b'{"num_hidden_layers": 2, "num_attention_heads": 4, "hidden_size": 64, "kv_lora_rank": '
        b"999999999999}",
    ),
    # Nested too deep; an error that is none.
    "job_log": (DEEP, b'{"event": "end", "error": "x"}\n', b'{"event": "end", "error": [1]}\n'),
    "lock_file": (DEEP, b'{"who": ' + b"[" * 900 + b"]" * 900 + b"}"),
}
