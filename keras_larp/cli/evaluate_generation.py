"""Measures generated clips against real ones, by a Fréchet distance.

    keras-larp evaluate generation --data=UCF-101 --num_clips=10000 \\
        --tokenizer=larp_l_long_tokenizer --generator=larp_l_long_generator \\
        --i3d=i3d_torchscript.pt --output=runs/gfvd

Real clips are drawn from all windows of the training videos, as the authors
do, or of the test videos; the classes of generated clips are those of clips
that are drawn from the training videos.
"""

from absl import flags

from keras_larp import evaluation
from keras_larp.cli import evaluate_flags, model_flags

FLAGS = flags.FlagValues()
evaluate_flags.define(FLAGS, "runs/generation")
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
    tokenizer = model_flags.load_tokenizer(values)
    training = evaluate_flags.choose_clips(
        values, "train", tokenizer, "windows", values.num_clips
    )
    num_real_clips = values.num_real_clips or values.num_clips
    real = evaluate_flags.choose_clips(
        values, values.real_split, tokenizer, "windows", num_real_clips
    )
    settings = evaluate_flags.settings(values, real_split=values.real_split)
    if values.real_split == "test":
        settings["overlap"] = evaluate_flags.check_overlap(values, real)
    classifier = None
    if values.class_fidelity:
        classifier = evaluate_flags.load_classifier(
            values, tokenizer.num_frames
        )
    shard = evaluation.evaluate_generation(
        values.output,
        model_flags.load_generator(values),
        tokenizer,
        training.labels(),
        real,
        evaluate_flags.load_extractor(
            values, tokenizer.num_frames, default="random"
        ),
        model_flags.sampling_options(values),
        classifier,
        settings=settings,
        **evaluate_flags.shard_options(values),
    )
    evaluate_flags.finish(values, shard)
