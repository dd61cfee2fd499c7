import contextlib
import json
import math
import signal
import sys

import keras

from keras_larp.backend import compat, optimizer_sharding, processes
from keras_larp.callbacks.checkpoint_files import (
    STATE,
    checkpoint_name,
    list_checkpoints,
    read_state,
    read_variables,
    weights_of_run,
    write_variables,
)
from keras_larp.distribution import is_chief
from keras_larp.utils.checks import (
    check_boolean,
    check_choice,
    check_integer,
    check_path,
)
from keras_larp.utils.files import (
    atomic_folder,
    atomic_rmtree,
    check_free_space,
    remove_temporary_files,
    replace_symlink,
)

# A true value for `model.stop_training` that no other callback sets: it ends
# the epoch, not the run.
_END_OF_EPOCH = "end of epoch"


class Checkpoint(keras.callbacks.Callback):
    """Saves the complete state of a run, and resumes from it exactly.

    A run that was killed, even in the middle of a step or of a save, resumes
    from its last checkpoint and continues with the same batches and losses as
    an uninterrupted run. Checkpoints hold weights, optimizers, weight
    averages, seeds, metrics, the step within the epoch, and the position in
    the data. A finished run stays finished. In a job of several processes,
    the first one saves, and all of them resume, with any number of processes,
    from a folder that they share. Models from outside this package
    must save the seeds that they draw with and create their metrics before
    `fit`.

    With `stop_on_signals`, SIGTERM, which schedulers such as SLURM and
    Kubernetes send before they kill a process, and Ctrl-C also save a
    checkpoint.

    `keras.callbacks.BackupAndRestore` restores neither metrics nor the
    position within an epoch or in the data, and is not safe against a kill
    between its two files. `keras.callbacks.OrbaxCheckpoint` does not resume.

    The folder holds one `step_00000123/` per checkpoint, named after the step
    of the run, with

    - `model.weights.h5`, for `model.load_weights`: weights, optimizers, seeds;
    - `metrics.npz`: state of the metrics;
    - `state.json`: epoch, step, position in the data, and best value so far;

    and, if `monitor` is given, a symbolic link `best`. If a run resumes within
    an epoch, other callbacks count the batches of this epoch from the resumed
    step. In the list of callbacks, put this callback before
    `keras.callbacks.SwapEMAWeights`, so that it saves the raw weights, and
    after all others: `keras.callbacks.EarlyStopping`, so that it saves the
    epoch that ends the run, and `keras.callbacks.CSVLogger`, so that no epoch
    that the run resumes after is missing in the log.

    Args:
        folder: String or path. Folder of one run.
        dataset: Optional data set that is passed to `fit`, to save the
            position in it: a `keras_larp.data.VideoDataset`, or any data set
            with `get_state(batches)` and `set_state(state)`. Other data
            restart when a run resumes, which is exact only if all epochs are
            identical.
        save_every_steps: Optional integer. Steps between checkpoints;
            requires `dataset`. `None` saves at the end of every epoch. The
            end of a run is always saved. Defaults to `None`.
        keep_last: Integer. Number of checkpoints to keep, in addition to the
            best one. Defaults to 3.
        monitor: Optional string. Name in the logs of an epoch, such as
            `"val_psnr"`. The epoch with the best value is saved and kept.
        mode: String. `"min"` or `"max"`, which value of `monitor` is best.
            Defaults to `"min"`.
        resume: Boolean. Whether to resume from the last checkpoint in
            `folder`; if `False`, existing checkpoints are an error. Defaults
            to `True`.

    Raises:
        ValueError: If an argument is out of range; in `fit`, if a checkpoint
            does not match the model, or `monitor` is not in the logs.
        FileExistsError: In `fit`, if `resume=False` and there are checkpoints.

    Example:

    ```python
    tokenizer = keras_larp.presets.load("larp_tiny_moving_shapes_tokenizer")
    tokenizer.compile("adam")
    source = keras_larp.data.MovingShapes(8, num_frames=16, image_size=32)
    train = keras_larp.data.video_dataset(source, batch_size=4)
    checkpoint = keras_larp.callbacks.Checkpoint(
        "run/checkpoints", train, save_every_steps=2, monitor="loss"
    )
    tokenizer.fit(train, epochs=2, callbacks=[checkpoint])
    ```
    """

    # `on_train_batch_end` only counts. Backends that call it from another
    # thread need not wait for it.
    async_safe = True

    def __init__(
        self,
        folder,
        dataset=None,
        save_every_steps=None,
        keep_last=3,
        monitor=None,
        mode="min",
        resume=True,
    ):
        super().__init__()
        if save_every_steps is not None:
            check_integer("save_every_steps", save_every_steps, 1)
            if dataset is None:
                raise ValueError(
                    "Saving within an epoch requires the position in the "
                    "data. Pass `dataset`, or omit `save_every_steps`. "
                    f"Received: save_every_steps={save_every_steps}"
                )
        if dataset is not None and not (
            hasattr(dataset, "get_state") and hasattr(dataset, "set_state")
        ):
            raise ValueError(
                "`dataset` must have `get_state(batches)` and `set_state`, as "
                "`keras_larp.data.video_dataset` returns it. "
                f"Received: {type(dataset).__name__}"
            )
        self.folder = check_path("folder", folder)
        self.dataset = dataset
        self.save_every_steps = save_every_steps
        self.keep_last = check_integer("keep_last", keep_last, 1)
        self.monitor = monitor
        self.mode = check_choice("mode", mode, ("min", "max"))
        self.resume = check_boolean("resume", resume)
        self._signal = None
        self._is_training = False

    @contextlib.contextmanager
    def stop_on_signals(self):
        """Context in which SIGTERM and SIGINT (Ctrl-C) end `fit` with a
        checkpoint, so that the run can resume at the same step.

        The checkpoint is saved after the current step, or, without `dataset`
        and during validation, after the current epoch. A second signal ends
        the process at once. It must be entered in the main thread.

        Raises:
            SystemExit: With status 143, after SIGTERM.
            KeyboardInterrupt: After SIGINT.

        Example:

        ```python
        with checkpoint.stop_on_signals():
            model.fit(train, epochs=100, callbacks=[checkpoint])
        ```
        """
        signals = signal.SIGTERM, signal.SIGINT
        previous = {s: signal.signal(s, self._handle_signal) for s in signals}
        try:
            with compat.iterators_released():
                yield
        finally:
            self._signal, self._is_training = None, False
            for number, handler in previous.items():
                signal.signal(number, handler)

    def _handle_signal(self, number, frame):
        is_second = self._signal is not None
        self._signal = number
        if is_second or not self._is_training:
            self._end_process()
        name = signal.Signals(number).name
        sys.stderr.write(
            f"\nReceived {name}: saving a checkpoint after this step. Send it "
            "again to stop at once.\n"
        )

    def _end_process(self):
        if self._signal == signal.SIGINT:
            raise KeyboardInterrupt
        sys.exit(128 + (self._signal or signal.SIGTERM))

    def _stop_if_signaled(self):
        """Saves a checkpoint and ends the process if it, or another process
        of the job, received a signal."""
        if not processes.any_process(self._signal is not None):
            return
        if self._saved_step != self._step:
            self._save()
        sys.stderr.write(f"Saved {self.folder / checkpoint_name(self._step)}\n")
        processes.wait_for_all()
        self._end_process()

    def on_train_begin(self, logs=None):
        self._epoch = 0
        self._epoch_step = 0  # Completed steps of this epoch.
        self._first_step = 0  # Those that a previous call of `fit` completed.
        self._steps_ended = 0  # Those that this call of `fit` completed.
        self._step = 0  # Completed steps of the run.
        self._saved_step = 0  # Step of the last checkpoint.
        self._batches = 0  # Completed steps of this call of `fit`.
        self._metrics = None
        self._best = None
        compat.set_initial_epoch(self.model, None)
        if is_chief():
            remove_temporary_files(self.folder)
        processes.wait_for_all()
        found = list_checkpoints(self.folder)
        if found and not self.resume:
            raise FileExistsError(
                f"{self.folder} has checkpoints, the last {found[-1].name}. "
                "Pass `resume=True` to resume from it, or another folder."
            )
        if found:
            self._restore(found[-1])
        self._is_training = True

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch
        self._steps_ended = 0
        # `fit` has just reset the metrics of the resumed epoch.
        if self._first_step:
            variables = self.model.metrics_variables
            for variable, value in zip(variables, self._metrics, strict=True):
                variable.assign(value)

    def on_train_batch_begin(self, batch, logs=None):
        self._count(self._first_step + batch)
        if self._is_due(inside_epoch=True):
            self._save()
        if self.dataset is not None and self._step:
            self._stop_if_signaled()
        # The first epoch of a resumed run has fewer steps. On every backend,
        # the training loop checks `stop_training` after each step.
        last = self._epoch_step + self.model.steps_per_execution
        if self._first_step and last >= (self.params["steps"] or math.inf):
            self.model.stop_training = _END_OF_EPOCH

    def on_train_batch_end(self, batch, logs=None):
        self._steps_ended = max(self._steps_ended, batch + 1)

    def on_epoch_end(self, epoch, logs=None):
        if self.model.stop_training == _END_OF_EPOCH:
            self.model.stop_training = False
        self._count(self._first_step + self._steps_ended)
        self._epoch, self._epoch_step, self._first_step = epoch + 1, 0, 0
        if self._improves(logs or {}):
            self._save()
            self._mark_best()
        # Save the last epoch here: before `on_train_end`, Keras replaces the
        # weights by their averages if the optimizer has any.
        elif (
            self._is_due()
            or epoch + 1 == self.params["epochs"]
            or self.model.stop_training
        ):
            self._save()
        self._stop_if_signaled()

    def on_train_end(self, logs=None):
        self._is_training = False
        compat.set_initial_epoch(self.model, None)

    def _count(self, epoch_step):
        new = epoch_step - self._epoch_step
        self._epoch_step = epoch_step
        self._step += new
        self._batches += new

    def _is_due(self, inside_epoch=False):
        if self.save_every_steps is None:
            return not inside_epoch
        every = self.save_every_steps
        return self._step // every > self._saved_step // every

    def _improves(self, logs):
        """Returns whether this epoch is the best so far, and records it."""
        if self.monitor is None:
            return False
        if self.monitor not in logs:
            raise ValueError(
                f"`monitor` must be in the logs, which have: "
                f"{', '.join(logs)}. Received: monitor={self.monitor!r}"
            )
        value = float(logs[self.monitor])
        sign = 1 if self.mode == "min" else -1
        # The metrics of an epoch without a finite step are NaN.
        is_finite = math.isfinite(value) and not math.isnan(
            logs.get("loss", 0.0)
        )
        if not is_finite or (
            self._best and sign * value >= sign * self._best["value"]
        ):
            return False
        self._best = {"value": value, "step": self._step}
        return True

    def _save(self):
        # On JAX, `fit` keeps the current state outside of the variables.
        compat.sync_state(self.model)
        data = None
        if self.dataset is not None:
            data = self.dataset.get_state(self._batches)
        state = {
            "epoch": self._epoch,
            "epoch_step": self._epoch_step,
            "steps_per_epoch": self.params["steps"],
            "step": self._step,
            "data": data,
            "monitor": self.monitor,
            "best": self._best,
        }
        with optimizer_sharding.gathered(self.model.optimizer):
            if is_chief():
                self._write(state)
        self._saved_step = self._step
        self._remove_old_checkpoints()

    def _write(self, state):
        path = self.folder / checkpoint_name(self._step)
        self.folder.mkdir(parents=True, exist_ok=True)
        check_free_space(self.folder, weights_of_run(self.model))
        with atomic_folder(path, overwrite=True) as temporary:
            write_variables(self.model, temporary)
            text = json.dumps(state, indent=2) + "\n"
            (temporary / STATE).write_text(text)

    def _mark_best(self):
        if is_chief():
            name = checkpoint_name(self._best["step"])
            replace_symlink(self.folder / "best", name)

    def _remove_old_checkpoints(self):
        if not is_chief():
            return
        best = checkpoint_name(self._best["step"]) if self._best else None
        for path in list_checkpoints(self.folder)[: -self.keep_last]:
            if path.name != best:
                atomic_rmtree(path)

    def _restore(self, checkpoint):
        state = read_state(checkpoint)
        if self.dataset is None and state["data"] is not None:
            raise ValueError(
                f"The checkpoint {checkpoint} holds a position in a data set. "
                "Pass `dataset` to resume from it."
            )
        if state["epoch_step"] and (
            state["steps_per_epoch"] != self.params["steps"]
        ):
            raise ValueError(
                f"The checkpoint {checkpoint} is within an epoch of "
                f"{state['steps_per_epoch']} steps. Received data with "
                f"{self.params['steps']} steps per epoch."
            )
        with optimizer_sharding.loading(self.model.optimizer):
            self._metrics = read_variables(self.model, checkpoint)
        if state["data"] is not None:
            self._restore_position(checkpoint, state["data"])
        self._epoch = state["epoch"]
        compat.set_initial_epoch(self.model, self._epoch)
        self._epoch_step = self._first_step = state["epoch_step"]
        self._step = self._saved_step = state["step"]
        if state["monitor"] == self.monitor and state["best"]:
            self._best = state["best"]
            if (self.folder / checkpoint_name(self._best["step"])).is_dir():
                self._mark_best()
        # A process that was killed after a save has not removed them.
        processes.wait_for_all()
        self._remove_old_checkpoints()

    def _restore_position(self, checkpoint, state):
        try:
            self.dataset.set_state(state)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"The position in the data that {checkpoint / STATE} holds "
                f"cannot be restored: {error}"
            ) from error
