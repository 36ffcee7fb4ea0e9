"""history --html: the page in a real browser, and the file that it is written to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mlxops.render.page.document import history_page
from tests.support.browser import Browser, chromium
from tests.support.historyrows import NOW, result, row, weeks
from tests.support.ports import free_range
from tests.support.studio import Studio
from tests.support.watching import refused

EVIL = '"><script>window.hit=1</script><img src=x onerror="window.hit=1">{}</style><b>'
WIDER = "document.scrollingElement.scrollWidth - window.innerWidth"
BACKGROUND = "getComputedStyle(document.body).backgroundColor"
OUTSIDE = """[...document.querySelectorAll('.bar,.fail')].filter(bar => {
  const lane = bar.parentElement.getBoundingClientRect(), own = bar.getBoundingClientRect();
  return own.left < lane.left - 2 || own.right > lane.right + 2.5 || own.width < 1;
}).length"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("chromium"), free_range(1)[0]) as found:
        yield found


@pytest.mark.slow
@pytest.mark.chromium
@pytest.mark.parametrize("width", [1280, 400])
@pytest.mark.parametrize(
    ("scheme", "shade"), [("light", "rgb(255, 255, 255)"), ("dark", "rgb(23, 24, 27)")]
)
def test_it_fits_wide_and_narrow_light_and_dark(
    browser: Browser, tmp_path: Path, width: int, scheme: str, shade: str
) -> None:
    page = tmp_path / "page.html"
    page.write_text(history_page(weeks(120), "studio", NOW))
    browser.look(page, width, scheme=scheme)
    assert browser.evaluate(BACKGROUND) == shade
    assert browser.evaluate(WIDER) <= 0 and browser.evaluate(OUTSIDE) == 0
    assert browser.evaluate("document.querySelectorAll('.lane').length") == 10
    assert browser.evaluate("document.querySelectorAll('.area polygon').length") > 10
    assert browser.evaluate("performance.getEntriesByType('resource').length") == 0
    assert len(browser.screenshot()) > 10_000
    assert browser.pdf().startswith(b"%PDF")


@pytest.mark.slow
@pytest.mark.chromium
def test_hostile_names_are_text(browser: Browser, tmp_path: Path) -> None:
    fields = {"entry": EVIL, "after": EVIL, "who": EVIL, "from": EVIL, "what": EVIL}
    moved = [{"entry": EVIL, "field": "port", "before": EVIL, "after": EVIL}]
    rows = [
        row(NOW - 900, **fields | {"what": "load"}, changes=moved),
        row(NOW - 600, **fields, changes=moved, slot_name=EVIL),
        row(NOW - 300, **fields | {"what": "load"}, outcome="failed", reason=EVIL),
    ]
    made = result(rows)
    made["slots"] = {"8100": EVIL}
    page = tmp_path / "page.html"
    page.write_text(history_page(made, EVIL, NOW))
    browser.look(page, 1280)
    assert browser.evaluate("document.querySelectorAll('script,img').length") == 0
    assert browser.evaluate("window.hit === undefined")
    assert browser.evaluate("document.querySelector('h1').textContent") == EVIL
    assert EVIL in browser.evaluate("document.querySelector('.bar').title")


def test_the_file_is_replaced_only_if_it_is_such_a_page(one: Studio, tmp_path: Path) -> None:
    page, mine = tmp_path / "page.html", tmp_path / "mine.txt"
    one.must("load", "amber", one.ports[0])
    answer = one.must("history", "--html", page)
    text = page.read_text()
    assert answer["size_bytes"] == page.stat().st_size and answer["count"] == 2
    assert "amber" in text and one.slot(one.ports[0]) in text and "script" not in text
    page.chmod(0o640)
    one.must("unload", one.ports[0])
    one.must("history", "--html", page)
    assert page.read_text() != text and page.stat().st_mode & 0o777 == 0o640
    mine.write_text("my notes")
    error = refused(one.mlxops("history", "--html", mine), 1, "Failed")
    assert error["hint"].endswith("--force") and mine.read_text() == "my notes"
    one.must("history", "--html", mine, "--force")
    assert mine.read_text().startswith("<!doctype html>")
    for where in ("-", "/dev/null", tmp_path, tmp_path / "none" / "page.html"):
        refused(one.mlxops("history", "--html", where, "--force"), 1, "Failed")
    assert sorted(path.name for path in tmp_path.glob("*.*")) == ["mine.txt", "page.html"]
    assert one.mlxops("history", "--force").exit == 2
