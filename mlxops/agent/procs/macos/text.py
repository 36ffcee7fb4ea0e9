"""The output of macOS' tools, parsed. Pure; each parser raises ValueError on a text of another
form.

A line that does not parse is never skipped: the process or socket on it would read as gone.
Formats: lsof(8) «output for other programs»; Apple's ps/print.c and keyword.c, network_cmds'
netstat and vm_stat.c; launchctl(1), whose `print` is documented as no API. Captured samples:
tests/fixtures/macos."""

from __future__ import annotations

from typing import Collection, Dict, Iterator, List, Optional, Tuple

from ..facts import LaunchdJob, Listener, Process, Traffic

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
ANY = {"IPv4": "0.0.0.0", "IPv6": "::"}
PS_COLUMNS = ("pid", "ppid", "pgid", "uid", "stat", "rss", "lstart", "command")
LSTART_WORDS = 5
LSOF_FIELDS = "putn"
AVAILABLE = ("Pages free", "Pages speculative", "Pages inactive")


def processes(text: str) -> Dict[int, Process]:
    """pid -> process, from ps with PS_COLUMNS, TZ=UTC0 and LC_ALL=C."""
    rows = (_process(line) for line in text.splitlines() if line.strip())
    return {process.pid: process for process in rows}


def _process(line: str) -> Process:
    lead = len(PS_COLUMNS) - 2
    words = line.split(None, lead + LSTART_WORDS)
    if len(words) < lead + LSTART_WORDS:
        raise ValueError("not a line of ps: %r" % line[:120])
    pid, ppid, pgid, uid = (int(word) for word in words[:4])
    zombie = words[4].startswith("Z")
    start = epoch(words[lead : lead + LSTART_WORDS])
    command = "" if zombie else " ".join(words[lead + LSTART_WORDS :])
    rss_bytes = int(words[5]) * 1024
    argv, stopped = tuple(command.split()), words[4].startswith("T")
    return Process(
        pid=pid,
        ppid=ppid,
        pgid=pgid,
        uid=uid,
        start_time=str(start),
        started_at=float(start),
        rss_bytes=rss_bytes,
        argv=argv,
        zombie=zombie,
        stopped=stopped,
    )


def epoch(words: List[str]) -> int:
    """Epoch seconds of a `Sun Nov 22 19:40:12 2026` in UTC."""
    _, month, day, clock, year = words
    if len(year) != 4:
        raise ValueError("not a year: %r" % year[:80])
    hours, minutes, seconds = (int(part) for part in clock.split(":"))
    return (
        _days(int(year), MONTHS.index(month) + 1, int(day)) * 86400
        + hours * 3600
        + minutes * 60
        + seconds
    )


def _days(year: int, month: int, day: int) -> int:
    """Days from 1970-01-01; years begin in March, so that the leap day is the last one."""
    shifted = year - (month <= 2)
    in_year = (153 * ((month - 3) % 12) + 2) // 5 + day - 1
    return shifted * 365 + shifted // 4 - shifted // 100 + shifted // 400 + in_year - 719468


def listeners(text: str) -> Tuple[Listener, ...]:
    """From lsof -F with LSOF_FIELDS: a set of lines per process, and in it one per open file;
    descriptors merged."""
    found: Dict[Listener, None] = {}
    fields: Dict[str, str] = {}
    for line in text.splitlines():
        key, value = line[:1], line[1:]
        if key == "p":
            fields = {}
        fields[key] = value
        if key == "n":
            found[_listener(fields)] = None
        elif key not in ("p", "u", "f", "t"):
            raise ValueError("not a line of lsof -F: %r" % line[:120])
    return tuple(found)


def _listener(fields: Dict[str, str]) -> Listener:
    try:
        host, _, port = fields["n"].rpartition(":")
        address = ANY[fields["t"]] if host == "*" else host.strip("[]")
        return Listener(int(port), address, int(fields["p"]), int(fields["u"]))
    except KeyError as exc:
        raise ValueError("lsof left out field %s of %r" % (exc, fields.get("n"))) from exc


def listening(text: str, ports: Collection[int]) -> Tuple[Listener, ...]:
    """The listening sockets on these ports in `netstat -anv -p tcp`, which shows those of every
    user.

    Until macOS 14 the pid has a column of its own; since then it stands behind a name that may hold
    blanks."""
    header: List[str] = []
    found: List[Listener] = []
    for line in text.splitlines():
        words = line.split()
        if words[:1] == ["Proto"]:
            header = words
        elif len(words) > 5 and words[5] == "LISTEN":
            host, _, port = words[3].rpartition(".")
            if int(port) in ports:
                found.append(
                    Listener(
                        int(port),
                        _netstat_address(words[0], host),
                        _netstat_pid(header, words),
                        None,
                    )
                )
    if not header:
        raise ValueError("netstat printed no table")
    return tuple(found)


