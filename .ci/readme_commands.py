"""The commands of README.md, and what CI does with each of them.

    python3 .ci/readme_commands.py first

prints those that run in the environment of the first fenced block, in the order of the
README and shortened where that says so; `second` prints those of the second block's
environment. tests/test_readme.py holds the tables equal to the README.
"""

from pathlib import Path
import re
import sys

README = Path(__file__).parent.parent / "README.md"

SHORT = (
    "--config.num_train_steps=20 --config.log_every_steps=10 "
    "--config.eval_every_steps=20"
)
FEW = "--num_images=1000"

# Command -> what is appended to shorten it: the last value of a flag counts.
# The first block installs the requirements, not the package.
FIRST = {
    "python -m pip install -r requirements.txt": "",
    "python -m gan_jax.main --config=configs/dcgan.py": SHORT,
    "python -m gan_jax.main --config=configs/dcgan.py "
    "--config.num_train_steps=20_000": SHORT.replace("steps=20 ", "steps=30 "),
    "python -m gan_jax.sample --workdir=runs/dcgan --num=10000 --seed=0 "
    "--output=samples.npz": "",
    "python -m gan_jax.sample --workdir=runs/dcgan --num=100 --output=grid.png": "",
    "python -m gan_jax.sample --workdir=runs/dcgan --between=3,7 --output=path.gif": "",
    "python -m gan_jax.sample --workdir=runs/dcgan "
    "--arithmetic=1,2,3-4,5,6+7,8,9 --output=sum.png": "",
    "python -m gan_jax.main --config=configs/dcgan.py --workdir=runs/wide "
    "--config.model.generator.features=64 "
    "--config.optimizer.generator.learning_rate=2e-4": SHORT,
    'python -m pip install "jinja2>=3.1,<4"': "",
    "python -m gan_jax.report --workdir=runs/dcgan": "",
    "python -m gan_jax.report --workdir=runs/dcgan --compare=runs/wide "
    "--output=both.html": "",
    "python -m gan_jax.evaluate --workdir=runs/dcgan": FEW,
    "python -m gan_jax.main --config=configs/gan.py --workdir=runs/own_model "
    "--config.model.name=experiments.own_parts.networks:pair": SHORT,
    "python -m gan_jax.evaluate --workdir=runs/dcgan --step=all --draws=3 "
    "--metrics=prdc": FEW,
    "python -m gan_jax.evaluate --workdir=runs/dcgan --images=training": FEW,
    'python -m pip install -e ".[export]"': "",
    "python -m gan_jax.main --config=configs/dcgan.py --dry_run": "",
    "python -m gan_jax.runs --under=runs": "",
    "python -m gan_jax.export --workdir=runs/dcgan --output=generator.stablehlo": "",
    "python -m gan_jax.export --workdir=runs/dcgan --output=generator.safetensors": "",
    "python -m gan_jax.export --workdir=runs/dcgan --output=generator.npz": "",
}
# The second block installs the package and what tests and experiments need.
SECOND = {
    'python -m pip install -e ".[test]"': "",
    "ruff check . && ruff format --check . && mypy && python -m pytest": "",
    'python -m pip install -e ".[experiments]"': "",
    "python -m experiments.run --experiment=stabilisers --dry_run": "",
    "python -m experiments.run --experiment=stabilisers --workdir=runs/stabilisers "
    "--collect": "",
}
# Command -> why CI does not run it.
NOT_RUN = {
    "python -m gan_jax.main --config=configs/dcgan.py:folder "
    "--config.data.manual_dir=DIR": "needs a folder of images; "
    "tests/data/test_folder.py reads some, tests/test_configs.py trains the config",
    "python -m gan_jax.evaluate --workdir=runs/dcgan_folder --manual_dir=DIR": "needs "
    "the run of the line above; tests/test_evaluate.py scores one on an array",
    "python -m gan_jax.main --config=configs/dcgan.py:celeba "
    "--config.data.manual_dir=DIR": "needs the 1.4 GB of CelebA; "
    "tests/data/test_tfds.py reads a made-up one, tests/test_configs.py trains it",
    "python -m gan_jax.train_classifier --config=configs/dcgan.py:celeba "
    "--config.data.label=Eyeglasses --output=eyeglasses.npz": "needs CelebA; "
    "tests/test_train_classifier.py trains on other data",
    'python -m pip install -e ".[onnx]"': "changes the version of orbax-checkpoint",
    "python -m gan_jax.export --workdir=runs/dcgan --output=generator.onnx": "needs "
    "the line above; tests/formats/test_programs.py makes models where it was run",
    'python -m pip install -e ".[explore]"': "brings 300 MB",
    'python -m pip install -e ".[tpu]"': "brings 210 MB; .ci/run has an environment "
    "with it",
    "python -m gan_jax.main --config=configs/dcgan.py:celeba --compile_for=v5e:16x16 "
    "--config.batch_size=32_768": "takes minutes; .ci/run compiles a smaller network",
    "python -m gan_jax.explore --workdir=runs/dcgan": "waits for Ctrl-C; "
    "tests/test_explore.py opens the page where gradio is installed",
    "python -m gan_jax.explore --workdir=runs/dcgan --compare=runs/wide": "the same",
    "python -m experiments.run --experiment=stabilisers --workdir=runs/stabilisers "
    "--processes=2": "trains 100 runs of 6,000 steps; tests/experiments/test_runner.py "
    "runs a small experiment",
    "python -m gan_jax.main --config=configs/dcgan.py "
    "--coordinator_address=HOST:PORT --num_processes=2 --process_id=0": "needs two "
    "processes; tests/test_parallel.py starts them",
}


def readme_commands() -> list[str]:
    """The lines of the README's fenced bash blocks, those with a backslash joined."""
    blocks = re.findall(r"^```bash\n(.*?)^```", README.read_text(), re.S | re.M)
    return [
        line
        for block in blocks
        for line in re.sub(r"\s*\\\n\s*", " ", block).splitlines()
    ]


if __name__ == "__main__":
    table = {"first": FIRST, "second": SECOND}[sys.argv[1]]
    for command in readme_commands():
        if command in table:
            print(f"{command} {table[command]}".rstrip())
