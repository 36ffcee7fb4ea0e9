"""The host files: the list of them, and the set-up of a new host."""

from __future__ import annotations

import shlex
from operator import itemgetter
from typing import Any

from .format import cell, counted, file_size, port_ranges, printable
from .style import Style
from .table import Column, Listing, table
from .width import wrapped_text

COLUMNS = (
    Column(name="CURRENT", text=lambda h, _: "*" if h["chosen"] else "", weight=3),
    Column(name="HOST", text=lambda h, _: cell(h["name"]), keep=True, shorten=20),
    Column(name="TRANSPORT", text=lambda h, _: cell(h["transport"]), weight=1),
    Column(name="TARGET", text=lambda h, _: cell(h["target"]), weight=2, shorten=20),
    Column(name="PORTS", text=lambda h, _: port_ranges(h["ports"]), weight=3, shorten=20),
)
LOOPBACK = "127.0.0.1"
INSTALL = "python3 -m venv ~/mlx-lm && ~/mlx-lm/bin/pip install mlx-lm"
LISTING = Listing("hosts", COLUMNS, itemgetter("name"))


def host_table(result: dict[str, Any], style: Style) -> str:
    """One row per host, a star before the one in use; below them the files, and which of them are
    broken, shadowed or ignored."""
    return "\n".join([table(COLUMNS, result["hosts"], style), *_remarks(result, style)])


def _remarks(result: dict[str, Any], style: Style) -> list[str]:
    files = [
        f"{printable(host['name'])}: {printable(host['path'])}{_why(host)}"
        for host in result["hosts"]
    ]
    wrong = [
        line
        for host in result["hosts"]
        if host["error"]
        for line in (
            f"{style.wrong('broken')}: {printable(host['error'])}",
            f"  next: {printable(host['hint'])}",
        )
    ]
    shadowed = [
        f"shadowed: {printable(one['path'])} (by {printable(one['by'])})"
        for one in result["shadowed"]
    ]
    unused = [
        f"ignored: ./{printable(path)} (host files are not read from the current folder)"
        for path in result["unused"]
    ]
    note = [f"note: {printable(result['note'])}"] if result["note"] else []
    return [*files, *wrong, *shadowed, *unused, *note]


def _why(host: dict[str, Any]) -> str:
    """For the file in use: what chose it, and what named its folder."""
    named = (
        f", from {printable(host['source'])}" if host["source"].startswith(("-", "MLXOPS")) else ""
    )
    return f" (in use: {printable(host['chosen_by'])}{named})" if host["chosen"] else ""


def step_line(step: str, text: str, verdict: str, style: Style) -> str:
    mark = style.verdict(verdict) + " " * (len("warning") - len(verdict))
    return wrapped_text(f"{mark}  {step:<8}  {printable(text)}", style.width)


def unknown_key_text(fields: dict[str, Any], place: str) -> str:
    """What ssh says at the first contact, with the command that shows the key on the host."""
    return (
        f"{place} is not in known_hosts. Its {fields['key_type']} key is\n"
        f"  {fields['fingerprint']}\n"
        f"On the host, this must show the same:\n  {show_key_command(fields)}"
    )


def show_key_command(fields: dict[str, Any]) -> str:
    names = (name for name in ("ed25519", "rsa") if name in fields["key_type"])
    return f"ssh-keygen -lf /etc/ssh/ssh_host_{next(names, 'ecdsa')}_key.pub"


def runtime_line(runtime: dict[str, Any], home: str) -> str:
    """`home`: that of the host, which is shown as ~."""
    version = f" {runtime['version']}" if runtime["version"] else ""
    place = short_path(runtime["command"][0], home)
    return printable(f"{runtime['name']}{version} ({place})")


def short_path(path: str, home: str) -> str:
    """A path on the host, with ~ for the home there."""
    home = home.rstrip("/")
    return "~" + path[len(home) :] if home and path.startswith(home + "/") else path


def folder_line(folder: dict[str, Any], home: str) -> str:
    free = f", {file_size(folder['free_bytes'])} free" if folder["free_bytes"] else ""
    place = short_path(folder["path"], home)
    return printable(f"{place}: {counted(folder['models'], 'model')}{free}")


def model_dir_line(folder: dict[str, Any], home: str) -> str:
    return printable(f"{short_path(folder['path'], home)}: {counted(folder['models'], 'model')}")


def bind_line(address: str) -> str:
    if address == LOOPBACK:
        return f"{address} (only programs on the host can use the models)"
    return f"{address} (every machine in its network can use them, without a password)"


def next_commands(result: dict[str, Any], reach: str, default: bool, port: int) -> list[str]:
    """What to type next. `reach`: the command that logs in, empty on the host itself; `default`:
    other verbs use this host without --host; `port`: one to load a model on."""
    install = [shlex.join([*reach.split(), INSTALL]) if reach else INSTALL]
    use = [f"mlxops hosts use {result['name']}"]
    models = sum(home["models"] for home in result["found"]["hf_homes"])
    load = "MODEL" if models else "mlx-community/Qwen3-4B-4bit"
    return [
        *([] if result["runtime"] else install),
        *([] if default else use),
        "mlxops init",
        f"mlxops load {load} {port}",
    ]


def added_text(result: dict[str, Any], style: Style) -> str:
    if not result["written"]:
        return str(result["text"]).rstrip("\n")
    hides = [f"it hides {path}" for path in result["hides"]]
    kept = result["kept_default"] and (
        f"{result['kept_default']} stays the host in use; "
        f"mlxops hosts use {result['name']} changes that"
    )
    remarks = [*hides, *([kept] if kept else [])]
    return "\n".join(
        printable(line)
        for line in (f"wrote {result['path']}", *remarks, "next:", *_indented(result["next"]))
    )


def use_text(result: dict[str, Any], style: Style) -> str:
    before, now = printable(result["before"] or "none"), printable(result["default"] or "none")
    change = f"{now} already" if before == now else f"{now} (was {before})"
    return style.idle(f"default host: {change}")


def _indented(lines: list[str]) -> list[str]:
    return [f"  {line}" for line in lines]
