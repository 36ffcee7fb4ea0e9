"""Raw tags, which a client must never receive, are reported wherever they are."""

from __future__ import annotations

import pytest

from mlxops.agent.verify.control_tokens import CONTROL_TOKENS, find_leaks


@pytest.mark.parametrize("tag", [tag for tags in CONTROL_TOKENS.values() for tag in tags])
def test_every_tag_is_found_and_named_once(tag: str):
    assert tag in find_leaks(f"before {tag} after")
    assert [tag for tags in CONTROL_TOKENS.values() for tag in tags].count(tag) == 1


def test_what_people_write_is_clean():
    assert (
        find_leaks("if a < b | c > d: use x[0], e.g. [TOOLS], <b>bold</b> & |pipes| — thinking…")
        == ()
    )
