"""The whole page."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from statistics import median
from typing import Any

from ..format import duration, size, timestamp
from ..history import change_text, what_text, who_text
from .chart import Point, area, ticks
from .look import CSS, HUES
from .text import esc, moment, zone
from .timeline import Interval, Row, Span, failures, intervals, ports_of, span_of

# By this a page is recognised as ours.
GENERATOR = '<meta name="generator" content="mlxops history">'
START = f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n{GENERATOR}\n'
# A page stays below 2 MB: of each part the newest are shown, in at most so many characters.
MAX_CHANGES, MAX_BARS, MAX_LOADS, MAX_FAILURES = 800_000, 400_000, 200_000, 200_000
THIN_PERCENT = 3.0
POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"

Result = Mapping[str, Any]


def history_page(result: Result, host: str, now: float | None = None) -> str:
    """The page of a result of `history` with samples."""
    now = time.time() if now is None else now
    rows: Sequence[Row] = result["changes"]
    span = span_of(rows, now)
    parts = [
        _ports(result, span),
        _machine(result, span),
        _loads(rows),
        _failures(rows),
        _changes(rows, bool(result["more"])),
    ]
    period = f"{moment(span.start, '%d %b %Y %H:%M')} to {moment(now, '%d %b %Y %H:%M')}"
    return (
        f'{START}<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width,initial-scale=1">\n'
        f"<title>{esc(host)}: history</title>\n<style>{CSS}</style>\n</head>\n<body>\n"
        f'<h1>{esc(host)}</h1>\n<p class="dim">{esc(period)} (times in {esc(zone())})</p>\n'
        + "\n".join(filter(None, parts))
        + "\n</body>\n</html>\n"
    )


def _ports(result: Result, span: Span) -> str:
    """One lane per port: what ran there, and the memory it used."""
    rows = result["changes"]
    bars = sorted(intervals(rows, span), key=lambda one: -one.end)
    ports = ports_of(rows, result["samples"]["ports"])
    if not ports:
        return "<h2>Ports</h2><p>Nothing is on record.</p>"
    hues, pieces = _hues(bars), dict.fromkeys(ports, "")
    drawn = [(one.port, _bar(one, span, hues[one.entry])) for one in bars]
    marks = [(int(row["port"]), _mark(row, span)) for row in failures(rows) if row["port"]]
    for port, piece in [*_fitting(drawn, MAX_BARS), *_fitting(marks, MAX_FAILURES)]:
        pieces[port] += piece
    lanes = [_port(port, result, span, pieces[port]) for port in ports]
    legend = "What ran, and its memory. Red: a failed load, or the end of a lost server."
    return f'<h2>Ports</h2><p class="note">{legend}</p>{"".join(lanes)}{ticks(span)}'


def _hues(bars: Iterable[Interval]) -> dict[str, int]:
    """A colour for each model; those that ran longest differ most."""
    total: dict[str, float] = {}
    for one in bars:
        total[one.entry] = total.get(one.entry, 0.0) + one.end - one.start
    longest = sorted(total, key=lambda name: (-total[name], name))
    return {name: HUES[n % len(HUES)] for n, name in enumerate(longest)}


def _port(port: int, result: Result, span: Span, lane: str) -> str:
    points = result["samples"]["ports"].get(str(port), [])
    memory: list[Point] = [(at, used) for at, _, used, _ in points]
    most = max([used for _, used in memory if used is not None], default=0.0)
    asked = requests(points)
    facts = [
        f"{asked:,} requests" if asked is not None else "",
        f"up to {size(most)}" if most else "",
    ]
    slot = result["slots"].get(str(port))
    head = f"<b>{port}</b>" + (f" <span>{esc(slot)}</span>" if slot else "")
    head += f' <span class="dim">{esc(", ".join(filter(None, facts)))}</span>' if any(facts) else ""
    chart = area(memory, span, most, f"memory of port {port}") if most else ""
    return (
        f'<section class="port"><div class="head">{head}</div><div class="lane">{lane}</div>'
        + (f'<div class="chart">{chart}</div>' if chart else "")
        + "</section>"
    )


def _bar(one: Interval, span: Span, hue: int) -> str:
    left, right = span.percent(one.start), span.percent(one.end)
    end = "now" if one.running else moment(one.end) + (", ended by itself" if one.lost else "")
    title = f"{one.entry}: {moment(one.start)} to {end} ({duration(one.end - one.start)})"
    thin = right - left < THIN_PERCENT
    kinds = "bar" + (" lost" if one.lost else "") + (" thin" if thin else "")
    return (
        f'<div class="{kinds}" style="--h:{hue};left:{left}%;width:{round(right - left, 3)}%" '
        f'title="{esc(title)}">{"" if thin else esc(one.entry, 80)}</div>'
    )


def _mark(row: Row, span: Span) -> str:
    at = timestamp(row["at"])
    if at is None or row["what"] == "lost":
        return ""
    title = f"{what_text(row)} {row['entry'] or ''}, {moment(at)}: {change_text(row)}"
    return f'<i class="fail" style="left:{span.percent(at)}%" title="{esc(title)}"></i>'


def requests(points: Iterable[Sequence[Any]]) -> int | None:
    """The requests in this time, from the counts of each server since its start; None if no server
    logs them."""
    known, total, before = False, 0, None
    for _, _, memory, count in points:
        if memory is None and count is None:
            before = 0
        elif count is not None:
            known = True
            total += 0 if before is None else count - before if count >= before else count
            before = count
    return total if known else None


def _machine(result: Result, span: Span) -> str:
    machine = result["samples"]["machine"]
    if not machine:
        return ""
    total = max(total for _, total, _ in machine)
    used: list[Point] = [(at, total - available) for at, total, available in machine]
    most = max(value or 0.0 for _, value in used)
    return (
        f'<h2>Memory of the machine</h2><p class="note">In use: up to {esc(size(most))} of '
        f'{esc(size(total))}.</p><div class="chart">{area(used, span, total, "memory in use")}'
        f"</div>{ticks(span)}"
    )


def _fitting(pieces: Iterable[tuple[int, str]], longest: int) -> Iterator[tuple[int, str]]:
    """The first pieces, as many as fit."""
    for port, piece in pieces:
        longest -= len(piece)
        if longest < 0:
            return
        yield port, piece


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]], kinds: str, longest: int) -> str:
    """`kinds`: a letter per column: n for numbers, t for short text, w for text that wraps. The
    cells are HTML."""
    head = "".join(f'<th class="{k}">{esc(c)}</th>' for c, k in zip(columns, kinds, strict=True))
    lines = [
        "<tr>"
        + "".join(f'<td class="{k}">{c}</td>' for c, k in zip(row, kinds, strict=True))
        + "</tr>\n"
        for row in rows
    ]
    shown = [line for _, line in _fitting(enumerate(lines), longest)]
    left = len(lines) - len(shown)
    table = f"<table><thead><tr>{head}</tr></thead><tbody>\n{''.join(shown)}</tbody></table>"
    note = f'<p class="note">{left:,} more are left out.</p>' if left else ""
    return f'<div class="scroll">{table}</div>{note}'


def _loads(rows: Sequence[Row]) -> str:
    """How often and how fast each model was loaded."""
    of_entry: dict[str, list[Row]] = {}
    for row in rows:
        if row["what"] in ("load", "restart") and row["entry"]:
            of_entry.setdefault(str(row["entry"]), []).append(row)
    if not of_entry:
        return ""
    columns = ["Model", "Loads", "Failed", "Ready after (median)", "Longest", "Memory"]
    lines = (_load(name, of_entry[name]) for name in sorted(of_entry))
    return f"<h2>Load times</h2>{_table(columns, lines, 'wnnnnn', MAX_LOADS)}"


def _load(name: str, rows: Sequence[Row]) -> list[str]:
    done = [row for row in rows if row["outcome"] == "done"]
    took = [row["start_s"] for row in done if row["start_s"] is not None]
    used = [row["memory_bytes"] for row in done if row["memory_bytes"] is not None]
    failed = sum(row["outcome"] in ("failed", "killed") for row in rows)
    figures = [
        str(len(done)),
        f'<span class="bad">{failed}</span>' if failed else "0",
        esc(duration(median(took) if took else None)),
        esc(duration(max(took, default=None))),
        esc(size(max(used, default=None))),
    ]
    return [esc(name), *figures]


def _failures(rows: Sequence[Row]) -> str:
    failed = failures(rows)
    if not failed:
        return '<h2>Failures</h2><p class="dim">None on record.</p>'
    table = _table(
        ["When", "What", "Port", "Model", "Reason"],
        (
            [
                _when(row),
                f'<span class="bad">{esc(what_text(row))}</span>',
                esc(row["port"]),
                esc(row["entry"]),
                esc(change_text(row)),
            ]
            for row in failed
        ),
        "ttnww",
        MAX_FAILURES,
    )
    return f"<h2>Failures</h2>{table}"


def _changes(rows: Sequence[Row], more: bool) -> str:
    table = _table(
        ["When", "Who", "What", "Port", "Model", "Took", "Change"],
        (
            [
                _when(row),
                esc(who_text(row)),
                esc(what_text(row)),
                esc(row["port"]),
                esc(row["entry"]),
                esc(duration(row["duration_s"])),
                esc(change_text(row)),
            ]
            for row in rows
        ),
        "tttnwnw",
        MAX_CHANGES,
    )
    older = '<p class="note">Older changes are on record.</p>' if more else ""
    return f"<h2>Changes</h2>{table}{older}"


def _when(row: Row) -> str:
    at = timestamp(row["at"])
    return esc(row["at"] if at is None else moment(at, "%d %b %H:%M:%S"))
