"""Uses the public API as a program would; checked by mypy, never run."""

from typing import assert_type

import keras_larp
from keras_larp import (
    callbacks,
    data,
    evaluation,
    layers,
    losses,
    metrics,
    models,
    presets,
    recipes,
)

assert_type(keras_larp.__version__, str)

# Lazily loaded names have their types.
source = data.MovingShapes(8)
assert_type(source, data.MovingShapes)
assert_type(keras_larp.data.UCF101, type[data.UCF101])
assert_type(data.CachedSource(source), data.CachedSource)

tokenizer = keras_larp.models.LARPTokenizer()
assert_type(tokenizer, models.LARPTokenizer)
assert_type(metrics.PSNR(), metrics.PSNR)
assert_type(layers.VectorQuantizer, type[layers.VectorQuantizer])
assert_type(callbacks.Checkpoint, type[callbacks.Checkpoint])
assert_type(evaluation.EvaluationClips, type[evaluation.EvaluationClips])

# Misspelled names are errors.
data.MovingShape  # type: ignore[attr-defined]
keras_larp.model  # type: ignore[attr-defined]
losses.cross_entropy  # type: ignore[attr-defined]
presets.names  # type: ignore[attr-defined]
recipes.larp_tokenizer  # type: ignore[attr-defined]
