"""Trains candidates for presets of video with motion on a GPU, in minutes.

All clips stay in the memory of the GPU, since decoding them would take longer
than the steps do. Each call runs one stage; the stages of a data set share a
folder, and the second may start while the first is running, and uses the clips
played so far:

    python benchmarks/gpu_presets.py --stage=play --output=runs/atari &
    python benchmarks/gpu_presets.py --stage=tokenizer --output=runs/atari
    python benchmarks/gpu_presets.py --stage=encode --output=runs/atari
    python benchmarks/gpu_presets.py --stage=generator --output=runs/atari
    python benchmarks/gpu_presets.py --stage=frame_prediction \\
        --output=runs/atari

`--data=videos.npz` replaces the games of the stage `play` by real videos.
`pack_videos.py` writes this file. Batches are random windows, crops and
mirrored clips of it. `benchmarks/motion.md` has the measurements.
"""

import csv
import itertools
import json
import math
import multiprocessing
import os
import pathlib
import time

import keras
import numpy as np
from absl import app, flags

START = time.time()
FLAGS = flags.FLAGS
flags.DEFINE_enum(
    "stage",
    None,
    ["play", "tokenizer", "encode", "generator", "frame_prediction"],
    "What to do.",
    required=True,
)
flags.DEFINE_string("output", None, "Folder of the results.", required=True)
flags.DEFINE_string("data", None, "File of packed videos instead of games.")
flags.DEFINE_integer("num_clips", 49152, "Clips to play or to encode.")
flags.DEFINE_integer("min_clips", 4096, "Clips played before training starts.")
flags.DEFINE_integer("processes", None, "Processes that play.")
flags.DEFINE_float(
    "seconds", 300, "Time for the stage, start and compilation included."
)
flags.DEFINE_integer(
    "steps",
    12000,
    "Expected steps, for schedules other than the learning rate.",
)
flags.DEFINE_integer("batch_size", 64, "Clips per step.")
flags.DEFINE_float("learning_rate", 0.006, "Peak learning rate.")
flags.DEFINE_integer("hidden_dim", 192, "Width of the tokenizer.")
flags.DEFINE_integer("num_heads", 3, "Attention heads of the tokenizer.")
flags.DEFINE_integer("num_tokens", 256, "Tokens per clip.")
flags.DEFINE_float("motion_loss_weight", 10.0, "See TokenizerRecipe.")
flags.DEFINE_integer("steps_per_epoch", 100, "Steps between lines of the log.")
flags.DEFINE_string(
    "initial_preset", None, "Tokenizer whose weights training starts from."
)
flags.DEFINE_string("run", None, "Subfolder; by default the stage.")

GAMES = (
    "assault asterix atlantis bowling boxing breakout carnival demon_attack "
    "enduro fishing_derby freeway frostbite galaxian gopher ice_hockey kaboom "
    "ms_pacman phoenix pong riverraid seaquest skiing space_invaders tennis"
).split()
NUM_FRAMES, IMAGE_SIZE = 16, 64
NUM_CONDITION_FRAMES = 4
# Clips played by one task, which are in the file once it has ended.
CLIPS_PER_TASK = 8 * len(GAMES)


def main(_):
    stages = {"play": play, "tokenizer": train_tokenizer, "encode": encode}
    stages |= dict.fromkeys(["generator", "frame_prediction"], train_generator)
    stages[FLAGS.stage]()


# Clips of games.


def play():
    """Writes `clips.npy`, uint8, and how many of its clips are complete."""
    folder = pathlib.Path(FLAGS.output)
    folder.mkdir(parents=True, exist_ok=True)
    count = FLAGS.num_clips // CLIPS_PER_TASK * CLIPS_PER_TASK
    shape = (count, NUM_FRAMES, IMAGE_SIZE, IMAGE_SIZE, 3)
    np.lib.format.open_memmap(folder / "clips.npy", "w+", "uint8", shape)
    starts = range(0, count, CLIPS_PER_TASK)
    tasks = [(str(folder / "clips.npy"), start) for start in starts]
    context = multiprocessing.get_context("spawn")
    with context.Pool(FLAGS.processes or os.cpu_count()) as pool:
        for done, _ in enumerate(pool.imap(play_clips, tasks), start=1):
            temporary = folder / "count.tmp"
            temporary.write_text(str(done * CLIPS_PER_TASK))
            temporary.rename(folder / "count")


