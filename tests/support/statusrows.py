"""Rows of `status`, made up for the tests of render."""

from __future__ import annotations

from mlxops.render.style import Style

PLAIN = Style()
READY = {
    "port": 8100,
    "slot_name": "jerry-xl",
    "entry": "qwen",
    "state": "ready",
    "drift": None,
    "pid": 7,
    "served_model": "jerry-xl",
    "rss_bytes": 191 << 30,
    "uptime_s": 7440,
    "latency_ms": 12.4,
}
FREE = dict.fromkeys(READY) | {"port": 8101, "state": "free"}
DRIFT = {"drift": "mismatch", "port": 8100, "entry": "qwen", "reason": "serves another model"}
