"""Plots of the training curves of a run."""

import math
import os

from keras_larp.utils.checks import check_path
from keras_larp.utils.csv_files import read_csv
from keras_larp.utils.files import atomic_write
from keras_larp.utils.optional_imports import require

# The panels in order: title, label of the y axis, columns.
_PANELS = (
    ("Loss", "", ("loss",)),
    ("Reconstruction losses", "", ("pixel_loss", "perceptual_loss")),
    (
        "Quantizer losses",
        "",
        ("quantizer_loss", "commitment_loss", "codebook_loss", "entropy_loss"),
    ),
    ("PSNR", "decibels", ("psnr", "moving_psnr")),
    ("SSIM", "", ("ssim",)),
    (
        "Codebook usage",
        "fraction of codes",
        ("codebook_usage", "batch_codebook_usage", "clip_codebook_usage"),
    ),
    ("Codebook perplexity", "codes", ("perplexity",)),
    ("KL from uniform", "nats", ("kl_from_uniform",)),
    ("Prior loss", "nats per token", ("prior_loss",)),
    (
        "Next-token accuracy",
        "fraction of tokens",
        ("prior_top1", "prior_top5", "top1", "top5"),
    ),
    ("Adversarial losses", "", ("adversarial_loss", "discriminator_loss")),
    (
        "Discriminator penalties",
        "",
        ("lecam_loss", "gradient_penalty"),
    ),
    ("Discriminator outputs", "logits", ("logits_real", "logits_fake")),
    (
        "Learning rates",
        "",
        (
            "learning_rate",
            "prior_learning_rate",
            "discriminator_learning_rate",
        ),
    ),
    ("Throughput", "clips per second", ("clips_per_second",)),
    ("Skipped steps", "steps", ("skipped_steps",)),
)
_LOGARITHMIC = ("Learning rates",)
_NUM_COLUMNS = 3


def plot_run(
    csv_file: str | os.PathLike, output_png: str | os.PathLike
) -> None:
    """Plots the training curves of a run from its log.

    The figure has one panel per kind of metric in the log: losses, PSNR and
    SSIM, codebook usage, prior, discriminator, learning rates and throughput.
    Validation curves are dashed.

    Args:
        csv_file: String or path. Log that `keras.callbacks.CSVLogger` wrote,
            with one row per epoch. If a resumed run has repeated an epoch, its
            last row counts.
        output_png: String or path. Image to write. It is written atomically.

    Raises:
        FileNotFoundError: If the log does not exist.
        ValueError: If the log has no rows or no known column.
        ImportError: If matplotlib is not installed.

    Example:

    ```python
    tokenizer.fit(train, callbacks=[keras.callbacks.CSVLogger("log.csv")])
    keras_larp.evaluation.plot_run("log.csv", "curves.png")
    ```
    """
    csv_file = check_path("csv_file", csv_file)
    output_png = check_path("output_png", output_png)
    epochs, columns = _read_log(csv_file)
    # Without validation data, Keras logs columns of "NA".
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
            f"{csv_file} has no column that can be plotted. Expected some of: "
            f"{', '.join(n for panel in _PANELS for n in panel[2])}. "
            f"Received: {', '.join(columns)}"
        )
    figure = _draw(panels, epochs, columns)
    with atomic_write(output_png) as path:
        figure.savefig(path, dpi=100)


def _read_log(csv_file):
    """Returns the epochs, counted from 1, and a list of values per column."""
    if not csv_file.exists():
        raise FileNotFoundError(
            f"The log {csv_file} does not exist. Expected a file that "
            "`keras.callbacks.CSVLogger` wrote."
        )
    names, rows = read_csv(csv_file)
    rows = {row.get("epoch") or i: row for i, row in enumerate(rows)}
    if not rows:
        raise ValueError(
            f"The log {csv_file} has no rows yet: one is written at the end of "
            "each epoch."
        )
    columns = {
        name: [_to_float(row[name]) for row in rows.values()] for name in names
    }
    epochs = columns.pop("epoch", range(len(rows)))
    return [epoch + 1 for epoch in epochs], columns


def _to_float(text):
    # The last row is incomplete if the run was killed while writing it.
    try:
        return float(text)
    except (TypeError, ValueError):
        return math.nan


def _draw(panels, epochs, columns):
    """Returns a matplotlib figure."""
    figure_module = require("matplotlib.figure", "viz")
    num_columns = min(len(panels), _NUM_COLUMNS)
    num_rows = -(-len(panels) // num_columns)
    # Without pyplot, the figure renders to files only (Agg backend).
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
    return figure
