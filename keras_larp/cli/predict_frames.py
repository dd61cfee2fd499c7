"""Continues clips from their first frames and writes them as video files.

    keras-larp predict-frames --tokenizer=larp_l_long_tokenizer \\
        --generator=larp_l_long_frame_prediction \\
        --data=k600_val.csv --data_format=csv --output=runs/continued

The command continues the center clips of the test videos. It writes one file
per continuation, and a grid in which each row starts with the original. Each
file is written as soon as its clip is generated, and running the command again
generates only the missing ones. The processes of a launcher, such as torchrun
or srun, share the work; --shard splits it without a launcher.
"""

import itertools

from absl import flags

from keras_larp.cli import (
    clip_files,
    data_flags,
    evaluate_flags,
    launcher,
    model_flags,
)
from keras_larp.utils.arrays import to_numpy

FLAGS = flags.FlagValues()
flags.DEFINE_integer(
    "num_clips", 8, "Number of clips to continue.", 1, flag_values=FLAGS
)
flags.DEFINE_integer(
    "num_samples", 2, "Continuations per clip.", 1, flag_values=FLAGS
)
flags.DEFINE_integer(
    "num_condition_frames",
    None,
    "Number of frames to continue from. If omitted, that of the generator.",
    1,
    flag_values=FLAGS,
)
model_flags.define_tokenizer(FLAGS)
model_flags.define_generator(FLAGS)
model_flags.define_sampling(FLAGS, guided=False)
data_flags.define(FLAGS, batch_size=8)
clip_files.define(FLAGS, "runs/continued")


def main(values: flags.FlagValues) -> None:
    """Continues clips and writes the missing files.

    Args:
        values: The parsed `FLAGS`.
    """
    launcher.initialize(values)
    tokenizer = model_flags.load_tokenizer(values)
    generator = model_flags.load_generator(values)
    clips = evaluate_flags.choose_clips(
        values, "test", tokenizer, "center", flag=None
    )
    num_clips = min(values.num_clips, len(clips))
    num_samples = values.num_samples
    sampling = model_flags.sampling_options(values)
    batch_size = min(values.batch_size, num_clips)
    with clip_files.open_clip_files(
        values,
        [
            f"clip_{clip:03d}_{sample:03d}"
            for clip, sample in itertools.product(
                range(num_clips), range(num_samples)
            )
        ],
        num_samples,
        {
            **model_flags.fingerprints(tokenizer, generator),
            "clips": {**clips.settings(), "num_clips": num_clips},
            "num_condition_frames": values.num_condition_frames,
            "num_samples": num_samples,
            **sampling,
        },
    ) as files:
        # `files` counts continuations, and `clips` counts originals.
        batches = [
            range(batch.start // num_samples, batch.stop // num_samples)
            for batch in files.batches(batch_size * num_samples)
        ]
        for batch, (originals, _, decoded) in zip(
            batches, clips.batches(batches), strict=True
        ):
            if not decoded:  # All videos of the batch were skipped.
                continue
            videos = generator.predict_frames(
                originals,
                tokenizer,
                values.num_condition_frames,
                num_samples,
                batch_size,
                sample_offset=batch.start * num_samples,
                stream=True,
                **sampling,
            )
            videos = (video for part in videos for video in to_numpy(part))
            for clip, original in zip(decoded, originals, strict=True):
                files.add_to_grid(clip, original)
                for sample in range(num_samples):
                    files.write(clip * num_samples + sample, next(videos))
        files.finish()
