"""The environment of a runtime: its packages, and the models that its mlx-lm can build."""

from __future__ import annotations

from pathlib import Path

import mlx_lm
import pytest

from mlxops.agent.errors import Failed
from mlxops.agent.models.options import choose_options
from mlxops.agent.programs import find as programs
from mlxops.agent.programs.environment import has_package, model_types, site_packages
from mlxops.agent.programs.installed import Installed
from mlxops.agent.registry.entries import REQUIRED, Entry
from mlxops.agent.runtimes.table import RUNTIMES
from mlxops.agent.site import Site

REAL = str(Path(mlx_lm.__file__).parent.parent)
SITE = Site.from_wire(
    {
        "name": "lab",
        "hf_home": "/none",
        "registry": "/none/r.json",
        "ports": [8100],
        "bind": "",
        "state_dir": "/none",
        "runtime": {"name": "mlx_lm.server", "grace_s": 1},
    }
)


def test_the_environment_of_a_script_is_found_by_its_interpreter(tmp_path: Path) -> None:
    folder = tmp_path / "env/lib/python3.11/site-packages"
    (folder / "mlx_vlm").mkdir(parents=True)
    program = tmp_path / "server"
    program.write_text(f"#!{tmp_path}/env/bin/python\n")
    assert next(site_packages([str(program)])) == str(folder)
    assert has_package("mlx_vlm", site_packages([str(program)])) and not has_package(
        "mlx_lm", site_packages([str(program)])
    )
    assert not has_package("mlx_vlm", [])


def test_the_real_mlx_lm_tells_what_it_can_build() -> None:
    known = model_types([REAL])
    assert known and {"qwen3_moe", "gpt_oss", "mistral", "kimi_k2"} <= known
    assert "novelty" not in known


@pytest.mark.parametrize("utils", [None, "", "MODEL_REMAPPING = build()"])
def test_an_mlx_lm_of_another_shape_is_not_asked(tmp_path: Path, utils: str | None) -> None:
    assert model_types([str(tmp_path)]) is None
    (tmp_path / "mlx_lm/models").mkdir(parents=True)
    if utils is not None:
        (tmp_path / "mlx_lm/utils.py").write_text(utils)
    assert model_types([str(tmp_path)]) is None


@pytest.mark.parametrize(
    ("config", "args", "built"),
    [
        ('{"model_type": "novelty"}', [], False),
        ("{}", [], False),
        ('{"model_type": "novelty", "model_file": "own.py"}', ["--trust-remote-code"], True),
        ('{"model_type": "novelty"}', ["--model-type", "multimodal"], True),
        ('{"model_type": "mistral"}', [], True),
    ],
)
def test_what_it_cannot_build_is_refused_before_anything_is_touched(
    tmp_path: Path, config: str, args: list[str], built: bool
) -> None:
    (tmp_path / "config.json").write_text(config)
    entry = Entry("a", {**REQUIRED, "cache_path": str(tmp_path), "args": args})
    there = Installed(RUNTIMES["mlx_lm.server"], {}, (REAL,))
    if built:
        assert choose_options(SITE, entry, there).entry == entry
        return
    with pytest.raises(
        Failed, match=r"cannot build a model (of type novelty|whose config.json has no)"
    ):
        choose_options(SITE, entry, there)
    assert choose_options(SITE, entry, there._replace(runtime=RUNTIMES["vllm"])).entry == entry
    assert choose_options(SITE, entry, there._replace(packages=())).entry == entry
    assert choose_options(SITE, entry, there, force=True).entry == entry


@pytest.mark.parametrize(
    ("modes", "package", "hint"),
    [
        (("lm",), False, "use a runtime that serves images"),
        (("lm", "multimodal"), False, "install mlx-vlm in "),
        (("lm", "multimodal"), True, "mlxops set a 'args=--model-type multimodal'"),
    ],
)
def test_a_vision_model_that_mlx_lm_cannot_build(
    tmp_path: Path, modes: tuple[str, ...], package: bool, hint: str
) -> None:
    (tmp_path / "mlx_lm/models").mkdir(parents=True)
    (tmp_path / "mlx_lm/utils.py").write_text("MODEL_REMAPPING = {\n}\n")
    if package:
        (tmp_path / "mlx_vlm").mkdir()
    (tmp_path / "config.json").write_text('{"model_type": "minicpmv", "vision_config": {}}')
    entry = Entry("a", {**REQUIRED, "cache_path": str(tmp_path), "args": []})
    there = Installed(RUNTIMES["mlx-openai-server"], {"--model-type": modes}, (str(tmp_path),))
    with pytest.raises(Failed, match="of type minicpmv, a vision model") as refused:
        choose_options(SITE, entry, there)
    assert refused.value.hint.startswith(hint)


def test_a_vision_model_is_one_by_its_name_too(tmp_path: Path) -> None:
    (tmp_path / "mlx_lm/models").mkdir(parents=True)
    (tmp_path / "mlx_lm/utils.py").write_text("MODEL_REMAPPING = {\n}\n")
    (tmp_path / "config.json").write_text('{"model_type": "minicpmv", "hidden_size": 64}')
    entry = Entry("a", {**REQUIRED, "cache_path": str(tmp_path), "args": []})
    flags = {"--model-type": ("lm", "multimodal")}
    there = Installed(RUNTIMES["mlx-openai-server"], flags, (str(tmp_path),))
    with pytest.raises(Failed, match="of type minicpmv, a vision model") as refused:
        choose_options(SITE, entry, there)
    assert refused.value.hint.startswith("install mlx-vlm in ")
    light = there._replace(runtime=RUNTIMES["mlx_lm.server"], flags={})
    with pytest.raises(Failed) as refused:
        choose_options(SITE, entry, light)
    assert refused.value.hint.startswith("use a runtime that serves images")


def test_code_of_the_repository_needs_a_word(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "novelty", "model_file": "own.py"}')
    entry = Entry("a", {**REQUIRED, "cache_path": str(tmp_path), "args": ["--max-tokens", "9"]})
    there = Installed(RUNTIMES["mlx_lm.server"], {}, (REAL,))
    with pytest.raises(Failed, match=r"\(own\.py\), which runs with your rights") as refused:
        choose_options(SITE, entry, there)
    proposed = "mlxops set a 'args=--max-tokens 9 --trust-remote-code'"
    assert refused.value.hint == proposed + ", or load with --force"
    # An mlx-lm that does not ask for a word runs it anyway.
    older = there._replace(packages=())
    assert "rights" not in str(choose_options(SITE, entry, older).notes)


def test_a_launch_command_that_is_no_words_is_told_and_a_blank_one_is_none() -> None:
    there = SITE._replace(command=("sh", "-c"))
    assert programs.require_command(there, RUNTIMES["mlx_lm.server"], {"MLX_LAUNCH_CMD": " "})[
        1:
    ] == ("-c",)
    with pytest.raises(Failed, match="MLX_LAUNCH_CMD"):
        programs.require_command(
            there, RUNTIMES["mlx_lm.server"], {"MLX_LAUNCH_CMD": "sh -c 'serve"}
        )
