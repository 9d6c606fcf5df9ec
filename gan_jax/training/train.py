"""A run from its checks to its end: opens it, drives its program, says what happens."""

from collections.abc import Callable, Sequence
import contextlib
import functools
from pathlib import Path
import shlex
from typing import Any

from absl import logging
import flax.linen as nn
import jax
from ml_collections import ConfigDict
import numpy as np

from gan_jax import checks, data, memory, models, own_parts, parallel
from gan_jax.data import batches, feed
from gan_jax.run import checkpoints, config_file, files
from gan_jax.step import recipes, states
from gan_jax.training import loop, preflight, programs, watchdog
from gan_jax.training import writer as writer_lib


def choose_kernels(config: ConfigDict) -> None:
    """Sets what config.deterministic needs; called before anything uses a device.

    Raises:
      ValueError: the field has another type, or the environment contradicts it.
    """
    name = "deterministic"
    checks.check_fields(config, {name: preflight.RANGES[name]})
    if config.deterministic:
        parallel.make_deterministic()


def use_compilation_cache(config: ConfigDict, workdir: Path) -> None:
    """Keeps compiled programs where the config says, for runs to come.

    A deterministic run keeps them in its own folder, with the kernels that XLA chose
    for each kind of GPU. In the common folder XLA would find the choices of other runs,
    which it takes without asking whether those kernels are deterministic.
    """
    directory = config.compilation_cache_dir
    if config.deterministic:
        directory = str(workdir / files.COMPILED)
    parallel.use_compilation_cache(directory)


def check(config: ConfigDict, *, runs: int = 1) -> None:
    """Refuses what cannot be run, before anything is prepared or allocated.

    Args:
      config: the whole config.
      runs: as many like this one train together.

    Raises:
      ValueError: a value out of its range, values that exclude each other, or a run
        that does not fit into memory.
    """
    preflight.check(config)
    if config.watchdog.retries and jax.process_count() > 1:
        raise ValueError(
            f"watchdog.retries is {config.watchdog.retries}, but the job has "
            f"{jax.process_count()} processes, and only a job of one retries a run: "
            "set --config.watchdog.retries=0."
        )
    if config.deterministic:
        parallel.check_deterministic()
    key = jax.random.key(config.seed)
    networks = models.build(config, axis_name=None)
    memory.check(
        config,
        jax.eval_shape(
            functools.partial(programs.create_state, config, *networks), key
        ),
        steps_per_call=programs.steps_per_call(config),
        key=key,
        runs=runs,
    )


def _do_nothing() -> None:
    pass


def train_and_evaluate(
    config: ConfigDict,
    workdir: Path,
    *,
    override_config: bool = False,
    on_first_call: Callable[[], None] = _do_nothing,
) -> bool:
    """Trains from the newest checkpoint in `workdir`, or from step 0, to the end.

    Args:
      config: the whole config, see configs/default.py.
      workdir: the run's folder.
      override_config: go on with a run whose config differs.
      on_first_call: is called once, when steps have been done that are not saved.

    Returns:
      Whether the run is finished; False after a signal, when it was saved before.

    Raises:
      ValueError: a config that cannot be run, or a run that diverged.
      OSError: a checkpoint could not be written, or another process trains the run.
    """
    check(config)
    if parallel.is_writer():
        config_file.check_updates(workdir, config)
    if parallel.is_writer() and not override_config:
        config_file.check(workdir, config)

    with loop.catching_signals() as catch:
        while True:
            retries = _count_retries(workdir)
            make_program = functools.partial(
                programs.of_one_run, config, retries=retries
            )
            try:
                step = drive(
                    [config],
                    [workdir],
                    make_program,
                    on_first_call=on_first_call,
                    catch=catch,
                )
                break
            except watchdog.FailedError as error:
                if retries >= config.watchdog.retries:
                    raise
                _set_back(workdir, error, retries, config.watchdog.retries)
                on_first_call = _do_nothing  # it was called before
            if caught := catch():
                logging.info("Left before this retry because of %s.", caught[0])
                return False
    is_finished = step == config.num_train_steps
    if parallel.is_writer() and is_finished:
        _say_what_lies_where(config, workdir)
    return is_finished


