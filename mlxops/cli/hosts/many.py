"""One reading verb for several hosts: in parallel, answers in the order of the names. A host that
fails hides no other."""

from __future__ import annotations

import io
import os
import re
import shlex
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import click

from ... import interrupts
from ...agent.errors import Interrupted, MlxopsError, Usage
from ...hosts.files import choose_hosts
from ...interrupts import InterruptState
from ...render.several import Board, HostProgress, heading
from ..console import Console
from ..errors import as_mlxops_error, traceback_text
from ..output import envelope_of, output_text
from ..run import Answer, OnEvent, OnSent, Result, Run

# Calls at once; the other hosts wait for one to end.
MAX_CALLS = 100
MAX_NAMES = 8
LOOK_INTERVAL_S = 0.1


def answer_of_each(run: Run, function: Callable[..., Answer], given: dict[str, Any]) -> Answer:
    """Run the verb once for each named host, and print each answer as soon as those before it are
    printed. The error is of the kind of the first host that failed."""
    err = run.console.err
    board = Board(err, err.isatty(), run.flags.quiet, run.flags.verbose)
    gate = threading.BoundedSemaphore(MAX_CALLS)
    with interrupts.raise_on(2) as state:
        tasks = [Task(HostRun(run, name, board, gate), function, state) for name in host_names(run)]
        for task in tasks:
            task.start(given)
        _raise_common_error(tasks)
        try:
            _print_in_order(run, tasks, board, state)
        finally:
            board.close()
    envelopes = [task.envelope() for task in tasks] if run.flags.json else None
    return Answer(None, None, _whole_error(tasks, state), hosts=envelopes)


def host_names(run: Run) -> list[str]:
    """The hosts that --host or --all names, in order; Usage for an unknown one."""
    flags = run.flags
    if flags.every_host and flags.host:
        raise Usage("--all and --host exclude each other", "mlxops hosts")
    if flags.local:
        raise Usage("--local is for one host: this machine", "mlxops hosts")
    names = None if flags.every_host else flags.host_names
    return [file.name for file in choose_hosts(names, flags.hosts_dir)]


def one_host_only(run: Run, verb: str) -> Usage:
    """The error of a verb that changes something, with the command for the first host."""
    names = host_names(run)
    words = shlex.join(["mlxops", *_without_hosts(run.argv), "--host", names[0]])
    message = f"{verb} works on one host at a time, because it changes something: not on "
    return Usage(message + ", ".join(names), words, hosts=names)


def _without_hosts(argv: list[str]) -> list[str]:
    """The command line without --host and --all."""
    words: list[str] = []
    rest = iter(argv)
    for word in rest:
        if word == "--host":
            next(rest, None)
        elif word != "--all" and not word.startswith("--host="):
            words.append(word)
    return words


class HostRun(Run):
    """The Run of one of several hosts. What its verb prints is kept until its turn.

    `called`: set once the verb calls the host. `on_host`: the request was sent."""

    one_of_several = True

    def __init__(
        self, whole: Run, name: str, board: Board, gate: threading.BoundedSemaphore
    ) -> None:
        super().__init__(KeptConsole(whole.console), whole._call)
        self.name, self.command, self.argv = name, whole.command, whole.argv
        self.calls = whole.calls
        self.flags = replace(whole.flags, host=name, every_host=False)
        self.kept = HostProgress(name, board)
        self.progress = self.kept
        self.kept.is_new = self._is_new_warning
        self.called, self.on_host = threading.Event(), False
        self._gate = gate

    def call(
        self,
        verb: str,
        args: Result,
        on_event: OnEvent | None = None,
        on_sent: OnSent | None = None,
    ) -> Result:
        def sent() -> None:
            self.on_host = True
            if on_sent:
                on_sent()

        self.called.set()
        with self._gate:
            return super().call(verb, args, on_event, sent)


class KeptConsole(Console):
    """Keeps what is printed, in the colours of another console; nobody can be asked."""

    def __init__(self, other: Console) -> None:
        self.kept_out, self.kept_err = io.StringIO(), io.StringIO()
        super().__init__(self.kept_out, self.kept_err)
        self.style, self.err_style = other.style, other.err_style


