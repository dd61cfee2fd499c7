"""Measures the throughput of the input pipeline in clips per second.

    python benchmarks/input.py --data=/path/to/UCF-101

The baseline is a plain single-threaded PyAV loop that produces the same clips
as the pipeline, with the same resizing (and without, to show its cost).
Both are pinned to the same number of cores. The overhead of the pipeline is its
CPU time per clip, including worker processes, relative to the loop's. The
pipeline's reader skips frames that the loop decodes; therefore the reader is
also measured alone as a second baseline. The remaining overhead is shuffling,
communication and batching. Values are medians of repeated runs in separate
processes. Runs of all kinds alternate, so that other load on the machine
affects all of them.
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

flags.DEFINE_string("data", "../shared/data/UCF-101", "Folder of UCF101.")
flags.DEFINE_integer("clips", 512, "Measured clips per run.", 1)
flags.DEFINE_integer("repeats", 3, "Measured runs.", 1)
flags.DEFINE_enum(
    "child",
    None,
    ["loop", "reader", "0", "1", "2"],
    "Measure this run in this process (internal).",
)
flags.DEFINE_string(
    "resize", "pillow", "Resizing: pillow, ffmpeg or, for the loop, none."
)
flags.DEFINE_integer("cores", 1, "Number of cores.", 1)

# What to run (the plain loop or the reader alone, one per core, or the pipeline
# with a number of workers), resizing, and number of cores.
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
WARM_UP = 64  # Clips before the measurement.


def main(_):
    if FLAGS.child is not None:
        from keras_larp import data

        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: FLAGS.cores])
        data.reuse_freed_memory()
        run = {"loop": run_loop, "reader": run_reader}.get(
            FLAGS.child, run_pipeline
        )
        seconds, cpu = run()
        print("RESULT", FLAGS.clips / seconds, 1000 * cpu / FLAGS.clips)
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
    """Returns wall-clock and CPU seconds of the plain loop."""
    import av

    from keras_larp import data
    from keras_larp.data.video.transforms import fit_clip, resized_size

    files = video_files()
    reformatter = av.video.reformatter.VideoReformatter()
    totals = [files.num_frames(i) for i in range(len(files))]
    for i in range(WARM_UP + FLAGS.clips):
        if i == WARM_UP:
            start, cpu = time.perf_counter(), cpu_seconds()
        index = i % len(files)
        generator = np.random.default_rng([0, i // len(files), index])
        requested = data.frame_indices(
            totals[index], NUM_FRAMES, "random", generator
        )
        with av.open(files.path(index)) as container:
            container.streams.video[0].codec_context.thread_count = 1
            frames = itertools.islice(
                container.decode(video=0), int(requested[-1]) + 1
            )
            clip = []
            for frame_index, frame in enumerate(frames):
                if frame_index < requested[0]:
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
            fit_clip(clip, IMAGE_SIZE)  # Only crops after ffmpeg has resized.
    return time.perf_counter() - start, cpu_seconds() - cpu


def run_reader():
    """Returns wall-clock and CPU seconds of the reader."""
    from keras_larp.data.pipelines.clip_loader import ClipLoader

    files = video_files()
    loader = ClipLoader(files, NUM_FRAMES, resize=FLAGS.resize)
    for i in range(WARM_UP + FLAGS.clips):
        if i == WARM_UP:
            start, cpu = time.perf_counter(), cpu_seconds()
        loader.load(i // len(files), i % len(files))
    return time.perf_counter() - start, cpu_seconds() - cpu


def run_pipeline():
    """Returns wall-clock and CPU seconds of the pipeline."""
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
    start, cpu = time.perf_counter(), cpu_seconds()
    for _ in range(FLAGS.clips // BATCH_SIZE):
        next(batches)
    return time.perf_counter() - start, cpu_seconds() - cpu


def cpu_seconds():
    """Returns the CPU seconds of this process and its workers so far."""
    ticks = 0
    for worker in multiprocessing.active_children():
        fields = pathlib.Path(f"/proc/{worker.pid}/stat").read_text()
        ticks += sum(map(int, fields.rpartition(")")[2].split()[11:13]))
    return time.process_time() + ticks / os.sysconf("SC_CLK_TCK")


def video_files():
    from keras_larp import data

    return data.UCF101(FLAGS.data, split="all")


def clips_per_second(child, resize, cores):
    """Measures one run; loops and readers run in parallel, one per core.

    Returns:
        Clips per second, and CPU milliseconds per clip.
    """
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
    rates, cpu = zip(*results, strict=True)
    return sum(rates), statistics.mean(cpu)


def write(measured):
    names = {"loop": "plain loop", "reader": "reader alone"}
    rows = []
    for (run, resize, cores), (rate, cpu) in measured.items():
        _, loop = measured["loop", resize, cores]
        beyond_reader = ""
        if run != "loop":
            _, reader = measured["reader", resize, cores]
            beyond_reader = 100 * (cpu / reader - 1)
        rows.append(
            {
                "run": names.get(run, f"{run} workers"),
                "resize": resize,
                "cores": cores,
                "clips_per_second": rate,
                "cpu_milliseconds": cpu,
                "overhead_percent": 100 * (cpu / loop - 1),
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
