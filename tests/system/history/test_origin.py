"""Where a change came from: cron's line is told from a person."""

from __future__ import annotations

import os

from tests.support.studio import Studio


def test_what_cron_changed_says_so(one: Studio) -> None:
    port = one.ports[0]
    one.must("load", "amber", port)
    one.edit(lambda r: r["models"]["amber"]["process"].update(start_time="another"))
    one.must("unload", port)
    one.edit(lambda r: r["models"]["amber"].update(port=port))
    one.must("reconcile", "--cron")
    rows = one.must("history", port)["changes"]
    machine = os.uname().nodename
    assert [(row["what"], row["from"]) for row in rows] == [
        ("lost", f"{machine} (cron)"),
        ("unload", machine),
        ("load", machine),
    ]
