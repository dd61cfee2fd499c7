"""Measures reconstructions of complete videos: memory, and errors at borders.

    KERAS_BACKEND=torch python benchmarks/full_videos.py \\
        --data=videos --preset=larp_small_atari_tokenizer

It joins random crops of the videos below the folders of --data to films of
--seconds, and reconstructs each in its own process. Per film and overlap, a
row has the peak memory, PSNR, and how much worse the pixels next to the borders
of windows and tiles are. Positive differences mean that borders are worse.

The jump at a border is the mean absolute change of the error from one side to
the other, divided by the same at the borders of patches within clips: 1 means
no seam.
"""

import itertools
import pathlib
import tempfile
import time

import numpy as np
from absl import app, flags
from measuring import peak_megabytes, report, run_in_process, write_results

import keras_larp
from keras_larp import data
from keras_larp.models import video_reconstruction

FLAGS = flags.FLAGS
flags.DEFINE_list("data", None, "Folders of videos.")
flags.DEFINE_string("preset", None, "The tokenizer.", required=True)
flags.DEFINE_list("seconds", "10,120", "Lengths of the films.")
flags.DEFINE_list("overlaps", "0.25", "Overlaps, as fractions of a clip.")
flags.DEFINE_integer("height", 96, "Height of the films.", 1)
flags.DEFINE_integer("width", 96, "Width of the films.", 1)
flags.DEFINE_integer("fps", 12, "Frames per second of the films.", 1)
flags.DEFINE_integer("seed", 0, "Seed of the order and of the crops.")
flags.DEFINE_string("backend", "torch", "Value of KERAS_BACKEND.")
flags.DEFINE_string("film", None, "The film to reconstruct in this process.")
flags.DEFINE_float("overlap", None, "The overlap in this process.")
_MARGIN = 2  # Pixels or frames on each side of a border that belong to it.
_HEAD = ["seconds", "overlap", "frames per second", "peak MB", "PSNR"]
_HEAD += ["worse at windows, dB", "worse at tiles, dB"]
_HEAD += ["jump at windows", "jump at tiles"]


def main(_):
    if FLAGS.film is not None:
        report(measure(FLAGS.film, FLAGS.overlap))
        return
    results = []
    with tempfile.TemporaryDirectory() as folder:
        for seconds, overlap in itertools.product(
            FLAGS.seconds, FLAGS.overlaps
        ):
            film = pathlib.Path(folder) / f"{seconds}.mp4"
            if not film.exists():
                frames = film_frames(int(seconds) * FLAGS.fps)
                data.write_video(film, frames, FLAGS.fps)
            options = {"film": film, "overlap": overlap}
            result = run_in_process(
                __file__, FLAGS.backend, preset=FLAGS.preset, **options
            )
            results.append([int(seconds), float(overlap), *result])
    name = f"full_videos_{pathlib.Path(FLAGS.preset).name}"
    write_results(name, results, _HEAD, results)


def film_frames(num_frames):
    """Yields frames of a film: a random crop of each video in turn."""
    random = np.random.default_rng(FLAGS.seed)
    paths = sorted(
        path
        for folder in FLAGS.data
        for pattern in ("*.mp4", "*.avi", "*.mkv")
        for path in pathlib.Path(folder).rglob(pattern)
    )
    random.shuffle(paths)
    size = FLAGS.height, FLAGS.width
    count = 0
    for path in itertools.cycle(paths):
        corner = random.random(2)
        for frame in itertools.islice(data.stream_frames(path), 53):
            frame = data.resize_shorter_side(frame[None], max(size))[0]
            free = np.subtract(frame.shape[:2], size)
            top, left = (corner * (free + 1)).astype(int)
            yield frame[top : top + size[0], left : left + size[1]]
            count += 1
            if count == num_frames:
                return


