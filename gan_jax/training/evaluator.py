"""Evaluation during training, and the checkpoint with the best value of a metric."""

from collections.abc import Mapping
import math
from pathlib import Path

from absl import logging
from ml_collections import ConfigDict

from gan_jax import models
from gan_jax.evaluation import scores
from gan_jax.run import checkpoints, files, trained
from gan_jax.step import states


class Evaluator:
    """Scores a run's generators, records the scores and keeps the best checkpoint."""

    def __init__(
        self,
        config: ConfigDict,
        workdir: Path,
        *,
        first_step: int,
        worker: files.Worker | None = None,
    ) -> None:
        """Reads the real images and drops what is left of steps after `first_step`.

        These steps will be done again, after a retry in another way, so their records
        and the best checkpoint go, if it is of such a step.

        Args:
          config: whole config.
          workdir: folder of the run.
          first_step: number of steps done before.
          worker: thread that writes the best checkpoint; None makes a separate one.

        Raises:
          ValueError: scores.Scorer refuses the config, or best_metric is unknown.
        """
        self._best_metric = config.evaluation.best_metric
        self._sign = scores.best_direction(config.evaluation)
        self._config = config
        self._modules = models.build(config, axis_name=None)
        try:
            self._scorer = scores.Scorer(config.data, config.evaluation)
        except ValueError as error:
            raise ValueError(
                f"{error} Or train without: --config.eval_every_steps=0."
            ) from error
        self._records = workdir / files.SCORES
        files.drop_lines_after(self._records, first_step)
        checkpoints.delete_after(workdir / "best", first_step)
        self._best = (
            checkpoints.Checkpoints(
                workdir / "best", keep=1, first_step=-1, worker=worker
            )
            if self._best_metric
            else None
        )

    def evaluate(
        self, step: int, state: states.GANState
    ) -> Mapping[str, scores.Scores]:
        """Scores of the generator "raw" and, if the run keeps it, "averaged".

        Args:
          step: number of steps done.
          state: state of NumPy arrays.

        Raises:
          ValueError: best_metric is not computed.
          OSError: the best checkpoint cannot be written.
        """
        generator, discriminator = self._modules
        run = trained.Run(
            self._config,
            step,
            generator,
            discriminator,
            state.generator.variables,
            state.averaged,
            state.discriminator.variables,
        )
        found = {"raw": self._scorer.score_run(run)}
        if run.averaged:
            found["averaged"] = self._scorer.score_run(run.with_averaged())
        *_, kind = found  # sample.py draws from the last one by default
        is_best = self._best is not None and self._beats(kind, found[kind])
        for name, one in found.items():
            record = {"step": step, "generator": name, **one.as_record()}
            files.append_line(self._records, record)
        if self._best and is_best:
            self._best.save(step, state)
            best = found[kind].numbers[self._best_metric].value
            logging.info("Step %d: best %s, %.4g.", step, self._best_metric, best)
        return found

    def _beats(self, kind: str, found: scores.Scores) -> bool:
        """Whether these scores beat those of the best checkpoint there is.

        Scores of another protocol, and those of no checkpoint, are not compared with.
        A score of nan never beats anything, and any other number beats nan.
        """
        assert self._best is not None
        name = self._best_metric
        if name not in found.numbers:
            raise ValueError(
                f"evaluation.best_metric is {name!r}, but only "
                f"{', '.join(found.numbers)} are computed: add it to "
                "--config.evaluation.metrics, or choose another."
            )
        self._best.wait()
        best_step = self._best.latest_step()
        before = [
            record["numbers"][name]["value"]
            for record in files.read_scores(self._records)
            if record["step"] == best_step
            and record["generator"] == kind
            and files.same_protocol(record["protocol"], found.as_record()["protocol"])
            and name in record["numbers"]
        ]
        value = self._sign * found.numbers[name].value
        return not math.isnan(value) and all(
            math.isnan(other) or value > self._sign * other for other in before
        )

    def close(self) -> None:
        """Returns when the best checkpoint is on disk.

        Raises:
          OSError: the checkpoint could not be written.
        """
        if self._best:
            try:
                self._best.wait()
            finally:
                self._best.close()
