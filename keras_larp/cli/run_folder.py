import importlib.metadata
import json
import pathlib
import platform
import shutil

import keras
from absl import flags

from keras_larp.callbacks import Checkpoint, Throughput
from keras_larp.callbacks.checkpoint_files import (
    list_checkpoints,
    read_variables,
)
from keras_larp.cli.plot_run import plot_run
from keras_larp.utils.optional_imports import require
from keras_larp.version import __version__


class RunFolder:
    """The folder of a training run: what it was started with, and its results.

    - `config.json`: every flag, the resolved recipe, versions;
    - `log.csv`: the metrics of each epoch, and `curves.png` of them;
    - `checkpoints/`: all state, to go on from;
    - `preset/`: the trained model; with averaged weights it has those, and
      `preset_raw/` the ones that were averaged; `preset_best/`: the model of
      the best epoch, where that was not the last.

    A run that goes on takes the flags of its start, but for those that are
    given again; what these change is said, and the configuration before it
    is kept as `config_1.json`, and so on.

    Args:
        values: The parsed flags; those of the run's start are set in them.

    Raises:
        FileExistsError: where there is a run and it is not to go on.
    """

    def __init__(self, values):
        self.path = pathlib.Path(values.output)
        self.config = self.path / "config.json"
        if self.config.exists():
            if not values.resume:
                raise FileExistsError(
                    f"{self.path} holds a run. Go on with it by --resume, or "
                    "choose another --output."
                )
            self._take_flags(values)
        if values.tensorboard:  # Keras asks for them when training begins.
            require("tensorflow", "tensorflow")
            require("tensorboard", "viz")
        self.path.mkdir(parents=True, exist_ok=True)

    def _take_flags(self, values):
        started = json.loads(self.config.read_text())
        before = {
            **started["flags"],
            "steps_per_epoch": started["steps_per_epoch"],
        }
        changed = []
        for name, old in before.items():
            if name in ("output", "resume") or name not in values:
                continue
            new = values[name].value
            if not values[name].present:
                values[name].value = old
            elif new != old:
                changed.append(f"--{name}: {old!r} before, {new!r} from now on")
        if changed:
            print("\n".join(["Flags that this run began without:", *changed]))
            count = len(list(self.path.glob("config_*.json")))
            shutil.copy(self.config, self.path / f"config_{count + 1}.json")

    def write_config(self, values, recipe):
        """Writes `config.json`."""
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
        part = self.path / ".config.json"
        part.write_text(json.dumps(config, indent=2, default=str) + "\n")
        part.rename(self.config)

    def callbacks(self, values, dataset, batch_size, monitor, mode):
        """The callbacks of every run: checkpoints, log and throughput."""
        found = [
            Checkpoint(
                self.path / "checkpoints",
                dataset,
                save_every_steps=values.save_every_steps,
                keep_last=values.keep_last,
                monitor=monitor,
                mode=mode,
            ),
            Throughput(batch_size),
            keras.callbacks.CSVLogger(self.path / "log.csv", append=True),
        ]
        if values.tensorboard:
            folder = str(self.path / "tensorboard")
            found.append(keras.callbacks.TensorBoard(folder))
        return found

    def finish(self, model, averaged):
        """Saves presets of the checkpoints that matter, and draws the curves.

        Args:
            model: What was trained; it is left as in `preset/`.
            averaged: Boolean, whether its optimizer averages weights.
        """
        folder = self.path / "checkpoints"
        last, best = list_checkpoints(folder)[-1], (folder / "best").resolve()
        if best.is_dir() and best.name != last.name:
            read_variables(model, best)
            _take_averages(model)
            self._save(model, "preset_best")
        else:  # One of an earlier end may be there.
            shutil.rmtree(self.path / "preset_best", ignore_errors=True)
        read_variables(model, last)
        if averaged:
            self._save(model, "preset_raw")
        else:
            shutil.rmtree(self.path / "preset_raw", ignore_errors=True)
        _take_averages(model)
        self._save(model, "preset")
        plot_run(self.path / "log.csv", self.path / "curves.png")
        print(f"Saved to {self.path / 'preset'}")

    def _save(self, model, name):
        """Saves a preset in place of one of the run's last end."""
        new = self.path / f".{name}"
        shutil.rmtree(new, ignore_errors=True)
        model.save_to_preset(new)
        shutil.rmtree(self.path / name, ignore_errors=True)
        new.rename(self.path / name)


def _take_averages(model):
    """Puts averaged weights, where there are such, in the place of the raw."""
    model.optimizer.finalize_variable_values(model.trainable_variables)


def define(values, output):
    """Defines the flags of a run's folder.

    Args:
        values: A `flags.FlagValues`.
        output: String, the default folder.
    """
    flags.DEFINE_string(
        "output", output, "Folder of the run.", flag_values=values
    )
    flags.DEFINE_bool(
        "resume", False, "Go on with the run in --output.", flag_values=values
    )
    flags.DEFINE_integer(
        "save_every_steps",
        None,
        "Steps between checkpoints; one an epoch where not given.",
        1,
        flag_values=values,
    )
    flags.DEFINE_integer(
        "keep_last", 3, "Checkpoints to keep.", 1, flag_values=values
    )
    flags.DEFINE_bool(
        "tensorboard",
        False,
        "Log for TensorBoard too, which needs TensorFlow on any backend.",
        flag_values=values,
    )
    flags.DEFINE_integer(
        "show_every",
        1,
        "Epochs between grids of clips; 0 for none.",
        0,
        flag_values=values,
    )
    flags.DEFINE_integer(
        "verbose", 1, "0 silent, 1 bar, 2 a line an epoch.", 0, 2,
        flag_values=values,
    )  # fmt: skip


def _version(package):
    names = {"tensorflow": ("tensorflow", "tensorflow-cpu")}
    for name in names.get(package, (package,)):
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return "unknown"
