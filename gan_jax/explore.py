"""Opens a local page on which sliders move through the latents of a trained run.

This command opens the page of one run:
  python -m gan_jax.explore --workdir=RUN
This one shows the images of another run too, for the same latents:
  python -m gan_jax.explore --workdir=RUN --compare=RUN2
"""

from collections.abc import Callable
import importlib
import importlib.util
import os
from pathlib import Path
import threading
from typing import Any, NamedTuple

from absl import flags
import numpy as np

from gan_jax import command, generator_flags
from gan_jax.run import directions as directions_lib
from gan_jax.run import images as images_lib
from gan_jax.run import latents as latents_lib
from gan_jax.run import trained

flags.adopt_module_key_flags(generator_flags)
_COMPARE = flags.DEFINE_string(
    "compare", None, "The run in this folder is shown beside the first one."
)
_PORT = flags.DEFINE_integer(
    "port",
    7860,
    "The page has this port. Only this machine reaches it.",
    lower_bound=1,
    upper_bound=65_535,
)

SLIDERS = 8
GRID = 16  # images of the grid, four in a row
SIDE = 320  # pixels of a picture, at least
COORDINATES, PRINCIPAL = "coordinates", "principal directions"


class Choice(NamedTuple):
    """What the controls of the page are set to.

    Attributes:
      seed: seed of the latents.
      label: class of the images; unconditional runs ignore it.
      truncation: largest magnitude of a coordinate of normal latents; 0 does not
        truncate.
      other_seed: seed of the latents at the other end of the path.
      share: place on the path, from 0, this seed, to 1, the other seed.
      kind: what the sliders move along, COORDINATES or PRINCIPAL.
      offsets: how far each slider moves.
    """

    seed: int = 0
    label: int = 0
    truncation: float = 0
    other_seed: int = 1
    share: float = 0
    kind: str = COORDINATES
    offsets: tuple[float, ...] = (0.0,) * SLIDERS


class Explorer:
    """Draws the images of a choice from one run."""

    def __init__(self, run: trained.Run, name: str) -> None:
        """Prepares a run.

        Raises:
          ValueError: the run draws points of the plane, which are no pictures, or near
            latents give unrelated images.
        """
        if run.draws_points:
            raise ValueError(
                f"{name} draws points of the plane, which are no pictures: draw them "
                "with python -m gan_jax.sample --output=points.png."
            )
        if not run.is_smooth:
            raise ValueError(
                f"{name} draws its images with dropout (model.generator.test_dropout), "
                "whose masks the latents decide, so that no slider would change them "
                "little by little: draw them with python -m gan_jax.sample."
            )
        self._run = run
        self._directions: dict[int, np.ndarray] = {}
        self.name = f"{name}, step {run.step}"
        self.num_classes = run.config.data.num_classes if run.is_conditional else 0
        self.can_truncate = run.config.model.latent_distribution == "normal"

    def latents(self, choice: Choice) -> np.ndarray:
        """Latents (GRID, Z) float32, the first of which makes the large image.

        Raises:
          ValueError: the ends of the path are opposite.
        """
        truncation = choice.truncation if self.can_truncate else 0
        start, end = (
            self._run.draw_latents(GRID, seed=seed, truncation=truncation or None)
            for seed in (choice.seed, choice.other_seed)
        )
        if choice.share:
            place = round(100 * choice.share)
            start = np.stack(
                [
                    latents_lib.interpolate(*ends, 101)[place]
                    for ends in zip(start, end, strict=True)
                ]
            )
        offsets = np.asarray(choice.offsets, np.float32)
        if not offsets.any():
            return start
        directions = self.directions(choice)[: len(offsets)]
        moved = start + offsets[: len(directions)] @ directions
        if self.can_truncate:
            return moved
        reach = latents_lib.REACH["uniform"]  # the generator never got others
        return np.clip(moved, -reach, reach)

    def directions(self, choice: Choice) -> np.ndarray:
        """Directions (SLIDERS or fewer, Z) float32 along which the sliders move."""
        size = self._run.config.model.latent_size
        num = min(SLIDERS, size)
        if choice.kind == COORDINATES:
            return np.eye(size, dtype=np.float32)[:num]
        label = choice.label if self.num_classes else 0
        if label not in self._directions:
            self._directions[label] = directions_lib.principal(
                self._run, num, label=label
            )
        return self._directions[label]

    def draw(self, choice: Choice) -> tuple[np.ndarray, np.ndarray]:
        """The large image and the grid, (height, width, 3) uint8 each.

        Raises:
          ValueError: there is no such class, or the images are not finite.
        """
        labels = choice.label if self.num_classes else None
        images = self._run.generate(self.latents(choice), labels, batch_size=GRID)
        return _enlarged(images[0]), _enlarged(images_lib.make_grid(images, 4))


