"""Measures what storing matrices of presets as int8 costs.

    KERAS_BACKEND=torch python benchmarks/weight_dtypes.py \\
        --tokenizer=larp_tiny_moving_shapes_tokenizer \\
        --generators=larp_tiny_moving_shapes_generator

Compares float16 with int8 on unseen clips: sizes of files, PSNR of
reconstructions, tokens, and losses of generators on the tokens.
"""

import pathlib
import tempfile
import zipfile

import keras
import numpy as np
from absl import app, flags

from keras_larp import data, metrics, presets
from keras_larp.layers.frame_condition import repeat_last_frame

FLAGS = flags.FLAGS
flags.DEFINE_string("tokenizer", None, "Preset.", required=True)
flags.DEFINE_list("generators", [], "Presets.")
flags.DEFINE_enum(
    "source", "moving_shapes", ["moving_shapes", "atari"], "Source of clips."
)
flags.DEFINE_list("games", None, "Atari games; by default all.")
flags.DEFINE_integer("num_clips", 32, "Number of clips.")
flags.DEFINE_integer("seed", 1000, "Seed of the clips; training used 0.")

DTYPES = ("float16", "int8")


def main(_):
    tokenizers = load_stored(FLAGS.tokenizer)
    clips, class_ids = render(tokenizers[0])
    token_ids = [numpy(tokenizer.encode(clips)) for tokenizer in tokenizers]
    psnrs = [
        psnr(clips, tokenizer.decode(ids))
        for tokenizer, ids in zip(tokenizers, token_ids, strict=True)
    ]
    print(f"  PSNR, dB: {psnrs[0]:.2f}, {psnrs[1]:.2f}")
    print(f"  equal tokens: {np.mean(token_ids[0] == token_ids[1]):.1%}")
    for preset in FLAGS.generators:
        half, small = load_stored(preset)
        for label, generator, index in (
            ("float16", half, 0),
            ("int8", small, 0),
            ("int8, tokens of the int8 tokenizer", small, 1),
        ):
            value = loss(
                generator, tokenizers[index], clips, token_ids[index], class_ids
            )
            print(f"  loss, {label}: {value:.4f}")


def load_stored(preset):
    """Models that are loaded from files of both dtypes."""
    model = presets.load(preset, dtype="float32")
    print(preset)
    loaded = []
    with tempfile.TemporaryDirectory() as temporary:
        for dtype in DTYPES:
            folder = pathlib.Path(temporary) / dtype
            presets.save(model, folder, dtype)
            file, archive = folder / "model.weights.h5", folder / "x.zip"
            with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as target:
                target.write(file)
            sizes = [path.stat().st_size / 1e6 for path in (file, archive)]
            print(f"  {dtype}: {sizes[0]:.2f} MB, zipped {sizes[1]:.2f} MB")
            loaded.append(presets.load(folder))
    return loaded


def render(tokenizer):
    sizes = tokenizer.num_frames, tokenizer.image_size
    if FLAGS.source == "atari":
        source = data.AtariGameplay(
            FLAGS.num_clips, *sizes, FLAGS.games, seed=FLAGS.seed
        )
    else:
        source = data.MovingShapes(FLAGS.num_clips, *sizes, seed=FLAGS.seed)
    indices = range(len(source))
    clips = np.stack([source.render(i) for i in indices])
    return clips, np.array([source.label(i) for i in indices])


def psnr(clips, others):
    metric = metrics.PSNR()
    metric.update_state(clips, others)
    return float(metric.result())


def loss(generator, tokenizer, clips, token_ids, class_ids):
    """Mean cross-entropy of tokens, given those before them."""
    inputs = {"token_ids": token_ids}
    if generator.conditioning == "class":
        inputs["class_ids"] = class_ids
    else:
        first = repeat_last_frame(clips, generator.num_condition_frames)
        ids = numpy(tokenizer.encode(first))
        separators = np.full_like(ids[:, :1], generator.vocab_size)
        inputs["condition_ids"] = np.concatenate([ids, separators], axis=1)
    logits = generator(inputs)[:, -token_ids.shape[1] :]
    losses = keras.losses.sparse_categorical_crossentropy(
        token_ids, logits, from_logits=True
    )
    return float(numpy(losses).mean())


def numpy(x):
    return keras.ops.convert_to_numpy(x)


if __name__ == "__main__":
    app.run(main)
