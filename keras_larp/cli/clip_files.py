"""Files of the commands that make many clips, and the flags of them."""

import json
import pathlib

import keras
import numpy as np
from absl import flags

from keras_larp import data
from keras_larp.cli import model_flags
from keras_larp.data.video.video_writer import atomic_write
from keras_larp.evaluation.shards import parse_shard, shard_batches

# Clips in a grid, and in a row of it, at most.
GRID_CLIPS, ROW_CLIPS = 64, 8


def define(values, output):
    """Defines `--output`, with its default, `--fps` and which files."""
    model_flags.define_files(values, output)
    flags.DEFINE_bool("files", True, "Write a file a clip.", flag_values=values)
    flags.DEFINE_bool(
        "grid",
        True,
        f"Write grid.gif of the first clips, {GRID_CLIPS} at most; not with "
        "--shard.",
        flag_values=values,
    )
    flags.DEFINE_string(
        "shard",
        None,
        "i/n, to make only a part of the clips, i from 0; all where not given.",
        flag_values=values,
    )


class ClipFiles:
    """The folder of numbered clips, of which only those are made that are
    not there.

    Clips are cut into batches once for all, and a shard is a run of whole
    batches: whatever a run leaves undone when it is killed, and however many
    processes share the work, each batch holds the same clips.

    Args:
        values: The parsed flags of `define`.
        names: List of strings, the name of each clip's file without ending.
        per_row: Integer, how many clips in a row belong to a row of the grid.
        settings: Dictionary of what the clips depend on. The folder has them
            in `settings.json`, and takes no clips of others.

    Raises:
        ValueError: where nothing would be written, for a shard that is no
            such, and for a folder with clips of other settings; names them.
    """

    def __init__(self, values, names, per_row, settings):
        self.output = pathlib.Path(values.output)
        self.fps = values.fps
        self.names = names
        self.per_row = per_row
        self.shard = parse_shard(values.shard or "0/1")
        shows = values.grid and not values.shard
        if not (values.files or shows):
            raise ValueError(
                "Nothing would be written: pass --files, or --grid without "
                f"--shard. Received: --files={values.files}, --grid="
                f"{values.grid}, --shard={values.shard}"
            )
        there = self._files_of({**settings, "fps": values.fps})
        self.missing = set()
        if values.files:
            self.missing = {
                number
                for number, name in enumerate(names)
                if f"{name}.mp4" not in there
            }
        self.columns = min(per_row, ROW_CLIPS)
        num_rows = 0
        if shows and "grid.gif" not in there:
            num_rows = GRID_CLIPS // self.columns
        self.rows = {row: [] for row in range(num_rows)}
        self.num_written = 0

    def batches(self, batch_size):
        """The batches of the shard that have clips to make, a list of ranges
        of numbers; counts on a progress bar what is written of them."""
        num_batches = -(-len(self.names) // batch_size)
        ranges = [
            range(i * batch_size, min((i + 1) * batch_size, len(self.names)))
            for i in shard_batches(num_batches, *self.shard)
        ]
        ranges = [r for r in ranges if any(map(self._is_wanted, r))]
        self.bar = keras.utils.Progbar(sum(map(len, ranges)), unit_name="clip")
        return ranges

    def write(self, number, video):
        """Writes a clip `(T, H, W, C)` to its file, and shows it."""
        if number in self.missing:
            path = self.output / f"{self.names[number]}.mp4"
            data.write_video(path, video, self.fps)
            self.num_written += 1
        row, column = divmod(number, self.per_row)
        if column < self.columns:
            self.show(row, video)
        self.bar.add(1)

    def show(self, row, video):
        """Puts a clip behind those of a row of the grid, if it has the row."""
        if row in self.rows:
            self.rows[row].append(video)

    def finish(self, row_names=None):
        """Writes the grid; `row_names` are those of all rows."""
        rows = {row: videos for row, videos in self.rows.items() if videos}
        if rows:
            videos = np.concatenate([np.stack(v) for v in rows.values()])
            if row_names is not None:
                row_names = [row_names[row] for row in rows]
            columns = len(videos) // len(rows)
            grid = data.video_grid(videos, columns, row_names=row_names)
            data.write_video(self.output / "grid.gif", grid, self.fps)
        grid = " and grid.gif" if rows else ""
        print(f"Wrote {self.num_written} clips{grid} to {self.output}")

    def _is_wanted(self, number):
        row, column = divmod(number, self.per_row)
        shown = row in self.rows and column < self.columns
        return shown or number in self.missing

    def _files_of(self, settings):
        """Names of the files of clips of these settings."""
        path = self.output / "settings.json"
        text = json.dumps(settings, indent=2) + "\n"
        if not path.exists():
            atomic_write(path, lambda name: pathlib.Path(name).write_text(text))
            return set()
        known, settings = json.loads(path.read_text()), json.loads(text)
        differing = [
            f"{name} is {known.get(name)!r} there and {settings.get(name)!r} "
            "in this run"
            for name in {**known, **settings}
            if known.get(name) != settings.get(name)
        ]
        if differing:
            raise ValueError(
                f"{self.output} holds clips of other settings. Choose another "
                f"--output, or delete it. Received: {'; '.join(differing)}"
            )
        return {file.name for file in self.output.iterdir()}