class Task:
    """The verb for one host, in a thread of its own, which the program does not wait for when it
    ends."""

    def __init__(
        self, run: HostRun, function: Callable[..., Answer], state: InterruptState
    ) -> None:
        self.run, self.answer, self.text = run, Answer(None), ""
        self._function, self._state = function, state
        self._context = click.get_current_context()
        self.ended = threading.Event()

    def start(self, given: dict[str, Any]) -> None:
        threading.Thread(target=self._work, args=(given,), daemon=True).start()

    def _work(self, given: dict[str, Any]) -> None:
        click.globals.push_context(self._context)  # click keeps it per thread
        try:
            with interrupts.cancelled_by(self._state):
                self.answer = self._function(self.run, **given)
                if not self.run.flags.json:
                    self.text = output_text(self.run, self.answer, self.answer.error)
        except (Exception, KeyboardInterrupt) as exc:
            if self.run.flags.debug or os.environ.get("MLXOPS_DEBUG"):
                self.run.console.note(traceback_text(exc))
            self.answer = Answer(None, error=as_mlxops_error(exc, self.run.command))
        finally:
            self.run.called.set()
            self.ended.set()

    def give_up(self) -> None:
        """End the wait for a host that was not reached before Ctrl-C."""
        self.answer = Answer(None, error=Interrupted("interrupted; nothing was done on the host"))

    def envelope(self) -> Result:
        return envelope_of(self.run, self.answer, self.answer.error)


def _raise_common_error(tasks: list[Task]) -> None:
    """Raise the usage error that all hosts share: it is about the command line, not about one."""
    for task in tasks:
        task.run.called.wait()
    errors = [task.answer.error for task in tasks if task.ended.is_set()]
    usage = [error.message for error in errors if isinstance(error, Usage)]
    if len(usage) == len(tasks) and len(set(usage)) == 1 and errors[0]:
        raise errors[0]


def _print_in_order(run: Run, tasks: list[Task], board: Board, state: InterruptState) -> None:
    printed = False
    for number, task in enumerate(tasks):
        _wait(tasks, number, board, state)
        if not run.flags.json:
            board.close()
            printed = _print(run.console, task, printed) or printed


def _wait(tasks: list[Task], number: int, board: Board, state: InterruptState) -> None:
    """Wait for the end of one task. After Ctrl-C, only for a host that works on the request."""
    task, noted = tasks[number], False
    while not task.ended.wait(LOOK_INTERVAL_S):
        if state.count and not task.run.on_host:
            return task.give_up()
        if state.count and not noted:
            noted = True
            board.line(f"cancelling on {task.run.name} (press Ctrl-C again to quit)")
        missing = [other.run for other in tasks[number:] if not other.ended.is_set()]
        if missing:
            board.waiting([one.name for one in missing], len(tasks), missing[0].kept.phase)


def _print(console: Console, task: Task, again: bool) -> bool:
    """Print one host's answer below its heading; with --quiet, only where there is one. With -o
    name, each line begins with the host instead. Whether something was printed."""
    run, answer = task.run, task.answer
    out, err = _kept_text(run, task.text), _kept_notes(run, answer)
    if run.flags.output == "name":
        console.print("\n".join(f"{run.name} {line}" for line in out.splitlines()))
    elif out or err or not run.flags.quiet:
        console.print(("\n" if again else "") + heading(run.name, console.style))
        console.print(out)
    else:
        return False
    console.flush()
    console.note(err)
    return True


def _kept_text(run: HostRun, text: str) -> str:
    assert isinstance(run.console, KeptConsole)
    return run.console.kept_out.getvalue() + text


def _kept_notes(run: HostRun, answer: Answer) -> str:
    """The lines for stderr. They name the host: stdout, with its heading, may be a file."""
    assert isinstance(run.console, KeptConsole)
    from ...render.errors import error_text

    for warning in (answer.result or {}).get("warnings") or []:
        run.kept.warn(str(warning))
    lines = run.console.kept_err.getvalue().splitlines()
    lines += [f"warning: {run.name}: {text}" for text in run.kept.warnings]
    if answer.message is not None:
        lines.append(answer.message)
    elif answer.error is not None:
        lines.append(error_text(_named(run.name, answer.error), run.console.err_style))
    return "\n".join(lines)


def _named(host: str, error: MlxopsError) -> MlxopsError:
    """The error with the host's name in its message."""
    if re.search(rf"(?<![\w-]){re.escape(host)}(?![\w-])", error.message):
        return error
    return type(error)(f"{host}: {error.message}", error.hint, **error.fields)


def _whole_error(tasks: list[Task], state: InterruptState) -> MlxopsError | None:
    """The error of the whole: of the kind of the first host that failed, and with the names of all
    of them."""
    failed = [task for task in tasks if task.answer.error]
    names = [task.run.name for task in failed]
    if state.count:
        return Interrupted(
            f"interrupted; {len(tasks) - len(failed)} of {len(tasks)} hosts answered"
        )
    if not failed:
        return None
    first = failed[0].answer.error
    more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
    text = f"{len(failed)} of {len(tasks)} hosts failed: {', '.join(names[:MAX_NAMES])}{more}"
    return type(first)(text, hosts=names)  # type: ignore[misc]
