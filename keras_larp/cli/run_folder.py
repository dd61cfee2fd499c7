import contextlib
import importlib.metadata
import json
import pathlib
import platform
import re
import shutil

import keras
from absl import flags

from keras_larp.backend import processes
from keras_larp.callbacks import Checkpoint, Throughput
from keras_larp.callbacks.checkpoint_files import (
    list_checkpoints,
    read_state,
    read_variables,
)
from keras_larp.distribution import is_chief
from keras_larp.distribution.shared_folder import on_chief
from keras_larp.evaluation.run_plots import plot_run
from keras_larp.utils.files import (
    atomic_write_text,
    name_full_disk,
    remove_temporary_files,
)
from keras_larp.utils.json_files import (
    integer,
    mapping,
    optional,
    read_json,
    read_text,
)
from keras_larp.utils.locks import lock_folder
from keras_larp.utils.optional_imports import require
from keras_larp.utils.suggestions import did_you_mean
from keras_larp.version import __version__

_CONFIG_SCHEMA = {"flags": mapping, "steps_per_epoch": optional(integer(1))}
_CONFIG_REMEDY = (
    "Restore it, or the latest config_*.json next to it, or start a new run "
    "in another --output."
)


class RunFolder:
    """The folder of a training run: its configuration and results.

    - `config.json`: all flags, the resolved recipe, and package versions.
    - `log.csv`, `curves.png`: the metrics per epoch, and plots of them.
    - `checkpoints/`: the complete training state, for resuming.
    - `preset/`: the trained model, with averaged weights if the run averages
      them. `preset_raw/` then has the weights without averaging.
    - `preset_best/`: the model of the best epoch, if that is not the last.

    As a context manager, it holds the lock of the folder, and SIGTERM and
    Ctrl-C save a checkpoint before they end the process.

    A resumed run uses the flags that it was started with, except for those
    that are given again. Changed flags are printed, and the earlier
    configuration is kept as `config_1.json`, `config_2.json` and so on.

    Args:
        values: The parsed flags. On resuming, flags that are not given are set
            to the values of the run.

    Raises:
        BlockingIOError: If another process trains in the folder.
        FileExistsError: If the folder has a run and `--resume` is not given.
        FileNotFoundError: If `--resume` is given and the folder has no run, or
            has lost its checkpoints.
    """

    def __init__(self, values):
        self.path = pathlib.Path(values.output)
        self.config = self.path / "config.json"
        self.checkpoints = self.path / "checkpoints"
        self.values = values
        self._resources = contextlib.ExitStack()

    def __enter__(self):
        values = self.values
        _check_tensorboard(values)
        if values.resume:
            self._check_resumable()
        with self._resources as resources:
            # Keras' log names no path.
            resources.enter_context(name_full_disk(self.path))
            on_chief(lambda: self._lock(resources))
            changed = []
            if self.config.exists():
                if not values.resume:
                    raise FileExistsError(
                        f"{self.path} contains a run. Pass --resume to "
                        "continue it, or choose another --output."
                    )
                changed = self._restore_flags(values)
                _check_tensorboard(values)
            # Only now does no process read the folder any more.
            processes.wait_for_all()
            if is_chief():
                self._record_changes(changed)
                self.checkpoints.mkdir(exist_ok=True)
            self._resources = resources.pop_all()
        return self

    def __exit__(self, *error):
        return self._resources.__exit__(*error)

    def _lock(self, resources):
        resources.enter_context(lock_folder(self.path))
        remove_temporary_files(self.path)

    def _check_resumable(self):
        if not self.config.exists():
            runs = [
                str(config.parent)
                for config in self.path.parent.glob("*/config.json")
            ]
            known = f" Folders with a run: {', '.join(runs)}." if runs else ""
            hint = did_you_mean(str(self.path), runs) or known
            raise FileNotFoundError(
                f"There is no run to resume in {self.path}.{hint} Omit "
                "--resume to start one."
            )
        has_epochs = (self.path / "log.csv").exists()
        if not self.checkpoints.is_dir() or (
            has_epochs
            and not list_checkpoints(self.checkpoints)
            and self._saves_each_epoch()
        ):
            raise FileNotFoundError(
                f"The run in {self.path} has lost its checkpoints. Restore "
                f"{self.checkpoints}, or start a new run in another --output."
            )

    def _saves_each_epoch(self):
        return self._read_config()["flags"].get("save_every_steps") is None

    def _read_config(self):
        return read_json(self.config, _CONFIG_SCHEMA, _CONFIG_REMEDY)

    def _restore_flags(self, values):
        """Sets flags to those of the run; returns which of them changed."""
        config = self._read_config()
        stored = {
            **config["flags"],
            "steps_per_epoch": config.get("steps_per_epoch"),
        }
        changed = []
        for name, old in stored.items():
            if name in ("output", "resume") or name not in values:
                continue
            new = values[name].value
            if not values[name].present:
                values[name].value = self._parse_flag(values[name], old)
            elif new != old:
                changed.append(f"--{name}: from {old!r} to {new!r}")
        return changed

    def _record_changes(self, changed):
        if changed:
            print("\n".join(["Flags changed since the run started:", *changed]))
            count = len(list(self.path.glob("config_*.json")))
            path = self.path / f"config_{count + 1}.json"
            atomic_write_text(path, self.config.read_text())

    def _parse_flag(self, flag, value):
        """Returns the stored value of a flag after checking it."""
        try:
            return None if value is None else flag.parser.parse(value)
        except (TypeError, ValueError, OverflowError) as error:
            raise ValueError(
                f"{self.config} is damaged: the flag --{flag.name} cannot "
                f"have the value {value!r} ({error}). {_CONFIG_REMEDY}"
            ) from error

    def write_config(self, values, recipe):
        """Writes `config.json`."""
        if not is_chief():
            return
        packages = ("keras", "numpy", keras.backend.backend())
        config = {
            "flags": values.flag_values_dict(),
            "recipe": recipe.name,
            "steps_per_epoch": recipe.steps_per_epoch,
            "settings": recipe.settings,
            "versions": {
                "keras_larp": __version__,
                "python": platform.python_version(),
                **{name: _version(name) for name in packages},
            },
        }
        text = json.dumps(config, indent=2, default=str) + "\n"
        atomic_write_text(self.config, text)

    def callbacks(self, values, dataset, batch_size, monitor, mode, others=()):
        """Returns the callbacks of every run: throughput, log and checkpoints.

        Args:
            values: The parsed flags.
            dataset: The training dataset.
            batch_size: Integer. Clips per batch.
            monitor: String. Metric that decides which epoch is best.
            mode: `"min"` or `"max"`.
            others: List of further callbacks.
        """
        checkpoint = Checkpoint(
            self.checkpoints,
            dataset,
            save_every_steps=values.save_every_steps,
            keep_last=values.keep_last,
            monitor=monitor,
            mode=mode,
        )
        self._resources.enter_context(checkpoint.stop_on_signals())
        found = [Throughput(batch_size)]
        if is_chief():
            self._trim_log()
            log = self.path / "log.csv"
            found.append(keras.callbacks.CSVLogger(log, append=True))
        found += others
        if values.tensorboard and is_chief():
            folder = str(self.path / "tensorboard")
            found.append(keras.callbacks.TensorBoard(folder))
        # The checkpoint comes last: a run that resumes from the end of an epoch
        # does not write the outputs of this epoch again.
        return [*found, checkpoint]

    def _trim_log(self):
        """Removes the epochs of the log that a resumed run repeats."""
        log, found = self.path / "log.csv", list_checkpoints(self.checkpoints)
        if not log.exists():
            return
        epoch = 0
        if found:
            epoch = read_state(found[-1])["epoch"]
        # A process that is killed may leave an incomplete last line.
        lines = read_text(log).splitlines(keepends=True)
        lines = [line for line in lines if line.endswith("\n")]
        kept = lines[:1] + [
            row for row in lines[1:] if _epoch(row, log) < epoch
        ]
        atomic_write_text(log, "".join(kept))

    def finish(self, model, averaged):
        """Saves the presets and plots the curves.

        Args:
            model: The trained model. It is left with the weights of `preset/`.
            averaged: Boolean. Whether its optimizer averages weights.
        """
        last = list_checkpoints(self.checkpoints)[-1]
        best = (self.checkpoints / "best").resolve()
        has_best = best.is_dir() and best.name != last.name
        if has_best:
            read_variables(model, best)
            _use_averages(model)
        self._save_or_remove(model, "preset_best", has_best)
        read_variables(model, last)
        self._save_or_remove(model, "preset_raw", averaged)
        _use_averages(model)
        self._save_or_remove(model, "preset", True)
        if is_chief():
            plot_run(self.path / "log.csv", self.path / "curves.png")
            print(f"Saved to {self.path / 'preset'}")
        processes.wait_for_all()

    def _save_or_remove(self, model, name, is_saved):
        """Saves a preset, or removes that of a run that was extended."""
        if not is_chief():
            return
        if is_saved:
            model.save_to_preset(self.path / name, overwrite=True)
        else:
            shutil.rmtree(self.path / name, ignore_errors=True)


