"""Measures how many clips a second the input pipeline makes.

    python benchmarks/input.py --data=/path/to/UCF-101

The yardstick is a bare loop with PyAV that makes the very clips which the
pipeline makes, with the same resizing (and, for the price of that, without
any), in one thread, and does nothing else. Both are pinned to the same number
of cores. The pipeline's overhead is the processor's time for a clip, that of
workers included, over the loop's. Since the pipeline's reader skips frames that
the loop decodes, it is also run alone, one clip after another, as a second
yardstick: what is beyond it are order, hand-over and batches. Numbers are
medians of repeated runs, each in a process of its own; runs of all kinds
alternate, so that a busy machine slows all of them.
"""

import itertools
import multiprocessing
import os
import pathlib
import statistics
import subprocess
import sys
import time

import numpy as np
from absl import app, flags
from measuring import write_results

FLAGS = flags.FLAGS

flags.DEFINE_string("data", "../shared/data/UCF-101", "Folder of videos.")
flags.DEFINE_integer("clips", 512, "Clips that a run times.", 1)
flags.DEFINE_integer("repeats", 3, "Measured runs.", 1)
flags.DEFINE_enum(
    "child", None, ["loop", "reader", "0", "1", "2"], "What to run here."
)
flags.DEFINE_string("resize", "pillow", "What resizes; none in a loop alone.")
flags.DEFINE_integer("cores", 1, "On how many cores.", 1)

# What is run (a bare loop or the reader alone, on each core, or a pipeline with
# so many workers), what resizes, and on how many cores.
RUNS = [
    (child, resize, cores)
    for cores, workers in ((1, "0"), (2, "012"))
    for child, resize in (
        ("loop", "none"),
        *itertools.product(("loop", "reader", *workers), ("pillow", "ffmpeg")),
    )
]
BATCH_SIZE = 8
NUM_FRAMES, IMAGE_SIZE = 16, 128
WARM_UP = 64  # clips that are not timed


def main(_):
    if FLAGS.child is not None:
        from keras_larp import data

        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: FLAGS.cores])
        data.reuse_freed_memory()
        run = {"loop": run_loop, "reader": run_reader}.get(
            FLAGS.child, run_pipeline
        )
        seconds, busy = run()
        print("RESULT", FLAGS.clips / seconds, 1000 * busy / FLAGS.clips)
        return
    rates = {run: [] for run in RUNS}
    for _ in range(FLAGS.repeats):
        for run, found in rates.items():
            found.append(clips_per_second(*run))
    write(
        {
            run: list(map(statistics.median, zip(*found, strict=True)))
            for run, found in rates.items()
        }
    )


