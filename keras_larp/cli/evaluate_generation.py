"""Compares generated clips with real ones by Fréchet distance.

    keras-larp evaluate generation --data=UCF-101 --num_clips=10000 \\
        --seed=42 \\
        --tokenizer=larp_l_long_tokenizer --generator=larp_l_long_generator \\
        --i3d=i3d_torchscript.pt --output=runs/gfvd

Real clips are sampled from all windows of the training videos, as in the
reference implementation (with --seed=42), or of the test videos. The class
labels of generated clips are those of clips sampled from the training videos.
"""

from absl import flags

import keras_larp
from keras_larp.cli import evaluate_flags, model_flags

FLAGS = flags.FlagValues()
flags.DEFINE_enum(
    "real_split",
    "train",
    ["train", "test"],
    "Videos with which generated clips are compared.",
    flag_values=FLAGS,
)
flags.DEFINE_integer(
    "num_real_clips",
    None,
    "Number of real clips. If omitted, --num_clips.",
    1,
    flag_values=FLAGS,
)
flags.DEFINE_bool(
    "class_fidelity",
    False,
    "Report the fraction of clips that a small classifier, trained on --data, "
    "assigns to the requested class.",
    flag_values=FLAGS,
)
flags.DEFINE_bool(
    "motion_fidelity",
    False,
    "Report the same fraction of a classifier that sees only the differences "
    "between frames, so that a background does not suffice for it.",
    flag_values=FLAGS,
)
flags.DEFINE_string(
    "motion_classifier",
    None,
    "Weights file of the classifier for --motion_fidelity, as --classifier. "
    "If omitted, motion_classifier.weights.h5 in --output.",
    flag_values=FLAGS,
)
model_flags.define_generator(FLAGS)
model_flags.define_sampling(FLAGS, guided=True)
evaluate_flags.define(FLAGS, "runs/generation", num_clips=10_000)


def main(values: flags.FlagValues) -> None:
    """Evaluates and reports.

    Args:
        values: The parsed `FLAGS`.
    """
    # Reject invalid flags before loading models.
    max_clips = max(values.num_clips, values.num_real_clips or 0)
    with evaluate_flags.run_evaluation(values, max_clips) as options:
        tokenizer, extractor = evaluate_flags.load_tokenizer_and_extractor(
            values, default="random"
        )
        classifier = motion_classifier = None
        if values.class_fidelity:
            classifier = evaluate_flags.load_classifier(
                values, tokenizer.num_frames
            )
        if values.motion_fidelity:
            motion_classifier = evaluate_flags.load_classifier(
                values, tokenizer.num_frames, motion_only=True
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
        keras_larp.evaluation.evaluate_generation(
            values.output,
            model_flags.load_generator(values),
            tokenizer,
            training.labels(),
            real,
            extractor,
            model_flags.sampling_options(values),
            classifier,
            motion_classifier,
            settings=settings,
            **options,
        )
