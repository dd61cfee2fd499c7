"""Growth of the resident memory over many calls."""

import gc
import os
import pathlib

import keras
import numpy as np
from tiny_models import tiny_generator, tiny_tokenizer

from keras_larp import data

CALLS = 2000
BATCHES = 300
# Batch sizes are drawn from these, so that each is compiled during warm-up.
BATCH_SIZES = (1, 2, 3, 5)
_MB = 1e6


def growth(call, num_calls, every=None):
    """Returns the slope of the resident memory in MB per 1,000 calls.

    The first quarter of the calls warms up: allocators, compiled programs and
    caches grow.

    Args:
        call: Function of the index of the call.
        num_calls: Integer.
        every: Integer. Calls between measurements. Defaults to `None`, a
            fortieth of the calls.
    """
    every = every or max(num_calls // 40, 1)
    indices, sizes = [], []
    for i in range(num_calls):
        call(i)
        if i >= num_calls // 4 and i % every == 0:
            gc.collect()
            indices.append(i)
            sizes.append(_resident_memory())
    return 1000 * np.polyfit(indices, sizes, 1)[0] / _MB


def encode_growth():
    tokenizer = tiny_tokenizer()
    random = np.random.default_rng(0)

    def encode(_):
        size = random.choice(BATCH_SIZES)
        clips = random.random((size, 4, 16, 16, 3), "float32")
        keras.ops.convert_to_numpy(tokenizer.encode(clips))

    return growth(encode, CALLS)


def generate_growth():
    tokenizer, generator = tiny_tokenizer(), tiny_generator()
    random = np.random.default_rng(0)

    def generate(i):
        class_ids = random.integers(3, size=random.choice(BATCH_SIZES))
        clips = generator.generate(class_ids, tokenizer=tokenizer, seed=i)
        keras.ops.convert_to_numpy(clips)

    return growth(generate, CALLS)


def loader_growth():
    """Of this process and its workers."""
    source = data.MovingShapes(64, num_frames=8, image_size=64)
    batches = iter(data.video_dataset(source, batch_size=4, num_workers=2))
    return growth(lambda _: next(batches), BATCHES)


# Name, number of calls, function, and bound in MB per 1,000 calls. A call that
# kept only its smallest array, one clip, would exceed the bounds: 12 kB per
# call of the models, and 393 kB per batch of the loader.
PROBES = [
    ("encode", CALLS, encode_growth, 4.0),
    ("generate", CALLS, generate_growth, 4.0),
    ("loader with 2 workers", BATCHES, loader_growth, 100.0),
]


def _resident_memory():
    """Bytes of this process and its descendants."""
    return sum(map(_resident_memory_of, _descendants(os.getpid())))


def _descendants(process):
    found = [process]
    for tasks in pathlib.Path(f"/proc/{process}/task").glob("*/children"):
        for child in tasks.read_text().split():
            found += _descendants(int(child))
    return found


def _resident_memory_of(process):
    try:
        pages = pathlib.Path(f"/proc/{process}/statm").read_text().split()[1]
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
