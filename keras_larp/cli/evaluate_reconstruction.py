"""Compares the reconstructions of a tokenizer with the original clips.

    keras-larp evaluate reconstruction --data=UCF-101 \\
        --tokenizer=larp_l_long_tokenizer --lpips=lpips_vgg16 \\
        --i3d=i3d_pretrained_400.pt --output=runs/rfvd

The command reports MSE, PSNR, SSIM, PSNR of moving pixels, flicker of still
ones and codebook usage, LPIPS with --lpips, and rFVD with --i3d.
"""

from absl import flags

import keras_larp
from keras_larp.cli import evaluate_flags, model_flags

FLAGS = flags.FlagValues()
flags.DEFINE_enum(
    "split",
    "test",
    ["train", "test"],
    "Videos to reconstruct, for formats with a test split or with --test_data.",
    flag_values=FLAGS,
)
flags.DEFINE_enum(
    "frame_sampling",
    "center",
    ["first", "center", "random", "uniform", "windows"],
    "Frames of a clip: consecutive from the start, the center or a random "
    "position (as in the reference implementation); evenly spread over the "
    "video; or every non-overlapping window as a clip.",
    flag_values=FLAGS,
)
model_flags.define_lpips(FLAGS)
evaluate_flags.define(FLAGS, "runs/reconstruction")


def main(values: flags.FlagValues) -> None:
    """Evaluates and reports.

    Args:
        values: The parsed `FLAGS`.
    """
    # Reject invalid flags before loading models.
    with evaluate_flags.run_evaluation(values, values.num_clips) as options:
        tokenizer, extractor = evaluate_flags.load_tokenizer_and_extractor(
            values
        )
        clips = evaluate_flags.choose_clips(
            values, values.split, tokenizer, values.frame_sampling
        )
        settings = evaluate_flags.settings(
            values, split=evaluate_flags.split_name(values, values.split)
        )
        if values.split == "test":
            settings["overlap"] = evaluate_flags.check_overlap(values, clips)
        perceptual_model = model_flags.load_lpips(values)
        keras_larp.evaluation.evaluate_reconstruction(
            values.output,
            tokenizer,
            clips,
            extractor,
            perceptual_model,
            settings=settings,
            **options,
        )
