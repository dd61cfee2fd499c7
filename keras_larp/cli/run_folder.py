import importlib.metadata
import json
import pathlib
import platform

import keras
from absl import flags

from keras_larp.callbacks import Checkpoint, Throughput
from keras_larp.cli.plot_run import plot_run
from keras_larp.version import __version__


class RunFolder:
    """The folder of a training run: what it was started with, and its results.

    - `config.json`: every flag, the resolved recipe, versions;
    - `log.csv`: the metrics of each epoch, and `curves.png` of them;
    - `checkpoints/`: all state, to go on from;
    - `preset/`: the trained model.

    Args:
        path: String or path.
        resume: Boolean, whether to go on with a run that is there.

    Raises:
        FileExistsError: where there is a run and `resume` is false.
    """

    def __init__(self, path, resume):
        self.path = pathlib.Path(path)
        config = self.path / "config.json"
        if config.exists() and not resume:
            raise FileExistsError(
                f"{self.path} holds a run. Go on with it by --resume, or "
                "choose another --output."
            )
        self.path.mkdir(parents=True, exist_ok=True)

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
        text = json.dumps(config, indent=2, default=str)
        (self.path / "config.json").write_text(text + "\n")

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

    def finish(self, model):
        """Saves the model as a preset, and draws the curves."""
        if not (self.path / "preset").exists():
            model.save_to_preset(self.path / "preset")
        plot_run(self.path / "log.csv", self.path / "curves.png")
        print(f"Saved to {self.path / 'preset'}")


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
        "tensorboard", False, "Log for TensorBoard too.", flag_values=values
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
