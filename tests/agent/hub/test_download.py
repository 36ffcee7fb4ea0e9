"""Downloads through the real huggingface_hub from a Hub that behaves, and from one that does
not."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from mlxops.agent.errors import (
    MlxopsError,
    ModelGated,
    ModelUnknown,
    NotDownloadable,
    NotEnoughDisk,
    Usage,
)
from mlxops.agent.hub import download as fetch
from mlxops.agent.hub.checks import check_disk, format_size
from mlxops.agent.models import cache as hfcache
from mlxops.demo.tinymodel import model_files, write_cache
from tests.support.fakehub import FakeHub
from tests.support.fetching import CUT_AFTER, LARGE, LARGE_BYTES, REPO, Fetch

NEEDED = {
    "config.json",
    "generation_config.json",
    "chat_template.jinja",
    "model.safetensors",
    LARGE,
    "model.safetensors.index.json",
    "tokenizer.json",
    "tokenizer_config.json",
}


def test_describe_names_what_a_server_needs_and_touches_nothing(fetching: Fetch) -> None:
    remote = fetching.describe()
    assert {name for name, _ in remote.files} == NEEDED
    assert (
        remote.size_bytes
        == remote.missing_bytes
        == sum(size for _, size in remote.files)
        > LARGE_BYTES
    )
    assert remote.revision == fetching.hub.commit(REPO, "main")
    assert not fetching.cache.exists()


def test_describe_brings_the_config_and_the_size_of_the_weights(fetching: Fetch) -> None:
    remote = fetching.describe()
    assert (remote.config["model_type"], remote.config["num_hidden_layers"]) == ("qwen3", 2)
    assert LARGE_BYTES < remote.weights_bytes < remote.size_bytes
    assert not fetching.cache.exists()


@pytest.mark.parametrize("size", ["7", -1, 1 << 70])
def test_a_size_that_is_none_is_refused(one_fetching: Fetch, size: object) -> None:
    one_fetching.hub.extra_files["model-9.safetensors"] = size  # type: ignore[assignment]
    with pytest.raises(NotDownloadable, match="no valid size"):
        one_fetching.describe()


@pytest.mark.parametrize("text", [b"[]", b"{" * 5000])
def test_a_config_that_is_none_tells_nothing(one_fetching: Fetch, text: bytes) -> None:
    path = next((one_fetching.hub.root).glob("*/snapshots/*/config.json"))
    path.resolve().write_bytes(text)
    assert one_fetching.describe().config == {}


def test_a_config_without_end_is_not_read_to_its_end(fetching: Fetch) -> None:
    path = next((fetching.hub.root).glob("*/snapshots/*/config.json"))
    path.resolve().write_bytes(b"{" + b" " * (64 << 20))
    with pytest.raises(NotDownloadable, match="more than"):
        fetching.describe()
    assert fetching.hub.sent < 40 << 20


def test_download_brings_a_whole_snapshot_and_nothing_else(fetching: Fetch) -> None:
    path = fetching.download()
    found = hfcache.find(str(fetching.cache.parent), REPO)
    assert found and (found.path, found.complete, found.format, found.kind) == (
        str(path),
        True,
        "mlx",
        "chat",
    )
    assert {entry.name for entry in path.iterdir()} == NEEDED
    assert fetching.hub.asked_for("README") == fetching.hub.asked_for("padding.bin") == []
    assert fetching.describe().missing_bytes == 0


@pytest.mark.slow
def test_progress_counts_the_bytes(fetching: Fetch) -> None:
    fetching.hub.faults.rate = 20 << 20
    fetching.download()
    size = fetching.describe().size_bytes
    done = [done for done, _, _ in fetching.progress]
    assert {total for _, total, _ in fetching.progress} == {size}
    assert done == sorted(done) and done[-1] == size
    assert any(LARGE_BYTES // 4 < count < LARGE_BYTES for count in done)
    assert {file for _, _, file in fetching.progress} <= NEEDED


def test_a_cut_is_resumed_where_it_happened(fetching: Fetch) -> None:
    fetching.hub.faults.cut_after, fetching.hub.faults.cuts = CUT_AFTER, 1
    assert hfcache.inspect(str(fetching.download())).complete
    ranges = [seen.range for seen in fetching.hub.asked_for("/lfs/") if seen.range]
    assert ranges and all(
        int(text.removeprefix("bytes=").split("-")[0]) >= 10 << 20 for text in ranges
    )
    assert fetching.hub.sent < LARGE_BYTES + CUT_AFTER


@pytest.mark.slow
def test_a_hub_that_answers_503_for_a_moment_is_asked_again(fetching: Fetch) -> None:
    fetching.hub.faults.refusals = 2
    remote = fetching.describe()
    fetching.hub.faults.refusals = 3
    path = fetch.download(
        fetching.python, remote, str(fetching.cache), lambda *seen: None, lambda: False
    )
    assert hfcache.inspect(path).complete


@pytest.mark.slow
def test_cuts_without_end_are_given_up_and_what_came_is_kept_out_of_sight(fetching: Fetch) -> None:
    fetching.hub.faults.cut_after, fetching.hub.faults.cuts = 0, 10_000
    with pytest.raises(NotDownloadable, match="cannot reach the Hub at http://127") as caught:
        fetching.download(tries=2)
    assert caught.value.fields["reason"] == "network"
    assert not (fetching.repo / "refs" / "main").exists()


def test_refs_main_moves_only_when_the_new_snapshot_is_whole(fetching: Fetch) -> None:
    old = write_cache(fetching.cache, REPO, model_files(["old"], seed=9))
    fetching.hub.faults.rate = 30 << 20
    during: set[str] = set()
    new = fetching.download(watch=lambda: during.add((fetching.repo / "refs" / "main").read_text()))
    assert during == {old.name}
    assert (fetching.repo / "refs" / "main").read_text() == new.name != old.name


def test_a_pinned_commit_leaves_refs_main_alone(one_fetching: Fetch) -> None:
    old = write_cache(one_fetching.cache, REPO, model_files(["old"], seed=9))
    commit = one_fetching.hub.commit(REPO, "main")
    assert one_fetching.download(revision=commit).name == commit
    assert (one_fetching.repo / "refs" / "main").read_text() == old.name


@pytest.mark.slow
def test_what_is_there_is_not_fetched_again(one_fetching: Fetch) -> None:
    path = one_fetching.download()
    (path / "config.json").unlink()
    one_fetching.hub.seen.clear()
    one_fetching.progress.clear()
    one_fetching.download()
    assert (path / "config.json").exists()
    assert one_fetching.hub.asked_for("/lfs/") == []
    assert one_fetching.progress[0][0] > 0


def test_a_blob_that_lost_its_content_is_fetched_again(fetching: Fetch) -> None:
    path = fetching.download()
    os.truncate((path / LARGE).resolve(), 0)
    assert hfcache.inspect(str(path)).missing == (LARGE,)
    assert fetching.describe().missing_bytes == LARGE_BYTES
    fetching.download()
    assert (path / LARGE).stat().st_size == LARGE_BYTES


def refused(fetching: Fetch, repo_id: str = REPO, revision: str | None = None) -> MlxopsError:
    with pytest.raises(MlxopsError) as caught:
        fetching.describe(repo_id, revision)
    assert caught.value.hint
    return caught.value


def test_unknown_repositories_and_revisions(fetching: Fetch) -> None:
    error = refused(fetching, "tiny/absent")
    assert isinstance(error, ModelUnknown) and error.fields["repo_id"] == "tiny/absent"
    error = refused(fetching, revision="absent")
    assert isinstance(error, ModelUnknown) and "absent" in error.message


@pytest.mark.parametrize(
    "word", ["qwen", "a/b/c", "../b", "a/..", "a/b c", "a/b;c", "a--b/c", "", "/", "a/é"]
)
def test_a_typo_never_reaches_the_hub(one_fetching: Fetch, word: str) -> None:
    assert isinstance(refused(one_fetching, word), Usage)
    assert one_fetching.hub.seen == []


@pytest.mark.slow
def test_no_network(fetching: Fetch, monkeypatch: pytest.MonkeyPatch, free_port: int) -> None:
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{free_port}")
    error = refused(fetching)
    assert isinstance(error, NotDownloadable) and error.fields["reason"] == "network"
    where = f"cannot reach the Hub at http://127.0.0.1:{free_port}: Connection refused"
    assert where in error.message and socket.gethostname() in error.message
    assert "endpoint under [hub]" in error.hint


def test_the_hosts_own_offline_switch_is_named(
    fetching: Fetch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    error = refused(fetching)
    assert isinstance(error, NotDownloadable) and "HF_HUB_OFFLINE" in error.message
    assert fetching.hub.seen == []


@pytest.mark.slow
def test_gated_needs_the_right_token(fetching: Fetch, monkeypatch: pytest.MonkeyPatch) -> None:
    fetching.hub.gated.add(REPO)
    assert isinstance(refused(fetching), ModelGated)
    monkeypatch.setenv("HF_TOKEN", "hf_wrong_and_secret")
    error = refused(fetching)
    assert isinstance(error, ModelGated) and "hf_wrong" not in str(error.to_wire())
    monkeypatch.setenv("HF_TOKEN", fetching.hub.token)
    assert fetching.describe().gated
    assert hfcache.inspect(str(fetching.download())).complete


@pytest.mark.parametrize("place", ["xdg/huggingface/token", "home/token", "home/hub/token"])
def test_a_login_on_the_host_is_found(one_fetching: Fetch, tmp_path: Path, place: str) -> None:
    one_fetching.hub.gated.add(REPO)
    (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / place).write_text(one_fetching.hub.token)
    assert one_fetching.describe().gated


def test_a_repository_of_another_format_is_refused(one_fetching: Fetch, fake_hub: FakeHub) -> None:
    write_cache(fake_hub.root, "tiny/gguf", {"model.gguf": b"GGUF", "config.json": b"{}"})
    error = refused(one_fetching, "tiny/gguf")
    assert isinstance(error, NotDownloadable) and "MLX" in error.message


def test_names_that_lead_out_of_the_snapshot_are_never_asked_for(
    one_fetching: Fetch, tmp_path: Path
) -> None:
    one_fetching.hub.extra_files = {
        "../../evil.json": 5,
        "/etc/evil.json": 5,
        "a/../../evil.json": 5,
    }
    one_fetching.download()
    assert one_fetching.hub.asked_for("evil") == []
    assert list(tmp_path.rglob("evil.json")) == []


def test_a_file_the_hub_lists_but_does_not_have(fetching: Fetch) -> None:
    fetching.hub.extra_files = {"vocab.json": 10}
    with pytest.raises(NotDownloadable, match="that does not exist"):
        fetching.download()
    assert not (fetching.repo / "refs" / "main").exists()


def test_a_disk_that_is_too_small_is_seen_beforehand(one_fetching: Fetch) -> None:
    remote = one_fetching.describe()
    check_disk(remote, str(one_fetching.cache), spare_bytes=0)
    with pytest.raises(NotEnoughDisk) as caught:
        check_disk(remote, str(one_fetching.cache), spare_bytes=1 << 60)
    assert (
        caught.value.fields["needed_bytes"]
        == remote.missing_bytes + (1 << 60)
        > caught.value.fields["free_bytes"]
    )
    assert f" needs {format_size(remote.missing_bytes)} and " in caught.value.message
    check_disk(remote._replace(missing_bytes=0), str(one_fetching.cache), spare_bytes=1 << 60)


def test_a_disk_that_fills_up_on_the_way(fetching: Fetch) -> None:
    limited = ("/bin/sh", "-c", 'ulimit -f 4096; exec "$0" "$@"', *fetching.python)
    remote = fetching.describe()
    with pytest.raises(NotEnoughDisk, match="is full"):
        fetch.download(limited, remote, str(fetching.cache), lambda *seen: None, lambda: False)
