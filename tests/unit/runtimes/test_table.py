"""Which processes are model servers, what their command lines say, and what an installed version
accepts."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlxops.agent.errors import Usage
from mlxops.agent.runtimes.table import (
    RUNTIMES,
    Launch,
    argv,
    is_worker,
    parse_help,
    recognise,
    require_runtime,
)

HELP = Path(__file__).parents[2] / "fixtures" / "help"
OPENAI, LIGHT = RUNTIMES["mlx-openai-server"], RUNTIMES["mlx_lm.server"]
OPENAI_HELP = parse_help((HELP / "mlx-openai-server-1.8.1.txt").read_text())
LIGHT_HELP = parse_help((HELP / "mlx_lm.server-0.32.2.txt").read_text())
BREW = (
    "/opt/homebrew/Cellar/python@3.12/3.12.7/Frameworks/Python.framework/Versions/3.12/"
    "Resources/Python.app"
)
FRAMEWORK = BREW + "/Contents/MacOS/Python"
SERVE = "launch --model-path /hub/m --port 8100 --served-model-name jerry-xl"
LAUNCH = Launch("/hub/m", 8100, "0.0.0.0", "jerry-xl")

SERVERS = {
    "openai script": ("mlx-openai-server", f"/opt/mlx-launch/.venv/bin/mlx-openai-server {SERVE}"),
    "openai under its python": (
        "mlx-openai-server",
        f"/v/bin/python3.12 /v/bin/mlx-openai-server {SERVE}",
    ),
    "openai under framework Python": (
        "mlx-openai-server",
        f"{FRAMEWORK} /v/bin/mlx-openai-server {SERVE}",
    ),
    "python options": (
        "mlx-openai-server",
        f"python3 -u -X dev -W ignore /v/bin/mlx-openai-server {SERVE}",
    ),
    "uv": ("mlx-openai-server", f"uv run --project /opt/mlx-launch mlx-openai-server {SERVE}"),
    "homebrew's uv": (
        "mlx-openai-server",
        f"/opt/homebrew/bin/uv run --project /p mlx-openai-server {SERVE}",
    ),
    "uv options before run": (
        "mlx-openai-server",
        f"uv --project /p run mlx-openai-server {SERVE}",
    ),
    "uv options with values": (
        "mlx-openai-server",
        f"uv run --frozen --with x --python 3.12 mlx-openai-server {SERVE}",
    ),
    "uv and python": ("mlx-openai-server", f"uv run python /v/bin/mlx-openai-server {SERVE}"),
    "light script": ("mlx_lm.server", "/v/bin/mlx_lm.server --model /hub/m --port 8100"),
    "light under its python": (
        "mlx_lm.server",
        "/v/bin/python /v/bin/mlx_lm.server --model /hub/m --port 8100",
    ),
    "light module": ("mlx_lm.server", "python3 -m mlx_lm.server --model /hub/m --port 8100"),
    "light module of the new form": (
        "mlx_lm.server",
        "python3 -m mlx_lm server --model /hub/m --port 8100",
    ),
    "light module with options": (
        "mlx_lm.server",
        f"{FRAMEWORK} -I -W ignore -m mlx_lm.server --port=8100",
    ),
    "light subcommand": ("mlx_lm.server", "/v/bin/mlx_lm server --model /hub/m --port 8100"),
    "light module in uv": (
        "mlx_lm.server",
        "uv run --extra cpu python -m mlx_lm.server --port 8100",
    ),
    "a rank of mlx.launch": (
        "mlx_lm.server",
        "/v/bin/python /v/bin/mlx_lm.server --model P --port 8100 --pipeline",
    ),
}


@pytest.mark.parametrize(("runtime", "line"), SERVERS.values(), ids=SERVERS.keys())
def test_servers_are_recognised_however_they_were_started(runtime: str, line: str):
    call = recognise(line.split(), RUNTIMES)
    assert call is not None
    assert (call.runtime.name, call.port) == (runtime, 8100)


LOOK_ALIKES = [
    f"tail -f /logs/mlx-openai-server {SERVE}",
    "rg mlx_lm.server --port 8100",
    "grep -r mlx-openai-server launch --port 8100",
    "vim /v/bin/mlx_lm.server --port 8100",
    "less mlx_lm.server",
    f"ssh studio mlx-openai-server {SERVE}",
    f"zsh -c mlx-openai-server {SERVE}",
    "/bin/sh -c GATE mlxops-gate /v/bin/mlx_lm.server --model m --port 8100",
    "python3 -I -S -c import(sys) mlx_lm.server --port 8100",
    "python3 -c mlx_lm.server --port 8100",
    "python3 -c code -m mlx_lm.server --port 8100",
    "python3 -Ic code/mlx_lm.server mlx_lm.server --port 8100",
    "python3 -uBc /mlx_lm.server --port 8100",
    "python3 -cpass mlx_lm.server --port 8100",
    "python3 -mpdb mlx_lm.server --port 8100",
    "python3 - mlx_lm.server --port 8100",
    "python3 -Im http.server mlx_lm.server --port 8100",
    "python3 -m pdb mlx_lm.server --port 8100",
    "python3 -m mlx_lm.generate --port 8100",
    "python3 -m mlx_lm.server_tools --port 8100",
    "python3 -m mlx_lm convert --port 8100",
    "python3 bench.py -m mlx_lm.server --port 8100",
    "python3 bench.py mlx_lm.server --port 8100",
    "python3 /v/bin/mlx_lm.server.bak --port 8100",
    "python3",
    "python3 -u",
    "uv run pytest mlx_lm.server --port 8100",
    "uv pip install mlx_lm.server",
    "uv run",
    "uv",
    "mlx_lm.generate --model m",
    "mlx-openai-server --version",
    "mlx-openai-server",
    "my-mlx_lm.server --port 8100",
    "mlx.launch -n 2 --hosts 127.0.0.1 -- mlx_lm.server --model P --port 8100",
    "mlxops load jerry-xl 8100",
    "",
]


@pytest.mark.parametrize("line", LOOK_ALIKES)
def test_what_only_mentions_a_server_is_none(line: str):
    assert recognise(line.split(), RUNTIMES) is None


WORDS = (
    "mlx_lm.server mlx_lm mlx-openai-server launch server python3 uv run -m -c -u "
    "--port --port= --model 8100 ² -- /x/"
)
words = st.sampled_from(WORDS.split()) | st.text(max_size=6)


@given(st.lists(words, max_size=8))
def test_no_command_line_of_any_user_can_break_recognition(line: list[str]):
    call = recognise(line, RUNTIMES)
    assert call is None or isinstance(call.port, int)


@pytest.mark.parametrize(
    ("flags", "port"),
    [
        ("--port 8100", 8100),
        ("--port=8100", 8100),
        ("--port 8100 --port 8101", 8101),
        ("", 8080),
        ("--port", 8080),
        ("--port --model x", 8080),
        ("--port x", 8080),
        ("--port ²", 8080),
        (f"--port {'9' * 5000}", 8080),
    ],
)
def test_the_port_is_the_one_the_server_uses(flags: str, port: int):
    call = recognise(["mlx_lm.server", *flags.split()], RUNTIMES)
    assert call is not None
    assert call.port == port


def test_the_command_line_tells_model_and_name():
    call = recognise(SERVERS["openai script"][1].split(), RUNTIMES)
    light = recognise(SERVERS["light script"][1].split(), RUNTIMES)
    assert call is not None
    assert light is not None
    assert (call.model, call.served_name) == ("/hub/m", "jerry-xl")
    assert (light.model, light.served_name) == ("/hub/m", None)


WORKER = (
    "/v/bin/python -c from multiprocessing.spawn import spawn_main; "
    "spawn_main(tracker_fd=5) --multiprocessing-fork"
)
TRACKER = "/v/bin/python -c from multiprocessing.resource_tracker import main;main(4)"


@pytest.mark.parametrize(
    ("line", "worker"), [(WORKER, True), (TRACKER, True), ("python x.py", False), ("", False)]
)
def test_workers_name_neither_port_nor_model_and_are_known_all_the_same(line: str, worker: bool):
    assert is_worker(line.split(), RUNTIMES) is worker
    assert recognise(line.split(), RUNTIMES) is None


def test_the_real_help_of_mlx_openai_server_is_read_with_its_choices():
    assert {
        "--model-path",
        "--port",
        "--host",
        "--no-log-file",
        "--served-model-name",
    } <= OPENAI_HELP.keys()
    assert OPENAI_HELP["--model-type"][0] == "lm"
    assert set(OPENAI_HELP["--tool-call-parser"]) > {
        "harmony",
        "qwen3_moe",
        "step_35",
        "functiongemma",
    }
    assert "qwen3_5" in OPENAI_HELP["--reasoning-parser"]
    assert "qwen3_5" not in OPENAI_HELP["--tool-call-parser"]
    assert OPENAI_HELP["--repetition-context-size"] == ()
    assert len(OPENAI_HELP) == (HELP / "mlx-openai-server-1.8.1.txt").read_text().count("\n  --")


def test_the_real_help_of_mlx_lm_server_is_read_with_its_choices():
    assert {"--model", "--port", "--host", "--chat-template"} <= LIGHT_HELP.keys()
    assert LIGHT_HELP["--log-level"] == ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
    assert "--served-model-name" not in LIGHT_HELP


@pytest.mark.parametrize(
    ("text", "flags"),
    [
        ("", {}),
        ("no flags -- none", {}),
        ("  --a [x|y]  text", {"--a": ("x", "y")}),
        ("  --a {x,y}  text", {"--a": ("x", "y")}),
        ("  --a=[x|y]\n      as --a says", {"--a": ("x", "y")}),
        ("  -s, --long TEXT", {"--long": ()}),
        ("  --on / --off  both", {"--on": (), "--off": ()}),
        ("  x--a y---b", {}),
    ],
)
def test_help_texts_of_click_and_argparse(text: str, flags: dict[str, tuple[str, ...]]):
    assert parse_help(text) == flags


def test_the_whole_command_line_of_mlx_openai_server():
    full = LAUNCH._replace(
        chat_template="/t",
        tool_call_parser="hermes",
        reasoning_parser="qwen3",
        args=("--seed", "7"),
    )
    assert " ".join(argv(OPENAI, ("/v/mlx-openai-server", "launch"), full, OPENAI_HELP)) == (
        "/v/mlx-openai-server launch --model-path /hub/m --model-type lm --port 8100 --host "
        "0.0.0.0 "
        "--served-model-name jerry-xl --chat-template-file /t --tool-call-parser hermes "
        "--reasoning-parser qwen3 "
        "--no-log-file --seed 7"
    )


def test_the_whole_command_line_of_mlx_lm_server_takes_the_template_itself():
    full = LAUNCH._replace(chat_template="/t", tool_call_parser="hermes")
    assert argv(LIGHT, ("mlx_lm.server",), full, LIGHT_HELP, template="{{ x }}") == (
        *("mlx_lm.server", "--model", "/hub/m", "--port", "8100", "--host", "0.0.0.0"),
        *("--chat-template", "{{ x }}"),
    )


def test_an_old_version_gets_no_flag_it_does_not_list():
    old = {"--model-path": (), "--port": (), "--host": (), "--model-type": ()}
    line = "s launch --model-path /hub/m --model-type lm --port 8100 --host 0.0.0.0"
    assert " ".join(argv(OPENAI, ("s", "launch"), LAUNCH, old)) == line


@pytest.mark.parametrize(
    "launch",
    [
        LAUNCH,
        LAUNCH._replace(chat_template="/t", tool_call_parser="harmony", reasoning_parser="harmony"),
        LAUNCH._replace(args=("--seed", "7", "--top-p=0.5", "--debug")),
    ],
)
def test_what_we_start_we_recognise(launch: Launch):
    call = recognise(argv(OPENAI, OPENAI.forms[0], launch, OPENAI_HELP), RUNTIMES)
    assert call is not None
    assert (call.runtime.name, call.port, call.model, call.served_name) == (
        OPENAI.name,
        8100,
        "/hub/m",
        "jerry-xl",
    )


def test_an_unknown_runtime_is_named_with_the_known_ones():
    assert require_runtime("mlx_lm.server", RUNTIMES) is LIGHT
    with pytest.raises(Usage) as refused_name:
        require_runtime("ollama", RUNTIMES)
    assert all(name in refused_name.value.hint for name in RUNTIMES)
