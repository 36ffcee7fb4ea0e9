"""The crontab's text: one marked line per host, and every other line as it was."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlxops.unattended import crontab

COMMAND = "/opt/bin/mlxops --host lab --cron reconcile -q --check"
LINE = crontab.marked(f"*/5 * * * * {COMMAND}", "lab")
OTHERS = "MAILTO=me\n# mlxops: lab\n\n 0 5 * * * backup  > /dev/null\r\n@daily x # mlxops: studio\n"
EARLIER = [
    "*/5 * * * * /opt/bin/mlxops --host lab reconcile -q",
    "* * * * * mlxctl --host lab --hosts-dir '/a b\\%c' --local reconcile -q --restart",
    "*/10 * * * * cd '/a b' && /usr/bin/python3 -m mlxops --host lab reconcile -q",
]
KEPT = [
    "*/5 * * * * /opt/bin/mlxops --host lab reconcile -q >> /tmp/log 2>&1",
    "*/5 * * * * sleep 9; /opt/bin/mlxops --host lab reconcile -q",
    "*/5 * * * * /opt/bin/mlxops --host lab status -q",
    "*/5 * * * * /opt/bin/mlxops --host labour reconcile -q",
    "*/5 * * * * echo mlxops --host lab reconcile -q",
    "#*/5 * * * * /opt/bin/mlxops --host lab reconcile -q",
    f"# {LINE}",
    "*/5 * * * * x # mlxops: mylab",
    "*/5 * * * * 'unbalanced",
]


def test_a_line_is_added_once_changed_in_its_place_and_removed() -> None:
    added = crontab.install(OTHERS, "lab", LINE)
    assert added.new_text == OTHERS + LINE + "\n" and added.before == ()
    assert added.diff == [f"+ {LINE}"]
    again = crontab.install(added.new_text, "lab", LINE)
    assert not again.changed and again.diff == [] and again.before == (LINE,)
    other = LINE.replace("*/5", "*/10")
    text = f"{LINE}\n{OTHERS}"
    changed = crontab.install(text, "lab", other)
    assert changed.new_text == f"{other}\n{OTHERS}"
    assert changed.diff == [f"- {LINE}", f"+ {other}"]
    assert crontab.remove(changed.new_text, "lab").new_text == OTHERS
    assert not crontab.remove(OTHERS, "lab").changed


@pytest.mark.parametrize("line", EARLIER)
def test_the_line_of_an_earlier_version_is_adopted_and_removed(line: str) -> None:
    text = f"{OTHERS}{line}\n# end\n"
    assert crontab.install(text, "lab", LINE).new_text == f"{OTHERS}{LINE}\n# end\n"
    assert crontab.remove(text, "lab").new_text == f"{OTHERS}# end\n"
    assert not crontab.lines_of(f"{line}\n", "studio")


@pytest.mark.parametrize("line", KEPT)
def test_any_other_line_is_kept(line: str) -> None:
    text = f"{line}\n"
    assert crontab.remove(text, "lab").new_text == text
    assert crontab.install(text, "lab", LINE).new_text == f"{line}\n{LINE}\n"


def test_of_several_lines_of_a_host_one_is_left() -> None:
    text = f"{EARLIER[0]}\n# between\n{LINE}\n{EARLIER[2]}\n"
    assert crontab.install(text, "lab", LINE).new_text == f"{LINE}\n# between\n"


def test_lines_that_a_person_extended_are_named() -> None:
    text = "\n".join([*KEPT, LINE, *EARLIER])
    assert crontab.similar_lines(text, "lab") == [KEPT[0]]


def test_a_host_with_a_percent_sign_and_blanks() -> None:
    line = crontab.marked("* * * * * x", "a %b")
    assert line.endswith("# mlxops: a \\%b")
    assert crontab.lines_of(line, "a %b") == [line] and not crontab.lines_of(line, "b")


@pytest.mark.parametrize(("minutes", "fields"), [(1, "*"), (5, "*/5"), (30, "*/30"), (60, "0")])
def test_the_schedule(minutes: int, fields: str) -> None:
    assert crontab.schedule(minutes) == f"{fields} * * * *"


@given(st.text(st.characters(codec="utf-8"), max_size=200))
def test_whatever_is_there_is_still_there_afterwards(text: str) -> None:
    added = crontab.install(text, "lab", LINE)
    assert added.new_text.endswith(LINE + "\n") and added.new_text.startswith(text)
    rest = crontab.remove(added.new_text, "lab").new_text
    assert rest in (text, text + "\n")
