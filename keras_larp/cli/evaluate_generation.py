"""Measures generated clips against real ones, by a Fréchet distance.

    keras-larp evaluate generation --data=UCF-101 --num_clips=10000 \\
        --seed=42 \\
        --tokenizer=larp_l_long_tokenizer --generator=larp_l_long_generator \\
        --i3d=i3d_torchscript.pt --output=runs/gfvd

Real clips are drawn from all windows of the training videos, as the authors
do (theirs are those of --seed=42), or of the test videos; the classes of
generated clips are those of clips that are drawn from the training videos.
"""

from absl import flags

from keras_larp import evaluation
from keras_larp.cli import evaluate_flags, model_flags

FLAGS = flags.FlagValues()
evaluate_flags.define(FLAGS, "runs/generation", num_clips=10_000)
model_flags.define_generator(FLAGS)
model_flags.define_sampling(FLAGS, guided=True)
flags.DEFINE_enum(
    "real_split",
    "train",
    ["train", "test"],
    "Which videos the generated ones are compared with.",
    flag_values=FLAGS,
)
flags.DEFINE_integer(
    "num_real_clips",
    None,
    "How many real clips; --num_clips where not given.",
    1,
    flag_values=FLAGS,
)
flags.DEFINE_bool(
    "class_fidelity",
    False,
    "Report how many clips are of the class that was asked for, by a small "
    "classifier of the classes of --data, which is trained first.",
    flag_values=FLAGS,
)


def main(values):
    """Evaluates, and reports.

    Args:
        values: The parsed `FLAGS`.
    """
    # First what a slip of the pen ends, then what takes long.
    most = max(values.num_clips, values.num_real_clips or 0)
    options = evaluate_flags.shard_options(values, most)
    tokenizer, extractor = evaluate_flags.load_tokenizer_and_extractor(
        values, default="random"
    )
    classifier = None
    if values.class_fidelity:
        classifier = evaluate_flags.load_classifier(
            values, tokenizer.num_frames
        )
    training = evaluate_flags.choose_clips(
        values, "train", tokenizer, "windows"
    )
    real = evaluate_flags.choose_clips(
        values,
        values.real_split,
        tokenizer,
        "windows",
        "num_real_clips" if values.num_real_clips else "num_clips",
    )
    settings = evaluate_flags.settings(
        values,
        real_split=evaluate_flags.split_name(values, values.real_split),
        class_clips=training.settings(),
    )
    if values.real_split == "test":
        settings["overlap"] = evaluate_flags.check_overlap(values, real)
    shard = evaluation.evaluate_generation(
        values.output,
        model_flags.load_generator(values),
        tokenizer,
        training.labels(),
        real,
        extractor,
        model_flags.sampling_options(values),
        classifier,
        settings=settings,
        **options,
    )
    evaluate_flags.finish(values, shard)
