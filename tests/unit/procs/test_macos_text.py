"""Parsing the output of macOS's tools. tests/fixtures/macos/README.md names the source of each
sample."""

from __future__ import annotations

import calendar
import contextlib
import struct
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlxops.agent.procs.facts import LaunchdJob, Listener, Process
from mlxops.agent.procs.macos import procargs, rusage
from mlxops.agent.procs.macos import text as mactext
from mlxops.agent.procs.tree import tree

FIXTURES = Path(__file__).parents[2] / "fixtures" / "macos"
BOOTED = 1795247914  # Sat Nov 21 07:58:34 2026 UTC


def captured(name: str) -> str:
    return (FIXTURES / name).read_text()


def test_ps_gives_every_process_with_its_start_and_memory():
    table = mactext.processes(captured("ps.txt"))
    assert len(table) == len(captured("ps.txt").splitlines())
    server = table[431]
    assert server[:7] == (431, 412, 412, 0, str(BOOTED), float(BOOTED), 96880 * 1024)
    assert server.argv[2:4] == ("launch", "--model-path")
    assert table[434].rss_bytes == 190914560 * 1024
    assert table[540].uid == 4294967294


def test_ps_shows_the_tree_of_a_server_without_its_zombie():
    table = mactext.processes(captured("ps.txt"))
    assert [one.pid for one in tree(table, 431)] == [431, 433, 434]
    assert [one.pid for one in tree(table, 8123)] == [8123, 8125]
    assert (table[8140].zombie, table[8140].argv) == (True, ())


def test_a_process_whose_arguments_cannot_be_read_and_a_leap_day():
    assert mactext.processes(captured("ps.txt"))[9002] == Process(
        9002, 1, 9002, 501, "1709251199", 1709251199.0, 0, ("(mdworker)",), False
    )


@given(st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1)))
def test_lstart_is_read_as_utc(moment: datetime):
    words = moment.strftime("%a %b %e %H:%M:%S %Y").split()
    assert mactext.epoch(words) == calendar.timegm(moment.timetuple())


@pytest.mark.parametrize(
    "line",
    [
        "garbage",
        "  431   412",
        "  431   412   412   501 S     96880 So. 22 Nov. 19:40:12 2026    python",
        "  431   412   412   501 S     96880 Sun Nov 22 19:40:12",
        "  4x1   412   412   501 S     96880 Sun Nov 22 19:40:12 2026     python",
        "ps: something went wrong",
    ],
)
def test_a_line_of_ps_that_does_not_parse_is_never_a_missing_process(line: str):
    with pytest.raises(ValueError):
        mactext.processes(captured("ps.txt") + line + "\n")


def test_lsof_gives_address_and_owner_of_each_listener_once():
    assert mactext.listeners(captured("lsof.txt")) == (
        Listener(8103, "0.0.0.0", 8125, 501),
        Listener(8101, "::", 8301, 501),
        Listener(8104, "127.0.0.1", 8302, 501),
        Listener(8104, "::1", 8302, 501),
        Listener(8105, "fe80:4::1c2f:6dff:fe0a:9b1", 8303, 501),
    )
    assert mactext.listeners("") == ()


@pytest.mark.parametrize(
    "text",
    [
        "COMMAND PID USER\n",
        "p1\nu0\nf3\nn*:8100\n",
        "p1\nu0\nf3\ntIPv4\nnnonsense\n",
        "px\nu0\nf3\ntIPv4\nn*:8100\n",
        "p1\nu0\nf3\ntIPv4\nn*:8100\np2\nf4\ntIPv4\nn*:8101\n",
        "u0\nf3\ntIPv4\nn*:8100\n",
    ],
)
def test_lsof_output_of_another_form_is_an_error(text: str):
    with pytest.raises(ValueError):
        mactext.listeners(text)


