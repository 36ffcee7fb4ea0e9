"""Where the outcome of a run goes besides its answer: the command of --notify, a --metrics file."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..agent.errors import Interrupted, MlxopsError, Usage
from .options import Decorator
from .run import Answer, Result, Run

if TYPE_CHECKING:
    from ..unattended.faults import Fault
    from ..unattended.reported import News, ReportedFaults

NOTIFY, METRICS = "notify", "metrics"
# The host did not answer, or refused the login.
NOT_REACHED = (3, 4)


def notify_option() -> Decorator:
    text = "Run this shell command when a fault is new, lasts a day, or is over (docs/health.md)."
    return click.option("--notify", metavar="CMD", callback=_not_empty, help=text)


def metrics_option() -> Decorator:
    text = "Write Prometheus metrics to this file, or into this folder (docs/health.md)."
    return click.option("--metrics", metavar="FILE", callback=_not_empty, help=text)


def _not_empty(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    if value is not None and not value.strip():
        raise click.BadParameter("it is empty", ctx, param)
    return value


@dataclass
class Reporting:
    """The outlets of one run. `problems`: outlet -> why it failed. `tried`: the used ones."""

    run: Run
    command: str
    notify: str | None = None
    metrics: str | None = None
    problems: dict[str, MlxopsError] = field(default_factory=dict)
    tried: set[str] = field(default_factory=set)

    @property
    def used(self) -> bool:
        return self.notify is not None or self.metrics is not None

    @property
    def args(self) -> Result:
        """What the agent is asked for besides."""
        return {"metrics": True} if self.metrics is not None else {}

    def require_own_file(self) -> None:
        """Usage if several hosts would write the same file."""
        if self.metrics is not None and self.run.one_of_several and not Path(self.metrics).is_dir():
            raise Usage("--metrics needs a folder for several hosts", "--metrics FOLDER")

    def refuse_in_dry_run(self, dry_run: bool) -> None:
        if dry_run and self.used:
            raise Usage("--dry-run goes with neither --notify nor --metrics")

    @contextmanager
    def failures(self) -> Iterator[None]:
        """Deliver an error of the block, and raise it."""
        try:
            yield
        except Interrupted:
            raise
        except MlxopsError as exc:
            self.deliver_failure(exc)
            self.warn()
            raise

    def deliver_failure(self, exc: MlxopsError, result: Result | None = None) -> None:
        """`result`: what is known nevertheless; it is not reported as news."""
        from ..unattended.faults import failure_fault
        from ..unattended.single_instance import is_previous_run

        if self.used and not is_previous_run(exc):
            self._write_metrics(result, exc.exit_code)
            self._notify(exc.exit_code, lambda reported: reported.failure(failure_fault(exc)))

    def deliver(self, result: Result, error: MlxopsError | None, warnings: list[str]) -> None:
        """Write the metrics, then run the command if it has news; failures go to `problems`."""
        if self.used:
            code = error.exit_code if error else 0
            self._write_metrics(result, code)
            self._notify(code, lambda reported: self.news(result, reported, warnings))

    def news(self, result: Result, reported: ReportedFaults, warnings: list[str]) -> list[News]:
        """The news of this run for one memory of what was reported."""
        from ..unattended import news
        from ..unattended.faults import warning_fault

        collect: Callable[..., list[News]] = getattr(news, f"of_{self.command}")
        own = [*map(warning_fault, warnings), *self.own_faults()]
        return collect(result, reported, own, self.settles)

    def own_faults(self) -> list[Fault]:
        from ..unattended.faults import own_fault

        return [own_fault(name, problem) for name, problem in self.problems.items()]

    def answer(self, answer: Answer) -> Answer:
        """The answer of a verb that reports everything every time: an outlet that failed is an
        error if there is no other one, else a warning."""
        if answer.result is not None:
            self.deliver(answer.result, answer.error, [])
        problems = [*self.problems.values()]
        if problems and answer.error is None:
            answer = replace(answer, error=problems.pop())
        self._warn(problems)
        return answer

    def warn(self) -> None:
        self._warn([*self.problems.values()])

    def _warn(self, problems: list[MlxopsError]) -> None:
        for problem in problems:
            self.run.progress.warn(f"{problem.message}; {problem.hint}")

    def settles(self, key: str) -> bool:
        """Whether a fault of an outlet would have been noticed: the command runs only with news."""
        name = key.partition(" ")[2]
        return name in self.tried or getattr(self, name, None) is None

    def _write_metrics(self, result: Result | None, code: int) -> None:
        if self.metrics is None:
            return
        from ..unattended import textfile
        from ..unattended.metrics import RunOutcome, metrics_text

        outcome = RunOutcome(
            host=self.run.host.name,
            command=self.command,
            at=time.time(),
            exit_code=code,
            host_up=result is not None or code not in NOT_REACHED,
            result=result,
        )
        self._try(METRICS, lambda word: textfile.write(self._file(word), metrics_text(outcome)))

    def _file(self, word: str) -> Path:
        """The metrics file; in a folder, the one that is named after the host."""
        path = Path(word).absolute()
        return path / f"mlxops-{self.run.host.name}.prom" if path.is_dir() else path

    def _notify(self, code: int, collect: Callable[[ReportedFaults], list[News]]) -> None:
        if self.notify is None:
            return
        from ..unattended import notify as notifying
        from ..unattended.reported import ReportedFaults
        from ..unattended.single_instance import notified_path

        reported = ReportedFaults(notified_path(self.run.host, self.notify))
        news = collect(reported)
        if news:
            message = notifying.Message(
                host=self.run.host.name, command=self.command, exit_code=code, news=news
            )
            self._try(NOTIFY, lambda command: notifying.send(command, message))
        if NOTIFY not in self.problems:
            # After a failure the next run tries again.
            reported.save()

    def _try(self, name: str, use: Callable[[str], None]) -> None:
        self.tried.add(name)
        try:
            use(str(getattr(self, name)))
        except Interrupted:
            raise
        except MlxopsError as exc:
            self.problems[name] = exc
