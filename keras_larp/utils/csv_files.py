"""CSV files with a header."""

import csv
import io
import os

from keras_larp.utils.json_files import read_text


def read_csv(
    path: str | os.PathLike[str],
) -> tuple[list[str], list[dict[str, str | None]]]:
    """Reads a CSV file whose first line names the columns.

    Args:
        path: String or path.

    Returns:
        The names of the columns, and one dictionary per row. If a row is
        incomplete, the values of its last columns are `None`.

    Raises:
        OSError: If there is no such file.
        ValueError: If the file is not CSV, a column occurs twice, or a row has
            more values than there are columns. The message names the line.
    """
    reader = csv.DictReader(io.StringIO(read_text(path), newline=""))
    try:
        rows = list(reader)
    except csv.Error as error:
        raise ValueError(
            f"Line {reader.line_num} of {path} is not CSV: {error}. Correct or "
            "remove the file."
        ) from error
    names = list(reader.fieldnames or [])
    if len(set(names)) < len(names):
        raise ValueError(
            f"{path} has two columns of the same name. Correct or remove the "
            f"file. Received: {', '.join(names)[:200]}"
        )
    for i, row in enumerate(rows):
        if None in row:  # `DictReader` collects surplus values there.
            raise ValueError(
                f"Row {i + 1} of {path} has more than {len(names)} values. "
                "Correct or remove the file."
            )
    return names, rows
