"""Players play, pause, step and scrub, by the keyboard too; less motion where asked; a still on paper."""

from __future__ import annotations

import pytest

BUMP, DIGITS, MOSER = (
    "notebooks/01_bump.html",
    "notebooks/12_translating_digits.html",
    "notebooks/02_moser.html",
)
FRAME = "f => +f.dataset.frame"


@pytest.fixture
def calm(browser):
    context = browser.new_context(viewport={"width": 1400, "height": 900}, reduced_motion="reduce")
    context.set_default_timeout(60_000)
    yield context.new_page()
    context.close()


def player(page, address):
    page.goto(address)
    figure = page.locator(".eq-player").first
    figure.scroll_into_view_if_needed()
    figure.locator("canvas").wait_for()
    return figure


def pixels(figure) -> bytes:
    return figure.locator("canvas").screenshot()  # toDataURL is refused from a disk


def control(figure, name):
    return figure.get_by_role("group", name="Player").get_by_label(name, exact=True)


@pytest.mark.parametrize("place", [BUMP, DIGITS, MOSER])
def test_steps_and_slider_show_the_frame_they_name(calm, url, place):
    figure = player(calm, url(place))
    last = figure.evaluate("f => JSON.parse(f.dataset.film).frames") - 1
    assert figure.evaluate(FRAME) == last  # quiet: the still stands
    end = pixels(figure)
    control(figure, "One frame on").click()
    assert figure.evaluate(FRAME) == 0 and pixels(figure) != end
    control(figure, "One frame back").click()
    assert figure.evaluate(FRAME) == last and pixels(figure) == end
    control(figure, "Frame").fill("2")
    calm.wait_for_function("document.querySelector('.eq-player').dataset.frame === '2'")
    assert control(figure, "Frame").get_attribute("aria-valuetext") == f"frame 3 of {last + 1}"


def test_plays_and_pauses(calm, url):
    figure = player(calm, url(BUMP))
    control(figure, "Speed").select_option("2")
    control(figure, "Play").click()
    calm.wait_for_function(
        "(f) => { const n = +document.querySelector('.eq-player').dataset.frame; return n > 1 && n < 30; }"
    )
    control(figure, "Pause").click()
    stopped = figure.evaluate(FRAME)
    calm.wait_for_timeout(700)
    assert figure.evaluate(FRAME) == stopped


def test_quiet_for_who_asks_for_less_motion_and_once_for_others(page, calm, url):
    figure = player(calm, url(BUMP))
    before = figure.evaluate(FRAME)
    calm.wait_for_timeout(1000)
    assert figure.evaluate(FRAME) == before
    player(page, url(BUMP))
    page.wait_for_function("document.querySelector('.eq-player').dataset.frame === '3'", polling=20)
    page.wait_for_function("document.querySelector('.eq-player button').title === 'Play'")  # stops by itself
    assert page.locator(".eq-player").first.evaluate(FRAME) == before


def test_keyboard_alone(calm, url):
    figure = player(calm, url(BUMP))
    control(figure, "One frame back").focus()
    calm.keyboard.press("Home")
    assert figure.evaluate(FRAME) == 0
    calm.keyboard.press("ArrowRight")
    assert figure.evaluate(FRAME) == 1
    control(figure, "Frame").focus()
    calm.keyboard.press("ArrowRight")
    calm.wait_for_function("document.querySelector('.eq-player').dataset.frame === '2'")
    assert calm.url.endswith("01_bump.html"), "the arrow turned the page"
    control(figure, "Play").focus()
    calm.keyboard.press("Enter")
    assert control(figure, "Pause").count() == 1


def test_paper_shows_the_still(calm, url):
    figure = player(calm, url(BUMP))
    calm.emulate_media(media="print")
    assert figure.locator("img").is_visible()
    assert not figure.locator("canvas").is_visible() and not figure.locator(".eq-controls").is_visible()


def test_without_script_the_still_and_the_film_are_there(browser, url):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(url(BUMP))
    figure = page.locator(".eq-player").first
    assert figure.locator("img").is_visible() and figure.locator("a[href$='.gif']").count() == 1
    context.close()
