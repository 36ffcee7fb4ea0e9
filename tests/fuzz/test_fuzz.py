"""Every reader of data that others wrote, with valid texts that were tampered with.

For longer runs with coverage guidance: `python -m tests.fuzz TARGET -runs=N`."""

from __future__ import annotations

import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.kept import KEPT
from tests.fuzz.targets import TARGETS, Target

# Texts are damaged with ends, halves of characters, depth, and figures and names out of range.
SPOILERS = (
    b"",
    b"\0",
    b"\n",
    b"\r",
    b"\xff",
    b"\xe6\x97",
    b"\xed\xa0\x80",
    b"\\ud800",
    b"[" * 3000,
    b"{" * 9,
    b'"',
    b"}",
    b"]",
    b"null",
    b"NaN",
    b"-1",
    b"1e999",
    b"9" * 5000,
    b"[]",
    b"{}",
    b'"self":1,',
    b" ",
    b":",
    b"=",
    b"\xc2\x85",
    b"\x1c",
)


def tampered(seeds: tuple[bytes, ...]) -> st.SearchStrategy[bytes]:
    """One of the seeds with some of its pieces replaced."""
    hurt = st.tuples(
        st.integers(0, 6000), st.integers(0, 12), st.sampled_from(SPOILERS) | st.binary(max_size=6)
    )
    return st.builds(spoilt, st.sampled_from(seeds), st.lists(hurt, min_size=1, max_size=4))


def spoilt(seed: bytes, hurts: list[tuple[int, int, bytes]]) -> bytes:
    for where, length, piece in hurts:
        at = where % (len(seed) + 1)
        seed = seed[:at] + piece + seed[at + length :]
    return seed


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS.keys())
def test_anything_is_read_or_refused_as_documented(target: Target) -> None:
    @settings(
        max_examples=150,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=[*HealthCheck],
    )
    @given(tampered(target.seeds) | st.binary(max_size=60))
    def holds(content: bytes) -> None:
        target.read(content)

    for seed in (*target.seeds, *KEPT.get(target.name, ())):
        target.read(seed)
    holds()


LARGE = 100_000


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("help", b"--a=[" * (LARGE // 5)),
        ("help", b"--a={" * (LARGE // 5)),
        (
            "registry",
            b'{"models": {'
            + b"".join(b'"%d": {},' % n for n in range(LARGE))
            + b'"0": {}, "0": {}}}',
        ),
        (
            "registry",
            b'{"models": {'
            + b"".join(b'"%d": {},' % n for n in range(LARGE))
            + b'"a": {}, "a": {}}}',
        ),
        ("known_hosts", b"*a" * 30 + b"b ssh-rsa AAAA\n"),
        ("mac", b"\n".join([b"p1", b"u0", b"f1", b"tIPv4"] * (LARGE // 20))),
        ("job_log", b'{"event": "phase"}\n' * (LARGE // 20)),
    ],
    ids=lambda value: value if isinstance(value, str) else value[:20].decode(),
)
def test_large_texts_take_seconds_not_hours(name: str, content: bytes) -> None:
    """Some took minutes once. Measures processor time, so that a busy machine fails no test."""
    began = time.process_time()
    TARGETS[name].read(content)
    assert time.process_time() - began < 30
