"""The error that ended a server, from the lines that real servers write."""

from __future__ import annotations

import pytest

from mlxops.agent.runtimes.log_errors import MAX_CAUSE_LENGTH, last_error

TRACEBACK = [
    "Traceback (most recent call last):",
    '  File "/opt/mlx_lm/utils.py", line 456, in load_model',
    "    weights.update(mx.load(wf))",
]
ACCESS = '127.0.0.1 - - [28/Nov/2026 19:50:20] "GET /health HTTP/1.1" 503 -'
LOGURU = (
    "\x1b[32m2026-11-28 19:50:37\x1b[0m | \x1b[31m\x1b[1mERROR   \x1b[0m | "
    "\x1b[36mapp.server\x1b[0m:\x1b[36mlifespan\x1b[0m:\x1b[36m471\x1b[0m | "
    "✦ \x1b[31m\x1b[1mno such file\x1b[0m"
)


@pytest.mark.parametrize(
    "lines, cause",
    [
        (
            [*TRACEBACK, "RuntimeError: [safetensor] unsupported dtype F8_E5M2", ACCESS],
            "RuntimeError: [safetensor] unsupported dtype F8_E5M2",
        ),
        (
            [
                "KeyError: 'an earlier one'",
                "ERROR:    Traceback (most recent call last):",
                "RuntimeError: Handler process for 'two' failed: no memory",
                "",
                "ERROR:    Application startup failed. Exiting.",
            ],
            "RuntimeError: Handler process for 'two' failed: no memory",
        ),
        (
            ["ValueError: Missing 770 parameters: ", "model.layers.1.mlp,", "model.layers.2.mlp."],
            "ValueError: Missing 770 parameters: model.layers.1.mlp …",
        ),
        ([LOGURU, "INFO:     Shutting down"], "no such file"),
        (
            ["2026-11-28 19:50:20,376 - ERROR - generation thread died: bad dtype"],
            "generation thread died: bad dtype",
        ),
        (
            ["usage: mlx_lm.server [-h]", "mlx_lm.server: error: unrecognized arguments: --foo"],
            "unrecognized arguments: --foo",
        ),
        (
            ["libc++abi: terminating due to uncaught exception of type std::runtime_error: oom"],
            "libc++abi: terminating due to uncaught exception of type std::runtime_error: oom",
        ),
        ([*TRACEBACK, "huggingface_hub.errors.LocalEntryNotFoundError: gone"],
         "huggingface_hub.errors.LocalEntryNotFoundError: gone"),
        ([*TRACEBACK, "KeyboardInterrupt"], "KeyboardInterrupt"),
        (["INFO: ready", 'INFO: "POST /v1 HTTP/1.1" 500 Internal Server Error', ACCESS], ""),
        ([], ""),
    ],
)  # fmt: skip
def test_the_last_error_is_the_cause(lines: list[str], cause: str) -> None:
    assert last_error(lines) == cause


def test_without_an_error_the_last_line_may_do() -> None:
    lines = ["loading", "\x1b[31mout of memory\x1b[0m", "  "]
    assert (last_error(lines), last_error(lines, or_line=True)) == ("", "out of memory")
    assert last_error([], or_line=True) == ""


def test_a_cause_is_bounded() -> None:
    assert len(last_error(["ValueError: " + "x" * 10_000])) == MAX_CAUSE_LENGTH