def connected(text: str, port: int) -> int:
    """How many rows of `netstat -anv -p tcp` are one end of a connection, this port being their
    own."""
    rows = [line.split() for line in text.splitlines()]
    if not any(words[:1] == ["Proto"] for words in rows):
        raise ValueError("netstat printed no table")
    return sum(
        words[5:6] == ["ESTABLISHED"] and words[3].rpartition(".")[2] == str(port) for words in rows
    )


def traffic(text: str, ports: Collection[int]) -> Dict[int, Traffic]:
    """The sockets of these ports in `netstat -anv -p tcp`; it does not show who waits."""
    found = {port: Traffic() for port in ports}
    rows = [line.split() for line in text.splitlines()]
    header = next((words for words in rows if words[:1] == ["Proto"]), None)
    if header is None:
        raise ValueError("netstat printed no table")
    for words in (words for words in rows if len(words) > 5):
        port = words[3].rpartition(".")[2]
        was = found.get(int(port)) if port.isdigit() else None
        if was is not None and words[5] == "LISTEN":
            socket = "%s %s %s" % (words[0], words[3], _netstat_pid(header, words))
            found[int(port)] = was._replace(listening=(*was.listening, socket))
        elif was is not None and words[5] == "ESTABLISHED":
            found[int(port)] = was._replace(established=was.established + 1)
    return found


def _netstat_address(protocol: str, host: str) -> str:
    if host != "*":
        return host
    return ANY["IPv4"] if protocol == "tcp4" else ANY["IPv6"]


def _netstat_pid(header: List[str], words: List[str]) -> Optional[int]:
    """The pid of a row; None where the columns are none of the known ones."""
    # «Local Address» and «Foreign Address» are two words each in the header and one in a row.
    if len(words) < len(header) - 2:
        raise ValueError("not a line of netstat: %r" % " ".join(words)[:120])
    if "pid" in header[2:]:
        word = words[header.index("pid") - 2]
    elif "process:pid" in header[3:]:
        word = words[header.index("process:pid") - len(header)].rpartition(":")[2]
    else:
        return None
    return int(word) if word.isdigit() and word != "0" else None


def available(text: str) -> int:
    """Bytes that can be had without swapping, from vm_stat: free, speculative and inactive pages.

    `Pages free` leaves out the speculative ones (vm_stat.c). Raises ValueError when a figure is
    missing."""
    page = int(text.partition("page size of ")[2].partition(" ")[0])
    counts = dict(line.partition(":")[::2] for line in text.splitlines())
    try:
        return page * sum(int(counts[name].strip(" .")) for name in AVAILABLE)
    except KeyError as exc:
        raise ValueError("vm_stat shows no %s" % exc) from exc


def boot_time(text: str) -> float:
    """Epoch seconds, from `sysctl -n kern.boottime`: { sec = 1795852560, usec = 612034 } and a date
    (print_sysctl in sysctl.c)."""
    words = text.split()
    if len(words) < 8 or words[:3] != ["{", "sec", "="] or words[4:6] != ["usec", "="]:
        raise ValueError("not a boot time: %r" % text[:120])
    return int(words[3].rstrip(",")) + int(words[6]) / 1e6


def services(text: str, domain: str) -> Iterator[LaunchdJob]:
    """The jobs of `launchctl print DOMAIN`, programs not told."""
    for row in _block(text, "services"):
        pid, _, label = row.split(None, 2)
        yield LaunchdJob(label.strip(), domain, None if pid in ("-", "0") else int(pid), ())


def program(text: str) -> Tuple[str, ...]:
    """The argv of a `launchctl print DOMAIN/LABEL`: its arguments, else its program; () when it
    tells neither."""
    try:
        return tuple(row.strip() for row in _block(text, "arguments"))
    except ValueError:
        lines = (line.partition("\tprogram = ") for line in text.splitlines())
        return tuple(path for before, found, path in lines if found and not before)


def _block(text: str, name: str) -> List[str]:
    """The lines between `name = {` and its brace, at the first level of a launchctl print."""
    lines = text.splitlines()
    try:
        start = lines.index("\t%s = {" % name) + 1
        return lines[start : lines.index("\t}", start)]
    except ValueError:
        raise ValueError("launchctl shows no %s" % name) from None


def name(text: str) -> str:
    """The name of the one file that `lsof -Fn` tells of; "" where it tells of none."""
    return next((line[1:] for line in text.splitlines() if line.startswith("n")), "")
