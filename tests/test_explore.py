"""The explorer: what its controls do, and its page in a browser."""

import io
import shutil
import time
import urllib.request

import numpy as np
from PIL import Image
import pytest

import gan_jax
from gan_jax import explore
from gan_jax.models import mlp

pytestmark = pytest.mark.slow
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")


@pytest.fixture(scope="module")
def explorer(conditional_run):
    return explore.Explorer(gan_jax.load(conditional_run), "faces")


def test_the_pictures_are_those_of_the_seed(explorer, conditional_run):
    expected = gan_jax.load(conditional_run).sample(16, seed=3, label=2)
    large, grid = explorer.draw(explore.Choice(seed=3, label=2))
    assert large.shape == (320, 320, 3) and large.dtype == np.uint8
    np.testing.assert_allclose(
        large[::20, ::20, :1].astype(int), expected[0], atol=1, rtol=0
    )
    assert grid.shape[2] == 3 and grid.shape[0] >= 320


def test_a_path_goes_from_seed_to_seed(explorer):
    def latents(**fields):
        return explorer.latents(explore.Choice(**fields))

    ends = {"seed": 5, "other_seed": 6}
    np.testing.assert_array_equal(latents(**ends), latents(seed=5))
    np.testing.assert_allclose(
        latents(**ends, share=1), latents(seed=6), rtol=1e-5, atol=1e-6
    )
    middle = latents(**ends, share=0.5)
    assert not np.allclose(middle, latents(seed=5))


@pytest.mark.parametrize("kind", [explore.COORDINATES, explore.PRINCIPAL])
def test_a_slider_moves_along_its_direction_alone(kind, explorer):
    choice = explore.Choice(kind=kind)
    before = explorer.latents(choice)
    offsets = (0.0, 1.5) + (0.0,) * (explore.SLIDERS - 2)
    moved = explorer.latents(choice._replace(offsets=offsets)) - before
    direction = explorer.directions(choice)[1]
    assert np.linalg.norm(direction) == pytest.approx(1, abs=1e-5)
    expected = np.broadcast_to(1.5 * direction, before.shape)
    np.testing.assert_allclose(moved, expected, atol=1e-5, rtol=0)


def test_truncation_bounds_the_latents(explorer):
    free, bounded = (
        np.abs(explorer.latents(explore.Choice(truncation=truncation)))
        for truncation in (0, 0.5)
    )
    assert bounded.max() <= 0.5 < free.max()


def test_sliders_keep_uniform_latents_in_their_range(explorer):
    config = explorer._run.config.copy_and_resolve_references()
    config.model.latent_distribution = "uniform"
    uniform = explore.Explorer(explorer._run._replace(config=config), "uniform")
    latents = uniform.latents(explore.Choice(offsets=(3.0,) * explore.SLIDERS))
    assert np.abs(latents).max() == 1


def test_points_are_refused(explorer):
    run = explorer._run
    config = run.config.copy_and_resolve_references()
    config.data.image_size, config.data.channels = 1, 2
    with pytest.raises(ValueError, match="ring draws points of the plane, which are"):
        explore.Explorer(run._replace(config=config), "ring")


def test_images_that_do_not_follow_their_latents_are_refused(explorer):
    run = explorer._run._replace(generator=mlp.Generator(test_dropout=True))
    with pytest.raises(ValueError, match="run draws its images with dropout"):
        explore.Explorer(run, "run")


@pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="Chromium is not installed")
@pytest.mark.filterwarnings("default")  # gradio's own
def test_the_page_redraws_when_a_control_moves(explorer):
    pytest.importorskip("gradio")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for word in ("headless=new", "no-sandbox", "disable-gpu"):
        options.add_argument(f"--{word}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    page = explore.make_page([explorer])
    address = explore.serve(page, port=7_861)
    with pytest.raises(ValueError, match="port 7861 is taken"):
        explore.serve(explore.make_page([explorer]), port=7_861)
    service = webdriver.ChromeService(executable_path=DRIVER)
    browser = webdriver.Chrome(options=options, service=service)
    try:
        browser.get(address)
        first = picture(browser, other_than=None)
        expected, _ = explorer.draw(explore.Choice())
        np.testing.assert_array_equal(first, expected)
        seed = browser.find_element("css selector", "input[type=number]")
        seed.clear()
        seed.send_keys("7")
        second = picture(browser, other_than=first)
        expected, _ = explorer.draw(explore.Choice(seed=7))
        np.testing.assert_array_equal(second, expected)
        assert browser.get_log("browser") == []
    finally:
        browser.quit()
        page.close()


def picture(browser, *, other_than):
    """The large picture (H, W, 3), once it differs from another one."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        for element in browser.find_elements("css selector", "img")[:1]:
            source = element.get_attribute("src")
            with urllib.request.urlopen(source) as file:
                found = np.asarray(Image.open(io.BytesIO(file.read())).convert("RGB"))
            if other_than is None or not np.array_equal(found, other_than):
                return found
        time.sleep(0.1)
    raise AssertionError("the picture did not change within 30 seconds")
