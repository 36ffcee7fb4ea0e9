"""Numbers and text as they are printed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlxops.render import format as words
from mlxops.render.format import port_ranges
from mlxops.render.style import style_for


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (None, "-"),
        (0, "0 B"),
        (999, "999 B"),
        (1000, "0.98 KiB"),
        (1536, "1.50 KiB"),
        (10 << 20, "10.0 MiB"),
        (191 << 30, "191 GiB"),
        (1023 << 30, "1.00 TiB"),
        (5 << 50, "5120 TiB"),
    ],
)
def test_sizes_of_memory(count: int | None, text: str) -> None:
    assert words.size(count) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (None, "-"),
        (999, "999 B"),
        (1000, "1.00 kB"),
        (10_500_000, "10.5 MB"),
        (191 * 10**9, "191 GB"),
        (10**12, "1.00 TB"),
        (5 * 10**15, "5000 TB"),
    ],
)
def test_sizes_of_files(count: int | None, text: str) -> None:
    assert words.file_size(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (-1, "-"),
        (0, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 m 00 s"),
        (185, "3 m 05 s"),
        (7440, "2 h 04 m"),
        (3 * 86400 + 4 * 3600, "3 d 04 h"),
    ],
)
def test_durations(seconds: float | None, text: str) -> None:
    assert words.duration(seconds) == text


def test_an_unknown_figure_is_a_dash_and_zero_is_zero() -> None:
    assert [words.latency(None), words.latency(0), words.byte_rate(None), words.byte_rate(0)] == [
        "-",
        "0 ms",
        "-",
        "0 B/s",
    ]
    assert [words.cell(None), words.cell(""), words.cell(0)] == ["-", "-", "0"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred", "\\x1b[31mred"),
        ("a\nb\r\x07", "a\\nb\\r\\x07"),
        ("\x9b2J", "\\x9b2J"),
        ("abc\u202edef", "abc\\u202edef"),
        ("\udc80", "\\udc80"),
        ("Grüße, 模型", "Grüße, 模型"),
    ],
)
def test_what_could_steer_a_terminal_is_shown_as_an_escape(text: str, shown: str) -> None:
    assert words.printable(text) == shown


@given(st.text(st.characters()))
def test_safe_text_can_always_be_printed(text: str) -> None:
    assert words.printable(text).isprintable()
    words.printable(text).encode("utf-8")


@pytest.mark.parametrize(
    ("ports", "text"),
    [(None, "-"), ([], "-"), ([1], "1"), ([1, 2], "1-2"), ([1, 2, 3, 9, 20, 21], "1-3, 9, 20-21")],
)
def test_neighbouring_ports_are_joined(ports: list[int] | None, text: str) -> None:
    assert port_ranges(ports) == text


@pytest.mark.parametrize(
    ("terminal", "environ", "colour"),
    [
        (True, {}, True),
        (False, {}, False),
        (True, {"NO_COLOR": "1"}, False),
        (True, {"NO_COLOR": ""}, True),
        (True, {"TERM": "dumb"}, False),
        (True, {"CLICOLOR": "0"}, False),
        (False, {"FORCE_COLOR": "1"}, True),
        (False, {"CLICOLOR_FORCE": "1"}, True),
        (False, {"FORCE_COLOR": "0"}, False),
        (False, {"FORCE_COLOR": "", "CLICOLOR_FORCE": "0"}, False),
        (True, {"TERM": "dumb", "FORCE_COLOR": "3"}, True),
        (True, {"NO_COLOR": "1", "FORCE_COLOR": "1", "CLICOLOR_FORCE": "1"}, False),
    ],
)
def test_colour_is_for_a_terminal_that_wants_it(
    terminal: bool, environ: dict[str, str], colour: bool
) -> None:
    assert style_for(terminal, environ).colour is colour
