"""Helpers for golden cases: loading of models, gradients by weight name."""

import importlib
import json

import keras
import numpy as np

from keras_larp import presets
from keras_larp.presets.converters.larp_weights import mappings, to_larp_state


def load_case(golden_dir, case, tmp_path):
    """Loads the model of a case from a checkpoint folder, and its arrays."""
    from safetensors.numpy import save_file

    golden = importlib.import_module("golden")
    folder = golden_dir / case
    state = golden.golden_state_dict(folder)
    save_file(state, tmp_path / "model.safetensors")
    config = (folder / "config.json").read_text()
    (tmp_path / "config.json").write_text(config)
    arrays = dict(np.load(folder / "arrays.npz", allow_pickle=False))
    return presets.load(tmp_path), arrays


def golden_video(shape, seed=0.0):
    golden = importlib.import_module("golden")
    return golden.golden_video(*shape[:-1], seed=seed)


def assert_close(received, expected, tolerance=1e-4):
    received = keras.ops.convert_to_numpy(received)
    scale = max(float(np.abs(expected).max()), 1e-6)
    np.testing.assert_allclose(
        received, expected, rtol=tolerance, atol=tolerance * scale
    )


def gradients(model, loss_function):
    """Gradients of a loss as arrays, one per weight mapping of the model."""
    variables = [m.variable for m in mappings(model)]
    backend = keras.backend.backend()
    if backend == "torch":
        model.zero_grad()
        loss_function().backward()
        tensors = [v.value.grad for v in variables]
    elif backend == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            loss = loss_function()
        tensors = tape.gradient(loss, [v.value for v in variables])
        tensors = [tf.convert_to_tensor(g) for g in tensors]
    else:
        import jax

        def stateless(values):
            pairs = list(zip(variables, values, strict=True))
            with keras.StatelessScope(state_mapping=pairs):
                return loss_function()

        tensors = jax.jit(jax.grad(stateless))([v.value for v in variables])
    return [keras.ops.convert_to_numpy(g) for g in tensors]


def assert_gradient_norms(model, loss_function, golden_dir, case, expected):
    """Checks the gradient norm of each weight of the reference model."""
    names = json.loads((golden_dir / case / "gradient_names.json").read_text())
    state = to_larp_state(model, gradients(model, loss_function))
    received = np.array([np.linalg.norm(state[name]) for name in names])
    # Gradients that are zero up to rounding have no relative accuracy.
    floor = 1e-4 * np.median(expected)
    np.testing.assert_allclose(received, expected, rtol=5e-4, atol=floor)