def play_clips(task):
    from keras_larp.data import AtariGameplay

    path, start = task
    clips = np.lib.format.open_memmap(path, "r+")
    source = AtariGameplay(len(clips), NUM_FRAMES, IMAGE_SIZE, GAMES)
    for index in range(start, start + CLIPS_PER_TASK):
        clips[index] = np.rint(source.render(index) * 255)


class PlayedClips:
    """Batches of the clips that are complete, in the memory of the device."""

    class_names = GAMES

    def __init__(self):
        import jax

        self.clips = None
        self._count = pathlib.Path(FLAGS.output) / "count"
        while self._read_count() < FLAGS.min_clips:
            time.sleep(0.5)
        self._file = np.load(self._count.with_name("clips.npy"), mmap_mode="r")
        self._take = jax.jit(lambda clips, i: clips[i].astype("float32") / 255)
        self.refresh()

    def _read_count(self):
        return int(self._count.read_text()) if self._count.exists() else 0

    def refresh(self):
        """Copies clips to the device, if there are many more by now."""
        import jax

        count = self._read_count()
        old = 0 if self.clips is None else len(self.clips)
        complete = count == len(self._file)
        if count >= 2 * old or (complete and count > old):
            self.clips = jax.device_put(self._file[:count])

    def batch(self, random):
        return self._take(
            self.clips, random.integers(len(self.clips), size=FLAGS.batch_size)
        )

    def batches_to_encode(self):
        """Yields batches and their labels, each clip once."""
        self.refresh()
        size = FLAGS.batch_size
        for start in range(0, len(self.clips) - size + 1, size):
            index = np.arange(start, start + size)
            yield self._take(self.clips, index), index % len(GAMES)


