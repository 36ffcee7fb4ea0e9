"""The tables of a host file that describe the machine, as they are sent with each request."""

from __future__ import annotations

from typing import Any

from . import toml as hostfile
from .toml import Table

GRACE_S = 60.0


def read_machine(top: Table, name: str) -> tuple[str | None, dict[str, Any]]:
    """The interpreter of the agent there, if the file names one, and the description of the
    machine."""
    python, site = _studio(top.table("studio"))
    site["name"] = name
    site["hub"] = _hub(top.table("hub"), site.pop("hub_endpoint"))
    site["runtime"] = _runtime(top.table("runtime"))
    site["runtimes"] = _runtimes(top.table("runtimes"))
    site["slots"] = _slots(top.table("slots"), site["ports"])
    return python, site


def _studio(table: Table) -> tuple[str | None, dict[str, Any]]:
    hf_home = table.take("hf_home", hostfile.home_path)
    site = {
        "hf_home": hf_home,
        "model_dirs": table.take("model_dirs", hostfile.home_paths, []),
        "registry": table.take(
            "registry", hostfile.home_path, f"{hf_home.rstrip('/')}/hub/registry.json"
        ),
        "ports": table.take("ports", hostfile.ports, list(range(8100, 8110))),
        "bind": table.take("bind", hostfile.address, "127.0.0.1"),
        "state_dir": table.take("state_dir", hostfile.home_path, "~/.mlxops"),
        "hub_python": table.take("hub_python", hostfile.absolute, None),
        "hub_endpoint": table.take("hub_endpoint", hostfile.web_address, None),
        "templates": table.take("templates", hostfile.home_path, None),
    }
    python = table.take("python", hostfile.program, None)
    table.close()
    return python, site


def _hub(table: Table, endpoint: str | None) -> dict[str, Any]:
    """`endpoint`: of [studio] hub_endpoint, the key's name in earlier versions."""
    if endpoint and "endpoint" in table.names():
        raise table.error("endpoint", "is also set as hub_endpoint under [studio]")
    hub = {
        "endpoint": table.take("endpoint", hostfile.web_address, endpoint),
        "token_file": table.take("token_file", hostfile.home_path, None),
        "offline": table.take("offline", hostfile.boolean, False),
    }
    table.close()
    return hub


def _runtime(table: Table) -> dict[str, Any]:
    runtime = {
        **hostfile.key_source(table),
        "name": table.take("name", hostfile.text, "mlx-openai-server"),
        "command": table.take("command", hostfile.command, None),
        "env": table.take("env", hostfile.environment, {}),
        "startup_timeout_s": table.take("startup_timeout_s", hostfile.seconds, None),
        "grace_s": table.take("grace_s", hostfile.seconds, GRACE_S),
    }
    table.close()
    return runtime


def _runtimes(table: Table) -> dict[str, Any]:
    if not table.names():
        return {}
    from . import runtimes as hostruntimes

    return hostruntimes.read(table)


def _slots(table: Table, ports: list[int]) -> dict[str, Any]:
    slots: dict[str, Any] = {}
    for key in table.names():
        slot = _slot(table.table(key))
        if hostfile.number(key) not in ports:
            raise table.error(key, "is not one of the host's ports")
        if slot["name"] in [other["name"] for other in slots.values()]:
            raise table.error(f"{key}.name", f"is {slot['name']!r}, the name of another slot")
        slots[str(int(key))] = slot
    return slots


def _slot(table: Table) -> dict[str, Any]:
    name = table.take("name", hostfile.text)
    if name.isdecimal():
        raise table.error("name", "must not be a number: it could be taken for a port")
    slot = {
        **hostfile.key_source(table),
        "name": name,
        "model": table.take("model", hostfile.text, None),
        "served_name": table.take("served_name", hostfile.text, name),
    }
    table.close()
    return slot
