"""The fuzz targets: each takes arbitrary bytes and returns, or has found a defect.

Only the errors that a reader documents are caught here."""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

from mlxops.agent.errors import LinkLost, LoginRefused, MlxopsError, RegistryInvalid, Usage
from mlxops.agent.jobs import log as joblog
from mlxops.agent.memory.estimate import Model, estimate, largest_context
from mlxops.agent.memory.kvcache import count_cache
from mlxops.agent.models import cache as hfcache
from mlxops.agent.models import files as modelfiles
from mlxops.agent.models.defaults import find_defaults
from mlxops.agent.models.rejections import FIELDS, find_rejections
from mlxops.agent.ports.diagnosis import diagnose
from mlxops.agent.ports.evidence import NO_ANSWER, Expected, HttpAnswer, PortEvidence
from mlxops.agent.ports.observe import orphan_workers, recorded_process
from mlxops.agent.ports.probe import Reply, model_ids
from mlxops.agent.procs import Process, proctext
from mlxops.agent.procs.macos import text as mactext
from mlxops.agent.programs.installed import Installed
from mlxops.agent.registry import lock
from mlxops.agent.registry.entries import REQUIRED, Entry, Registry, changes, dump, parse
from mlxops.agent.registry.lock import FileLock
from mlxops.agent.restricted import serve as forced
from mlxops.agent.restricted.grant import Grant
from mlxops.agent.runtimes.table import RUNTIMES, is_worker, parse_help, recognise
from mlxops.agent.untrusted import is_safe_relative_path, parse_object
from mlxops.agent.wire import codec as wire
from mlxops.cli import authorized_keys
from mlxops.hosts import files as hosts
from mlxops.transport import knownhosts

from . import samples
from .conversing import converse

LONGEST_LINE = 300
PORT = 8100
GRANT = Grant(("status",), {"name": "studio", "runtime": {"name": "x", "env": {}}}, "0" * 64)


@dataclass(frozen=True)
class Target:
    """`seeds`: valid texts, from which the fuzzers start."""

    name: str
    read: Callable[[bytes], object]
    seeds: tuple[bytes, ...]


def cut(content: bytes) -> list[bytes]:
    """A stream as it may arrive: the first byte is the size of the chunks."""
    size, rest = 1 + (content[0] if content else 0), content[1:]
    return [rest[at : at + size] for at in range(0, len(rest), size)]


def codec(content: bytes) -> None:
    """The lines of a stream do not depend on its chunks, and no line grows too long."""
    lines, found = wire.Lines(LONGEST_LINE), []
    try:
        for chunk in cut(content):
            found += lines.feed(chunk)
    except LinkLost:
        assert any(len(line) > LONGEST_LINE for line in content[1:].split(b"\n"))
    else:
        assert found == content[1:].split(b"\n")[:-1]
    for line in found:
        try:
            assert json.loads(wire.encode(wire.decode(line))) is not None
        except LinkLost:
            continue


def session(content: bytes) -> None:
    """It ends with a result or with an MlxopsError."""
    try:
        assert isinstance(converse(cut(content)), dict)
    except MlxopsError as exc:
        assert wire.encode(wire.error(exc))


def registry(content: bytes) -> None:
    """It is rejected, or reads back the same after writing."""
    try:
        read = parse(content)
        again = parse(dump(read))
    except RegistryInvalid:
        return
    assert again == read and changes(read, again) == []
    judged(read)


def judged(read: Registry) -> None:
    """Whatever an entry records, evidence about it can be gathered and judged."""
    table = {1: Process(1, 0, 1, 0, "start", None, None, ("init",), False)}
    for entry in read.entries.values():
        recorded, left = recorded_process(table, entry), orphan_workers(table, entry, RUNTIMES)
        for answer in (NO_ANSWER, HttpAnswer(True, 200)):
            seen = PortEvidence(PORT, (), (), recorded, left, answer, None, ())
            diagnose(seen, Expected((entry,), "name"))
    read.duplicates()


def either(*errors: type[Exception]) -> Callable[[Callable[[], object]], None]:
    def tried(read: Callable[[], object]) -> None:
        try:
            read()
        except errors:
            return

    return tried


garbled = either(ValueError)


def proc(content: bytes) -> None:
    garbled(lambda: proctext.stat(content))
    garbled(lambda: list(proctext.listening(content, range(65536))))
    garbled(lambda: proctext.kilobytes(content, b"MemTotal"))
    words = proctext.argv(content)
    recognise(words, RUNTIMES)
    is_worker(words, RUNTIMES)


def mac(content: bytes) -> None:
    text = content.decode("utf-8", "surrogateescape")
    readers: tuple[Callable[[str], object], ...] = (
        mactext.processes,
        mactext.listeners,
        mactext.available,
        mactext.program,
        lambda text: mactext.listening(text, range(65536)),
        lambda text: list(mactext.services(text, "system")),
    )
    for reader in readers:
        garbled(lambda reader=reader: reader(text))  # type: ignore[misc]


