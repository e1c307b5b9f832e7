"""The page in a real browser: sorting, filtering, slider, copying, hostile names, accessibility.

Behavioural. Needs playwright, axe-playwright-python and a chromium; says so where one is absent.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from ablate.evidence.gallery import kept_images
from ablate.evidence.judgement import Judgement
from ablate.report.figures.tiles import gallery_tiles
from ablate.report.page import render
from ablate.report.tables.every import all_tables
from tests.ablate.report_inputs import results, with_runs

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

playwright = pytest.importorskip(
    "playwright.sync_api", reason="LOUD: pip install playwright to test the page"
)
axe = pytest.importorskip(
    "axe_playwright_python.sync_playwright", reason="LOUD: pip install axe-playwright-python"
)
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="LOUD: no chromium, so the page's program is not tested"),
]
HOSTILE = '</script><img src=x onerror="document.title=1">'
VARIANTS = {"dinomaly": 0.0, "top-q": 0.004, HOSTILE: 0.012, "$q$ = 2 % & more": -0.001}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("page")
    made = with_runs(results(VARIANTS, seeds=2, categories=("a", "b<i>")), folder)
    judgement = Judgement(made)
    kept = kept_images(made)
    assert kept is not None
    path = folder / "report.html"
    path.write_text(render(judgement, all_tables(judgement), {}, gallery_tiles(kept)), encoding="utf-8")
    return path.as_uri()


@pytest.fixture(params=["light", "dark"])
def page(browser: Browser, address: str, request: pytest.FixtureRequest) -> Iterator[Page]:
    opened = browser.new_page(color_scheme=request.param, viewport={"width": 1280, "height": 900})
    trouble: list[str] = []
    opened.on("pageerror", lambda error: trouble.append(str(error)))
    opened.on("console", lambda message: trouble.append(message.text) if message.type == "error" else None)
    opened.on("request", lambda r: None if r.url.startswith(("data:", "file:")) else trouble.append(r.url))
    opened.goto(address)
    yield opened
    assert trouble == []
    opened.close()


def first_column(page: Page) -> list[str]:
    return list(page.locator("#table-main tbody tr:visible th").all_inner_texts())


def test_a_header_sorts_and_a_third_press_restores(page: Page) -> None:
    before = first_column(page)
    assert before == list(VARIANTS)
    head = page.locator("#table-main thead tr:last-child th", has_text="P-AP").first
    column = head.evaluate("cell => cell.cellIndex")

    def values() -> list[float]:
        cells = page.locator(f"#table-main tbody tr > :nth-child({column + 1})").all_inner_texts()
        return [float(text.split()[0]) for text in cells]

    head.get_by_role("button").click()
    assert head.get_attribute("aria-sort") == "descending" and values() == sorted(values(), reverse=True)
    head.get_by_role("button").press("Enter")
    assert head.get_attribute("aria-sort") == "ascending" and values() == sorted(values())
    head.get_by_role("button").press("Enter")
    assert head.get_attribute("aria-sort") is None and first_column(page) == before


def test_a_filter_leaves_the_rows_with_all_words(page: Page) -> None:
    page.locator("#table-main input").fill("Q top")
    assert first_column(page) == ["top-q"]
    assert "1 of 4 rows" in page.locator("#table-main").inner_text()


@pytest.mark.parametrize(
    ("kind", "start"), [("LaTeX", "% needs"), ("CSV", "variant,metric"), ("Markdown", "**Results")]
)
def test_a_table_is_copied(page: Page, kind: str, start: str) -> None:
    page.evaluate("navigator.clipboard.writeText = async (text) => { window.copied = text; }")
    page.locator("#table-main").get_by_role("button", name=f"copy {kind}").click()
    page.locator("#table-main").get_by_text("copied", exact=True).wait_for()
    copied = page.evaluate("window.copied")
    assert copied.startswith(start) and "more" in copied


def test_the_slider_uncovers_the_other_variant(page: Page) -> None:
    above, split = page.locator("[data-part=above]"), page.locator("[data-part=split]")
    assert "50%" in above.evaluate("e => e.style.clipPath")
    split.focus()
    for _ in range(10):
        split.press("ArrowRight")
    assert "40%" in above.evaluate("e => e.style.clipPath")
    left, right = page.locator("[data-part=left]"), page.locator("[data-part=right]")
    left.select_option(label=HOSTILE)
    right.select_option(label="image")
    assert (above.get_attribute("alt") or "").startswith(HOSTILE)
    assert page.locator("[data-part=below]").get_attribute("alt") == "image"


def test_filters_of_the_gallery(page: Page) -> None:
    carried: dict[str, Any] = json.loads(page.locator("#carried").inner_text())
    images = carried["gallery"]["images"]
    count = page.locator("[data-part=count]")
    assert count.inner_text().startswith(f"{len(images)} of {len(images)}")
    page.locator("[data-part=category]").select_option("b<i>")
    page.locator("[data-part=type]").select_option("streak")
    wanted = [i for i in images if (i["category"], i["type"]) == ("b<i>", "streak")]
    assert wanted and count.inner_text().startswith(f"{len(wanted)} of")
    page.locator("[data-part=type]").select_option("normal")
    page.locator("[data-part=outcome]").select_option(
        "missed" if any("missed" in i["outcomes"] for i in images) else "found"
    )
    assert (
        count.inner_text().startswith("0 of")
        and "No image" in page.locator("[data-part=caption]").inner_text()
    )


def test_worst_misses_come_first(page: Page) -> None:
    images = json.loads(page.locator("#carried").inner_text())["gallery"]["images"]
    worst = max(images, key=lambda image: image["wrong"][0])
    assert worst["path"] in page.locator("[data-part=caption]").inner_text()


def test_hostile_names_stay_text(page: Page) -> None:
    assert page.title() == "directional-tail: ablation report"
    assert page.locator("img[src=x]").count() == 0 and page.locator("i").count() == 0
    assert HOSTILE in first_column(page)


def test_nothing_serious_for_screen_readers(page: Page) -> None:
    for details in page.locator("details").all():
        details.evaluate("e => { e.open = true; }")
    found = axe.Axe().run(page).response["violations"]
    serious = [(v["id"], v["nodes"][0]["html"]) for v in found if v["impact"] in ("serious", "critical")]
    assert serious == []


def test_paper_shows_tables_and_no_tools(page: Page) -> None:
    page.emulate_media(media="print")
    assert page.locator("#table-main table").is_visible()
    assert not page.locator("#table-main input").is_visible() and not page.locator("nav").is_visible()
