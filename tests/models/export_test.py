"""Models are exported before their first call."""

import keras
import numpy as np
import pytest
from keras import ops
from tiny_models import clips, tiny_generator, tiny_tokenizer

BACKEND = keras.backend.backend()
CLASS_INPUTS = {
    "token_ids": np.array([[1, 5, 0, 31, 2, 2]], "int32"),
    "class_ids": np.array([2], "int32"),
}
FRAME_INPUTS = {
    "token_ids": CLASS_INPUTS["token_ids"],
    "condition_ids": np.array([[4, 3, 2, 1, 0, 9, 32]], "int32"),
}
CASES = {
    "tokenizer": (tiny_tokenizer, clips(1)),
    "class_generator": (tiny_generator, CLASS_INPUTS),
    "frame_generator": (
        lambda: tiny_generator(conditioning="frames"),
        FRAME_INPUTS,
    ),
}


def export_and_call(model, inputs, folder):
    """The outputs of the exported model."""
    if BACKEND == "torch":
        import torch

        file = folder / "model.pt2"
        model.export(file, format="torch", verbose=False)
        inputs = keras.tree.map_structure(torch.as_tensor, inputs)
        return torch.export.load(file).module()(inputs)
    tf = pytest.importorskip("tensorflow")
    model.export(folder / "model", verbose=False)
    loaded = tf.saved_model.load(folder / "model")
    return loaded.serve(inputs)


@pytest.mark.parametrize("case", CASES)
def test_export_before_the_first_call(tmp_path, case):
    make, inputs = CASES[case]
    model = make()
    random = np.random.default_rng(0)
    for variable in model.trainable_variables:
        variable.assign(0.3 * random.standard_normal(variable.shape))
    received = export_and_call(model, inputs, tmp_path)
    expected = model(keras.tree.map_structure(ops.convert_to_tensor, inputs))
    np.testing.assert_allclose(
        ops.convert_to_numpy(received),
        ops.convert_to_numpy(expected),
        rtol=1e-4,
        atol=1e-5,
    )
