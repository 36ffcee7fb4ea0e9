"""status --watch: the live view, for a terminal or for a pipe."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence
from functools import partial

from ...agent.errors import Interrupted, MlxopsError, Usage
from ...hosts.files import Host, find_host
from ...interrupts import raise_on
from ...render.table import Column
from ...watch.actions import Verbs
from ...watch.feed import Feed
from ...watch.layout import Options
from ...watch.plain import Plain
from ...watch.section import Section
from ...watch.view import Inbox, View, Watched
from ..hosts.many import host_names
from ..run import Answer, Result, Run
from ..words.ports import port_words


def watch(run: Run, words: Sequence[str], interval_s: float) -> Answer:
    """Show the hosts' ports, or those of these words, until the user ends it."""
    if run.flags.output in ("name", "yaml"):
        raise Usage(
            f"--watch cannot be used with -o {run.flags.output}", "mlxops status --watch --json"
        )
    # The program runs for days.
    gc.enable()
    inbox = Inbox()
    watched = _each_host(run, inbox, {"words": words, "interval_s": interval_s})
    as_lines, run.flags.json = run.flags.json, False  # no document comes after the lines
    options = Options(run.style, interval_s, _sort(run))
    feeds = [one.feed for one in watched if one.feed]
    with raise_on(1):
        try:
            for feed in feeds:
                feed.start()
            plain = Plain(watched, inbox, run.console.print_now)
            error = plain.documents() if as_lines else _show(run, plain, watched, options)
        except KeyboardInterrupt:
            return Answer(None, None, Interrupted("stopped"), "")
        finally:
            for feed in feeds:
                feed.stop()
    if error:
        raise error
    return Answer(None)


def _each_host(run: Run, inbox: Inbox, wish: Result) -> list[Watched]:
    """The hosts of the flags. Of several, one that is not described well hides no other."""
    if not run.flags.several_hosts:
        return [_watched(run.host, inbox, wish)]
    watched = []
    for name in host_names(run):
        try:
            watched.append(_watched(find_host(name, run.flags.hosts_dir), inbox, wish))
        except MlxopsError as exc:
            watched.append(Watched(Section(name), None))
            inbox.lost(watched[-1].section, exc, None)
    return watched


def _watched(host: Host, inbox: Inbox, wish: Result) -> Watched:
    ports = port_words(host, wish["words"]) or None
    section = Section(host.name, _target(host))
    feed = Feed(
        host,
        {"ports": ports, "interval_s": wish["interval_s"]},
        partial(inbox.record, section),
        partial(inbox.lost, section),
    )
    return Watched(section, feed)


def _target(host: Host) -> str:
    if host.transport == "local":
        return "this machine"
    return f"{host.ssh.user}@{host.ssh.host}" if host.ssh.user else host.ssh.host


def _show(run: Run, plain: Plain, watched: list[Watched], options: Options) -> MlxopsError | None:
    if not _has_screen(run):
        return plain.tables(options)
    from ...watch.screen import NoScreen, Screen
    from ...watch.view import refusal

    try:
        with Screen(run.style.colour) as screen:
            View(watched, plain.inbox, options, Verbs(_host_flags(run))).run(screen)
    except NoScreen:
        return plain.tables(options)
    return refusal(watched)


def _has_screen(run: Run) -> bool:
    """Whether standard input and output are a terminal that can move its cursor."""
    try:
        import curses  # noqa: F401
    except ImportError:
        return False
    is_terminal = sys.stdin.isatty() and sys.stdout.isatty()
    return is_terminal and os.environ.get("TERM", "dumb") not in ("", "dumb")


def _host_flags(run: Run) -> tuple[str, ...]:
    """The flags by which a child finds the same host files."""
    folder = run.flags.hosts_dir
    flags = ["--hosts-dir", os.path.abspath(os.path.expanduser(folder))] if folder else []
    return (*flags, *(["--local"] if run.flags.local else []))


def _sort(run: Run) -> tuple[Column, bool] | None:
    from ...render.status import WATCH

    word = run.flags.sort
    if not word:
        return None
    by_name = {column.name.casefold(): column for column in WATCH}
    column = by_name.get(word.lstrip("-").casefold())
    return (column, word.startswith("-")) if column else None
