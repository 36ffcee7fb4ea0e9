"""Hosts, registries and evidence for the tests of plans: ten ports, models of mlx_lm.server."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from mlxops.agent.ports.evidence import NO_ANSWER, HttpAnswer, PortEvidence, Server
from mlxops.agent.procs.facts import Listener, Process
from mlxops.agent.registry.entries import EMPTY, REQUIRED, Entry, Registry
from mlxops.agent.runtimes.table import RUNTIMES, recognise
from mlxops.agent.site import Site
from mlxops.agent.slots.intent import PlanOptions
from mlxops.agent.slots.plan import Check, Plan, Row, Sizes, plan

PORTS = tuple(range(8100, 8110))
READY = HttpAnswer(True, 200, ("default_model",))
HUNG = HttpAnswer(True, None, error="timed out")
GIB = 1 << 30
JOB = {"who": "bob", "why": "load x", "since": "now", "entries": ["x"]}


registry_lost: tuple[Entry, ...] = ()


def repo(name: str) -> str:
    return f"org/{name}"


def path(name: str) -> str:
    return f"/hub/models--org--{name}/snapshots/1"


def site(declared: Mapping[int, str] | None = None, ports: Iterable[int] = PORTS) -> Site:
    """A host whose slots declare these words; a word without a slash stands for its repository."""
    words = {p: repo(w) if "/" not in w else w for p, w in (declared or {}).items()}
    return raw_site(words, ports)


def raw_site(words: Mapping[int, str], ports: Iterable[int] = PORTS) -> Site:
    slots = {
        str(port): {"name": f"s{port}", "model": words.get(port), "served_name": f"s{port}"}
        for port in ports
    }
    return Site.from_wire(
        {
            "name": "studio",
            "hf_home": "/hf",
            "registry": "/hub/registry.json",
            "ports": list(ports),
            "bind": "0.0.0.0",
            "state_dir": "/state",
            "runtime": {"name": "mlx_lm.server", "grace_s": 30},
            "slots": slots,
        }
    )


def entry(name: str, port: int | None = None, wanted: int | None = None, **fields: Any) -> Entry:
    """An entry; one with a port was loaded there."""
    process = {"process": {"pid": pid_of(port), "ready_at": "t"}} if port else {}
    base = {
        **REQUIRED,
        "repo_id": repo(name),
        "model_id": repo(name),
        "cache_path": path(name),
        "port": port,
        "wanted": wanted,
    }
    return Entry(name, {**base, **process, **fields})


def registry(*entries: Entry) -> Registry:
    return EMPTY.put(*entries)


def pid_of(port: int | None) -> int:
    return 1000 + (port or 0)


def server(name: str, port: int, pid: int | None = None, options: str = "") -> Server:
    line = f"mlx_lm.server --model {path(name)} --port {port} {options}"
    argv = tuple(line.split())
    pid = pid or pid_of(port)
    process = Process(pid, 1, pid, 501, f"t{pid}", None, None, argv, False)
    call = recognise(argv, RUNTIMES)
    assert call is not None
    return Server(process, call, (process,), process)


def free(port: int) -> PortEvidence:
    return PortEvidence(port, (), (), None, (), NO_ANSWER, None, ())


def serves(name: str, port: int, recorded: bool = True) -> PortEvidence:
    """A port that serves a model and answers."""
    there = server(name, port)
    return free(port)._replace(
        listeners=(Listener(port, "0.0.0.0", there.process.pid, 501),),
        servers=(there,),
        recorded=there.process if recorded else None,
        answer=READY,
    )


def hangs(name: str, port: int) -> PortEvidence:
    return serves(name, port)._replace(answer=HUNG)


def starting(name: str, port: int) -> PortEvidence:
    return serves(name, port)._replace(listeners=(), answer=NO_ANSWER)


def foreign(port: int) -> PortEvidence:
    return free(port)._replace(listeners=(Listener(port, "0.0.0.0", 66, 0),), answer=READY)


def everywhere(*seen: PortEvidence, ports: Iterable[int] = PORTS) -> dict[int, PortEvidence]:
    """Evidence of all ports: those given, the others free."""
    return {**{port: free(port) for port in ports}, **{one.port: one for one in seen}}


def plan_for(
    declared: Mapping[int, str] | None = None,
    entries: Iterable[Entry] = (),
    seen: Iterable[PortEvidence] = (),
    sizes: Sizes | None = None,
    **options: Any,
) -> Plan:
    chosen = PlanOptions(**{"ports": PORTS, **options})
    ports = sorted({*PORTS, *chosen.ports})
    there = everywhere(*seen, ports=ports)
    return plan(site(declared, ports), registry(*entries), there, sizes or Sizes(), chosen)


def row(made: Plan, port: int) -> Row:
    return next(one for one in made.rows if one.port == port)


def verdicts(made: Plan) -> dict[int, str]:
    """The verdicts of the ports that are not left alone; a blocked one with its kind."""
    return {
        one.port: f"{one.verdict} {one.kind}" if one.kind else one.verdict
        for one in made.rows
        if one.verdict != "leave"
    }


def sizes(
    limit: int | None = None,
    used: Mapping[int, int] | None = None,
    needs: Mapping[int, int] | None = None,
    **checks: Check,
) -> Sizes:
    """Sizes in GiB. `needs`: port -> what its target needs."""
    made = {port: Check(None, size * GIB) for port, size in (needs or {}).items()}
    made.update({int(word[1:]): check for word, check in checks.items()})
    return Sizes(
        checks=made,
        used_by_port={port: size * GIB for port, size in (used or {}).items()},
        limit_bytes=None if limit is None else limit * GIB,
    )