def _count_retries(workdir: Path) -> int:
    """How often the run was set back, as host 0 sees it, on all hosts."""
    count = (
        len(files.read_lines(workdir / files.RETRIES)) if parallel.is_writer() else 0
    )
    return int(parallel.broadcast_from_writer(np.int32(count)))


def _set_back(
    workdir: Path, error: watchdog.FailedError, before: int, most: int
) -> None:
    """Sets a failed run back to its last good checkpoint, and records that.

    Later lines, and a later best checkpoint, go when the run is opened again, see
    writer.open_writer. Later pictures, and what scored later checkpoints, go here.
    """
    folder = workdir / "checkpoints"
    step = watchdog.last_good_step(checkpoints.steps(folder), error.step) or 0
    with files.own(workdir):
        # Recorded last: a run that is killed before that fails and comes here again.
        checkpoints.delete_after(folder, step)
        files.drop_lines_after(workdir / files.LATER_SCORES, step)
        for drawn_at, picture in files.sample_grids(workdir).items():
            if drawn_at > step:
                picture.unlink()
        record = {"step": step, "rule": error.rule, "failed_at": error.step}
        files.append_line(workdir / files.RETRIES, record)
    logging.warning(
        "%s Retry %d of %d goes on from step %d with other latents.",
        *(error, before + 1, most, step),
    )


def drive(
    configs: Sequence[ConfigDict],
    workdirs: Sequence[Path],
    make_program: Callable[
        [recipes.Recipe, tuple[nn.Module, nn.Module]], programs.Program
    ],
    *,
    catch: Callable[[], list[str]],
    failed: Sequence[bool] = (False,),
    on_first_call: Callable[[], None] = _do_nothing,
) -> int:
    """Trains the runs of a program to the end, and returns the last step done.

    They start from the newest step of which all have a good checkpoint, or from 0.
    Several runs keep at least two checkpoints each, see sweep.Writers.

    Args:
      configs: the configs of the runs, which were checked.
      workdirs: their folders.
      make_program: makes the program of a recipe and both networks.
      catch: starts to catch signals, see loop.catching_signals.
      failed: whether each run failed before; such a run is not written.
      on_first_call: is called once, when steps have been done that are not saved.

    Raises:
      ValueError: several runs have checkpoints, but none of a step that all have.
    """
    config, last = configs[0], configs[0].num_train_steps
    slots = parallel.local_slots(config.batch_size)
    recipe = recipes.create(config, axis_name=parallel.AXIS)
    networks = models.build(config, axis_name=parallel.AXIS)
    living = [x for x, is_failed in zip(workdirs, failed, strict=True) if not is_failed]
    seen = [checkpoints.steps(workdir / "checkpoints") for workdir in workdirs]
    first_step = _first_step(living, config.checkpoint_every_steps or last)
    if first_step >= last:
        return last
    with contextlib.ExitStack() as stack:
        stack.enter_context(jax.default_matmul_precision(config.matmul_precision))
        missing = [not workdir.exists() for workdir in workdirs]
        if parallel.is_writer():
            _own(stack, workdirs, seen, where=[not x for x in missing])
        program = make_program(recipe, networks)
        state = program.create()
        _say_what_is_trained(workdirs, program.split(0, state), steps=last - first_step)
        if first_step:
            state = _restore(program, state, first_step, workdirs, failed)
        dataset = data.create(config.data)
        for one in configs:
            preflight.check_hosts(one, dataset)
        _say_what_data(config.data, dataset)

        def make_feed(steps_per_call: int) -> feed.Feed:
            steps = range(first_step, last, steps_per_call)
            make = programs.create_feed
            feeds = [make(one, dataset, slots, recipe, steps) for one in configs]
            return program.join(feeds)

        state = parallel.replicate(state)
        choose = functools.partial(
            programs.choose_steps_per_call, program, state, make_feed
        )
        steps_per_call = _steps_per_call(config, workdirs, choose)
        configs = [programs.with_steps_per_call(x, steps_per_call) for x in configs]
        writer = None
        if parallel.is_writer():
            # A mistake that was noticed before now leaves no folder.
            _own(stack, workdirs, seen, where=missing)
            writers = [
                None
                if is_failed
                else stack.enter_context(
                    _open_writer(
                        one,
                        workdir,
                        networks[0],
                        dataset,
                        first_step=first_step,
                        least_kept=min(2, len(workdirs)),
                        copy=functools.partial(program.copy, index),
                    )
                )
                for index, (one, workdir, is_failed) in enumerate(
                    zip(configs, workdirs, failed, strict=True)
                )
            ]
            writer = program.gather(writers)
        if writer and first_step == 0:
            writer.save_samples(0, state)
        return loop.run_steps(
            configs[0],
            state,
            make_feed(programs.steps_per_call(configs[0], first_step)),
            call=program.call,
            key=program.key,
            first_step=first_step,
            writer=writer,
            on_first_call=on_first_call,
            catch=catch,
        )


