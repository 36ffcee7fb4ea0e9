"""What doctor --fix does, and what it leaves alone."""

from __future__ import annotations

from pathlib import Path

from mlxops.agent.doctor.finding import Fix
from mlxops.agent.doctor.fix import apply_fix
from mlxops.agent.registry.lock import FileLock
from tests.support.healthy import Healthy, aged, host, without, write

__all__ = ["host"]


def leave(host: Healthy) -> tuple[list[Path], list[Path]]:
    """Leftovers that can go, and things beside them that must stay."""
    jobs, blobs = host.state / "jobs", next(host.hub.glob("models--*/blobs"))
    locks = host.hub / ".locks" / blobs.parent.name
    locks.mkdir(parents=True)
    gone = [
        host.hub / "registry.json.tmp",
        host.state / "help" / "x.txt.tmp",
        host.state / "agent" / ".7-ab",
    ]
    (host.state / "authorized").mkdir(mode=0o700)
    gone += [host.state / "authorized" / "ab12.7f"]
    gone += [blobs / "etag.12345678.incomplete", jobs / "20200101T000000-8100-1.jsonl"]
    stay = [blobs / "etag.incomplete", blobs / "held.12345678.incomplete", host.hub / "other.tmp"]
    stay += [jobs / f"20260101T0000{n:02}-8100-1.jsonl" for n in range(50)]
    for path in (*gone, *stay):
        path.mkdir() if path.name.startswith(".") else write(path)
        aged(path)
    return gone, [*stay, host.registry]


def test_leftovers_are_told_and_those_nobody_needs_can_be_removed(host: Healthy) -> None:
    gone, stay = leave(host)
    held = FileLock(str(host.hub / ".locks" / stay[0].parent.parent.name / "held.lock"))
    held.acquire({}, 0)
    assert host.troubles() == [("leftovers", "warning")] * 4
    plan = host.doctor(fix=True, dry_run=True)["actions"]
    assert {Path(action["path"]) for action in plan} == set(gone)
    assert not any(action["applied"] for action in plan) and all(path.exists() for path in gone)
    assert host.troubles(fix=True) == [("leftovers", "warning")]
    assert "etag.incomplete" in host.row("leftovers", "warning")["seen"]
    assert not any(path.exists() for path in gone) and all(path.exists() for path in stay)
    held.release()


def test_what_was_written_just_now_is_no_leftover(host: Healthy) -> None:
    write(host.hub / "registry.json.tmp")
    write(next(host.hub.glob("models--*/blobs")) / "etag.12345678.incomplete")
    assert host.troubles() == []


def test_fix_gives_our_folders_their_modes_and_makes_missing_ones(host: Healthy) -> None:
    (host.state / "logs").chmod(0o775)
    (host.state / "jobs").rmdir()
    assert [row["verdict"] for row in host.rows("state folder")] == ["wrong", "ok"]
    done = host.doctor(fix=True)
    assert [
        (a["action"], Path(a["path"]).name, a["applied"], a["error"]) for a in done["actions"]
    ] == [
        ("chmod", "logs", True, None),
        ("mkdir", "jobs", True, None),
    ]
    assert [row["verdict"] for row in done["checks"] if row["check"] == "state folder"] == ["ok"]
    assert {(host.state / name).stat().st_mode & 0o777 for name in ("logs", "jobs")} == {0o700}


def test_a_folder_that_others_use_too_is_not_closed(host: Healthy) -> None:
    host.site["state_dir"] = str(host.folder)
    host.folder.chmod(0o755)
    assert host.row("state folder", "warning")["mend"].startswith("set state_dir")
    host.doctor(fix=True)
    assert host.folder.stat().st_mode & 0o777 == 0o755


def test_a_fix_goes_through_no_link_and_says_why_it_failed(host: Healthy) -> None:
    link = host.state / "jobs"
    without(link)
    link.symlink_to(host.hub)
    assert host.row("state folder", "wrong")["mend"].startswith("on the host: mv ")
    mode = host.hub.stat().st_mode
    for fix in (
        Fix("chmod", str(link), "by hand"),
        Fix("remove", str(link / "nonesuch"), "by hand"),
    ):
        done = apply_fix(fix, dry=False)
        assert not done["applied"] and done["error"], done
    assert host.hub.stat().st_mode == mode
