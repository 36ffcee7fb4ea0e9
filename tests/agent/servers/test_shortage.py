"""The previous server is started again if the host is short of something for a moment."""

from __future__ import annotations

import errno
from typing import Any
from unittest.mock import MagicMock

import pytest

from mlxops.agent.errors import Failed, MlxopsError
from mlxops.agent.servers import start
from mlxops.agent.servers.start import StartedServer, restart_server


def short_for(monkeypatch: pytest.MonkeyPatch, tries: int, number: int) -> list[int]:
    """start_server fails so many times, as when launch_in fails; the list grows with each try."""
    seen: list[int] = []

    def start_server(*_: Any) -> StartedServer:
        seen.append(1)
        if len(seen) > tries:
            return StartedServer(1.0, MagicMock())
        try:
            raise OSError(number, "short")
        except OSError as exc:
            raise Failed(f"cannot start the server: {exc}") from exc

    monkeypatch.setattr(start, "start_server", start_server)
    return seen


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.ENOMEM])
def test_a_shortage_that_passes_is_waited_for(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    seen, job = short_for(monkeypatch, 3, number), MagicMock()
    assert restart_server(MagicMock(), job, MagicMock(), MagicMock()).seconds == 1.0
    assert len(seen) == 4 and "retrying for" in job.rollback.call_args.args[1]


def test_one_that_lasts_is_told_with_the_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = short_for(monkeypatch, 1000, errno.EAGAIN)
    monkeypatch.setattr(start, "RETRY_S", 0.5)
    with pytest.raises(MlxopsError) as told:
        restart_server(MagicMock(), MagicMock(), MagicMock(), MagicMock())
    assert f"(tried {len(seen)} times in" in told.value.message
    assert len(seen) >= 2


def test_any_other_failure_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = short_for(monkeypatch, 1000, errno.E2BIG)
    with pytest.raises(Failed):
        restart_server(MagicMock(), MagicMock(), MagicMock(), MagicMock())
    assert len(seen) == 1
