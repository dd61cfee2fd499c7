"""Table and plot of a rate-distortion comparison."""

import os
from typing import Any

from keras_larp.utils.checks import check_path, shorten
from keras_larp.utils.files import atomic_write
from keras_larp.utils.optional_imports import require

_LABELS = {"h264": "H.264 (x264)", "av1": "AV1 (SVT-AV1)"}
_UNITS = {"PSNR": "PSNR, dB", "LPIPS": "LPIPS (lower is better)"}


def rate_distortion_table(rows: list[dict[str, Any]]) -> str:
    """Formats the result of `rate_distortion` as a Markdown table.

    Args:
        rows: The result.

    Returns:
        String.

    Raises:
        ValueError: If `rows` is no such result.
    """
    _check_rows(rows)
    names = list(rows[0])
    lines = [f"| {' | '.join(names)} |", "|---" * len(names) + "|"]
    for row in rows:
        cells = [
            f"{value:.4g}" if isinstance(value, float) else value
            for value in row.values()
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def plot_rate_distortion(
    rows: list[dict[str, Any]], output_png: str | os.PathLike
) -> None:
    """Plots each quality metric against bits per pixel, on a logarithmic axis.

    Args:
        rows: The result of `rate_distortion`.
        output_png: String or path. Image to write. It is written atomically.

    Raises:
        ValueError: If `rows` is no result of `rate_distortion`.
        ImportError: If matplotlib is not installed.
    """
    _check_rows(rows)
    output_png = check_path("output_png", output_png)
    metrics = [n for n in ("PSNR", "SSIM", "LPIPS") if n in rows[0]]
    ticker = require("matplotlib.ticker", "viz")
    figure = require("matplotlib.figure", "viz").Figure(
        figsize=(4.5 * len(metrics), 3.5), layout="constrained"
    )
    axes = figure.subplots(1, len(metrics), squeeze=False).flat
    for axis, metric in zip(axes, metrics, strict=True):
        for method in dict.fromkeys(row["method"] for row in rows):
            points = [row for row in rows if row["method"] == method]
            axis.plot(
                [row["bits_per_pixel"] for row in points],
                [row[metric] for row in points],
                "o-",
                label=_LABELS.get(method, method),
            )
        axis.set_xscale("log")
        for set_formatter in (
            axis.xaxis.set_major_formatter,
            axis.xaxis.set_minor_formatter,
        ):
            set_formatter(ticker.FuncFormatter(lambda x, _: f"{x:g}"))
        axis.tick_params(axis="x", which="both", labelrotation=60)
        axis.set(xlabel="bits per pixel", ylabel=_UNITS.get(metric, metric))
        axis.grid(alpha=0.3, which="both")
        axis.legend(fontsize="small")
    with atomic_write(output_png) as path:
        figure.savefig(path, dpi=100)


def _check_rows(rows):
    if (
        not isinstance(rows, list)
        or not rows
        or not all(isinstance(row, dict) for row in rows)
        or any(row.keys() != rows[0].keys() for row in rows)
        or not {"method", "bits_per_pixel", "PSNR"} <= rows[0].keys()
    ):
        raise ValueError(
            "`rows` must be a result of `rate_distortion`. Received: "
            f"rows={shorten(rows)}"
        )
