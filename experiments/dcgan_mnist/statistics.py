"""How many batches the averaged generator's BatchNorm statistics need.

    PYTHONPATH=. python experiments/dcgan_mnist/statistics.py runs/dcgan

prints the Fréchet distance of a run's averaged generator with statistics recomputed
from ever more generated batches. The latents of the scored images are always the same.
"""

from pathlib import Path
import sys

from gan_jax.evaluation import scores
from gan_jax.run import reader, trained

BATCHES = (10, 50, 100, 200)


def main() -> None:
    """Prints a line for each number of batches."""
    run = reader.load(Path(sys.argv[1]))
    averaged = run.with_averaged()
    scorer = scores.Scorer(run.config.data, run.config.evaluation)
    for batches in BATCHES:
        statistics = trained.recompute_batch_stats(
            run.config, run.generator, averaged.variables, batches=batches
        )
        variables = {**averaged.variables, "batch_stats": statistics}
        found = scorer.score_run(run._replace(variables=variables))
        distance = found.numbers["frechet_distance"].value
        print(f"{batches:4} batches: Fréchet distance {distance:.4f}", flush=True)


if __name__ == "__main__":
    main()