def measure(film, overlap):
    tokenizer = keras_larp.presets.load(FLAGS.preset)
    num_frames, size, *_ = tokenizer.video_shape
    overlaps = int(overlap * num_frames), int(overlap * size)
    originals, frames = itertools.tee(data.stream_frames(film))
    reconstructions = video_reconstruction.reconstruct_video(
        tokenizer, frames, *overlaps
    )
    errors = Errors(num_frames, size, overlaps, tokenizer.patch_size)

    def measured():
        for pair in zip(originals, reconstructions, strict=True):
            errors.add(*pair)
            yield pair[1]

    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        data.write_video(f"{folder}/a.mp4", measured(), FLAGS.fps)
    speed = errors.count / (time.perf_counter() - start)
    return [speed, peak_megabytes(), *errors.results()]


class Errors:
    """Errors of a film at the borders of clips, and elsewhere."""

    def __init__(self, num_frames, size, overlaps, patch_size):
        self.step = num_frames - overlaps[0]
        self.num_frames = num_frames
        self.size, self.overlap = size, overlaps[1]
        self.patch_size = patch_size
        self.count = 0
        self.squares, self.jumps = [], []  # per frame
        self.square_map = self.row_jumps = self.column_jumps = 0.0
        self.previous = None

    def add(self, original, reconstruction):
        error = (reconstruction.astype("float32") - original) / 255
        square = (error**2).mean(axis=-1)
        self.squares.append(float(square.mean()))
        self.square_map += square
        self.row_jumps += abs(np.diff(error, axis=0)).mean((1, 2))
        self.column_jumps += abs(np.diff(error, axis=1)).mean((0, 2))
        if self.previous is not None:
            self.jumps.append(float(abs(error - self.previous).mean()))
        self.previous = error
        self.count += 1

    def results(self):
        squares = np.array(self.squares)
        # Borders between two frames: those before frame `i`.
        starts = np.arange(self.step, self.count, self.step)
        ends = starts + self.num_frames - self.step
        windows = _unique(starts, ends, self.count)
        rows, columns = (
            self._tile_borders(length) for length in self.square_map.shape
        )
        is_row, is_column = (
            _near(borders, length)
            for borders, length in zip(
                (rows, columns), self.square_map.shape, strict=True
            )
        )
        at_tiles = is_row[:, None] | is_column[None]
        jumps = [
            *_jumps(self.row_jumps, rows, self.patch_size[1]),
            *_jumps(self.column_jumps, columns, self.patch_size[2]),
        ]
        return [
            _psnr(squares),
            _difference(squares, _near(windows, self.count)),
            _difference(self.square_map, at_tiles),
            float(
                np.divide(
                    *_jumps(np.array(self.jumps), windows, self.patch_size[0])
                )
            ),
            float((jumps[0] + jumps[2]) / (jumps[1] + jumps[3])),
        ]

    def _tile_borders(self, length):
        tiles = video_reconstruction._spread(length, self.size, self.overlap)
        edges = [(tile.start, tile.stop) for tile, _ in tiles]
        return _unique(*np.transpose(edges), length)


def _unique(starts, ends, length):
    """Borders within an axis."""
    borders = np.unique([*starts, *ends])
    return borders[(borders > 0) & (borders < length)]


def _near(borders, length):
    index = np.arange(length)[:, None]
    return ((index >= borders - _MARGIN) & (index < borders + _MARGIN)).any(
        axis=1
    )


def _psnr(squares):
    return float(-10 * np.log10(np.mean(squares)))


def _difference(squares, at_border):
    return _psnr(squares[~at_border]) - _psnr(squares[at_border])


def _jumps(jumps, borders, patch_size):
    """Mean jump at borders and at other patches; `jumps[0]` is before 1."""
    position = np.arange(1, len(jumps) + 1)
    at_border = np.isin(position, borders)
    at_patch = (position % patch_size == 0) & ~at_border
    return jumps[at_border].mean(), jumps[at_patch].mean()


if __name__ == "__main__":
    app.run(main)