def _epoch(row, log):
    """The epoch of a row of the log."""
    text = row.split(",")[0]
    if not re.fullmatch(r"\d{1,15}", text, re.ASCII):
        raise ValueError(
            f"{log} is damaged: a row starts with {text[:40]!r}, not with the "
            "index of an epoch. Correct or remove the file."
        )
    return int(text)


def _check_tensorboard(values):
    """Raises an error now; Keras imports TensorBoard when training starts."""
    if values.tensorboard:
        require("tensorflow", "tensorflow")
        require("tensorboard", "viz")


def _use_averages(model):
    """Replaces the weights by their averages, if the optimizer has them."""
    model.optimizer.finalize_variable_values(model.trainable_variables)


def define(values, output):
    """Defines the flags of the run folder.

    Args:
        values: A `flags.FlagValues`.
        output: String. The default folder.
    """
    options = {"flag_values": values, "module_name": "Run"}
    flags.DEFINE_string(
        "output",
        output,
        "Folder for checkpoints, logs and the trained model.",
        **options,
    )
    flags.DEFINE_bool(
        "resume",
        False,
        "Resume the run in --output with the flags it was started with. Flags "
        "that are given again replace them; a larger --epochs extends the run.",
        **options,
    )
    flags.DEFINE_integer(
        "save_every_steps",
        None,
        "Steps between checkpoints. Default: one checkpoint per epoch.",
        1,
        **options,
    )
    flags.DEFINE_integer(
        "keep_last",
        3,
        "Number of checkpoints to keep, in addition to the best.",
        1,
        **options,
    )
    flags.DEFINE_bool(
        "tensorboard",
        False,
        "Log to TensorBoard, too. Requires TensorFlow on every backend.",
        **options,
    )
    flags.DEFINE_integer(
        "show_every",
        1,
        "Epochs between grids of example clips; 0 disables them.",
        0,
        **options,
    )
    flags.DEFINE_integer(
        "verbose",
        1,
        "Output of training: 0 none, 1 progress bar, 2 one line per epoch.",
        0,
        2,
        **options,
    )


def _version(package):
    names = {"tensorflow": ("tensorflow", "tensorflow-cpu")}
    for name in names.get(package, (package,)):
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return "unknown"
