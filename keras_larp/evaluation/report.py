import csv
import json
import os
import pathlib


def append_to_report(path, results, settings):
    """Appends an evaluation to a report, as CSV and as Markdown.

    An evaluation that is in the report already is not appended again.

    Args:
        path: Path without ending: `report` stands for `report.csv`, with a
            line for each evaluation, and `report.md`.
        results: Dictionary, as `merge` returns it.
        settings: Dictionary, as `merge` returns it.

    Example:

    ```python
    keras_larp.evaluation.append_to_report(
        "runs/report", *keras_larp.evaluation.merge("runs/rfvd")
    )
    ```
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    table, page = (
        path.with_name(path.name + ".csv"),
        path.with_name(path.name + ".md"),
    )
    settings = _flat(settings)
    row = {
        "kind": settings["kind"],
        **{name: repr(value) for name, value in results.items()},
        **{name: str(value) for name, value in settings.items()},
    }
    rows = []
    if table.exists():
        with table.open(newline="") as file:
            rows = list(csv.DictReader(file))
    if any({k: v for k, v in old.items() if v} == _filled(row) for old in rows):
        return
    rows.append(row)
    columns = dict.fromkeys(name for row in rows for name in row)
    part = table.with_name(table.name + ".partial")
    with part.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(columns), restval="")
        writer.writeheader()
        writer.writerows(rows)
    os.replace(part, table)
    with page.open("a") as file:
        file.write(_markdown(results, settings))


def _filled(row):
    return {name: value for name, value in row.items() if value}


def _flat(settings, prefix=""):
    """Settings without nesting, `real.seed` for `seed` in `real`."""
    flat = {}
    for name, value in settings.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{name}.")
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