def _open_writer(
    config: ConfigDict,
    workdir: Path,
    generator: nn.Module,
    dataset: data.Dataset,
    *,
    first_step: int,
    least_kept: int,
    copy: Callable[[Any], Any],
) -> contextlib.AbstractContextManager[writer_lib.Writer]:
    """Claims a run's folder, and gives the run's writer to enter."""
    config_file.claim(workdir, config)
    *_, sample_key = programs.split_seed(config)
    return writer_lib.open_writer(
        config,
        workdir,
        draw=writer_lib.make_draw(config, generator, sample_key),
        real_images=some_images(config, dataset),
        first_step=first_step,
        least_kept=least_kept,
        copy=copy,
    )


def _say_what_is_trained(
    workdirs: Sequence[Path], state: states.GANState, *, steps: int
) -> None:
    generator, discriminator = (
        sum(leaf.size for leaf in jax.tree.leaves(network.params))
        for network in (state.generator, state.discriminator)
    )
    where = f"the run's folder is {workdirs[0]}"
    if len(workdirs) > 1:
        where = f"there are {len(workdirs)} runs, the first in {workdirs[0]}"
    logging.info(
        "%s steps are to be trained on %s; %s.",
        f"{steps:,}",
        parallel.describe_devices(),
        where,
    )
    logging.info(
        "The generator has %s parameters, the discriminator %s.",
        f"{generator:,}",
        f"{discriminator:,}",
    )


def _say_what_data(config: ConfigDict, dataset: data.Dataset) -> None:
    size = "x".join(str(length) for length in dataset.images.shape[1:])
    logging.info(
        "The data are %s %s: %s, split %s.",
        f"{len(dataset.images):,}",
        "points" if config.name in data.MIXTURES else f"images of {size}",
        config.name,
        config.split,
    )


def _say_what_lies_where(config: ConfigDict, workdir: Path) -> None:
    logging.info(
        "%s is finished: all %d steps are done. It holds pictures in samples/, "
        "checkpoints in checkpoints/, losses in metrics.jsonl%s.",
        workdir,
        config.num_train_steps,
        " and scores in evaluations.jsonl" if config.eval_every_steps else "",
    )
    flag = f"--workdir={shlex.quote(str(workdir))}"
    if own_parts.names(config, ["model.name", "data.name"]):
        flag += " --allow_code"
    logging.info("To draw: python -m gan_jax.sample %s --output=samples.png", flag)
    places = {x: config.data[x] for x in ("data_dir", "manual_dir", "cache_dir")}
    for name, place in {**places, "weights": config.evaluation.weights}.items():
        if place:  # evaluate does not follow paths of a run, which may be a stranger's
            flag += f" --{name}={shlex.quote(str(place))}"
    logging.info("To score: python -m gan_jax.evaluate %s", flag)


