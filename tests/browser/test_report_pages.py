"""The reports as readers have them: keyboard and pointer, narrow and wide, dark, printed, without scripts."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.browser
Open = Callable[..., Any]

# The smallest contrast of any text with what lies behind it, and the text.
_CONTRAST = """
const parse = text => { const n = text.match(/[\\d.]+/g).map(Number); return [n[0], n[1], n[2], n[3] ?? 1]; };
const over = (top, under) => top.slice(0, 3).map((c, i) => c * top[3] + under[i] * (1 - top[3]));
const light = rgb => { const [r, g, b] = rgb.map(c => { c /= 255;
  return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4; });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
const behind = element => element === null ? [255, 255, 255]
  : over(parse(getComputedStyle(element).backgroundColor), behind(element.parentElement));
let worst = [99, ""];
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const text = walker.currentNode.textContent.trim(), element = walker.currentNode.parentElement;
  const style = getComputedStyle(element);
  const unseen = ["SCRIPT", "STYLE", "title", "desc"].includes(element.tagName);
  if (!text || unseen || !element.getClientRects().length) continue;
  let alpha = 1;
  for (let one = element; one; one = one.parentElement) alpha *= Number(getComputedStyle(one).opacity);
  const back = behind(element), ink = parse(element.tagName === "text" ? style.fill : style.color);
  const seen = over([ink[0], ink[1], ink[2], ink[3] * alpha], back);
  const [a, b] = [light(seen), light(back)].sort((x, y) => y - x);
  const ratio = (a + 0.05) / (b + 0.05);
  if (ratio < worst[0]) worst = [ratio, element.tagName + "." + element.className + ": " + text.slice(0, 40)];
}
return worst;
"""


@pytest.fixture
def look(browser: Any) -> Iterator[Open]:
    """Return an opener of pages: width, dark or light, for screen or print, with or without scripts."""

    def open_page(
        path: Path, *, width: int = 1280, dark: bool = False, media: str = "screen", scripts: bool = True
    ) -> Any:
        metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media, "features": [scheme]})
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": not scripts})
        for log in ("browser", "performance"):
            browser.get_log(log)  # reading it empties it
        browser.get(path.as_uri())
        return browser

    yield open_page
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def clip(page: Any) -> str:
    """How much of the first case's enhanced image is cut away."""
    return str(page.execute_script("return getComputedStyle(document.querySelector('.enhanced')).clipPath"))


def slider(page: Any) -> Any:
    return page.find_element("css selector", ".stage input")


def rectangle(page: Any, selector: str) -> dict[str, float]:
    script = "const r = document.querySelector(arguments[0]).getBoundingClientRect().toJSON(); return r"
    return dict(page.execute_script(script, selector))


def test_the_slider_moves_by_keyboard(look: Open, hospital_page: Path) -> None:
    from selenium.webdriver.common.keys import Keys

    page = look(hospital_page)
    assert clip(page) == "inset(0px 0px 0px 50%)"
    slider(page).send_keys(Keys.ARROW_RIGHT * 7)
    assert clip(page) == "inset(0px 0px 0px 57%)"
    assert slider(page).get_attribute("aria-valuetext") == "57 % original, 43 % enhanced"
    slider(page).send_keys(Keys.HOME)
    assert clip(page) in ("inset(0px 0px 0px 0%)", "inset(0px)")
    slider(page).send_keys(Keys.END)
    assert clip(page) == "inset(0px 0px 0px 100%)"


def test_the_slider_moves_by_pointer(look: Open, hospital_page: Path) -> None:
    from selenium.webdriver import ActionChains

    page = look(hospital_page)
    page.execute_script(
        "document.querySelector('.stage').scrollIntoView({behavior: 'instant', block: 'center'})"
    )
    width = rectangle(page, ".stage")["width"]
    near, far = round(-width / 4), round(width / 4)
    ActionChains(page).move_to_element_with_offset(slider(page), near, 0).click().perform()
    assert float(slider(page).get_attribute("value")) == pytest.approx(25, abs=2)
    dragged = ActionChains(page).move_to_element_with_offset(slider(page), near, 0).click_and_hold()
    dragged.move_to_element_with_offset(slider(page), far, 10).release().perform()
    assert float(slider(page).get_attribute("value")) == pytest.approx(75, abs=2)
    assert clip(page) == f"inset(0px 0px 0px {slider(page).get_attribute('value')}%)"


