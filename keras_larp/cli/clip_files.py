"""Output of the commands that generate many clips, and its flags."""

import contextlib
import json
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from absl import flags

import keras_larp
from keras_larp import data
from keras_larp.cli import launcher, model_flags
from keras_larp.cli import lazy_keras as keras
from keras_larp.utils.differences import describe_differences
from keras_larp.utils.files import atomic_write_text
from keras_larp.utils.json_files import read_json
from keras_larp.utils.locks import lock_path

# Maximum number of clips in the grid, and of clips per row.
GRID_CLIPS, ROW_CLIPS = 64, 8


def define(values: flags.FlagValues, output: str) -> None:
    """Defines the flags of output files; `output` is the default folder."""
    model_flags.define_files(values, output)
    options: dict[str, Any] = {"flag_values": values, "module_name": "Output"}
    flags.DEFINE_bool("files", True, "Write one MP4 file per clip.", **options)
    flags.DEFINE_bool(
        "grid",
        True,
        f"Write grid.gif with up to {GRID_CLIPS} clips. Not available with "
        "--shard.",
        **options,
    )
    flags.DEFINE_string(
        "shard",
        None,
        "Generate only shard i of n, written i/n with i from 0 to n - 1, such "
        "as 0/8. If omitted, all clips are generated, by all processes of a "
        "launcher.",
        **options,
    )


@contextlib.contextmanager
def open_clip_files(
    values: flags.FlagValues,
    names: list[str],
    clips_per_row: int,
    settings: dict,
) -> Iterator["ClipFiles"]:
    """Yields the `ClipFiles` of a command and locks its folder or shard.

    Raises:
        BlockingIOError: If another process writes the same clips.
    """
    if values.shard:
        name = keras_larp.evaluation.shards.shard_name(*launcher.shard(values))
        with lock_path(pathlib.Path(values.output) / name):
            yield ClipFiles(values, names, clips_per_row, settings)
        return
    lock = keras_larp.distribution.lock_job_folder(values.output)
    with lock as wait_for_all:
        yield ClipFiles(values, names, clips_per_row, settings, wait_for_all)


