"""Training of models whose layers are frozen."""

import numpy as np
import pytest
from keras import ops
from tiny_models import clips, tiny_generator, tiny_tokenizer


@pytest.mark.parametrize("make", [tiny_tokenizer, tiny_generator])
def test_fit_of_a_frozen_model_warns_and_changes_no_weight(make):
    model, data = make(), clips()
    if make is tiny_generator:
        ids = np.arange(24).reshape(4, 6)
        data = {"token_ids": ids, "class_ids": np.zeros(4, "int32")}
    model.trainable = False
    model.compile()
    before = [ops.convert_to_numpy(w) for w in model.model_weights]
    with pytest.warns(UserWarning, match="All layers are frozen"):
        history = model.fit(data, epochs=2, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    assert history["skipped_steps"] == [0, 0]
    for old, new in zip(before, model.model_weights, strict=True):
        np.testing.assert_array_equal(old, ops.convert_to_numpy(new))
