"""Host files: which keys and values are valid, how others are refused, and which file is used."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mlxops.agent.errors import Usage
from mlxops.agent.site import Site
from mlxops.hosts import files as hosts

LEAST = '[studio]\nhf_home = "/models"\n'
SHIPPED = Path(__file__).parents[3] / "hosts" / "studio.toml"


def written(folder: Path, text: str, name: str = "lab") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.toml"
    path.write_text(text)
    return path


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


def test_the_shipped_file_describes_the_real_machine() -> None:
    host = hosts.read_host(SHIPPED)
    assert (host.name, host.transport, host.ssh.host, host.ssh.user) == (
        "studio",
        "ssh",
        "studio",
        "thestudio",
    )
    assert host.site["registry"] == "/Users/thestudio/models/hf/hub/registry.json"
    assert host.site["bind"] == "0.0.0.0"
    assert host.site["ports"] == list(range(8100, 8110)) == sorted(map(int, host.site["slots"]))
    planned = {slot["name"]: slot["model"] for slot in host.site["slots"].values() if slot["model"]}
    assert planned == {
        "jerry-xl": "mlx-community/Qwen3-235B-A22B-Instruct-2507-6bit",
        "jerry-l": "halley-ai/gpt-oss-120b-MLX-6bit-gs64",
        "jerry-m": "mlx-community/DeepSeek-R1-Distill-Llama-70B-8bit",
        "jerry-s": "mlx-community/Qwen2.5-Coder-32B-Instruct-8bit",
    }
    assert all(slot["served_name"] == slot["name"] for slot in host.site["slots"].values())


def test_every_key_is_documented_in_the_shipped_file() -> None:
    text = SHIPPED.read_text()
    for key in set(re.findall(r'take\("(\w+)"', Path(hosts.__file__).read_text())) - {"host"}:
        assert any(
            line.lstrip("# ").startswith((f"{key} ", f"{key}:")) for line in text.splitlines()
        ), key


def test_the_agent_reads_what_a_host_file_says(tmp_path: Path) -> None:
    text = LEAST + (
        '[runtimes."mlx_lm.server"]\ncommand = ["/opt/lm"]\n[slots.8101]\nname = "b"\n'
        'served_name = "x"\n'
    )
    site = Site.from_wire(hosts.read_host(written(tmp_path, text)).site)
    assert site.commands == {"mlx_lm.server": ("/opt/lm",)}
    assert (site.name, site.served_name(8101, "no"), site.grace_s) == ("lab", "x", 60.0)


def test_what_is_left_out_has_a_default(tmp_path: Path) -> None:
    host = hosts.read_host(written(tmp_path, LEAST))
    assert host.ssh == hosts.Ssh(host="lab")
    assert host.python is None
    assert host.site == {
        "name": "lab",
        "hf_home": "/models",
        "model_dirs": [],
        "registry": "/models/hub/registry.json",
        "ports": list(range(8100, 8110)),
        "bind": "127.0.0.1",
        "state_dir": "~/.mlxops",
        "hub_python": None,
        "hub": {"endpoint": None, "token_file": None, "offline": False},
        "templates": None,
        "runtime": {
            "name": "mlx-openai-server",
            "command": None,
            "env": {},
            "startup_timeout_s": None,
            "grace_s": 60.0,
        },
        "runtimes": {},
        "slots": {},
    }


@pytest.mark.parametrize(
    ("dirs", "meant"),
    [
        ('["~/.lmstudio/models/", "/Volumes/T 7"]', ["~/.lmstudio/models", "/Volumes/T 7"]),
        ('["/a", "/a/"]', ["/a"]),
        ('["models"]', None),
        ('"/models"', None),
        ("[7]", None),
        (str([f"/{n}" for n in range(33)]), None),
    ],
)
def test_folders_of_models(tmp_path: Path, dirs: str, meant: list[str] | None) -> None:
    text = LEAST.replace("[studio]", f"[studio]\nmodel_dirs = {dirs}")
    if meant is not None:
        assert hosts.read_host(written(tmp_path, text)).site["model_dirs"] == meant
        return
    with pytest.raises(Usage) as raised:
        hosts.read_host(written(tmp_path, text))
    assert "studio.model_dirs must" in raised.value.message


@pytest.mark.parametrize(
    ("ports", "meant"),
    [
        ('"8100-8102"', [8100, 8101, 8102]),
        ("[9001, 9000, 9001]", [9000, 9001]),
        ('"8100-8100"', [8100]),
    ],
)
def test_ports_are_a_range_or_a_list(tmp_path: Path, ports: str, meant: list[int]) -> None:
    assert hosts.read_host(written(tmp_path, f"{LEAST}ports = {ports}\n")).site["ports"] == meant


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("", "studio.hf_home"),
        ('[studio]\nhf_home = "models"\n', "studio.hf_home"),
        ("[studio]\nhf_home = 3\n", "studio.hf_home"),
        ('transport = "telnet"\n' + LEAST, "transport"),
        ('transpot = "ssh"\n' + LEAST, "transpot"),
        ("ssh = 3\n" + LEAST, "ssh"),
        (LEAST + "prots = 3\n", "studio.prots"),
        (LEAST + '[hub]\nendpoint = "hub.example.org"\n', "hub.endpoint"),
        (LEAST + '[hub]\nendpiont = "https://hub.example.org"\n', "hub.endpiont"),
        (LEAST + '[hub]\ntoken_file = "token"\n', "hub.token_file"),
        (LEAST + '[hub]\noffline = "yes"\n', "hub.offline"),
        (LEAST + "[hub]\noffline = 1\n", "hub.offline"),
        (LEAST + "hub = 3\n", "studio.hub"),
        ("hub = 3\n" + LEAST, "hub"),
        (LEAST + '[runtime]\napi_key_env = "sk-local-123"\n', "runtime.api_key_env"),
        (LEAST + '[runtime]\napi_key_file = "key"\n', "runtime.api_key_file"),
        (LEAST + '[runtime]\napi_key = "sk-local-123"\n', "runtime.api_key"),
        (
            LEAST + '[runtime]\napi_key_env = "A"\napi_key_file = "~/key"\n',
            "runtime.api_key_env",
        ),
        (
            LEAST + '[runtime]\ncommand = ["/bin/vllm", "--api-key", "sk-1"]\n',
            "runtime.command",
        ),
        (
            LEAST + '[slots.8100]\nname = "a"\napi_key_file = 3\n',
            "slots.8100.api_key_file",
        ),
        (
            LEAST + 'hub_endpoint = "http://a"\n[hub]\nendpoint = "http://b"\n',
            "hub.endpoint",
        ),
        (LEAST + 'ports = "8100"\n', "studio.ports"),
        (LEAST + 'ports = "8109-8100"\n', "studio.ports"),
        (LEAST + 'ports = "1-65535"\n', "studio.ports"),
        (LEAST + "ports = [true]\n", "studio.ports"),
        (LEAST + "ports = [0]\n", "studio.ports"),
        (LEAST + "ports = [70000]\n", "studio.ports"),
        (LEAST + "ports = []\n", "studio.ports"),
        (LEAST + "ports = 8100\n", "studio.ports"),
        (LEAST + 'state_dir = "state"\n', "studio.state_dir"),
        (LEAST + 'python = ""\n', "studio.python"),
        (LEAST + 'python = "hosts/own.sh"\n', "studio.python"),
        (LEAST + 'python = "./python3"\n', "studio.python"),
        (LEAST + '[runtime]\ncommand = ["hosts/own.sh", "serve"]\n', "runtime.command"),
        (LEAST + '[runtimes.vllm]\ncommand = ["./vllm"]\n', "runtimes.vllm.command"),
        (LEAST + '[ssh]\nidentity_file = "hosts/key"\n', "ssh.identity_file"),
        (LEAST + '[ssh]\nknown_hosts_file = "hosts/known"\n', "ssh.known_hosts_file"),
        (LEAST + 'templates = "templates"\n', "studio.templates"),
        (LEAST + 'python = "a\\nb"\n', "studio.python"),
        (LEAST + '[ssh]\nhost = "-oProxyCommand=x"\n', "ssh.host"),
        (LEAST + '[ssh]\nuser = "a b"\n', "ssh.user"),
        (LEAST + '[ssh]\nport = "22"\n', "ssh.port"),
        (LEAST + "[ssh]\nconnect_timeout_s = 0\n", "ssh.connect_timeout_s"),
        (LEAST + "[ssh]\nconnect_timeout_s = inf\n", "ssh.connect_timeout_s"),
        (LEAST + "[ssh]\nconnect_timeout_s = 1e300\n", "ssh.connect_timeout_s"),
        (LEAST + "[ssh]\nconnect_timeout_s = true\n", "ssh.connect_timeout_s"),
        (LEAST + '[runtime]\ncommand = "one two"\n', "runtime.command"),
        (LEAST + "[runtime]\ncommand = []\n", "runtime.command"),
        (LEAST + "[runtime]\nenv = {A = 1}\n", "runtime.env"),
        (LEAST + '[runtime]\nenv = {"A=B" = "1"}\n', "runtime.env"),
        (LEAST + "[runtime]\ngrace_s = -1\n", "runtime.grace_s"),
        (LEAST + "[runtimes.vllm]\n", "runtimes.vllm.command"),
        (LEAST + '[runtimes.vllm]\ncommand = ["x"]\nenv = {}\n', "runtimes.vllm.env"),
        (LEAST + "[slots.8100]\n", "slots.8100.name"),
        (LEAST + '[slots.9000]\nname = "a"\n', "slots.9000"),
        (LEAST + '[slots.first]\nname = "a"\n', "slots.first"),
        (LEAST + '[slots.8100]\nname = "8101"\n', "slots.8100.name"),
        (LEAST + '[slots.8100]\nname = "a"\nmodle = "b"\n', "slots.8100.modle"),
        (LEAST + '[slots.8100]\nname = "a"\n[slots.8101]\nname = "a"\n', "slots.8101.name"),
    ],
)
def test_a_wrong_or_unknown_key_is_named_with_its_file(tmp_path: Path, text: str, key: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(Usage) as caught:
        hosts.read_host(path)
    assert caught.value.fields == {"file": str(path), "key": key}
    assert str(path) in caught.value.message
    assert key in caught.value.message
    assert caught.value.hint


def test_a_near_miss_is_told(tmp_path: Path) -> None:
    with pytest.raises(Usage) as caught:
        hosts.read_host(written(tmp_path, LEAST + "prots = 3\n"))
    assert caught.value.hint == "did you mean ports?"


def test_a_misspelt_key_of_the_hub_has_a_suggestion(tmp_path: Path) -> None:
    with pytest.raises(Usage) as caught:
        hosts.read_host(written(tmp_path, LEAST + '[hub]\ntoken_fiel = "~/token"\n'))
    assert caught.value.hint == "did you mean token_file?"


def test_the_earlier_name_of_the_endpoint_still_counts(tmp_path: Path) -> None:
    host = hosts.read_host(written(tmp_path, LEAST + 'hub_endpoint = "http://hub.lan/"\n'))
    assert host.site["hub"]["endpoint"] == "http://hub.lan"


@pytest.mark.parametrize("content", [b"transport = ", b"\xff\xfe", b"a = 1\na = 2\n"])
def test_a_file_that_is_not_toml_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.toml"
    path.write_bytes(content)
    with pytest.raises(Usage) as caught:
        hosts.read_host(path)
    assert caught.value.fields["file"] == str(path)


def test_home_is_expanded_for_paths_of_this_machine_only(tmp_path: Path) -> None:
    text = LEAST + '[ssh]\nidentity_file = "~/.ssh/lab"\n'
    host = hosts.read_host(written(tmp_path, text))
    assert host.ssh.identity_file == str(tmp_path / "home" / ".ssh" / "lab")
    assert host.site["state_dir"] == "~/.mlxops"


def test_local_changes_the_way_there_and_nothing_else(tmp_path: Path) -> None:
    host = hosts.read_host(written(tmp_path, LEAST))
    assert host.local().transport == "local"
    assert host.local().site == host.site


@pytest.mark.parametrize(("word", "port"), [("8100", 8100), ("jerry", 8101), ("8101", 8101)])
def test_a_port_goes_by_number_or_by_its_slot(tmp_path: Path, word: str, port: int) -> None:
    host = hosts.read_host(written(tmp_path, LEAST + '[slots.8101]\nname = "jerry"\n'))
    assert host.port(word) == port


@pytest.mark.parametrize("word", ["8099", "nobody", "", "-1", "81_00"])
def test_any_other_word_is_no_slot(tmp_path: Path, word: str) -> None:
    host = hosts.read_host(written(tmp_path, LEAST + '[slots.8101]\nname = "jerry"\n'))
    with pytest.raises(Usage) as caught:
        host.port(word)
    assert caught.value.hint == "ports: 8100-8109; slots: jerry"


def test_a_number_is_a_port_here_and_what_a_name_means_the_host_knows(tmp_path: Path) -> None:
    host = hosts.read_host(written(tmp_path, LEAST + '[slots.8101]\nname = "jerry"\n'))
    assert [host.port_word(word) for word in ("8100", "jerry", "coder")] == [8100, "jerry", "coder"]
    for word in ("8099", "", " ", "-1", "99999999", "x" * 1000):
        with pytest.raises(Usage):
            host.port_word(word)