class ClipFiles:
    """Output folder of a command, in which only missing clips are generated.

    Clips are split into batches in a fixed order, and a shard is a contiguous
    range of batches. So each batch holds the same clips, however many
    processes share the work and wherever an earlier run was interrupted.

    Of the processes of a launcher, the first generates the clips of the grid,
    and all have equal parts of the work otherwise.

    Args:
        values: The parsed flags of `define`.
        names: List of strings. File name of each clip, without extension.
        clips_per_row: Integer. Number of consecutive clips that belong to one
            row of the grid.
        settings: Dictionary of everything the clips depend on. It is stored in
            `settings.json`; a folder with other settings is rejected.
        wait_for_all: Function that waits for the other processes of a
            launcher. Defaults to `None`, no other processes.

    Raises:
        ValueError: If the flags disable all output, if `--shard` is invalid,
            or if the folder holds clips with other settings.
    """

    def __init__(
        self,
        values: flags.FlagValues,
        names: list[str],
        clips_per_row: int,
        settings: dict,
        wait_for_all: Callable[[], None] | None = None,
    ):
        self.output = pathlib.Path(values.output)
        self.fps = values.fps
        self.names = names
        self.clips_per_row = clips_per_row
        self.shard = launcher.shard(values)
        self.is_one_shard = bool(values.shard)
        self.wait_for_all = wait_for_all
        write_grid = values.grid and not values.shard
        if not (values.files or write_grid):
            raise ValueError(
                "There is nothing to write: pass --files, or --grid without "
                f"--shard. Received: --files={values.files}, --grid="
                f"{values.grid}, --shard={values.shard}"
            )
        existing = self._existing_files({**settings, "fps": values.fps})
        # All processes must skip the same clips.
        existing = set(
            keras_larp.distribution.on_chief(lambda: sorted(existing))
        )
        self.missing = set()
        if values.files:
            self.missing = {
                i
                for i, name in enumerate(names)
                if f"{name}.mp4" not in existing
            }
        self.num_columns = min(clips_per_row, ROW_CLIPS)
        num_rows = 0
        if write_grid and "grid.gif" not in existing:
            num_rows = GRID_CLIPS // self.num_columns
        self.rows = {row: [] for row in range(num_rows)}
        self.num_written = 0

    def batches(self, batch_size: int) -> list[range]:
        """Returns the clip indices of each batch with clips to generate.

        Also starts a progress bar, which `write` updates.
        """
        count = len(self.names)
        batches = [
            range(start, min(start + batch_size, count))
            for start in range(0, count, batch_size)
        ]
        if self.is_one_shard:
            own = keras_larp.evaluation.shards.shard_batches(
                len(batches), *self.shard
            )
            batches = batches[own.start : own.stop]
        batches = [batch for batch in batches if any(map(self._needs, batch))]
        if not self.is_one_shard:
            batches = self._own_batches(batches)
        num_clips = sum(map(len, batches))
        self.progress_bar = keras.utils.Progbar(
            num_clips,
            unit_name="clip",
            verbose=int(keras_larp.distribution.is_chief()),
        )
        return batches

    def write(self, index: int, video: np.ndarray) -> None:
        """Writes a clip `(T, H, W, C)` to its file and adds it to the grid."""
        if index in self.missing:
            data.write_video(self._path(index), video, self.fps)
            self.num_written += 1
        row, column = divmod(index, self.clips_per_row)
        if column < self.num_columns:
            self.add_to_grid(row, video)
        self.progress_bar.add(1)

    def add_to_grid(self, row: int, video: np.ndarray) -> None:
        """Appends a clip to a row of the grid, if the grid has this row."""
        if row in self.rows:
            self.rows[row].append(video)

    def finish(self, row_names: list[str] | None = None) -> None:
        """Writes the grid, with a name for each row if given."""
        num_written = self.num_written
        if self.wait_for_all is not None:
            self.wait_for_all()
            # Those of all processes. Clips that do not decode are skipped.
            paths = (self._path(index) for index in self.missing)
            num_written = sum(path.exists() for path in paths)
        if not keras_larp.distribution.is_chief():
            return
        rows = {row: videos for row, videos in self.rows.items() if videos}
        if rows:
            videos = np.concatenate([np.stack(v) for v in rows.values()])
            if row_names is not None:
                row_names = [row_names[row] for row in rows]
            num_columns = len(videos) // len(rows)
            grid = data.video_grid(videos, num_columns, row_names=row_names)
            data.write_video(self.output / "grid.gif", grid, self.fps)
        grid = " and grid.gif" if rows else ""
        print(f"Wrote {num_written} clips{grid} to {self.output}")

    def _own_batches(self, batches):
        """Those of this process: the first has those of the grid, and the rest
        is split such that all have equally many, if possible."""
        index, count = self.shard
        if count == 1:
            return batches
        of_grid = [b for b in batches if any(map(self._is_in_grid, b))]
        others = [b for b in batches if not any(map(self._is_in_grid, b))]
        num_first = max(0, -(-len(batches) // count) - len(of_grid))
        if index == 0:
            return sorted(of_grid + others[:num_first], key=lambda b: b.start)
        others = others[num_first:]
        start, stop = (
            i * len(others) // (count - 1) for i in (index - 1, index)
        )
        return others[start:stop]

    def _path(self, index):
        return self.output / f"{self.names[index]}.mp4"

    def _needs(self, index):
        return self._is_in_grid(index) or index in self.missing

    def _is_in_grid(self, index):
        row, column = divmod(index, self.clips_per_row)
        return row in self.rows and column < self.num_columns

    def _existing_files(self, settings):
        """Returns the names of existing files after checking the settings."""
        path = self.output / "settings.json"
        text = json.dumps(settings, indent=2) + "\n"
        with lock_path(path, wait=True):  # Shards may start together.
            if not path.exists():
                atomic_write_text(path, text)
        differences = describe_differences(
            stored=read_json(path, {}, f"Delete {self.output}."),
            requested=json.loads(text),
        )
        if differences:
            raise ValueError(
                f"{self.output} holds clips with other settings. Choose "
                "another --output, or delete the folder. Received: "
                f"{differences}"
            )
        return {file.name for file in self.output.iterdir()}
