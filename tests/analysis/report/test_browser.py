"""The report in a real browser: headless Chromium, driven over the DevTools protocol. Skips where there is none."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis.report import ReportSettings, measure_report, write_report
from analysis.report.measure import ReportResult
from analysis.report.tables import script_json
from distributed.store.settings import StoreSettings
from tests.analysis.report.stores import IMAGE, LINK, SCRIPT, hostile_store

playwright = pytest.importorskip("playwright.sync_api", reason="playwright drives the browser (test extra)")

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine (apt-get install chromium)")

#: Milliseconds: the machines that test are busy.
PATIENCE = 30_000

#: Many models, for windows and time.
MANY = 5000


@dataclass
class Opened:
    """A page, and what it complained about or asked for."""

    page: Any
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> ReportResult:
    store = hostile_store(tmp_path_factory.mktemp("browser") / "store")
    axes = ("task", "depth", "model")
    return measure_report(
        ReportSettings(StoreSettings(store.uri), axes=axes, replicates=50, margin=0.02, figures=False)
    )


@pytest.fixture(scope="module")
def page_file(report: ReportResult, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(report, tmp_path_factory.mktemp("page"))[0]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    flags = [
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-dev-shm-usage",
    ]
    with playwright.sync_playwright() as driver:
        window = driver.chromium.launch(executable_path=BROWSER, headless=True, args=flags)
        yield window
        window.close()


def open_in(browser: Any, path: Path, **options: Any) -> Opened:
    page = browser.new_page(**options)
    page.set_default_timeout(PATIENCE)
    opened = Opened(page)
    page.on("console", lambda message: opened.complaints.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: opened.complaints.append(f"error: {error}"))
    page.on("dialog", lambda dialog: (opened.complaints.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    page.on("request", lambda request: opened.requests.append(request.url))
    page.goto(path.as_uri())
    page.wait_for_selector("#provenance")
    return opened


@pytest.fixture(scope="module")
def shared(browser: Any, page_file: Path) -> Iterator[Opened]:
    found = open_in(browser, page_file, viewport={"width": 1280, "height": 900})
    yield found
    found.page.close()


@pytest.fixture
def opened(shared: Opened) -> Iterator[Opened]:
    """A page that tests share: opening one takes longer than most of them. They leave no filter behind."""
    yield shared
    assert shared.complaints == []


@pytest.fixture
def fresh(browser: Any, page_file: Path) -> Iterator[Opened]:
    """A page of its own, for what leaves filters behind."""
    found = open_in(browser, page_file, viewport={"width": 1280, "height": 900})
    yield found
    assert found.complaints == []
    found.page.close()


def matrix(page: Any) -> Any:
    """The matrix of the first axis."""
    page.locator("#drift [role=tab]").first.click()
    frame = page.locator("#drift .frame").first
    frame.scroll_into_view_if_needed()
    frame.locator("svg.heatmap").wait_for()
    return frame


def cell(frame: Any, row: int, column: int) -> dict[str, float]:
    """Where a cell's centre is on the screen, from where the labels are."""
    labels = [each.bounding_box() for each in frame.locator("text.row").all()]
    heights = [box["y"] + box["height"] / 2 for box in labels]
    size = heights[1] - heights[0]
    return {"x": labels[0]["x"] + labels[0]["width"] + 6 + size * (column + 0.5), "y": heights[row]}


def controls(page: Any, label: str) -> Any:
    """One of the shown matrix's."""
    return page.locator("#drift .card:visible").get_by_label(label)


def labels_of(frame: Any) -> list[str]:
    return frame.locator("text.row").all_text_contents()


def test_every_section_is_drawn_without_a_complaint_or_a_request(opened: Opened) -> None:
    page = opened.page
    assert [url for url in opened.requests if not url.startswith(("file:", "data:"))] == []
    assert page.locator("h2").all_text_contents() == [
        "What is in it", "Drift", "Which factor explains it", "Structure", "Quality", "Models", "How it was made",
    ]  # fmt: skip
    assert page.locator("[data-matrix] svg.heatmap").count() == 3
    assert page.locator(".figure svg").count() == 20


def test_every_figure_has_a_name_and_a_table(opened: Opened) -> None:
    cards = opened.page.locator(".card:visible:has(.figure, .frame)")
    assert cards.count() >= 8
    for index in range(cards.count()):
        card = cards.nth(index)
        assert len(card.locator("svg[role=img], .frame[role=img]").first.get_attribute("aria-label")) > 12
        details = card.locator("details[data-table], details:has-text('table')").first
        details.locator("summary").first.click()
        # The table is filled when the browser says that it was opened, which may be after the click.
        card.locator("details table tbody tr").first.wait_for(state="attached")