@pytest.mark.parametrize("sample", ["netstat_13.txt", "netstat_26.txt"])
def test_netstat_names_the_owner_in_both_of_its_layouts(sample: str):
    assert mactext.listening(captured(sample), {8100, 8101, 8104, 9000}) == (
        Listener(8100, "0.0.0.0", 431, None),
        Listener(8101, "::", 8301, None),
        Listener(8104, "::1", 8302, None),
    )
    assert mactext.listening(captured(sample), {810, 52217}) == ()


@pytest.mark.parametrize("sample", ["netstat_13.txt", "netstat_26.txt"])
def test_netstat_counts_connections_at_the_end_that_has_the_port(sample: str):
    assert mactext.connected(captured(sample), 8100) == 1
    assert mactext.connected(captured(sample), 445) == 0
    with pytest.raises(ValueError, match="no table"):
        mactext.connected("netstat: sysctl: net.inet.tcp.pcblist_n\n", 8100)


@pytest.mark.parametrize("sample", ["netstat_13.txt", "netstat_26.txt"])
def test_netstat_shows_the_sockets_of_many_ports_in_one_look(sample: str):
    seen = mactext.traffic(captured(sample), {8100, 8101, 8999})
    assert [seen[port].established for port in (8100, 8101, 8999)] == [1, 0, 0]
    assert [len(seen[port].listening) for port in (8100, 8101, 8999)] == [1, 1, 0]
    assert {one.waiting for one in seen.values()} == {None}
    busier = captured(sample).replace(" 131072 ", " 999999 ")
    assert mactext.traffic(busier, {8100})[8100].listening == seen[8100].listening
    with pytest.raises(ValueError, match="no table"):
        mactext.traffic("netstat: sysctl: net.inet.tcp.pcblist_n\n", {8100})


def test_netstat_with_unknown_columns_still_shows_that_somebody_listens():
    text = captured("netstat_13.txt").replace(" pid ", " who ")
    assert mactext.listening(text, {8100}) == (Listener(8100, "0.0.0.0", None, None),)


def test_netstat_without_a_table_or_with_a_row_cut_short_is_an_error():
    with pytest.raises(ValueError):
        mactext.listening("netstat: sysctl: net.inet.tcp.pcblist_n\n", {8100})
    text = captured("netstat_26.txt")
    with pytest.raises(ValueError):
        mactext.listening(text[: text.index(":431") + 3], {8100})


@pytest.mark.parametrize(
    ("sample", "size"),
    [
        ("vm_stat.txt", (1804518 + 53014 + 1091193) * 16384),
        ("vm_stat_10_6.txt", (90518 + 134461 + 32417) * 4096),
    ],
)
def test_available_memory_counts_in_the_page_size_that_vm_stat_names(sample: str, size: int):
    assert mactext.available(captured(sample)) == size


@pytest.mark.parametrize(
    "missing", ["page size of", "Pages free", "Pages inactive", "Pages speculative"]
)
def test_vm_stat_without_a_figure_is_an_error_and_not_a_smaller_sum(missing: str):
    with pytest.raises(ValueError):
        mactext.available(captured("vm_stat.txt").replace(missing, "Pages other"))


def test_the_moment_of_the_boot_is_read_to_the_microsecond():
    assert mactext.boot_time(captured("sysctl_boottime.txt")) == 1795852560.612034


@pytest.mark.parametrize(
    "text", ["", "1795852560", "{ sec = x, usec = 0 } Sat", "{ usec = 1, sec = 2 }"]
)
def test_another_text_is_no_boot_time(text: str):
    with pytest.raises(ValueError):
        mactext.boot_time(text)


def test_launchctl_lists_the_jobs_of_a_domain_running_or_not():
    jobs = {job.label: job for job in mactext.services(captured("launchctl_system.txt"), "system")}
    assert len(jobs) == 7
    assert jobs["com.bebop.mlx-launch"] == LaunchdJob("com.bebop.mlx-launch", "system", 412, ())
    assert jobs["com.bebop.mlx-lane.8103"].pid is None
    assert jobs["homebrew.mxcl.php@8.1"].pid is None
    assert jobs["com.apple.foo"].pid == 25900
    assert [job.pid for job in mactext.services(captured("launchctl_gui.txt"), "gui/501")] == [
        866,
        61288,
        887,
    ]


