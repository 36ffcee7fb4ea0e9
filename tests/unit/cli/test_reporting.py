"""--notify and --metrics of status, reconcile and doctor."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mlxops.agent.errors import HostUnreachable, LinkLost, Locked, RegistryInvalid
from tests.support.cli_standin import Ended, Studio, lab

__all__ = ["lab"]
LOST: dict[str, Any] = {
    "drift": "lost",
    "port": 8100,
    "entry": "qwen",
    "reason": "gone",
    "next": "mlxops apply 8100",
}
HUNG: dict[str, Any] = {
    "state": "unresponsive",
    "port": 8101,
    "entry": "b",
    "reason": "timed out",
    "next": "mlxops x",
}
OFF = HostUnreachable("cannot reach lab: refused", "wake it")
STATUS, RECONCILE = ("status", "--check", "-q"), ("reconcile", "-q", "--cron", "--check")


VARIABLES = ("HOST", "SUMMARY", "EXIT", "JSON")


def row(port: int, **more: Any) -> dict[str, Any]:
    free = {"port": port, "state": "free", "drift": None, "entry": None, "slot_name": None}
    return {**free, "broken": False, "beside": None, "rss_bytes": None, **more}


def result(*wrong: dict[str, Any], **more: Any) -> dict[str, Any]:
    """An answer of status or reconcile."""
    return {
        "actions": [],
        "drift": [one for one in wrong if "drift" in one],
        "broken": [one for one in wrong if "state" in one],
        "ports": [row(8100), row(8101)],
        "memory": {"available_bytes": 3, "total_bytes": 5},
        **more,
    }


def checks(*wrong: dict[str, Any]) -> dict[str, Any]:
    return {"actions": [], "checks": [{"side": "host", "verdict": "wrong", **one} for one in wrong]}


class Post:
    """A notify command that keeps every message in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        keep = " ".join(f'printf %s "$MLXOPS_{v}" > $d/{v};' for v in VARIABLES)
        self.command = f"d={folder}/$(ls {folder} | wc -l); mkdir $d; cat > $d/text; {keep}"

    def take(self) -> list[dict[str, str]]:
        """The messages so far, which are removed."""
        messages = []
        for one in sorted(self.folder.iterdir()):
            messages.append({path.name: path.read_text() for path in one.iterdir()})
            [path.unlink() for path in one.iterdir()]
            one.rmdir()
        return messages


@pytest.fixture
def post(lab: Path) -> Post:
    return Post(lab / "post")


def run(answer: Any, *words: str) -> Ended:
    return Ended(Studio(answer), *words)


def test_a_message_has_the_news_in_every_form(post: Post) -> None:
    ended = run(result(LOST, HUNG), *STATUS, "--notify", post.command)
    assert (ended.code, ended.err.count("mlxops:")) == (11, 1)
    (message,) = post.take()
    assert message["text"].splitlines() == [
        "lost 8100 qwen: gone (next: mlxops apply 8100, or mlxops unload 8100 to forget it)",
        "unresponsive 8101 b: timed out (next: mlxops x)",
    ]
    assert message["SUMMARY"] == "lab: lost 8100 qwen; unresponsive 8101 b"
    assert (message["HOST"], message["EXIT"]) == ("lab", "11")
    document = json.loads(message["JSON"])
    assert [document[key] for key in ("schema", "host", "command", "exit", "omitted")] == [
        1,
        "lab",
        "status",
        11,
        0,
    ]
    assert [
        (one["event"], one["kind"], one["port"], one["entry"], one["reason"], one["next"])
        for one in document["news"]
    ] == [
        ("new", "lost", 8100, "qwen", "gone", "mlxops apply 8100"),
        ("new", "unresponsive", 8101, "b", "timed out", "mlxops x"),
    ]


@pytest.mark.parametrize("words", [STATUS, RECONCILE, ("doctor", "-q")])
def test_nothing_is_sent_without_news_and_the_end_is_sent(
    post: Post, words: tuple[str, ...]
) -> None:
    one = {"check": "ports", "seen": "8100 lost (qwen): gone", "mend": "mlxops apply 8100"}
    wrong, fine = (checks(one), checks()) if words[0] == "doctor" else (result(LOST), result())
    sent = [
        (run(answer, *words, "--notify", post.command).code, [m["SUMMARY"] for m in post.take()])
        for answer in (fine, wrong, wrong, fine, fine)
    ]
    assert sent == [
        (0, []),
        (11, ["lab: lost 8100 qwen"]),
        (11, []),
        (0, ["lab: resolved: lost 8100 qwen"]),
        (0, []),
    ]


