import json
import math
import pathlib

import keras
import numpy as np

from keras_larp.callbacks.checkpoint_files import (
    atomic_rmtree,
    atomic_write,
    checkpoint_name,
    list_checkpoints,
    point_to,
    read_variables,
    remove_leftovers,
    write_variables,
)
from keras_larp.utils.checks import check_choice, check_integer

# A true value of `model.stop_training` that no other callback sets: it ends
# the steps of an epoch, not the run.
_EPOCH_OVER = "epoch over"


class Checkpoint(keras.callbacks.Callback):
    """Saves all state of a run, and goes on from it exactly.

    A run that was killed, be it in the middle of a step or of a save, goes on
    from its last whole checkpoint with the losses and the batches that it
    would have had: weights, all optimizers, averages, seeds, metrics, the
    place in the epoch and the place in the data are restored. A finished run
    stays finished. Other models than this package's have to save the seeds
    that they draw with, and to make their metrics before `fit`.

    `keras.callbacks.BackupAndRestore` restores no metrics and no place in an
    epoch or in the data, and can be killed between its two files;
    `keras.callbacks.OrbaxCheckpoint` does not resume.

    The folder holds `step_00000123/`, named after the steps of the run, with

    - `model.weights.h5`, for `model.load_weights`: weights, optimizers, seeds;
    - `metrics.npz`, the running state of the metrics;
    - `state.json`, epoch, step, the data's place and the best value so far;

    and, with `monitor`, a link `best`. In an epoch that a run resumes inside,
    other callbacks count batches from where it goes on. Put this callback
    before `keras.callbacks.SwapEMAWeights`, so that raw weights are saved, and
    behind `keras.callbacks.EarlyStopping`, so that the epoch which that ends
    a run with is saved.

    Args:
        folder: Path, the folder of one run.
        dataset: Optional data set, the one that `fit` is given, whose place
            is saved: a `keras_larp.data.VideoDataset`, or any that has
            `get_state(batches)` and `set_state(state)`. Other data start over
            in a resumed run, and it is exact only if every epoch of it is the
            same.
        save_every_steps: Integer; needs `dataset`. By default a checkpoint is
            saved at the end of every epoch. The end of the last epoch, and of
            one behind which a callback stops the run, is saved in any case.
        keep_last: Integer, how many checkpoints are kept, besides the best.
        monitor: Optional name in the epoch's logs, such as `"val_psnr"`. The
            epoch with its best value is saved and kept.
        mode: `"min"` or `"max"`, which value of `monitor` is best.
        resume: Boolean; with `False`, checkpoints in the folder are an error.

    Raises:
        ValueError: If an argument is out of range; in `fit`, if a checkpoint
            does not fit the model, or `monitor` is not in the logs.
        FileExistsError: In `fit`, if there are checkpoints and not `resume`.

    Example:

    ```python
    checkpoint = keras_larp.callbacks.Checkpoint(
        "run/checkpoints", train, save_every_steps=1000, monitor="loss"
    )
    tokenizer.fit(train, epochs=150, callbacks=[checkpoint])
    ```
    """

    # `on_train_batch_end` only counts: on backends that call it from another
    # thread, no step waits for it.
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
                    "Saving inside an epoch needs the place in the data. Pass "
                    "`dataset`, or leave `save_every_steps` out. "
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
        self.folder = pathlib.Path(folder)
        self.dataset = dataset
        self.save_every_steps = save_every_steps
        self.keep_last = check_integer("keep_last", keep_last, 1)
        self.monitor = monitor
        self.mode = check_choice("mode", mode, ("min", "max"))
        self.resume = resume

    def on_train_begin(self, logs=None):
        self._epoch = 0
        self._epoch_step = 0  # Steps taken of this epoch,
        self._first_step = 0  # those of them before this call of `fit`,
        self._steps_ended = 0  # and those since.
        self._step = 0  # Steps of the run,
        self._saved_step = 0  # those that the last checkpoint holds,
        self._batches = 0  # and those of this call of `fit`.
        self._metrics = None
        self._best = None
        self.model._initial_epoch = None
        remove_leftovers(self.folder)
        found = list_checkpoints(self.folder)
        if found and not self.resume:
            raise FileExistsError(
                f"{self.folder} has checkpoints, the last {found[-1].name}. "
                "Pass `resume=True` to go on from it, or another folder."
            )
        if found:
            self._restore(found[-1])

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch
        self._steps_ended = 0
        # `fit` has just reset the metrics.
        if self._first_step:
            variables = self.model.metrics_variables
            for variable, value in zip(variables, self._metrics, strict=True):
                variable.assign(value)

    def on_train_batch_begin(self, batch, logs=None):
        self._count(self._first_step + batch)
        if self._is_due(inside_epoch=True):
            self._save()
        # The first epoch of a resumed run has fewer steps. The backends' loops
        # all look at `stop_training` after a step, and the data go on.
        last = self._epoch_step + self.model.steps_per_execution
        if self._first_step and last >= (self.params["steps"] or math.inf):
            self.model.stop_training = _EPOCH_OVER

    def on_train_batch_end(self, batch, logs=None):
        self._steps_ended = max(self._steps_ended, batch + 1)

    def on_epoch_end(self, epoch, logs=None):
        if self.model.stop_training == _EPOCH_OVER:
            self.model.stop_training = False
        self._count(self._first_step + self._steps_ended)
        self._epoch, self._epoch_step, self._first_step = epoch + 1, 0, 0
        if self._improves(logs or {}):
            self._save()
            point_to(self.folder / "best", checkpoint_name(self._step))
        # The last epoch is saved here: at the end of training Keras has put
        # averages, where there are such, in the place of the weights.
        elif (
            self._is_due()
            or epoch + 1 == self.params["epochs"]
            or self.model.stop_training
        ):
            self._save()

    def on_train_end(self, logs=None):
        self.model._initial_epoch = None

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
        """Whether this epoch is the best so far; remembers it."""
        if self.monitor is None:
            return False
        if self.monitor not in logs:
            raise ValueError(
                f"`monitor` must be in the logs, which have: "
                f"{', '.join(logs)}. Received: monitor={self.monitor!r}"
            )
        value = float(logs[self.monitor])
        sign = 1 if self.mode == "min" else -1
        if np.isnan(value) or (
            self._best and sign * value >= sign * self._best["value"]
        ):
            return False
        self._best = {"value": value, "step": self._step}
        return True

    def _save(self):
        # On JAX, `fit` holds the newest state outside of the variables.
        getattr(self.model, "jax_state_sync", lambda: None)()
        data = self.dataset
        state = {
            "epoch": self._epoch,
            "epoch_step": self._epoch_step,
            "steps_per_epoch": self.params["steps"],
            "step": self._step,
            "data": None if data is None else data.get_state(self._batches),
            "monitor": self.monitor,
            "best": self._best,
        }

        def write(part):
            write_variables(self.model, part)
            text = json.dumps(state, indent=2) + "\n"
            (part / "state.json").write_text(text)

        atomic_write(self.folder / checkpoint_name(self._step), write)
        self._saved_step = self._step
        best = checkpoint_name(self._best["step"]) if self._best else None
        for path in list_checkpoints(self.folder)[: -self.keep_last]:
            if path.name != best:
                atomic_rmtree(path)

    def _restore(self, checkpoint):
        state = json.loads((checkpoint / "state.json").read_text())
        if self.dataset is None and state["data"] is not None:
            raise ValueError(
                f"The checkpoint {checkpoint} knows the place in its data set. "
                "Pass `dataset` to go on from there."
            )
        if state["epoch_step"] and (
            state["steps_per_epoch"] != self.params["steps"]
        ):
            raise ValueError(
                f"The checkpoint {checkpoint} is inside an epoch of "
                f"{state['steps_per_epoch']} steps. Received data of "
                f"{self.params['steps']} steps an epoch."
            )
        self._metrics = read_variables(self.model, checkpoint)
        if state["data"] is not None:
            self.dataset.set_state(state["data"])
        self.model._initial_epoch = self._epoch = state["epoch"]
        self._epoch_step = self._first_step = state["epoch_step"]
        self._step = self._saved_step = state["step"]
        if state["monitor"] == self.monitor and state["best"]:
            self._best = state["best"]
            best = checkpoint_name(self._best["step"])
            if (self.folder / best).is_dir():
                point_to(self.folder / "best", best)
