"""Rules that notice a run which has failed, by the means that it logs.

A rule compares metrics with a threshold, a field of `config.watchdog`. It is broken
where a metric lies below it. After `patience` broken measurements in a row there is a
warning, and after twice as many the run stops, if `action` says so.

The images of a new generator may be nearly alike and grow apart as it learns. So until
a distance has reached its threshold for the first time, a measurement more than a tenth
higher than the one at which the count began starts the count anew. A distance that
stays where it is, or swings about a low value, is soon counted like any other metric.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from absl import logging
from ml_collections import ConfigDict

from gan_jax import checks
from gan_jax.step import losses

NON_FINITE = "non_finite"  # the rule of writer.check_finite, which always stops a run
ACTIONS = ("warn", "stop")
RISE = 1.1  # a metric above this multiple of where the count began is still rising


class Rule(NamedTuple):
    """A sign of failure.

    Attributes:
      threshold: field of config.watchdog; its value 0 turns the rule off. That of
        d_loss counts from the smallest value that the loss can have.
      metrics: names of logged means. One below the threshold breaks the rule, and a
        line of the log that has none of them is no measurement.
      meaning: a clause that says what a low value means.
      starts_low: whether the metrics of a good run may begin below the threshold.
    """

    threshold: str
    metrics: tuple[str, ...]
    meaning: str
    starts_low: bool = False


RULES = {
    "discriminator_won": Rule(
        "min_d_loss",
        ("d_loss",),
        "the discriminator hardly errs any more, so that the generator learns little",
    ),
    "gradients_vanished": Rule(
        "min_grad_norm",
        ("d_grad_norm", "g_grad_norm"),
        "a network has stopped learning",
    ),
    "samples_collapsed": Rule(
        "min_sample_distance",
        ("sample_distance",),
        "the generated images are nearly alike",
        starts_low=True,
    ),
    "labels_ignored": Rule(
        "min_label_distance",
        ("label_distance",),
        "another label hardly changes a generated image",
        starts_low=True,
    ),
}
RANGES = {
    "action": checks.one_of(ACTIONS),
    "patience": checks.integer(1, checks.MOST),
    **{rule.threshold: checks.NOT_NEGATIVE for rule in RULES.values()},
    "retries": checks.integer(0, 100),
}


class FailedError(ValueError):
    """A run has failed by a rule.

    Attributes:
      rule: the name of the rule.
      step: the first step at which the rule was seen to be broken.
    """

    def __init__(self, message: str, *, rule: str, step: int) -> None:
        """Says what happened; the arguments are those of the attributes."""
        super().__init__(message)
        self.rule = rule
        self.step = step


def last_good_step(saved: list[int], step: int) -> int | None:
    """The newest of the saved steps before `step`; None if there is none."""
    return max((one for one in saved if one < step), default=None)


def say_last_good(step: int | None) -> str:
    """A clause with the step of the last good checkpoint; None if there is none."""
    if step is None:
        return "there is no checkpoint from before that"
    return f"the last good checkpoint is that of step {step}"


class Streak(NamedTuple):
    """The last measurements in a row that broke a rule.

    Attributes:
      length: number of these measurements.
      first: step of the first one.
      risen: number of those that came before the last rise, which are forgiven.
      base: value of the measurement at which the count began, or last began anew; 0
        before that. None: no rise is forgiven, as once the threshold was reached.
    """

    length: int = 0
    first: int = 0
    risen: int = 0
    base: float | None = None

    def add(self, step: int, value: float) -> "Streak":
        """The streak with another measurement that broke the rule."""
        length, first, risen, base = self
        if base is not None and value > RISE * base:
            risen, base = length, value
        return Streak(length + 1, first if length else step, risen, base)


class Watchdog:
    """Counts in how many measurements in a row each rule was broken."""

    def __init__(
        self,
        config: ConfigDict,
        workdir: Path,
        progress: Mapping[str, list[Any]] | None = None,
    ) -> None:
        """Chooses the rules that hold for the run.

        Args:
          config: whole config.
          workdir: folder of the run, which a warning names.
          progress: result of `progress` at the step from which the run goes on; None
            for a new run. A list of two items, as they once were, forgives no rise.
        """
        self._config, self._workdir = config.watchdog, workdir
        self._rules = {
            name: rule for name, rule in RULES.items() if self._config[rule.threshold]
        }
        recipe = config.recipe
        lowest = losses.create(recipe.loss, real_label=recipe.real_label).lowest
        if lowest is None:
            self._rules.pop("discriminator_won", None)
        self._floors = {"discriminator_won": lowest or 0.0}
        if progress is None:
            low = [name for name, rule in RULES.items() if rule.starts_low]
            self._streaks = dict.fromkeys(low, Streak(base=0.0))
        else:
            self._streaks = {name: Streak(*items) for name, items in progress.items()}

    def progress(self) -> dict[str, list[Any]]:
        """The state as a JSON object, for a run that goes on from here."""
        return {name: list(streak) for name, streak in self._streaks.items()}

    def spared(self, saved: list[int]) -> set[int]:
        """Those of the saved steps to which a retry would set the run back.

        While a rule is broken, its checkpoint must not be deleted, since the run may
        save several more before it is stopped. Without retries there is none.
        """
        if self._config.action != "stop" or not self._config.retries:
            return set()
        streaks = (self._streaks.get(name, Streak()) for name in self._rules)
        steps = (last_good_step(saved, one.first) for one in streaks if one.length)
        return {step for step in steps if step is not None}

    def observe(self, step: int, means: Mapping[str, float], saved: list[int]) -> None:
        """Looks at a line of the log.

        Args:
          step: number of steps done.
          means: means since the last line.
          saved: steps of the checkpoints on disk.

        Raises:
          FailedError: a rule was broken for too long, and the config says stop.
        """
        for name, rule in self._rules.items():
            found = {x: means[x] for x in rule.metrics if x in means}
            if not found:
                continue
            metric = min(found, key=lambda x: found[x])
            threshold = self._config[rule.threshold] + self._floors.get(name, 0.0)
            if found[metric] >= threshold:
                self._streaks.pop(name, None)
                continue
            streak = self._streaks.get(name, Streak()).add(step, found[metric])
            self._streaks[name] = streak
            times, rest = divmod(streak.length - streak.risen, self._config.patience)
            stops = times >= 2 and self._config.action == "stop"
            is_warned = rest == 0 and times & (times - 1) == 0  # 1, 2, 4, 8, ...
            if not stops and not is_warned:
                continue
            good = say_last_good(last_good_step(saved, streak.first))
            message = (
                f"{name}: {rule.meaning}. At step {step} {metric} is "
                f"{found[metric]:.3g}, below {threshold:.3g} (watchdog."
                f"{rule.threshold}) as in all {streak.length} measurements since step "
                f"{streak.first}; {good}"
            )
            if stops:
                raise FailedError(
                    f"{message}. The run stops; change its recipe or learning rates in "
                    "another --workdir, or go on with --config.watchdog.action=warn.",
                    rule=name,
                    step=streak.first,
                )
            logging.warning("%s: %s.", self._workdir, message)