def run_loop():
    """Seconds that the bare loop takes, and is busy."""
    import av

    from keras_larp import data
    from keras_larp.data.video.transforms import fit_clip, resized_size

    files = video_files()
    reformatter = av.video.reformatter.VideoReformatter()
    totals = [files.num_frames(i) for i in range(len(files))]
    for place in range(WARM_UP + FLAGS.clips):
        if place == WARM_UP:
            start, busy = time.perf_counter(), busy_seconds()
        index = place % len(files)
        generator = np.random.default_rng([0, place // len(files), index])
        wanted = data.frame_indices(
            totals[index], NUM_FRAMES, "random", generator
        )
        with av.open(files.path(index)) as container:
            container.streams.video[0].codec_context.thread_count = 1
            frames = itertools.islice(
                container.decode(video=0), int(wanted[-1]) + 1
            )
            clip = []
            for number, frame in enumerate(frames):
                if number < wanted[0]:
                    continue
                size = frame.height, frame.width
                if FLAGS.resize == "ffmpeg":
                    size = resized_size(*size, IMAGE_SIZE)
                frame = reformatter.reformat(
                    frame,
                    format="rgb24",
                    height=size[0],
                    width=size[1],
                    interpolation="BILINEAR",
                    threads=1,
                )
                clip.append(frame.to_ndarray())
        clip = np.stack(clip)
        if FLAGS.resize != "none":
            fit_clip(clip, IMAGE_SIZE)  # Crops what has the size already.
    return time.perf_counter() - start, busy_seconds() - busy


def run_reader():
    """Seconds that reading the pipeline's clips takes, and is busy."""
    from keras_larp.data.pipelines.clip_loader import ClipLoader

    files = video_files()
    loader = ClipLoader(files, NUM_FRAMES, resize=FLAGS.resize)
    for place in range(WARM_UP + FLAGS.clips):
        if place == WARM_UP:
            start, busy = time.perf_counter(), busy_seconds()
        loader.load(place // len(files), place % len(files))
    return time.perf_counter() - start, busy_seconds() - busy


def run_pipeline():
    """Seconds that the pipeline takes, and is busy."""
    from keras_larp import data

    dataset = data.video_dataset(
        video_files(),
        num_frames=NUM_FRAMES,
        batch_size=BATCH_SIZE,
        shuffle=False,
        resize=FLAGS.resize,
        num_workers=int(FLAGS.child),
    )
    batches = iter(dataset)
    for _ in range(WARM_UP // BATCH_SIZE):
        next(batches)
    start, busy = time.perf_counter(), busy_seconds()
    for _ in range(FLAGS.clips // BATCH_SIZE):
        next(batches)
    return time.perf_counter() - start, busy_seconds() - busy


def busy_seconds():
    """The processor's time for this process and its workers so far."""
    ticks = 0
    for worker in multiprocessing.active_children():
        fields = pathlib.Path(f"/proc/{worker.pid}/stat").read_text()
        ticks += sum(map(int, fields.rpartition(")")[2].split()[11:13]))
    return time.process_time() + ticks / os.sysconf("SC_CLK_TCK")


def video_files():
    from keras_larp import data

    return data.UCF101(FLAGS.data, split="all")


def clips_per_second(child, resize, cores):
    """And busy milliseconds a clip, of one run; loops and readers run side by
    side, each on a core."""
    processes = 1
    if child in ("loop", "reader"):
        processes, cores = cores, 1
    allowed = sorted(os.sched_getaffinity(0))
    command = [
        sys.executable,
        __file__,
        f"--child={child}",
        f"--resize={resize}",
        f"--cores={cores}",
        f"--data={FLAGS.data}",
        f"--clips={FLAGS.clips}",
    ]
    children = [
        subprocess.Popen(
            ["taskset", "-c", ",".join(map(str, allowed[i:])), *command],
            stdout=subprocess.PIPE,
            text=True,
        )
        for i in range(processes)
    ]
    results = [
        [float(n) for n in process.communicate()[0].split("RESULT")[1].split()]
        for process in children
    ]
    rates, busy = zip(*results, strict=True)
    return sum(rates), statistics.mean(busy)


def write(measured):
    names = {"loop": "bare loop", "reader": "reader alone"}
    rows = []
    for (run, resize, cores), (rate, busy) in measured.items():
        _, loop = measured["loop", resize, cores]
        beyond_reader = ""
        if run != "loop":
            _, reader = measured["reader", resize, cores]
            beyond_reader = 100 * (busy / reader - 1)
        rows.append(
            {
                "run": names.get(run, f"{run} workers"),
                "resize": resize,
                "cores": cores,
                "clips_per_second": rate,
                "busy_milliseconds": busy,
                "overhead_percent": 100 * (busy / loop - 1),
                "beyond_reader_percent": beyond_reader,
            }
        )
    content = {
        "clips": FLAGS.clips,
        "repeats": FLAGS.repeats,
        "num_frames": NUM_FRAMES,
        "batch_size": BATCH_SIZE,
        "results": rows,
    }
    cells = [row.values() for row in rows]
    write_results("input", content, list(rows[0]), cells)


if __name__ == "__main__":
    app.run(main)
