"""Continues videos from their first frames.

    python examples/continue_frames.py

Loads a pretrained tokenizer and frame-prediction model that come with the
package, and writes `continued.gif`. Each row shows an unseen clip and three
different continuations of its first four frames.
"""

import numpy as np
from keras import ops

from keras_larp import data, models

PRESET = "larp_tiny_moving_shapes"
NUM_CLIPS = 6
NUM_SAMPLES = 3

tokenizer = models.LARPTokenizer.from_preset(f"{PRESET}_tokenizer")
generator = models.ARVideoGenerator.from_preset(f"{PRESET}_frame_prediction")

# Clips that the models were not trained on: another seed.
source = data.MovingShapes(
    NUM_CLIPS, tokenizer.num_frames, tokenizer.image_size, seed=1000
)
videos = np.stack([source.render(i) for i in range(NUM_CLIPS)])
# float32 (6, 16, 32, 32, 3) in [0, 1]

# Only the first `generator.num_condition_frames` frames are read.
continued = generator.predict_frames(
    videos,
    tokenizer,
    num_samples=NUM_SAMPLES,
    temperature=1.0,
    top_p=0.95,
    seed=0,
)  # float32 (18, 16, 32, 32, 3): the samples of a clip are adjacent
continued = ops.convert_to_numpy(continued)

rows = continued.reshape(NUM_CLIPS, NUM_SAMPLES, *videos.shape[1:])
rows = np.concatenate([videos[:, None], rows], axis=1)
grid = data.video_grid(
    rows.reshape(-1, *videos.shape[1:]),
    num_columns=1 + NUM_SAMPLES,
    row_names=[source.class_names[source.label(i)] for i in range(NUM_CLIPS)],
)
data.write_video("continued.gif", grid)
print(
    f"Wrote continued.gif: {generator.num_condition_frames} given frames, "
    f"{tokenizer.num_frames - generator.num_condition_frames} generated ones"
)
