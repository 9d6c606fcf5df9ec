"""The page in a browser: the slider, the legend, paper, the phone and the console."""

import base64
import io
import shutil

import numpy as np
from PIL import Image
import pytest

from configs import default
from gan_jax.page import history, render
from tests.page import support

webdriver = pytest.importorskip("selenium.webdriver")
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        CHROMIUM is None or DRIVER is None,
        reason="no Chromium with its chromedriver is installed",
    ),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # selenium's sockets
]
BLUE = (31, 111, 192)  # --c0 of page.css
GREY = "rgb(20, 24, 29)"  # the background of page.css in the dark


@pytest.fixture(scope="module")
def browser():
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for word in ("headless=new", "no-sandbox", "disable-gpu", "window-size=1200,900"):
        options.add_argument(f"--{word}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(executable_path=DRIVER)
    driver = webdriver.Chrome(options=options, service=service)
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The address of a page of two runs."""
    folder = tmp_path_factory.mktemp("page")
    fields = {"model.generator.condition": "onehot", "data.manual_dir": "</script>"}
    runs = [
        support.make_run(folder / "first"),
        support.make_run(folder / "second", more=0.5, seed=1, **fields),
    ]
    shipped = {"default": default.get_config()}
    path = folder / "report.html"
    path.write_text(render.page(history.read_all(runs), shipped, grids=30))
    return path.as_uri()


@pytest.fixture(autouse=True)
def no_errors(browser, page):
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    media = [{"name": "prefers-color-scheme", "value": "light"}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": media})
    browser.get(page)
    yield
    assert browser.get_log("browser") == []


def find(browser, selector):
    return browser.find_elements("css selector", selector)


def shown(browser):
    pictures = find(browser, ".samples img")
    return [x.get_attribute("data-step") for x in pictures if x.is_displayed()]


def ink(browser, number):
    """The number of pixels of a chart in the colour of the first run."""
    code = "return document.querySelectorAll('.plot canvas')[arguments[0]].toDataURL()"
    source = browser.execute_script(code, number).partition(",")[2]
    with Image.open(io.BytesIO(base64.b64decode(source))) as image:
        pixels = np.asarray(image).astype(int)
    is_blue = np.abs(pixels[..., :3] - BLUE).max(-1) < 40
    return np.count_nonzero(is_blue & (pixels[..., 3] > 0))


def wait_for_drawing(browser):
    code = "requestAnimationFrame(() => setTimeout(arguments[0]))"
    browser.execute_async_script(code)


def test_the_slider_moves_the_pictures_of_all_runs(browser):
    assert shown(browser) == ["200", "200"]
    (slider,) = find(browser, "#step")
    slider.send_keys("\ue012")  # the key to the left
    assert shown(browser) == ["100", "100"]
    assert find(browser, "#step-shown")[0].text == "100"
    assert find(browser, ".samples .shown")[1].text == "step 100"
    natural = "return arguments[0].naturalWidth"
    picture = next(x for x in find(browser, ".samples img") if x.is_displayed())
    assert browser.execute_script(natural, picture) == 20


def test_a_click_in_the_legend_hides_a_curve_and_brings_it_back(browser):
    before = ink(browser, 0)
    assert before > 0
    names = find(browser, ".plot:first-of-type .u-legend .u-series th")
    name = next(x for x in names if x.text.startswith("first: generator"))
    name.click()
    wait_for_drawing(browser)
    without = ink(browser, 0)
    assert without < before
    name.send_keys("\ue007")  # the key Enter
    wait_for_drawing(browser)
    assert ink(browser, 0) > without


def test_the_legend_has_the_values_below_the_mouse(browser):
    (over, *_) = find(browser, ".plot .u-over")
    webdriver.ActionChains(browser).move_to_element(over).perform()
    wait_for_drawing(browser)
    legend = find(browser, ".plot .u-legend")[0].text
    assert "200" in legend and "1.4" in legend and "1.386" in legend


def test_the_page_fits_a_phone(browser):
    screen = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    browser.refresh()
    wait_for_drawing(browser)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 390


def test_the_page_is_dark_where_the_reader_likes_it_but_not_on_paper(browser):
    media = [{"name": "prefers-color-scheme", "value": "dark"}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": media})
    style = "return getComputedStyle(document.body).backgroundColor"
    assert browser.execute_script(style) == GREY
    browser.execute_script(
        "window.paper = null; addEventListener('beforeprint', () => {"
        " window.paper = getComputedStyle(document.body).backgroundColor; });"
    )
    printed = browser.execute_cdp_cmd("Page.printToPDF", {})["data"]
    assert base64.b64decode(printed).startswith(b"%PDF")
    assert browser.execute_script("return window.paper") == "rgb(255, 255, 255)"
    assert browser.execute_script(style) == GREY