def test_a_click_sorts_the_models(opened: Opened, report: ReportResult) -> None:
    page = opened.page
    expected = sorted((n for n in report.models.column("num_parameters").to_pylist()), reverse=True)

    def shown() -> list[int]:
        column = page.locator("#models th button").all_text_contents().index("Parameters")
        texts = page.locator(f"#models tbody tr[data-row] :nth-child({column + 1})").all_text_contents()
        return [int(text.replace(",", "")) for text in texts]

    heading = page.locator("#models th", has_text="Parameters")
    heading.get_by_role("button").click()
    assert heading.get_attribute("aria-sort") == "descending"
    assert shown() == expected[: len(shown())]
    heading.get_by_role("button").focus()
    page.keyboard.press("Enter")
    assert heading.get_attribute("aria-sort") == "ascending"
    assert shown() == expected[::-1][: len(shown())]


def test_a_search_finds_and_a_row_shows_its_record(fresh: Opened) -> None:
    page = fresh.page
    page.get_by_label("Search models").fill("onerror family")
    page.wait_for_function("() => document.querySelectorAll('#models tbody tr[data-row]').length <= 1")
    page.get_by_label("Search models").fill("onerror")
    page.wait_for_function("() => document.querySelectorAll('#models tbody tr[data-row]').length === 1")
    page.locator("#models tbody tr[data-row]").focus()
    page.keyboard.press("Enter")
    record = page.locator("#models dl").inner_text()
    assert IMAGE in record
    assert SCRIPT in record  # its family


def test_markup_in_names_is_shown_and_not_run(opened: Opened) -> None:
    page = opened.page
    names = page.locator("#models tbody tr[data-row] th").all_text_contents()
    assert IMAGE in names
    assert SCRIPT in names
    assert page.locator("img, iframe, #main b, #main a[href^=javascript], #main script").count() == 0
    assert IMAGE in page.locator("#contents").inner_text()  # the skipped model
    # Labels of figures too: the task whose name is made of tags, entities and TeX.
    assert f"{LINK} (6)"[-12:] in " ".join(labels_of(matrix(page)))
    assert any(label.startswith("<b>bold</b>") for label in labels_of(matrix(page)))
    shown = page.locator("#drift .figure:visible text").all_text_contents()
    assert any(label.startswith("<b>bold</b>") for label in shown)
    assert page.locator("svg a, svg script, svg foreignObject, svg style, svg b").count() == 0


def test_pointing_at_a_cell_shows_its_value_and_interval(opened: Opened, report: ReportResult) -> None:
    page, shift = opened.page, report.shifts[0]
    frame = matrix(page)
    controls(page, "Order").select_option("name")
    page.wait_for_timeout(300)
    names = [group.name for group in shift.groups]
    at = cell(frame, 1, 3)
    page.mouse.move(at["x"] - 2, at["y"] - 2)
    page.mouse.move(at["x"], at["y"])
    page.wait_for_selector("#tip:not([hidden])")
    tip = page.locator("#tip").inner_text()
    assert shift.uncertainty is not None
    assert tip.splitlines()[0].split() == f"{names[1]} ↔ {names[3]}".split()
    for value in (shift.drift[1, 3], shift.uncertainty.low[1, 3], shift.uncertainty.high[1, 3]):
        if value == value:
            assert f"{float(f'{value:.3g}'):g}" in tip
    assert "not to be relied upon" in tip  # the group of one model
    assert shift.verdicts is not None
    assert f" {shift.verdicts[1, 3]} " in tip.replace("\n", " ").replace("·", " ")
    kinds = shift.verdicts[np.triu_indices(len(names), 1)].tolist()
    for kind, mark in (("shift", "shift"), ("no shift", "no-shift")):
        assert frame.locator(f"circle.{mark}").count() == 2 * kinds.count(kind)
    assert names[1] in page.locator("#drift output").first.inner_text()


def test_the_arrow_keys_read_the_matrix(opened: Opened, report: ReportResult) -> None:
    page, names = opened.page, [group.name for group in report.shifts[0].groups]
    frame = matrix(page)
    controls(page, "Order").select_option("name")
    frame.focus()
    for key in ("ArrowDown", "ArrowDown", "ArrowRight"):
        page.keyboard.press(key)
    said = page.locator("#drift output").first.inner_text()
    assert said.splitlines()[0].split() == f"{names[2]} ↔ {names[1]}".split()


def test_the_matrix_is_ordered_searched_and_chosen(fresh: Opened, report: ReportResult) -> None:
    page, shift = fresh.page, report.shifts[0]
    matrix(page)

    def wait_for(labels: list[str]) -> None:
        shown = "[...document.querySelector('#drift .frame').querySelectorAll('text.row')].map((l) => l.textContent)"
        page.wait_for_function(f"(labels) => {shown}.join() === labels.join()", arg=labels)

    def label(index: int) -> str:
        found = f"{shift.groups[index].name} ({shift.groups[index].models})"
        return found if len(found) <= 30 else found[:15].rstrip() + "…" + found[-14:].lstrip()

    controls(page, "Order").select_option("mean")
    mean = shift.drift.sum(axis=1)
    wait_for([label(int(i)) for i in (-mean).argsort(kind="stable")])
    controls(page, "Order").select_option("name")
    controls(page, "Search groups").fill("tion")
    wait_for([label(i) for i, group in enumerate(shift.groups) if "tion" in group.name])
    controls(page, "Search groups").fill("")
    controls(page, "groups of few models").uncheck()
    wait_for([label(i) for i, group in enumerate(shift.groups) if group.models >= 3])
    page.locator("#drift").get_by_text("Choose groups").first.click()
    page.locator("#drift").get_by_role("button", name="none").click()
    page.get_by_text("No group fits the search").wait_for()


