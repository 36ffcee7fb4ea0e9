"""One fault while the agent is installed on a host without one: the client's output, and the files
left on the host."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from mlxops import bundle
from mlxops.agent.wire import stub
from mlxops.agent.wire.stub import IMAGE, unseal
from mlxops.agent.wire.unpack import expand

from .agentcall import KILLING, Blow, Step, watched
from .clientcases import ClientCase
from .clienttrial import document_of, failed
from .desk import Desk, Said, watched_steps
from .standing import stand
from .trial import Outcome

INSIDE = ("stubsaboteur.py", "saboteur.py", "strikes.py")
# After these, nothing can remove what was started.
UNREMOVABLE = (*KILLING, "readonly")
OLD_S = 3 * 24 * 3600
LISTED = ClientCase("planting", "list", stand, lambda scene: [], ssh=False)


class Bed:
    """Where the agent is installed: the state folder of a desk's host."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.agents = desk.scene.folder / "state" / "agent"
        self.plan, self.log = desk.folder / "stub-plan.json", desk.folder / "stub-steps.jsonl"
        for name in INSIDE:
            shutil.copy(Path(__file__).with_name(name), desk.code)
        python = desk.folder / "python3"
        inside = desk.code / INSIDE[0]
        python.write_text(
            f'#!/bin/sh\nexec {sys.executable} -I -S -X utf8 "{inside}" "{self.plan}"\n'
        )
        python.chmod(0o755)
        desk.describe(python=str(python))

    def clear(self) -> None:
        """No agent, except the remains of five old ones."""
        shutil.rmtree(self.agents, ignore_errors=True)
        for number in range(5):
            old = self.agents / f"{number:064d}"
            (old / "agent").mkdir(parents=True, mode=0o700)
            (old / "agent" / "main.py").touch()
            os.utime(old, (time.time() - OLD_S,) * 2)
        self.agents.chmod(0o700)
        self.agents.parent.chmod(0o700)

    def call(self, blow: Blow | None = None) -> Said:
        """A command to the empty folder, recorded or with a fault."""
        self.clear()
        self.plan.write_text(json.dumps(watched(self.log, blow)))
        said = self.desk.run(LISTED.typed(self.desk.scene))
        self.plan.unlink()
        return watched_steps(said, self.log)

    def planted(self) -> Iterator[str]:
        """Errors after a command without a fault."""
        packed = bundle.pack(self.desk.code / "mlxops" / "agent")
        try:
            digest, _, modules, payload = unseal((self.agents / packed.digest / IMAGE).read_bytes())
        except (OSError, ValueError) as exc:
            yield f"the agent is not kept: {exc}"
            return
        if (digest, expand(payload)) != (packed.digest, packed.text) or set(modules) != set(
            packed.files()
        ):
            yield "the agent is not kept as it was sent"

    def remains(self) -> list[str]:
        """Half an agent, under a name that no agent has."""
        return [path.name for path in self.agents.iterdir() if path.name.startswith(".")]


def survey(bed: Bed) -> tuple[Step, ...]:
    """The steps of the stub; those of the verb that it starts are the agent's own."""
    stand(bed.desk.scene)
    said = bed.call()
    assert said.ok and not [*bed.planted()] and not bed.remains(), said
    assert len(list(bed.agents.iterdir())) == 3, "old agents are not forgotten"
    lines = Path(stub.__file__).read_text("utf-8").splitlines()
    verb = next(n for n, line in enumerate(lines, 1) if line.startswith("    run(call.request"))
    return tuple(step for step in said.steps if f":{verb}:main" not in step.place)


def strike(bed: Bed, blow: Blow) -> Outcome:
    said = bed.call(blow)
    outcome = Outcome(LISTED.name, blow, said.struck, f"status {said.status}")
    if said.struck:
        outcome.violations += failed(bed.desk, LISTED, blow, said)
        if bed.remains() and blow.fault not in UNREMOVABLE and ":remove" not in blow.step.place:
            outcome.violations.append(f"left half-way: {bed.remains()}")
        again = bed.desk.run(LISTED.typed(bed.desk.scene))
        outcome.violations += (
            [f"the next command: {again.stderr[-300:]}"] if not again.ok else document_of(again)
        )
        outcome.violations += bed.planted()
    return outcome