def _own(
    stack: contextlib.ExitStack,
    workdirs: Sequence[Path],
    seen: Sequence[list[int]],
    *,
    where: Sequence[bool],
) -> None:
    """Keeps other processes from writing runs' folders, see files.own.

    Args:
      stack: gives the folders up again.
      workdirs: the runs' folders.
      seen: the steps of each run's checkpoints as they were when the run was looked at.
      where: which of the folders.

    Raises:
      OSError: another process trains a run, or has trained it since.
    """
    for workdir, steps, is_meant in zip(workdirs, seen, where, strict=True):
        if not is_meant:
            continue
        stack.enter_context(files.own(workdir))
        if checkpoints.steps(workdir / "checkpoints") != steps:
            raise OSError(
                f"another process has trained {workdir} meanwhile: run the same "
                "command again to go on from there."
            )


def some_images(config: ConfigDict, dataset: data.Dataset) -> np.ndarray:
    """As many real images as a sample grid has."""
    indices = batches.batch_indices(
        config.seed,
        0,
        num_examples=len(dataset.images),
        batch_size=config.sample_rows * config.sample_columns,
    )
    return dataset.images[indices]


def _first_step(workdirs: Sequence[Path], interval: int) -> int:
    """The newest good step that all runs have saved, as host 0 sees it, on all hosts.

    Without a run it is the largest step that there can be.

    Args:
      workdirs: the folders of the runs.
      interval: steps up to the first checkpoint. Several runs without a common step
        start again only if none has a later one, as when they were killed while they
        saved for the first time.

    Raises:
      ValueError: several runs have later checkpoints, but none of a common step.
    """
    step = np.iinfo(np.int32).max
    if parallel.is_writer() and workdirs:
        folders = [workdir / "checkpoints" for workdir in workdirs]
        step = checkpoints.newest_step(*folders) or 0
        saved = [checkpoints.steps(folder) for folder in folders]
        if step == 0 and len(workdirs) > 1 and max(sum(saved, [0])) > interval:
            listed = ", ".join(
                f"{folder} has {steps or 'none'}"
                for folder, steps in zip(folders, saved, strict=True)
            )
            raise ValueError(
                "runs that train together go on from a step of which all have a good "
                f"checkpoint, but there is none: {listed}. Restore a missing or "
                "damaged checkpoint from a copy, or remove all that there are to "
                "train the runs from step 0."
            )
    return int(parallel.broadcast_from_writer(np.int32(step)))


def _steps_per_call(
    config: ConfigDict, workdirs: Sequence[Path], choose: Callable[[], int]
) -> int:
    """The steps per call of the config, or those that host 0 finds or else chooses.

    It finds them in config.json, where the writers record them: another number may
    round otherwise, so that a run that goes on must keep its own.
    """

    def of_host_0(steps: int) -> int:
        return int(parallel.broadcast_from_writer(np.int32(steps)))

    recorded = 0
    if parallel.is_writer():
        recorded = max(config_file.steps_per_call(workdir) for workdir in workdirs)
    return config.steps_per_call or of_host_0(recorded) or of_host_0(choose())


def _restore(
    program: programs.Program,
    state: states.GANState,
    step: int,
    workdirs: Sequence[Path],
    failed: Sequence[bool],
) -> states.GANState:
    """The state of `step`: read by host 0, which gives it to the others.

    A run that failed keeps its first parameters.

    Raises:
      ValueError: a checkpoint cannot be read, or has other networks or optimisers.
    """
    logging.info("Going on from the checkpoint of step %d.", step)
    state = jax.tree.map(np.asarray, state)
    if parallel.is_writer():
        shares = []
        for index, (workdir, is_failed) in enumerate(
            zip(workdirs, failed, strict=True)
        ):
            share = program.split(index, state)
            if not is_failed:
                with config_file.naming_version(workdir, checkpoints.MisfitError):
                    share = checkpoints.restore(workdir / "checkpoints", step, share)
            shares.append(share)
        state = program.stack(shares)
    return parallel.broadcast_from_writer(state)
