"""Parsing Linux's /proc: what proc(5) allows and a careless parser gets wrong."""

from __future__ import annotations

import ipaddress
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlxops.agent.procs import Traffic, proctext

HEADER = (
    b"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  "
    b"timeout inode\n"
)


def stat_line(name: bytes = b"python3", state: bytes = b"S", threads: int = 1) -> bytes:
    before = b"4321 (%s) %s 17 18 18 0 -1 4194304 900 0 0 0 5 2 0 0 20 0 %d 0 " % (
        name,
        state,
        threads,
    )
    return before + b"123456 31000000 2900 18446744073709551615 1 1 0 0 0 0\n"


def tcp_line(
    address: str, port: int, state: str = "0A", uid: int = 1000, inode: int = 4711
) -> bytes:
    line = (
        "   0: %s:%04X 00000000:0000 %s 00000000:00000000 00:00000000 00000000 %5d        0 %d "
        "1 ffff 100 0 0 10 0\n"
    )
    return (line % (as_kernel_prints(address), port, state, uid, inode)).encode()


def as_kernel_prints(address: str) -> str:
    packed = ipaddress.ip_address(address).packed
    words = (packed[at : at + 4] for at in range(0, len(packed), 4))
    return "".join(format(int.from_bytes(word, sys.byteorder), "08X") for word in words)


@pytest.mark.parametrize(
    "name", [b"python3", b"a b", b"(sd-pam)", b"x) Z 1 1", b"odd)\n(name", b""]
)
def test_a_process_may_have_any_name(name: bytes):
    assert proctext.stat(stat_line(name)) == proctext.Stat(17, 18, 123456, 2900, False)


@pytest.mark.parametrize(
    ("state", "threads", "dead"),
    [(b"Z", 1, True), (b"X", 0, True), (b"Z", 3, False), (b"S", 3, False), (b"T", 1, False)],
)
def test_dead_is_a_zombie_without_threads_left(state: bytes, threads: int, dead: bool):
    assert proctext.stat(stat_line(state=state, threads=threads)).dead is dead


@given(st.binary(max_size=200))
def test_any_other_stat_is_a_value_error(text: bytes):
    with pytest.raises(ValueError):
        proctext.stat(text)


@pytest.mark.parametrize(
    ("text", "argv"),
    [
        (b"", ()),
        (b"a\0", ("a",)),
        (b"a\0b c\0\0", ("a", "b c", "")),
        (b"title without end", ("title without end",)),
        (b"\xff\0line\nline\0", ("\udcff", "line\nline")),
    ],
)
def test_arguments_are_exact(text: bytes, argv: tuple[str, ...]):
    assert proctext.argv(text) == argv


@given(st.ip_addresses())
def test_every_address_is_read_as_it_is_usually_written(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
):
    assert ipaddress.ip_address(proctext.numeric(as_kernel_prints(str(address)))) == address


@pytest.mark.parametrize("address", ["::", "::1", "0.0.0.0", "127.0.0.1"])
def test_the_addresses_servers_bind_are_spelled_in_their_short_form(address: str):
    assert proctext.numeric(as_kernel_prints(address)) == address


def test_only_listening_sockets_on_the_ports_asked_for_count():
    text = HEADER + b"".join(
        [
            tcp_line("127.0.0.1", 8100),
            tcp_line("127.0.0.1", 8100, state="01"),
            tcp_line("::1", 8101, inode=9),
        ]
    )
    assert list(proctext.listening(text, {8100})) == [
        proctext.Socket(8100, "127.0.0.1", 1000, 4711)
    ]
    assert [socket.inode for socket in proctext.listening(text, {8100, 8101})] == [4711, 9]
    assert list(proctext.listening(HEADER, {8100})) == []
    assert (
        list(proctext.listening(HEADER + tcp_line("127.0.0.1", 8100, state="01 0A"), {8100})) == []
    )


def test_connections_count_at_the_end_that_has_the_port():
    client = tcp_line("127.0.0.1", 40000, state="01").replace(b"00000000:0000", b"0100007F:1FA4")
    busy = [tcp_line(address, 8100, state="01") for address in ("127.0.0.1", "::1")]
    text = HEADER + b"".join(
        [*busy, tcp_line("0.0.0.0", 8100), tcp_line("127.0.0.1", 8100, state="08"), client]
    )
    assert proctext.connected(text, 8100) == 2 and proctext.connected(text, 40000) == 1
    assert proctext.connected(HEADER, 8100) == 0


def test_one_look_at_the_sockets_counts_requests_and_those_that_wait():
    queue = tcp_line("127.0.0.1", 8100, inode=5).replace(b":00000000 00:", b":00000003 00:")
    client = tcp_line("127.0.0.1", 40000, state="01").replace(b"00000000:0000", b"0100007F:1FA4")
    four = HEADER + queue + 2 * tcp_line("127.0.0.1", 8100, state="01") + client
    six = HEADER + tcp_line("::1", 8100, inode=9) + tcp_line("::1", 8100, state="06")
    assert proctext.traffic([four, six], {8100, 8101}) == {
        8100: Traffic(listening=("5", "9"), established=2, waiting=3),
        8101: Traffic(waiting=0),
    }
    with pytest.raises(ValueError):
        proctext.traffic([HEADER + b"  0: 0100007F:1FA4 0A\n"], {8100})


def test_a_listening_line_cut_short_is_an_error_and_not_a_free_port():
    with pytest.raises((ValueError, IndexError)):
        list(proctext.listening(HEADER + b"   0: 0100007F:1FA4 00000000:0000 0A \n", {8100}))


def test_memory_figures_are_bytes_and_a_missing_one_is_an_error():
    text = b"MemTotal:       16384 kB\nMemFree:  1 kB\nMemAvailable:    512 kB\n"
    assert proctext.kilobytes(text, b"MemTotal") == 16 << 20
    assert proctext.kilobytes(text, b"MemAvailable") == 512 << 10
    with pytest.raises(ValueError, match="Mem"):
        proctext.kilobytes(text, b"Mem")
