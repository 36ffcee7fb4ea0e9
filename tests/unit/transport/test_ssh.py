"""How an SSH link reports a channel that fails; the channel is a stand-in."""

from __future__ import annotations

from typing import Any

import paramiko
import pytest

from mlxops.agent.errors import LinkLost
from mlxops.transport.settings import Settings
from mlxops.transport.ssh import SshLink

SETTINGS = Settings("studio", "studio", 22, "me", (), True, None, (), None, None, None, "any", 10.0)


class Broken:
    """A channel that accepts no more data."""

    def __init__(self, fault: Exception) -> None:
        self.fault = fault

    def sendall(self, payload: Any) -> None:
        raise self.fault

    def recv_stderr_ready(self) -> bool:
        return False


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (EOFError(), "broke"),
        (OSError("Socket is closed"), "broke: Socket is closed"),
        (TimeoutError(), "broke"),
        (paramiko.SSHException("no more"), "broke: no more"),
    ],
    ids=["eof", "closed", "timeout", "ssh"],
)
def test_a_link_that_ends_while_it_is_written_to_is_lost(fault: Exception, words: str) -> None:
    link = SshLink(None, Broken(fault), None, SETTINGS)  # type: ignore[arg-type]
    with pytest.raises(LinkLost) as caught:
        link.send(b"ping\n")
    assert caught.value.message.endswith(words)
