"""A stub started the way a host starts it, with input from the test."""

from __future__ import annotations

import subprocess
from pathlib import Path

from mlxops import bundle

MAIN = (
    "import os\ndef run(request, stdin, fd):\n    os.write(fd, request.upper() + {extra})\n"
    "    os._exit(0)\n"
)


def agent(folder: Path, extra: str = 'b""') -> bundle.Bundle:
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "main.py").write_text(MAIN.format(extra=extra))
    return bundle.pack(folder)


class Stubbed:
    """One stub, started the way a host starts it."""

    def __init__(
        self,
        packed: bundle.Bundle,
        state: Path | str,
        argv: list[str] | None = None,
        env: dict[str, str] | None = None,
    ) -> None:
        self.packed = packed
        pipe = subprocess.PIPE
        self.child = subprocess.Popen(
            argv or bundle.local_argv(None), stdin=pipe, stdout=pipe, stderr=pipe, env=env
        )
        assert self.child.stdin and self.child.stdout
        self.stdin, self.stdout = self.child.stdin, self.child.stdout
        self.stdin.write(packed.handshake("MARK", str(state), b"hello"))
        self.stdin.flush()

    def line(self) -> str:
        return self.stdout.readline().decode().strip()

    def send(self, payload: bytes) -> None:
        self.stdin.write(payload)
        self.stdin.flush()

    def finish(self) -> tuple[str, int]:
        """The rest of its output, with its exit status."""
        self.stdin.close()
        assert self.child.stderr
        out, err = self.stdout.read(), self.child.stderr.read()
        self.stdout.close()
        self.child.stderr.close()
        assert b"Traceback" not in err, err
        return out.decode().strip(), self.child.wait(30)


def conversation(packed: bundle.Bundle, state: Path | str) -> list[str]:
    """The complete output of a stub that receives the bundle when it asks for it."""
    talk = Stubbed(packed, state)
    said = [talk.line()]
    while said[-1] == "MARK MISS":
        talk.send(packed.frames())
        said.append(talk.line())
    rest, status = talk.finish()
    return [*said, rest or str(status)]
