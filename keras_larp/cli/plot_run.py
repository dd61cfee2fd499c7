"""Draws the curves of a run from its log, to a picture.

keras-larp plot-run --run=runs/tokenizer
"""

import csv
import math
import os
import pathlib
import tempfile

from absl import flags

from keras_larp.utils.optional_imports import require

FLAGS = flags.FlagValues()

flags.DEFINE_string(
    "run", None, "Folder of the run, with log.csv.", flag_values=FLAGS
)
flags.mark_flag_as_required("run", flag_values=FLAGS)
flags.DEFINE_string(
    "output",
    None,
    "The picture to write; curves.png in the run's folder where not given.",
    flag_values=FLAGS,
)

# Panels in their order: title, axis, and the columns that are drawn in it.
_PANELS = (
    ("Loss", "", ("loss",)),
    ("Reconstruction losses", "", ("pixel_loss", "perceptual_loss")),
    (
        "Quantizer losses",
        "",
        ("quantizer_loss", "commitment_loss", "codebook_loss", "entropy_loss"),
    ),
    ("PSNR", "decibels", ("psnr",)),
    ("SSIM", "", ("ssim",)),
    (
        "Codebook usage",
        "share of codes",
        ("codebook_usage", "batch_codebook_usage", "clip_codebook_usage"),
    ),
    ("Perplexity of codes", "codes", ("perplexity",)),
    ("KL from uniform", "nats", ("kl_from_uniform",)),
    ("Prior loss", "nats a token", ("prior_loss",)),
    (
        "Next-token accuracy",
        "share of tokens",
        ("prior_top1", "prior_top5", "top1", "top5"),
    ),
    ("Adversarial losses", "", ("adversarial_loss", "discriminator_loss")),
    (
        "Penalties of the discriminator",
        "",
        ("lecam_loss", "gradient_penalty"),
    ),
    ("Discriminator", "logits", ("logits_real", "logits_fake")),
    (
        "Learning rates",
        "",
        (
            "learning_rate",
            "prior_learning_rate",
            "discriminator_learning_rate",
        ),
    ),
    ("Throughput", "clips a second", ("clips_per_second",)),
    ("Skipped steps", "steps", ("skipped_steps",)),
)
_LOGARITHMIC = ("Learning rates",)
_NUM_COLUMNS = 3


def main(values):
    """Draws `log.csv` of the run's folder.

    Args:
        values: The parsed `FLAGS`.
    """
    folder = pathlib.Path(values.run)
    output = values.output or folder / "curves.png"
    plot_run(folder / "log.csv", output)
    print(f"Wrote {output}")


def plot_run(csv_file, output_png):
    """Draws the curves of a run from its log.

    One panel for each kind of number that the log has: loss and its terms,
    PSNR and SSIM, how the codebook is used, the prior, the discriminator,
    learning rates and speed. Curves of validation are dashed.

    Args:
        csv_file: Path of what `keras.callbacks.CSVLogger` wrote, a row an
            epoch. Of an epoch that a resumed run ended again, the last row
            counts.
        output_png: Path of the picture to write. Nothing is left under this
            name if drawing fails.

    Raises:
        FileNotFoundError: If there is no such log.
        ValueError: If it has no rows, or no column that is known.
        ImportError: If matplotlib is not installed.

    Example:

    ```python
    from keras_larp.cli.plot_run import plot_run

    tokenizer.fit(train, callbacks=[keras.callbacks.CSVLogger("log.csv")])
    plot_run("log.csv", "curves.png")
    ```
    """
    epochs, columns = _read_log(csv_file)
    # Keras makes columns of validation, of "NA", where there is none.
    columns = {
        name: values
        for name, values in columns.items()
        if not all(map(math.isnan, values))
    }
    panels = []
    for title, unit, names in _PANELS:
        names = [n for known in names for n in (known, f"val_{known}")]
        names = [n for n in names if n in columns]
        if names:
            panels.append((title, unit, names))
    if not panels:
        raise ValueError(
            f"{csv_file} has no column that can be drawn. Expected some of: "
            f"{', '.join(n for panel in _PANELS for n in panel[2])}. "
            f"Received: {', '.join(columns)}"
        )
    _draw(panels, epochs, columns, pathlib.Path(output_png))


def _read_log(csv_file):
    """Epochs, counted from 1, and a list of numbers for each column."""
    csv_file = pathlib.Path(csv_file)
    if not csv_file.is_file():
        raise FileNotFoundError(
            f"There is no log {csv_file}. Expected a file that "
            "`keras.callbacks.CSVLogger` wrote."
        )
    with csv_file.open(newline="") as file:
        reader = csv.DictReader(file)
        rows = {row.get("epoch") or i: row for i, row in enumerate(reader)}
        names = reader.fieldnames or []
    if not rows:
        raise ValueError(
            f"The log {csv_file} has no rows yet: a row is written at the end "
            "of an epoch."
        )
    numbers = {
        name: [_number(row[name]) for row in rows.values()] for name in names
    }
    epochs = numbers.pop("epoch", range(len(rows)))
    return [epoch + 1 for epoch in epochs], numbers


def _number(text):
    # A run that was killed while it wrote leaves a row short.
    try:
        return float(text)
    except (TypeError, ValueError):
        return math.nan


def _draw(panels, epochs, columns, output_png):
    figure_module = require("matplotlib.figure", "viz")
    num_columns = min(len(panels), _NUM_COLUMNS)
    num_rows = -(-len(panels) // num_columns)
    # A figure of its own, without pyplot, draws to files only (Agg).
    figure = figure_module.Figure(
        figsize=(4.5 * num_columns, 3.0 * num_rows), layout="constrained"
    )
    axes = figure.subplots(num_rows, num_columns, squeeze=False).flat
    marker = "o" if len(epochs) == 1 else None
    for axis, (title, unit, names) in zip(axes, panels, strict=False):
        colors = {}
        for name in names:
            known = name.removeprefix("val_")
            axis.plot(
                epochs,
                columns[name],
                "--" if name.startswith("val_") else "-",
                color=colors.setdefault(known, f"C{len(colors)}"),
                label=name,
                marker=marker,
            )
        if title in _LOGARITHMIC:
            axis.set_yscale("log")
        axis.set(title=title, xlabel="epoch", ylabel=unit)
        axis.grid(alpha=0.3)
        axis.legend(fontsize="small")
    for axis in list(axes)[len(panels) :]:
        axis.remove()
    output_png.parent.mkdir(parents=True, exist_ok=True)
    handle, part = tempfile.mkstemp(".png", ".part-", output_png.parent)
    os.close(handle)
    try:
        figure.savefig(part, dpi=100)
        os.chmod(part, 0o644)
        os.replace(part, output_png)
    finally:
        pathlib.Path(part).unlink(missing_ok=True)
