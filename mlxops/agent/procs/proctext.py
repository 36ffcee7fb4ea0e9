"""The text of Linux' /proc, parsed. Pure. Formats: proc(5) and
Documentation/filesystems/proc.rst."""

from __future__ import annotations

import os
import sys
from typing import Collection, Dict, Iterable, Iterator, NamedTuple, Tuple

from .facts import Traffic

LISTEN, ESTABLISHED = b"0A", b"01"


class Stat(NamedTuple):
    """From /proc/PID/stat. `start_ticks` counts from boot, in clock ticks; `rss_pages` in pages."""

    ppid: int
    pgid: int
    start_ticks: int
    rss_pages: int
    dead: bool
    stopped: bool = False


class Socket(NamedTuple):
    """A listening socket of /proc/net/tcp or tcp6; `inode` is how the links in /proc/PID/fd name
    it."""

    port: int
    address: str
    uid: int
    inode: int


def stat(text: bytes) -> Stat:
    """Raises ValueError on anything else. The name, in parentheses, may itself hold blanks and
    parentheses."""
    fields = text.rpartition(b")")[2].split()
    if len(fields) < 22:
        raise ValueError("not a /proc/PID/stat: %r" % text[:80])
    # A first thread that has exited looks like a zombie while the other threads run on.
    dead = fields[0] in (b"Z", b"X") and int(fields[17]) <= 1
    return Stat(
        ppid=int(fields[1]),
        pgid=int(fields[2]),
        start_ticks=int(fields[19]),
        rss_pages=int(fields[21]),
        dead=dead,
        stopped=fields[0] in (b"T", b"t"),
    )


def argv(text: bytes) -> Tuple[str, ...]:
    """The arguments of a /proc/PID/cmdline; () for a zombie or a kernel thread."""
    if not text:
        return ()
    whole = text[:-1] if text.endswith(b"\0") else text
    return tuple(part.decode("utf-8", "surrogateescape") for part in whole.split(b"\0"))


def listening(text: bytes, ports: Collection[int]) -> Iterator[Socket]:
    """The listening sockets of a /proc/net/tcp or tcp6 on these ports; raises ValueError on a line
    of another form."""
    for line in text.split(b"\n")[1:]:
        if b" 0A " in line:
            fields = line.split()
            if len(fields) < 10:
                raise ValueError("not a line of /proc/net/tcp: %r" % line[:80])
            address, _, port = fields[1].decode("ascii").rpartition(":")
            if fields[3] == LISTEN and int(port, 16) in ports:
                yield Socket(int(port, 16), numeric(address), int(fields[7]), int(fields[9]))


def connected(text: bytes, port: int) -> int:
    """How many sockets of a /proc/net/tcp or tcp6 are one end of a connection, this port being
    their own."""
    rows = (line.split()[:4] for line in text.split(b"\n")[1:] if line)
    return sum(
        fields[3:] == [ESTABLISHED] and fields[1].endswith(b":%04X" % port) for fields in rows
    )


def traffic(texts: Iterable[bytes], ports: Collection[int]) -> Dict[int, Traffic]:
    """The sockets of these ports in /proc/net/tcp and tcp6. Of a listening socket, the receive
    queue is the number of connections that were not accepted yet."""
    found = {port: Traffic(waiting=0) for port in ports}
    for line in (line for text in texts for line in text.split(b"\n")[1:] if line):
        fields = line.split()
        if len(fields) < 10:
            raise ValueError("not a line of /proc/net/tcp: %r" % line[:80])
        port = int(fields[1].rpartition(b":")[2], 16)
        was = found.get(port)
        if was is not None and fields[3] == LISTEN:
            found[port] = was._replace(
                listening=(*was.listening, fields[9].decode("ascii")),
                waiting=(was.waiting or 0) + int(fields[4].rpartition(b":")[2], 16),
            )
        elif was is not None and fields[3] == ESTABLISHED:
            found[port] = was._replace(established=was.established + 1)
    return found


def numeric(words: str) -> str:
    """An address of 8 or 32 hex digits, each group of 8 in this machine's byte order, as it is
    usually written."""
    if len(words) not in (8, 32):
        raise ValueError("not an address: %r" % words[:80])
    step = -1 if sys.byteorder == "little" else 1
    packed = b"".join(bytes.fromhex(words[at : at + 8])[::step] for at in range(0, len(words), 8))
    if len(packed) == 4:
        return "%d.%d.%d.%d" % tuple(packed)
    if int.from_bytes(packed, "big") < 2:
        return "::1" if packed[-1] else "::"
    import socket

    return socket.inet_ntop(socket.AF_INET6, packed)


def kilobytes(text: bytes, name: bytes) -> int:
    """Bytes of a `Name:   123 kB` line, as in /proc/meminfo and smaps_rollup; ValueError when there
    is none."""
    for line in text.split(b"\n"):
        label, _, figure = line.partition(b":")
        if label == name and figure.split():
            return int(figure.split()[0]) * 1024
    raise ValueError("no %s in it" % name.decode())


def lockers(text: bytes, device: int, inode: int) -> Tuple[int, ...]:
    """Pids that hold an flock on a file, from /proc/locks; those that wait for one (->) do not."""
    place = b"%02x:%02x:%d" % (os.major(device), os.minor(device), inode)
    rows = [line.split() for line in text.splitlines()]
    found = [row[4] for row in rows if len(row) == 8 and row[1] == b"FLOCK" and row[5] == place]
    return tuple(int(pid) for pid in found if pid.isdigit() and int(pid) > 0)


def bytes_read(text: bytes) -> int:
    """`rchar` of a process's io: bytes read by read(2), from the page cache too, but not from
    sockets."""
    return int(text.partition(b"rchar:")[2].split()[0])
