"""Trains a class-conditional generator on the tokens of a trained tokenizer.

    python examples/train_generator.py --data=UCF-101 \
        --tokenizer=runs/tokenizer/preset --output=runs/generator

The size of a clip is the tokenizer's. A run that was stopped goes on from its
last epoch when it is started again.
"""

import pathlib

import data_flags
import keras
from absl import app, flags

from keras_larp import models

FLAGS = flags.FLAGS

flags.DEFINE_string("tokenizer", None, "Preset of the tokenizer.")
flags.mark_flag_as_required("tokenizer")
flags.DEFINE_string("output", "runs/generator", "Folder of the run.")
flags.DEFINE_string("size", "llama-abs-LP", "Size by name.")
flags.DEFINE_integer("epochs", 3000, "Passes over the data.", 1)
flags.DEFINE_integer(
    "steps_per_epoch", None, "Batches of an epoch; all where not given.", 1
)
flags.DEFINE_float("learning_rate", 6e-4, "Peak learning rate.")
flags.DEFINE_float("weight_decay", 0.05, "Of linear kernels.")
flags.DEFINE_integer("warmup_steps", 1000, "Steps up to the peak.", 0)
flags.DEFINE_string("dtype", "float32", "Policy, such as mixed_bfloat16.")


def main(_):
    output = pathlib.Path(FLAGS.output)
    keras.utils.set_random_seed(FLAGS.seed)
    tokenizer = models.LARPTokenizer.from_preset(FLAGS.tokenizer)
    FLAGS.num_frames = tokenizer.num_frames
    FLAGS.image_size = tokenizer.image_size
    source = data_flags.make_source("train")
    generator = models.ARVideoGenerator.from_size(
        FLAGS.size,
        vocab_size=tokenizer.codebook_size,
        num_tokens=tokenizer.num_tokens,
        num_classes=max(len(source.class_names), 1),
        dtype=FLAGS.dtype,
    )
    train = data_flags.make_dataset(source, training=True)
    test = data_flags.make_dataset(data_flags.make_source("test"), False)
    steps = (FLAGS.steps_per_epoch or train.steps_per_epoch) * FLAGS.epochs
    warmup_steps = min(FLAGS.warmup_steps, steps // 10)
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0,
        max(steps - warmup_steps, 1),
        warmup_target=FLAGS.learning_rate,
        warmup_steps=warmup_steps,
    )
    generator.compile(
        keras.optimizers.AdamW(
            schedule,
            weight_decay=FLAGS.weight_decay,
            beta_2=0.95,
            global_clipnorm=1.0,
        )
    )
    output.mkdir(parents=True, exist_ok=True)
    generator.fit(
        train,
        tokenizer=tokenizer,
        epochs=FLAGS.epochs,
        steps_per_epoch=FLAGS.steps_per_epoch,
        callbacks=[
            keras.callbacks.BackupAndRestore(output / "backup"),
            keras.callbacks.CSVLogger(output / "log.csv", append=True),
        ],
    )
    result = generator.evaluate(test, tokenizer=tokenizer, return_dict=True)
    print(", ".join(f"{name} {value:.4f}" for name, value in result.items()))
    generator.save_to_preset(output / "preset")
    print(f"Saved to {output / 'preset'}")


if __name__ == "__main__":
    app.run(main)