def hostfile(content: bytes) -> None:
    """A host or Usage, and its description names no port outside of it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "studio.toml")
        path.write_bytes(content)
        try:
            host = hosts.read_host(path)
        except Usage as exc:
            assert exc.fields["file"] == str(path)
            return
    assert json.loads(json.dumps(host.site))["ports"] == host.site["ports"]
    either(Usage)(lambda: host.port(content[-9000:].decode("utf-8", "replace")))


def help_text(content: bytes) -> None:
    flags = parse_help(content.decode("utf-8", "replace"))
    for runtime in RUNTIMES.values():
        fields = {**REQUIRED, **dict.fromkeys(FIELDS, "t"), "args": [*flags][:9]}
        find_rejections(runtime, Entry("n", fields), flags, str.isprintable)


def model(content: bytes) -> None:
    """A folder whose files all have this content: it is classified, and no file that a server could
    be started with is omitted."""
    with tempfile.TemporaryDirectory() as folder:
        for name in (*samples.MODEL_FILES, modelfiles.INDEX)[: 1 + (content[0] if content else 0)]:
            Path(folder, name).write_bytes(content[1:])
        found = hfcache.inspect(folder)
        assert found.format in ("mlx", "gguf", "other") and found.kind in (
            "chat",
            "embedding",
            "reranker",
            "other",
        )
        assert all(
            is_safe_relative_path(name) or name == repr(name) or "'" in name
            for name in found.missing
        )
        hfcache.weights_bytes(folder)
        entry = Entry("n", {**REQUIRED, "cache_path": folder})
        proposed = find_defaults(
            Installed(RUNTIMES["mlx-openai-server"], {"--tool-call-parser": ()}), entry, folder
        )
        assert all(isinstance(value, str) and value for value in proposed.values.values())


def memory(content: bytes) -> None:
    """Every config gives a sum, and no figure in it is larger than any machine."""
    config = parse_object(content)
    for fused in (True, False):
        described = Model(1 << 30, config, "mlx_lm.server", fused, count_cache(config))
        sums = estimate(described, 4096)
        assert 1 << 30 <= sums.weights_bytes < sums.need_bytes < 1 << 62
        longest = largest_context(described, 1 << 40)
        assert (longest is None) == (sums.kv_bytes is None) or longest == 0


def known_hosts(content: bytes) -> None:
    text = content.decode("utf-8", "replace")
    for name in ("studio", "[studio]:2222"):
        keys = knownhosts.keys_for(text, name)
        assert knownhosts.check_host_key(keys, b"").status in ("unknown", "changed", "known")


def public_key(content: bytes) -> None:
    with tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        try:
            key = authorized_keys.read_public_key(file.name)
        except Usage:
            return
    assert "\n" not in authorized_keys.authorized_line("true", key) and key.startswith(
        authorized_keys.KEY_TYPES
    )


def forced_command(content: bytes) -> None:
    """Only a granted verb is ever served, with the site of the grant."""
    source = io.BytesIO(content)
    try:
        opening = forced.read_opening(source)
        request = forced.authorize_request(GRANT, opening)
    except (forced.NotAClient, LoginRefused):
        return
    assert (request["verb"], request["site"]) == ("status", GRANT.site)
    forced.grant_warnings(GRANT, opening.request)


def job_log(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "job.jsonl").write_bytes(content)
        for past in joblog.read_jobs(folder, ["job"] if content[:1] == b"\n" else []):
            assert past.state in ("running", "died", "failed", "done")
            assert json.dumps(past.to_wire())


def lock_file(content: bytes) -> None:
    # The holder never describes itself: do not wait for that.
    at_once = patch.object(lock, "DESCRIBE_TIMEOUT_S", 0.0)
    with tempfile.TemporaryDirectory() as folder, at_once:
        path = Path(folder, "x.lock")
        holder = FileLock(str(path))
        holder.acquire({}, 0)
        path.write_bytes(content)
        held = FileLock(str(path)).holder()
        assert isinstance(held, dict)
        diagnose(PortEvidence(PORT, (), (), None, (), NO_ANSWER, held, ()), Expected((), None))
        either(MlxopsError)(lambda: FileLock(str(path)).acquire({}, 0))
        holder.release()


def answer(content: bytes) -> None:
    assert all(isinstance(name, str) for name in model_ids(Reply(200, content).json))


TARGETS: Mapping[str, Target] = {
    target.name: target
    for target in (
        Target("codec", codec, samples.STREAMS),
        Target("session", session, samples.STREAMS),
        Target("registry", registry, samples.REGISTRIES),
        Target("proc", proc, samples.PROC),
        Target("mac", mac, samples.MAC),
        Target("hostfile", hostfile, samples.HOST_FILES),
        Target("help", help_text, samples.HELPS),
        Target("model", model, samples.MODELS),
        Target("memory", memory, samples.CONFIGS),
        Target("known_hosts", known_hosts, samples.KNOWN_HOSTS),
        Target("public_key", public_key, samples.KEYS),
        Target("forced", forced_command, samples.OPENINGS),
        Target("job_log", job_log, samples.JOB_LOGS),
        Target("lock_file", lock_file, samples.LOCKS),
        Target("answer", answer, samples.ANSWERS),
    )
}
