import csv
import json
import os

from keras_larp.utils.checks import check_instance, check_path
from keras_larp.utils.csv_files import read_csv
from keras_larp.utils.files import atomic_write, atomic_write_text
from keras_larp.utils.locks import lock_path


def append_to_report(
    path: str | os.PathLike, results: dict, settings: dict
) -> None:
    """Appends an evaluation to a report in CSV and Markdown.

    An evaluation that the report already has is not appended again. Several
    processes can append to one report.

    Args:
        path: String or path without suffix. `report` stands for `report.csv`,
            with one row per evaluation, and `report.md`.
        results: Dictionary that `merge` returned.
        settings: Dictionary that `merge` returned.

    Example:

    ```python
    results = {"PSNR": 27.5, "num_real_clips": 16}
    settings = {"kind": "reconstruction", "batch_size": 8}
    keras_larp.evaluation.append_to_report("runs/report", results, settings)
    ```
    """
    path = check_path("path", path)
    check_instance("results", results, dict)
    check_instance("settings", settings, dict)
    path.parent.mkdir(parents=True, exist_ok=True)
    table, page = (
        path.with_name(path.name + ".csv"),
        path.with_name(path.name + ".md"),
    )
    settings = _flatten(settings)
    row = {
        "kind": settings["kind"],
        **{name: repr(value) for name, value in results.items()},
        **{name: str(value) for name, value in settings.items()},
    }
    # Several evaluations may share a report.
    with lock_path(table, wait=True):
        is_new = _append_row(table, row)
        text = page.read_text() if page.exists() else ""
        section = _markdown(results, settings)
        # A process that was killed may have appended the row only.
        if is_new or section not in text:
            atomic_write_text(page, text + section)


def _append_row(table, row):
    """Appends a row to a CSV file, and returns whether it was missing."""
    rows = []
    if table.exists():
        _, rows = read_csv(table)
    if any(_without_empty(old) == _without_empty(row) for old in rows):
        return False
    rows.append(row)
    columns = dict.fromkeys(name for row in rows for name in row)
    with (
        atomic_write(table) as temporary,
        temporary.open("w", newline="") as file,
    ):
        writer = csv.DictWriter(file, list(columns), restval="")
        writer.writeheader()
        writer.writerows(rows)
    return True


def _without_empty(row):
    return {name: value for name, value in row.items() if value}


def _flatten(settings, prefix=""):
    """Flattens nested settings: `real.seed` for `seed` in `real`."""
    flat = {}
    for name, value in settings.items():
        if isinstance(value, dict):
            flat |= _flatten(value, f"{prefix}{name}.")
        elif isinstance(value, list):
            flat[prefix + name] = json.dumps(value)
        else:
            flat[prefix + name] = value
    return flat


def _markdown(results, settings):
    lines = [f"## {settings['kind']}", "", "| result | value |", "|---|---|"]
    for name, value in results.items():
        text = f"{value:.6g}" if isinstance(value, float) else str(value)
        lines.append(f"| {name} | {text} |")
    lines += ["", "| setting | value |", "|---|---|"]
    for name, value in settings.items():
        text = str(value).replace("|", "\\|").replace("\n", " ")
        lines.append(f"| {name} | {text} |")
    return "\n".join(lines) + "\n\n"