def test_the_verbs_share_what_was_sent_by_one_command(post: Post) -> None:
    other = f"true; {post.command}"
    one = {"check": "ports", "seen": "8100 lost (qwen): gone", "mend": "mlxops apply 8100"}
    foreign = {"drift": "foreign", "port": 8101, "entry": None, "reason": "pid 5", "next": "x"}
    for answer, words, command in (
        (result(LOST, foreign), RECONCILE, post.command),
        (result(LOST, foreign), STATUS, post.command),
        (checks(one), ("doctor",), post.command),
        (result(LOST), STATUS, other),
    ):
        run(answer, *words, "--notify", command)
    assert [m["SUMMARY"] for m in post.take()] == [
        "lab: lost 8100 qwen; foreign 8101",
        "lab: lost 8100 qwen",
    ]
    run(checks(), "doctor", "--notify", post.command)
    assert [m["text"] for m in post.take()] == ["resolved: lost 8100 qwen\n"]


def test_a_look_at_one_port_settles_no_other(post: Post) -> None:
    run(result(LOST, HUNG), *STATUS, "--notify", post.command)
    post.take()
    run(result(ports=[row(8101)]), *STATUS, "8101", "--notify", post.command)
    assert [m["text"] for m in post.take()] == ["resolved: unresponsive 8101 b\n"]


def test_a_port_that_cannot_be_seen_is_not_resolved(post: Post) -> None:
    unknown = [row(8100, state="unknown", reason="no lsof"), row(8101)]
    for answer in (result(LOST), result(ports=unknown), result(ports=unknown), result(LOST)):
        run(answer, *STATUS, "--notify", post.command)
    texts = [m["text"] for m in post.take()]
    assert texts[0].startswith("lost") and texts[1].startswith("unknown 8100: no lsof")
    assert len(texts) == 3 and "resolved: unknown 8100" in texts[2]


@pytest.mark.parametrize("words", [STATUS, RECONCILE, ("doctor", "-q")])
def test_a_host_that_is_off_is_sent_once_whatever_the_error_and_when_it_is_back(
    post: Post, words: tuple[str, ...]
) -> None:
    errors = (OFF, LinkLost("broke"), HostUnreachable("cannot resolve lab"), OFF)
    codes = [run(error, *words, "--notify", post.command).code for error in errors]
    assert codes == [3, 3, 3, 3]
    (message,) = post.take()
    assert message["text"] == "cannot reach lab: refused (wake it)\n"
    assert (message["EXIT"], message["SUMMARY"]) == ("3", "lab: cannot reach lab: refused")
    run(checks() if words[0] == "doctor" else result(), *words, "--notify", post.command)
    assert [m["text"] for m in post.take()] == ["resolved: cannot reach lab: refused\n"]


def test_what_reconcile_changed_is_news(post: Post) -> None:
    action = {
        "action": "start",
        "entry": "qwen",
        "port": 8100,
        "reason": "ready after 9 s",
        "applied": True,
        "next": "",
    }
    run(result(actions=[action]), *RECONCILE, "--notify", post.command)
    (message,) = post.take()
    assert message["text"] == "started qwen on 8100: ready after 9 s\n"
    assert json.loads(message["JSON"])["news"][0]["event"] == "change"
    assert message["SUMMARY"] == "lab: start 8100 qwen"


def test_a_run_that_has_not_ended_is_neither_printed_nor_sent(post: Post) -> None:
    busy = Locked("another reconcile of lab is running", "wait", held_s=60)
    stuck = Locked("another reconcile of lab is running", "wait", held_s=3600)
    run(OFF, *RECONCILE, "--notify", post.command)
    post.take()
    for error in (busy, OFF, busy):
        ended = run(error, *RECONCILE, "--notify", post.command)
        assert (ended.code, ended.out, ended.err) == (error.exit_code, "", "")
    assert post.take() == []
    ended = run(stuck, *RECONCILE, "--notify", post.command)
    assert "another reconcile of lab" in ended.err and len(post.take()) == 1
    assert run(stuck, *RECONCILE).err == ""
    assert "resolved: another reconcile" in run(result(), *RECONCILE).out