class PackedVideos:
    """Batches of random crops of real videos, in the memory of the device."""

    def __init__(self):
        import jax

        with np.load(FLAGS.data, allow_pickle=False) as packed:
            self._videos = jax.device_put(packed["videos"])
            self._lengths, self._labels = packed["lengths"], packed["labels"]
            self.class_names = packed["class_names"].tolist()
        self._crop = jax.jit(jax.vmap(crop_clip, in_axes=(None, *[0] * 6)))

    def refresh(self):
        """Does nothing: all videos are there from the start."""

    def batch(self, random):
        return self._batch(random)[0]

    def batches_to_encode(self):
        random = np.random.default_rng(1)
        for _ in range(FLAGS.num_clips // FLAGS.batch_size):
            yield self._batch(random)

    def _batch(self, random):
        _, _, height, width, _ = self._videos.shape
        size = FLAGS.batch_size
        index = random.integers(len(self._videos), size=size)
        start = random.integers(self._lengths[index] - NUM_FRAMES + 1)
        side = height * np.sqrt(random.uniform(0.6, 1, size))
        top = random.uniform(0, height - side)
        left = random.uniform(0, width - side)
        flip = random.integers(2, size=size)
        clips = self._crop(self._videos, index, start, top, left, side, flip)
        return clips, self._labels[index]


def crop_clip(videos, index, start, top, left, side, flip):
    """Returns a square of a window of a video, resized: `(T, H, W, 3)`."""
    import jax
    from jax import numpy as jnp

    shape = (1, NUM_FRAMES, *videos.shape[2:])
    clip = jax.lax.dynamic_slice(videos, (index, start, 0, 0, 0), shape)[0]
    scale = IMAGE_SIZE / side
    clip = jax.image.scale_and_translate(
        clip.astype("float32") / 255,
        (NUM_FRAMES, IMAGE_SIZE, IMAGE_SIZE, 3),
        (1, 2),
        jnp.stack([scale, scale]),
        jnp.stack([-top * scale, -left * scale]),
        "linear",
    )
    return jnp.where(flip, clip[:, :, ::-1], clip).clip(0, 1)


def load_clips():
    return PackedVideos() if FLAGS.data else PlayedClips()


# Stages that train.


def train_tokenizer():
    from keras_larp import presets, recipes

    recipe = recipes.small_data_tokenizer(
        steps_per_epoch=FLAGS.steps_per_epoch,
        epochs=FLAGS.steps // FLAGS.steps_per_epoch,
        warmup_epochs=warmup_epochs(),
        num_frames=NUM_FRAMES,
        image_size=IMAGE_SIZE,
        num_tokens=FLAGS.num_tokens,
        codebook_size=1024,
        hidden_dim=FLAGS.hidden_dim,
        num_heads=FLAGS.num_heads,
        encoder_num_layers=4,
        decoder_num_layers=4,
        batch_size=FLAGS.batch_size,
        codebook_reset_unused_after=100,
        temperature=0.01,
        dtype="mixed_bfloat16",
        learning_rate=FLAGS.learning_rate,
        motion_loss_weight=FLAGS.motion_loss_weight,
    )
    tokenizer = recipe.build()
    if FLAGS.initial_preset:
        # The tokenizer being trained has training state in addition.
        own = {weight.path: weight for weight in tokenizer.weights}
        for weight in presets.load(FLAGS.initial_preset).weights:
            own[weight.path].assign(weight)
    clips, random = load_clips(), np.random.default_rng(0)
    fit(
        tokenizer,
        recipe,
        ((clips.batch(random),) for _ in itertools.count()),
        on_epoch_end=lambda *_: clips.refresh(),
    )


def warmup_epochs():
    return min(200, FLAGS.steps // 10) / FLAGS.steps_per_epoch


def encode():
    """Writes the tokens of clips, and those of their first frames."""
    from keras import ops

    from keras_larp import presets
    from keras_larp.layers.frame_condition import repeat_last_frame

    folder = pathlib.Path(FLAGS.output)
    tokenizer = presets.load(folder / "tokenizer" / "preset")
    clips = load_clips()
    rows = []
    for batch, labels in clips.batches_to_encode():
        first = repeat_last_frame(batch, NUM_CONDITION_FRAMES)
        rows.append([tokenizer.encode(batch), labels, tokenizer.encode(first)])
    columns = [
        np.concatenate([ops.convert_to_numpy(x) for x in column])
        for column in zip(*rows, strict=True)
    ]
    names = ["token_ids", "class_ids", "condition_ids"]
    np.savez(
        folder / "tokens.npz",
        **dict(zip(names, columns, strict=True)),
        class_names=clips.class_names,
        vocab_size=tokenizer.codebook_size,
    )


def train_generator():
    import jax

    from keras_larp import recipes

    with np.load(pathlib.Path(FLAGS.output) / "tokens.npz") as file:
        tokens = dict(file)
    names = ["token_ids", "class_ids"]
    settings = {"batch_size": FLAGS.batch_size, "dtype": "mixed_bfloat16"}
    settings |= {"vocab_size": int(tokens["vocab_size"])}
    settings |= {"num_tokens": tokens["token_ids"].shape[1]}
    settings |= {"steps_per_epoch": FLAGS.steps_per_epoch}
    settings |= {"epochs": FLAGS.steps // FLAGS.steps_per_epoch}
    settings |= {"warmup_epochs": warmup_epochs()}
    settings |= {"learning_rate": FLAGS.learning_rate}
    if FLAGS.stage == "generator":
        recipe = recipes.small_data_generator(
            num_classes=len(tokens["class_names"]), **settings
        )
    else:
        recipe = recipes.larp_l_long_frame_prediction(
            size="llama-abs-tiny",
            num_condition_frames=NUM_CONDITION_FRAMES,
            **settings,
        )
        ids = tokens["condition_ids"]
        separators = np.full_like(ids[:, :1], tokens["vocab_size"])
        tokens["condition_ids"] = np.concatenate([ids, separators], axis=1)
        names = ["token_ids", "condition_ids"]
    # The last twentieth is for validation.
    count = len(tokens["token_ids"]) // 20 * 19
    data = {k: jax.device_put(tokens[k].astype("int32")) for k in names}
    take = jax.jit(lambda i: jax.tree.map(lambda x: x[i], data))
    random, size = np.random.default_rng(0), FLAGS.batch_size
    unseen = len(tokens["token_ids"]) - count
    starts = range(count, count + unseen - size + 1, size)
    generator = recipe.build(
        None
        if FLAGS.stage == "frame_prediction"
        else tokens["class_names"].tolist()
    )
    fit(
        generator,
        recipe,
        ((take(random.integers(count, size=size)),) for _ in itertools.count()),
        validation_data=((take(np.arange(i, i + size)),) for i in starts),
    )


def fit(model, recipe, dataset, on_epoch_end=None, validation_data=None):
    """Trains a model until the time is up, and writes preset and log."""
    from keras_larp import presets

    arguments = recipe.compile_arguments()
    optimizer = arguments["optimizer"]
    config = optimizer.get_config() | {"learning_rate": recipe.learning_rate}
    arguments["optimizer"] = type(optimizer).from_config(config)
    model.compile(**arguments)

    folder = pathlib.Path(FLAGS.output) / (FLAGS.run or FLAGS.stage)
    folder.mkdir(parents=True, exist_ok=True)
    callbacks = [UntilTimeIsUp(recipe, folder / "log.csv")]
    if on_epoch_end is not None:
        callbacks.append(
            keras.callbacks.LambdaCallback(on_epoch_end=on_epoch_end)
        )
    model.fit(
        dataset,
        epochs=10**6,
        steps_per_epoch=recipe.steps_per_epoch,
        callbacks=callbacks,
        verbose=0,
    )
    (folder / "recipe.json").write_text(json.dumps(recipe.settings, indent=2))
    presets.save(model, folder / "preset", "float16", overwrite=True)
    if validation_data is not None:
        results = model.evaluate(validation_data, return_dict=True, verbose=0)
        (folder / "validation.json").write_text(json.dumps(results, indent=2))
        print(folder, results, flush=True)


class UntilTimeIsUp(keras.callbacks.Callback):
    """Ends training after `--seconds`, and writes a log.

    The learning rate follows a cosine over the time between the end of the
    first epoch, which compiles, and the end of training, after a warm-up of
    some epochs.
    """

    def __init__(self, recipe, log):
        super().__init__()
        self.peak, self.warmup = recipe.learning_rate, recipe.warmup_epochs
        self.min_ratio = recipe.min_lr_ratio
        self.log, self.rows, self.first_epoch_end = log, [], None

    def on_epoch_begin(self, epoch, logs=None):
        progress = 0.0
        if self.first_epoch_end is not None:
            elapsed = time.time() - self.first_epoch_end
            total = START + FLAGS.seconds - self.first_epoch_end
            progress = min(elapsed / max(total, 1e-3), 1.0)
        ratio = 0.5 * (1 + math.cos(math.pi * progress))
        ratio = self.min_ratio + (1 - self.min_ratio) * ratio
        ratio *= min((epoch + 0.5) / max(self.warmup, 0.5), 1.0)
        self.model.optimizer.learning_rate = self.peak * ratio
        self.rate = self.peak * ratio

    def on_epoch_end(self, epoch, logs=None):
        self.first_epoch_end = self.first_epoch_end or time.time()
        seconds = time.time() - START
        row = {"epoch": epoch, "seconds": seconds, "learning_rate": self.rate}
        self.rows.append(row | {k: float(v) for k, v in logs.items()})
        with open(self.log, "w") as file:
            writer = csv.DictWriter(file, list(self.rows[0]))
            writer.writeheader()
            writer.writerows(self.rows)
        shown = {"loss", "psnr", "moving_psnr", "perplexity"} & set(logs)
        values = [f"{k} {float(logs[k]):.3f}" for k in sorted(shown)]
        print(self.log.parent, epoch, f"{seconds:.0f} s", *values, flush=True)
        self.model.stop_training = seconds > FLAGS.seconds


if __name__ == "__main__":
    app.run(main)