@pytest.mark.parametrize(
    "text", ["", "system = {\n}\n", "system = {\n\tservices = {\n\t\tgarbage\n\t}\n}\n"]
)
def test_a_launchctl_print_without_readable_services_is_an_error(text: str):
    with pytest.raises(ValueError):
        list(mactext.services(text, "system"))


def test_launchctl_tells_what_a_job_runs():
    assert mactext.program(captured("launchctl_job.txt")) == (
        "/bin/bash",
        "/opt/mlx-launch/bin/start.sh",
        "--name=big one",
    )
    assert mactext.program(captured("launchctl_job_bare.txt")) == ("/Users/thestudio/bin/lane",)
    assert mactext.program("gui/501/x = {\n\tstate = running\n}\n") == ()


def jobs_of(text: str) -> list[LaunchdJob]:
    return list(mactext.services(text, "system"))


def on_8100(text: str) -> tuple[Listener, ...]:
    return mactext.listening(text, {8100})


PARSERS = {
    "ps.txt": mactext.processes,
    "lsof.txt": mactext.listeners,
    "netstat_13.txt": on_8100,
    "netstat_26.txt": on_8100,
    "vm_stat.txt": mactext.available,
    "sysctl_boottime.txt": mactext.boot_time,
    "launchctl_system.txt": jobs_of,
    "launchctl_job.txt": mactext.program,
}


@pytest.mark.parametrize("sample", PARSERS)
def test_output_cut_off_anywhere_is_a_value_error_or_an_answer_but_no_other_failure(sample: str):
    text = captured(sample)
    for at in range(len(text)):
        with contextlib.suppress(ValueError):
            PARSERS[sample](text[:at])


@pytest.mark.parametrize("parser", dict.fromkeys(PARSERS.values()))
@given(sample=st.sampled_from(sorted(PARSERS)), at=st.integers(0, 3000), noise=st.text(max_size=8))
def test_damaged_output_is_a_value_error_or_an_answer_but_no_other_failure(
    parser: Callable[[str], object], sample: str, at: int, noise: str
):
    text = captured(sample)
    with contextlib.suppress(ValueError):
        parser(text[:at] + noise + text[at + 3 :])


def test_the_footprint_is_the_eighth_figure_of_rusage_info_v0():
    assert rusage.decoded(struct.pack("=16s10Q", b"u" * 16, *range(100, 110))) == 107


def test_the_bytes_read_are_the_first_figure_of_rusage_info_v2():
    raw = struct.pack("=16s18Q", b"u" * 16, *range(100, 118))
    assert rusage.decoded_bytes_read(raw) == 116


def procargs_of(*words: str) -> bytes:
    """As the kernel stores it: the program's path is padded to a word boundary, then the
    environment."""
    path = b"/usr/bin/python3\0"
    text = b"".join(word.encode() + b"\0" for word in (*words, "HOME=/Users/x"))
    return len(words).to_bytes(4, sys.byteorder) + path + b"\0" * (-len(path) % 8) + text


def test_argv_is_read_with_its_blanks_and_empty_words():
    assert procargs.decoded(procargs_of("python3", "a  b", "", "c")) == ("python3", "a  b", "", "c")
    assert procargs.decoded(b"") == ()


@given(st.binary(max_size=200))
def test_whatever_the_kernel_says_is_words(raw: bytes):
    assert all(isinstance(word, str) for word in procargs.decoded(raw))


def test_exact_words_count_only_where_ps_has_shown_the_same():
    shown = Process(7, 1, 7, 501, "1", 1.0, 0, ("server", "--model", "/My", "Models/a"), False)
    exact = ("server", "--model", "/My Models/a")
    assert procargs.exact(shown, exact).argv == exact
    for other in (("another", "--model", "/My Models/a"), (), None):
        assert procargs.exact(shown, other) is shown