def _enlarged(image: np.ndarray) -> np.ndarray:
    """The image with every pixel repeated until it has SIDE pixels, as RGB."""
    times = -(-SIDE // len(image))
    large = np.kron(image, np.ones((times, times, 1), np.uint8))
    return np.broadcast_to(large, (*large.shape[:2], 3))


def make_page(explorers: list[Explorer]) -> Any:
    """The page, a gradio.Blocks, whose first pictures are drawn here.

    Raises:
      ValueError: the first pictures cannot be drawn.
    """
    import gradio as gr

    classes = max(explorer.num_classes for explorer in explorers)
    can_truncate = any(explorer.can_truncate for explorer in explorers)
    drawn = [explorer.draw(Choice()) for explorer in explorers]
    with gr.Blocks(title="gan_jax", analytics_enabled=False) as page:
        with gr.Row():
            with gr.Column(scale=2):
                seed = gr.Number(0, label="Seed", precision=0, minimum=0)
                label = gr.Slider(
                    0,
                    max(classes - 1, 1),
                    0,
                    step=1,
                    label="Class",
                    visible=classes > 1,
                )
                truncation = gr.Slider(
                    0,
                    3,
                    0,
                    step=0.1,
                    label="Truncation (0 does not truncate)",
                    visible=can_truncate,
                )
                other = gr.Number(1, label="Other seed", precision=0, minimum=0)
                share = gr.Slider(
                    0, 1, 0, step=0.01, label="Path from the seed to the other seed"
                )
                kind = gr.Radio(
                    [COORDINATES, PRINCIPAL], value=COORDINATES, label="Sliders move"
                )
                offsets = [
                    gr.Slider(-3, 3, 0, step=0.1, label=str(number))
                    for number in range(1, SLIDERS + 1)
                ]
            outputs = []
            for explorer, pictures in zip(explorers, drawn, strict=True):
                with gr.Column(scale=5):
                    gr.Markdown(f"### {explorer.name}")
                    with gr.Row() if len(explorers) == 1 else gr.Column():
                        outputs += [
                            gr.Image(
                                picture,
                                label=name,
                                format="png",
                                interactive=False,
                                buttons=["download"],
                            )
                            for name, picture in zip(
                                ("image 0", "images 0 to 15"), pictures, strict=True
                            )
                        ]
        controls = [seed, label, truncation, other, share, kind, *offsets]
        gr.on(
            [control.change for control in controls],
            _redraw(explorers, gr.Error),
            controls,
            outputs,
            trigger_mode="always_last",
            show_progress="hidden",
        )
    return page


def _redraw(
    explorers: list[Explorer], refusal: type[Exception]
) -> Callable[..., list[np.ndarray]]:
    """A function from the values of the controls to the pictures of all runs."""

    def redraw(seed: int, label: int, *rest: Any) -> list[np.ndarray]:
        truncation, other, share, kind, *offsets = rest
        choice = Choice(seed, label, truncation, other, share, kind, tuple(offsets))
        try:
            drawn = [explorer.draw(choice) for explorer in explorers]
        except ValueError as error:
            raise refusal(str(error)) from error
        return [picture for pictures in drawn for picture in pictures]

    return redraw


def main() -> None:
    """Reads the runs, opens the page and waits for Ctrl-C.

    Raises:
      ValueError: gradio is not installed, a folder holds no run, a run draws no
        pictures, or the port is taken.
    """
    if importlib.util.find_spec("gradio") is None:
        raise ValueError(
            "the page needs the library gradio, which is not installed: install it "
            'with python -m pip install ".[explore]".'
        )
    # Importing it takes seconds, during which the runs are loaded.
    names = ("gradio",)
    threading.Thread(target=importlib.import_module, args=names, daemon=True).start()
    workdirs = [generator_flags.WORKDIR.value, *filter(None, [_COMPARE.value])]
    explorers = [
        Explorer(generator_flags.load(workdir), Path(workdir).resolve().name)
        for workdir in workdirs
    ]
    address = serve(make_page(explorers), port=_PORT.value)
    print(
        f"The page is at {address}, for this machine only. Ctrl-C ends it.", flush=True
    )
    threading.Event().wait()


def serve(page: Any, *, port: int) -> str:
    """The address at which the page is now served, to this machine only.

    Raises:
      ValueError: the port is taken.
    """
    try:
        _, address, _ = page.launch(
            server_name="127.0.0.1",
            server_port=port,
            share=False,
            quiet=True,
            prevent_thread_lock=True,
            footer_links=[],
        )
    except OSError:
        raise ValueError(
            f"port {port} is taken, perhaps by another explorer: end that one, or give "
            "--port another number."
        ) from None
    return str(address)


if __name__ == "__main__":
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # it would call its makers
    command.run(main)
