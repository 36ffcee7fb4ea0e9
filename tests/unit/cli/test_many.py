"""One verb for several hosts: the order of the answers, headings, errors, exit status, JSON."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlxops.agent.errors import DriftFound, HostUnreachable
from mlxops.cli import main
from mlxops.cli.console import Console
from mlxops.cli.run import Run
from mlxops.hosts.files import Host
from tests.support.cli_standin import HOST_FILE, lab

__all__ = ["lab"]
ENTRIES = {"models": [], "registry": "/models/hub/registry.json"}
DEAD = HostUnreachable("no route to host", "ping it")
DRIFT = DriftFound("drift found", "mlxops status")


class Hosts:
    """Calls to hosts by name. `late`: hosts that answer only once all others have."""

    def __init__(self, lab: Path, late: tuple[str, ...] = (), **answers: Any) -> None:
        for name in answers:
            (lab / "hosts" / f"{name}.toml").write_text(HOST_FILE)
        (lab / "hosts" / "lab.toml").unlink(missing_ok=True)
        self.answers, self.late = answers, late
        self.asked: list[str] = []
        self._others = threading.Semaphore(0)

    def __call__(
        self,
        host: Host,
        verb: str,
        args: dict[str, Any],
        on_event: Callable[[dict[str, Any]], None],
        meanwhile: Callable[[], object],
    ) -> dict[str, Any]:
        self.asked.append(host.name)
        meanwhile()
        on_event({"event": "phase", "phase": "looking", "message": "at it"})
        if host.name in self.late:
            for _ in range(len(self.answers) - len(self.late)):
                self._others.acquire(timeout=10)
        self._others.release()
        answer = self.answers[host.name]
        if isinstance(answer, BaseException):
            raise answer
        return {**answer}

    def run(self, *argv: str) -> tuple[int, str, str]:
        out, err = io.StringIO(), io.StringIO()
        code = main(list(argv), Run(Console(out, err), self))
        return code, out.getvalue(), err.getvalue()


def headings(out: str) -> list[str]:
    return [line for line in out.splitlines() if line.startswith("==>")]


def test_answers_come_in_the_order_of_the_names_whoever_is_first(lab: Path) -> None:
    hosts = Hosts(lab, a=ENTRIES, b=ENTRIES, c=ENTRIES, late=("c",))
    code, out, _ = hosts.run("list", "--host", "c,a", "--host", "b")
    assert (code, headings(out)) == (0, ["==> c <==", "==> a <==", "==> b <=="])
    assert sorted(hosts.asked) == ["a", "b", "c"]


def test_all_hosts_are_sorted_and_a_name_given_twice_counts_once(lab: Path) -> None:
    hosts = Hosts(lab, b=ENTRIES, a=ENTRIES)
    assert headings(hosts.run("--all", "list")[1]) == ["==> a <==", "==> b <=="]
    assert headings(hosts.run("list", "--host", "b,a,b")[1]) == ["==> b <==", "==> a <=="]
    assert headings(hosts.run("list", "--host", "a,a")[1]) == []


def test_a_dead_host_hides_no_other_and_the_first_failure_decides(lab: Path) -> None:
    hosts = Hosts(lab, a=ENTRIES, b=DRIFT, c=DEAD, d=ENTRIES)
    code, out, err = hosts.run("list", "--all")
    assert code == DRIFT.exit_code
    assert len(headings(out)) == 4
    assert "mlxops: c: no route to host\n  hint: ping it\n" in err
    assert err.endswith("mlxops: 2 of 4 hosts failed: b, c\n")
    assert hosts.run("list", "--host", "c,b")[0] == DEAD.exit_code


def test_a_broken_host_file_is_the_failure_of_that_host(lab: Path) -> None:
    hosts = Hosts(lab, a=ENTRIES, b=ENTRIES)
    (lab / "hosts" / "b.toml").write_text("transport = 3\n")
    code, out, err = hosts.run("list", "--all")
    assert (code, len(headings(out)), hosts.asked) == (2, 2, ["a"])
    assert "b.toml: transport must be" in err


def test_the_document_has_an_envelope_for_each_host(lab: Path) -> None:
    hosts = Hosts(lab, a=ENTRIES, b=DEAD)
    code, out, _ = hosts.run("list", "--all", "--json")
    document = json.loads(out)
    assert (code, document["ok"], document["host"], document["command"]) == (3, False, None, "list")
    assert [(one["host"], one["ok"], one["command"]) for one in document["hosts"]] == [
        ("a", True, "list"),
        ("b", False, "list"),
    ]
    assert document["hosts"][0]["result"]["models"] == []
    assert document["hosts"][1]["error"]["kind"] == "HostUnreachable"
    assert (document["error"]["kind"], document["error"]["hosts"]) == ("HostUnreachable", ["b"])


def test_the_shape_of_the_document_follows_the_flags_not_the_number_of_files(lab: Path) -> None:
    hosts = Hosts(lab, a=ENTRIES)
    assert len(json.loads(hosts.run("list", "--all", "--json")[1])["hosts"]) == 1
    assert "hosts" not in json.loads(hosts.run("list", "--host", "a,a", "--json")[1])


def test_names_for_scripts_begin_with_the_host(lab: Path) -> None:
    entry = {"name": "amber"}
    hosts = Hosts(lab, a={**ENTRIES, "models": [entry]}, b={**ENTRIES, "models": [entry]})
    assert hosts.run("list", "--all", "-o", "name")[1] == "a amber\nb amber\n"
    assert "hosts:\n- host: a\n" in hosts.run("list", "--all", "-o", "yaml")[1]


def test_a_verb_that_changes_something_names_the_command_for_one_host(lab: Path) -> None:
    hosts = Hosts(lab, a=ENTRIES, b=ENTRIES)
    for argv in (("--host", "a,b", "unload", "8100"), ("unload", "8100", "--host=a", "--host=b")):
        code, _, err = hosts.run(*argv)
        assert (code, hosts.asked) == (2, [])
        assert "one host at a time" in err and "  hint: mlxops unload 8100 --host a\n" in err
    assert "--host a\n" in hosts.run("doctor", "--fix", "--all")[2]
    assert "--host a\n" in hosts.run("logs", "8100", "-f", "--all")[2]
    assert hosts.run("doctor", "--fix", "--dry-run", "--all")[0] != 2 and hosts.asked


def test_an_unknown_name_is_found_before_anything_is_called(lab: Path) -> None:
    hosts = Hosts(lab, studio=ENTRIES, other=ENTRIES)
    code, _, err = hosts.run("list", "--host", "other,studoi")
    assert (code, hosts.asked) == (2, [])
    assert "no host 'studoi'" in err and "did you mean studio?" in err
    assert hosts.run("list", "--all", "--host", "other")[0] == 2
    assert hosts.run("list", "--all", "--local")[0] == 2
    assert hosts.asked == []


def test_a_usage_error_of_the_command_line_is_printed_once(lab: Path) -> None:
    hosts = Hosts(lab, a=ENTRIES, b=ENTRIES)
    code, out, err = hosts.run("status", "--all", "--timeout", "3")
    assert (code, out, hosts.asked) == (2, "", [])
    assert err.count("--timeout needs --deep") == 1


def test_quiet_prints_only_hosts_that_have_something_to_say(lab: Path) -> None:
    fine: dict[str, Any] = {"ports": [], "drift": [], "memory": {}, "entries": []}
    hosts = Hosts(lab, a=fine, b=DRIFT, c=fine)
    code, out, err = hosts.run("status", "--check", "-q", "--all")
    assert (code, headings(out)) == (11, ["==> b <=="])
    assert "at it" not in err


def test_phases_and_warnings_name_their_host(lab: Path) -> None:
    hosts = Hosts(lab, a={**ENTRIES, "warnings": ["disk full"]}, b=ENTRIES)
    err = hosts.run("list", "--all")[2]
    assert "a: at it\n" in err and "b: at it\n" in err
    assert "warning: a: disk full\n" in err


@pytest.mark.parametrize("verb", ["version", "hosts"])
def test_verbs_without_a_host_need_no_host_flags(lab: Path, verb: str) -> None:
    hosts = Hosts(lab, a=ENTRIES, b=ENTRIES)
    code, out, _ = hosts.run(verb, "--all", "--json")
    assert (code, hosts.asked) == (0, [])
    if verb == "hosts":
        rows = json.loads(out)["result"]["hosts"]
        assert [row["chosen_by"] for row in rows] == ["--all", "--all"]


def test_hosts_complete_after_a_comma(lab: Path) -> None:
    from mlxops.cli.root import root

    hosts = Hosts(lab, alpha=ENTRIES, beta=ENTRIES)
    option = next(param for param in root.params if param.name == "host")
    context = root.make_context("mlxops", [], resilient_parsing=True, obj=Run(Console.standard()))
    assert hosts.answers
    assert [one.value for one in option.shell_complete(context, "alpha,b")] == ["alpha,beta"]


def test_a_reader_that_has_gone_ends_the_output_quietly(lab: Path) -> None:
    class Gone(io.StringIO):
        def flush(self) -> None:
            raise BrokenPipeError

    hosts, err = Hosts(lab, a=ENTRIES, b=ENTRIES), io.StringIO()
    assert main(["list", "--all"], Run(Console(Gone(), err), hosts)) == 0
    assert "error" not in err.getvalue()
