"""Runtimes that a host file adds: valid rows, what the agent receives, and dangerous rows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mlxops.agent.errors import Usage
from mlxops.agent.runtimes.table import (
    Launch,
    Runtimes,
    argv,
    parse_help,
    recognise,
    with_host_rows,
)
from mlxops.agent.site import Site
from mlxops.hosts import files as hosts

HELP = Path(__file__).parents[2] / "fixtures" / "help"
LEAST = '[studio]\nhf_home = "/models"\n'
HOUSE = '[runtimes.house]\nforms = [["house-server", "serve"]]\ndefault_port = 9000\n'
WHOLE = HOUSE + (
    'modules = [["house.server"]]\nmodel = "--weights"\nserved_name = "--name"\n'
    'tool_call_parser = "--parser"\n'
    'fixed = ["--mode", "chat"]\nwanted = ["--quiet", "--unknown-here"]\n'
    'with_tool_call_parser = ["--tools"]\n'
    'worker = "house-worker"\ndistribution = "house"\n'
    'command = ["/opt/house/bin/house-server", "serve"]\n'
)


def known(folder: Path, rows: str) -> Runtimes:
    """The runtimes as the agent receives them."""
    (folder / "lab.toml").write_text(LEAST + rows)
    return Site.from_wire(
        json.loads(json.dumps(hosts.read_host(folder / "lab.toml").site))
    ).runtimes


def test_a_row_is_a_runtime_like_those_built_in(tmp_path: Path) -> None:
    house = known(tmp_path, WHOLE)["house"]
    launch = Launch(
        "/hub/m", 8100, "0.0.0.0", "jerry", tool_call_parser="hermes", args=("--threads", "4")
    )
    line = argv(
        house,
        ("house-server", "serve"),
        launch,
        parse_help((HELP / "house-server.txt").read_text()),
    )
    assert " ".join(line) == (
        "house-server serve --weights /hub/m --mode chat --port 8100 --host 0.0.0.0 --name jerry "
        "--parser hermes "
        "--tools --quiet --threads 4"
    )


@pytest.mark.parametrize(
    ("line", "port"),
    [
        ("/opt/house/bin/house-server serve --weights /hub/m --port 8100", 8100),
        ("/v/bin/python /v/bin/house-server serve --weights /hub/m --port=8100", 8100),
        ("uv run house-server serve --weights /hub/m", 9000),
        ("python3 -m house.server --weights /hub/m --port 8100", 8100),
    ],
)
def test_its_servers_are_recognised_where_its_row_is_known_and_nowhere_else(
    tmp_path: Path, line: str, port: int
) -> None:
    call = recognise(line.split(), known(tmp_path, WHOLE))
    assert call is not None
    assert (call.runtime.name, call.port, call.model) == ("house", port, "/hub/m")
    assert recognise(line.split(), with_host_rows({})) is None


@pytest.mark.parametrize(
    "line",
    [
        "house-server bench --port 8100",
        "house-server serve --help",
        "tail -f house-server serve --port 8100",
        "python3 -m house.client --port 8100",
    ],
)
def test_what_only_looks_like_it_is_none(tmp_path: Path, line: str) -> None:
    assert recognise(line.split(), known(tmp_path, WHOLE)) is None


def test_the_model_may_follow_the_program_without_a_flag(tmp_path: Path) -> None:
    rows = known(tmp_path, HOUSE)
    launch = Launch("/hub/m", 8100, "::", "jerry")
    line = argv(rows["house"], ("house-server", "serve"), launch, {})
    assert line == ("house-server", "serve", "/hub/m", "--port", "8100", "--host", "::")
    call = recognise(line, rows)
    assert call is not None
    assert call.model == "/hub/m"


@pytest.mark.parametrize(
    ("row", "key"),
    [
        ("", "house.forms"),
        ("default_port = 1\n", "house.forms"),
        ('forms = [["house"]]\n', "house.default_port"),
        ('default_port = 1\nmodules = [["house"]]\n', "house.forms"),
        ("default_port = 1\nforms = []\n", "house.forms"),
        ("default_port = 1\nforms = [[]]\n", "house.forms"),
        ('default_port = 1\nforms = ["house"]\n', "house.forms"),
        *(
            (f"default_port = 1\nforms = {forms}\n", "house.forms")
            for forms in (
                '[["python"]]',
                '[["Python3.12", "serve.py"]]',
                '[["sh", "serve.sh"]]',
                '[["uv", "run", "house"]]',
                '[["/opt/house"]]',
                '[["--port"]]',
                '[["node", "server.js"]]',
                '[["uvicorn"]]',
                '[["house", "--serve"]]',
                '[["mlx_lm.server"]]',
                '[["mlx_lm"]]',
                '[["mlx-openai-server", "launch", "x"]]',
                '[["vllm"]]',
                '[["house"], ["house", "serve"]]',
                '[["env", "A=1", "house"]]',
                '[["sudo", "house"]]',
                '[["torchrun"]]',
                '[[""]]',
            )
        ),
        *(
            (f'default_port = 1\ncommand = ["/x"]\nmodules = {modules}\n', "house.modules")
            for modules in (
                '[["http.server"]]',
                '[["runpy"]]',
                '[["pip"]]',
                '[["uvicorn"]]',
                '[["mlx_lm", "server"]]',
            )
        ),
        (HOUSE[16:] + 'model = "weights"\n', "house.model"),
        (HOUSE[16:] + 'model = "--port"\n', "house.model"),
        (HOUSE[16:] + 'model = "--model"\nserved_name = "--model"\n', "house.model"),
        (HOUSE[16:] + 'served_name = "--a b"\n', "house.served_name"),
        (HOUSE[16:] + 'worker = "py"\n', "house.worker"),
        (HOUSE[16:] + 'listens_early = "yes"\n', "house.listens_early"),
        (HOUSE[16:] + 'modle = "--model"\n', "house.modle"),
    ],
)
def test_a_row_that_says_too_little_or_would_make_strangers_ours_is_refused(
    tmp_path: Path, row: str, key: str
) -> None:
    with pytest.raises(Usage) as refused:
        known(tmp_path, f"[runtimes.house]\n{row}")
    assert refused.value.fields["key"] == f"runtimes.{key}"
    assert refused.value.hint


@pytest.mark.parametrize(
    "rows",
    [
        '[runtimes."a b"]\nforms = [["x"]]\ndefault_port = 1\n',
        '[runtimes.vllm]\ncommand = ["/x"]\nmodel = "--model"\n',
        "[runtimes.vllm]\n",
        HOUSE + '[runtimes.other]\nforms = [["house-server"]]\ndefault_port = 1\n',
    ],
)
def test_names_and_rows_must_not_collide(tmp_path: Path, rows: str) -> None:
    with pytest.raises(Usage):
        known(tmp_path, rows)