NOT_SENT = [
    ("echo first >&2; echo 'no route' >&2; exit 22", "(exit 22: no route)"),
    ("exit 3", "(exit 3)"),
    ("kill -9 $$", "(killed by signal 9)"),
    ("no-such-program", "(exit 127: "),
]


@pytest.mark.parametrize(("command", "why"), NOT_SENT)
def test_a_command_that_fails_is_an_error_only_if_nothing_else_is_wrong(
    lab: Path, command: str, why: str
) -> None:
    for _ in range(2):
        failed = run(result(LOST), "status", "--check", "--notify", command)
        assert failed.code == 11 and f"warning: the --notify command failed {why}" in failed.err
    alone = run(result(LOST), "reconcile", "--notify", command)
    assert alone.code == 1 and f"mlxops: the --notify command failed {why}" in alone.err


def test_news_that_could_not_be_sent_are_sent_by_the_next_run(post: Post, lab: Path) -> None:
    fails = lab / "fails"
    fails.touch()
    command = f"test ! -e {fails} || exit 1; {post.command}"
    first, second = (run(result(LOST), *RECONCILE, "--notify", command) for _ in range(2))
    assert "the --notify command failed (exit 1)" in first.out.splitlines()[1]
    assert (second.code, second.out, second.err) == (11, "", "")
    fails.unlink()
    third = run(result(LOST), *RECONCILE, "--notify", command)
    assert third.out == "resolved: the --notify command failed (exit 1)\n"
    assert [m["SUMMARY"] for m in post.take()] == ["lab: lost 8100 qwen"]


def test_a_command_that_hangs_is_ended_with_what_it_started(
    lab: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlxops.unattended import notify

    monkeypatch.setattr(notify.send, "__defaults__", (0.5,))
    command = f"sleep 600 & echo $! > {lab}/pid; wait"
    ended = run(result(LOST), "status", "--check", "--notify", command)
    assert ended.code == 11 and "it ran for more than 0 s" in ended.err
    pid = int((lab / "pid").read_text())
    assert (
        not Path(f"/proc/{pid}/cmdline").exists() or not Path(f"/proc/{pid}/cmdline").read_bytes()
    )


def test_names_are_never_part_of_the_command(lab: Path) -> None:
    evil = LOST | {"entry": "$(touch pwned)`touch pwned`;touch pwned", "reason": "'\"\n\0\udc80"}
    ended = run(result(evil), "status", "--check", "--notify", "cat > got; echo $MLXOPS_SUMMARY")
    assert ended.code == 11 and not (lab / "pwned").exists()
    assert "$(touch pwned)" in (lab / "got").read_text()


def test_many_faults_fit_into_the_environment(lab: Path) -> None:
    many = [LOST | {"port": n, "reason": "x" * 3000} for n in range(2000)]
    answer = result(*many, ports=[row(n) for n in range(2000)])
    ended = run(answer, "status", "--check", "--notify", 'printf %s "$MLXOPS_JSON" > j; cat > t')
    assert ended.code == 11 and "failed" not in ended.err
    document = json.loads((lab / "j").read_text())
    assert len(document["news"]) > 0 and len(document["news"]) + document["omitted"] == 2000
    assert len((lab / "t").read_text().splitlines()) == 2000


@pytest.mark.parametrize(
    "words",
    [
        ("status", "--notify", "true"),
        ("status", "8100", "--metrics", "m"),
        ("status", "--check", "--notify", ""),
        ("reconcile", "--metrics", ""),
        ("reconcile", "--dry-run", "--notify", "true"),
        ("reconcile", "--dry-run", "--metrics", "m"),
        ("doctor", "--fix", "--dry-run", "--notify", "true"),
    ],
)
def test_wrong_usage(lab: Path, words: tuple[str, ...]) -> None:
    ended = run(result(), *words)
    assert ended.code == 2 and ended.err


def test_a_registry_that_cannot_be_read_is_sent_once(post: Post) -> None:
    broken = result(error=RegistryInvalid("not JSON", "cp a b").to_wire())
    for _ in range(2):
        run(broken, *STATUS, "--notify", post.command)
    assert [m["text"] for m in post.take()] == ["not JSON (cp a b)\n"]