def test_tabs_work_by_keyboard(opened: Opened) -> None:
    page = opened.page
    first = page.locator("#drift [role=tab]").first
    first.focus()
    page.keyboard.press("ArrowRight")
    assert page.locator("#drift [role=tab][aria-selected=true]").inner_text() == "depth"
    assert page.locator("#drift h3", has_text="Drift by depth").count() == 1
    page.keyboard.press("End")
    assert page.locator("#drift h3", has_text="Drift by model").count() == 1


def _luminance(page: Any) -> float:
    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    red, green, blue = (int(part) for part in colour.strip("rgb()").split(",")[:3])
    return (0.2126 * red + 0.7152 * green + 0.0722 * blue) / 255


def test_dark_follows_the_system_and_the_button(opened: Opened) -> None:
    page = opened.page
    assert _luminance(page) > 0.9
    page.emulate_media(color_scheme="dark")
    assert _luminance(page) < 0.15
    page.get_by_role("button", name="Switch between light and dark").click()
    assert _luminance(page) > 0.9


def test_a_phone_shows_it_without_scrolling_sideways(browser: Any, page_file: Path) -> None:
    found = open_in(browser, page_file, viewport={"width": 375, "height": 740}, has_touch=True)
    page = found.page
    for at in range(0, page.evaluate("document.documentElement.scrollHeight"), 500):
        page.evaluate(f"scrollTo(0, {at})")
        page.wait_for_timeout(60)
    assert page.evaluate("document.documentElement.scrollWidth") <= 375
    assert found.complaints == []
    page.close()


def test_paper_shows_everything_and_is_light(browser: Any, page_file: Path, report: ReportResult) -> None:
    found = open_in(browser, page_file, viewport={"width": 1280, "height": 900}, color_scheme="dark")
    page = found.page
    assert page.locator("#models tbody tr[data-row]").count() < 24
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    assert page.locator("[data-tab]:visible").count() == 9  # all axes, of three sections
    assert page.locator(".frame svg.heatmap:visible").count() == 3
    # All in the colours of the day, those of other tabs as well: nearest is light.
    diagonal = page.locator(".heatmap path:first-child").all()
    assert [path.get_attribute("fill") for path in diagonal] == ["rgb(252,253,191)"] * 3
    assert page.locator("#models tbody tr[data-row]").count() == 24
    degenerate = report.quality.degenerate.num_rows
    assert page.locator("#quality div[data-table] tbody tr[data-row]").count() == degenerate
    cut = "(box) => box.scrollHeight > box.clientHeight + 1 || box.scrollWidth > box.clientWidth + 1"
    for box in page.locator(".scroll:visible, .figure:visible").all():
        assert not box.evaluate(cut)
    assert _luminance(page) > 0.9
    page.emulate_media(media="screen")
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert _luminance(page) < 0.15
    assert page.pdf(format="A4").count(b"/Type /Page\n") > 8
    assert found.complaints == []
    page.close()


def test_without_a_script_the_figures_stand(browser: Any, page_file: Path) -> None:
    page = browser.new_page(java_script_enabled=False)
    page.goto(page_file.as_uri())
    assert page.locator(".figure svg:visible").count() == 20
    page.close()


def test_thousands_of_models_open_at_once_and_stay_in_a_window(browser: Any, page_file: Path, tmp_path: Path) -> None:
    tag = '<script type="application/json" id="report-data">'
    before, _, rest = page_file.read_text(encoding="utf-8").partition(tag)
    text, _, after = rest.partition("</script>")
    content = json.loads(text)
    (models,) = (table for table in content["tables"] if table["caption"] == "Models")
    for column in models["columns"]:
        column["values"] = [column["values"][i % models["rows"]] for i in range(MANY)]
    models["rows"] = MANY
    path = tmp_path / "many.html"
    path.write_text(f"{before}{tag}{script_json(content)}</script>{after}", encoding="utf-8")
    started = time.perf_counter()
    found = open_in(browser, path, viewport={"width": 1280, "height": 900})
    assert time.perf_counter() - started < 20  # a second where nothing else runs
    page = found.page
    assert page.locator("#models caption").inner_text() == "Models: 5,000"
    assert page.locator("#models table").get_attribute("aria-rowcount") == str(MANY + 1)
    page.locator("#models .scroll").evaluate("(box) => { box.scrollTop = box.scrollHeight; }")
    page.wait_for_selector(f"#models tr[aria-rowindex='{MANY + 1}']")
    assert page.locator("#models tbody tr[data-row]").count() < 60
    assert found.complaints == []
    page.close()