def test_overlays_are_shown_and_hidden(look: Open, hospital_page: Path) -> None:
    page = look(hospital_page)
    for kind in ("mask", "prediction"):
        layer = page.find_element("css selector", f".original .{kind}")
        label = page.find_element("css selector", f"label[for^='{kind}-']")
        assert not layer.is_displayed()
        label.click()
        assert layer.is_displayed()
        assert rectangle(page, f".original .{kind}") == rectangle(page, ".original img")
        label.click()
        assert not layer.is_displayed()


@pytest.mark.parametrize("which", ["hospital_page", "run_page"])
def test_nothing_is_loaded_and_the_console_stays_empty(
    look: Open, which: str, request: pytest.FixtureRequest
) -> None:
    page = look(request.getfixturevalue(which))
    page.execute_async_script("setTimeout(arguments[0], 300)")
    assert [entry for entry in page.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")] == []
    messages = [json.loads(entry["message"])["message"] for entry in page.get_log("performance")]
    asked = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    own = request.getfixturevalue(which).as_uri()
    assert own in asked
    assert [url for url in asked if url != own and not url.startswith("data:")] == []


def test_without_scripts_both_pictures_stand_side_by_side(look: Open, hospital_page: Path) -> None:
    page = look(hospital_page, scripts=False)
    assert not slider(page).is_displayed()
    left, right = rectangle(page, ".original"), rectangle(page, ".enhanced")
    assert right["left"] >= left["right"] and right["top"] == left["top"] and left["width"] > 100
    assert clip(page) == "none"
    page.find_element("css selector", "label[for^='mask-']").click()
    assert page.find_element("css selector", ".enhanced .mask").is_displayed()


def test_printed_both_pictures_stand_side_by_side(look: Open, hospital_page: Path) -> None:
    page = look(hospital_page, media="print", width=700, dark=True)
    left, right = rectangle(page, ".original"), rectangle(page, ".enhanced")
    assert right["left"] >= left["right"] and right["top"] == left["top"]
    assert not slider(page).is_displayed()
    # Paper is white, whatever the screen is.
    assert (
        page.execute_script("return getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    )
    assert base64.b64decode(page.print_page()).startswith(b"%PDF")


@pytest.mark.parametrize("which", ["hospital_page", "run_page"])
@pytest.mark.parametrize("width", [400, 768, 1280])
def test_no_page_is_wider_than_its_window(
    look: Open, which: str, width: int, request: pytest.FixtureRequest
) -> None:
    page = look(request.getfixturevalue(which), width=width)
    shown = page.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
    assert shown[0] <= shown[1] == width
    # Wide tables scroll by themselves, and the keyboard reaches them.
    script = """return [...document.querySelectorAll('.scroll')].filter(
      one => one.scrollWidth > one.clientWidth && one.tabIndex !== 0).length"""
    assert page.execute_script(script) == 0


@pytest.mark.parametrize("which", ["hospital_page", "run_page"])
@pytest.mark.parametrize("dark", [False, True])
def test_text_stands_out_from_what_lies_behind_it(
    look: Open, which: str, dark: bool, request: pytest.FixtureRequest
) -> None:
    page = look(request.getfixturevalue(which), dark=dark)
    ratio, text = page.execute_script(_CONTRAST)
    assert ratio >= 4.5, text  # WCAG 2.1, level AA


def test_focus_is_seen(look: Open, run_page: Path) -> None:
    from selenium.webdriver.common.keys import Keys

    page = look(run_page)
    page.find_element("css selector", "body").send_keys(Keys.TAB)
    focused = page.switch_to.active_element
    assert focused.text == "Skip to the report"
    style = page.execute_script(
        "const s = getComputedStyle(document.activeElement); return [s.outlineStyle, s.outlineWidth]"
    )
    assert style == ["solid", "3px"]
    assert rectangle(page, ".skip")["left"] >= 0
