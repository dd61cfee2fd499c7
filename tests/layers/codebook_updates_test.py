"""Codebook updates: moving averages, resets and k-means initialization."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import ops

from keras_larp import layers
from keras_larp.training.codebook_init import cluster_centers


def numpy(x):
    return ops.convert_to_numpy(x)


def make_quantizer(**options):
    layer = layers.VectorQuantizer(5, 2, **options)
    layer.build()
    layer.set_codes(np.arange(10, dtype="float32").reshape(5, 2))
    return layer


LATENTS = np.array([[[3.0, 1.0], [1.0, 5.0], [0.5, 0.5]]], "float32")


def test_codes_are_moving_averages_of_assigned_latents():
    layer = make_quantizer(ema_decay=0.9)
    before = numpy(layer.embeddings)
    layer.update(LATENTS, np.array([[1, 1, 4]]))
    expected = before.copy()
    # The averages start as if one latent had used each code.
    for code, rows in ((1, LATENTS[0, :2]), (4, LATENTS[0, 2:])):
        total = 0.9 * before[code] + 0.1 * rows.sum(0)
        expected[code] = total / (0.9 + 0.1 * len(rows))
    np.testing.assert_allclose(numpy(layer.embeddings), expected, rtol=1e-6)


def test_moving_average_codes_are_not_trainable():
    layer = make_quantizer(ema_decay=0.9, codebook_weight=1.0)
    assert layer.trainable_variables == []
    out = layer(LATENTS)
    np.testing.assert_allclose(
        numpy(out["loss"]), 0.25 * numpy(out["commitment_loss"]), rtol=1e-6
    )
    assert float(out["codebook_loss"]) > 0


@pytest.mark.parametrize("ema_decay", [None, 0.5])
def test_unused_codes_are_reset_to_latents(ema_decay):
    layer = make_quantizer(reset_unused_after=2, ema_decay=ema_decay)
    before = numpy(layer.embeddings)
    ids = np.array([[0, 1, 0]])
    layer.update(LATENTS, ids)
    np.testing.assert_array_equal(numpy(layer.embeddings)[2:], before[2:])
    layer.update(LATENTS, ids)
    after = numpy(layer.embeddings)
    # Each of the three unused codes is set to one of the three latents.
    np.testing.assert_array_equal(after[2:], LATENTS[0])
    if ema_decay is None:
        np.testing.assert_array_equal(after[:2], before[:2])
    np.testing.assert_array_equal(numpy(layer.idle_steps), 0.0)


def test_reset_of_more_codes_than_latents():
    layer = make_quantizer(reset_unused_after=1)
    layer.update(LATENTS[:, :2], np.array([[0, 0]]))
    reset_codes = numpy(layer.embeddings)[1:]
    assert {tuple(row) for row in reset_codes} == {(3.0, 1.0), (1.0, 5.0)}


def test_update_with_false_condition_changes_nothing():
    layer = make_quantizer(ema_decay=0.9, reset_unused_after=1)
    before = [numpy(w) for w in layer.weights]
    layer.update(LATENTS * np.nan, np.array([[1, 1, 4]]), condition=False)
    for old, new in zip(before, layer.weights, strict=True):
        np.testing.assert_array_equal(old, numpy(new))


def test_cluster_centers_are_cluster_means():
    generator = np.random.default_rng(0)
    means = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    points = np.concatenate([m + generator.normal(size=(50, 2)) for m in means])
    found = cluster_centers(points, 3, seed=1)
    expected = points.reshape(3, 50, 2).mean(1)
    for center in expected:
        assert np.abs(found - center).sum(1).min() < 1e-5


def test_more_cluster_centers_than_points():
    points = np.array([[0.0, 0.0], [4.0, 4.0]])
    found = cluster_centers(points, 5)
    assert len(np.unique(found, axis=0)) == 5
    assert np.abs(found[:, None] - points).sum(-1).min(1).max() < 0.1


SCRIPT = """
import sys, keras, numpy as np, jax
from keras_larp import layers

keras.distribution.set_distribution(keras.distribution.DataParallel())
layer = layers.VectorQuantizer(
    8, 4, ema_decay=0.9, reset_unused_after=1, seed=0
)
layer.build()
layer.set_codes(np.arange(32, dtype="float32").reshape(8, 4))
latents = np.random.default_rng(0).normal(size=(4, 3, 4)).astype("float32")
ids = np.arange(12).reshape(4, 3) % 5

@jax.jit
def step(values, latents, ids):
    mapping = zip(layer.variables, values)
    with keras.StatelessScope(state_mapping=mapping) as scope:
        layer.update(latents, ids)
    return [scope.get_current_value(v) for v in layer.variables]

def shard(x):
    layout = keras.distribution.distribution().get_data_layout(x.shape)
    return jax.device_put(x, layout.backend_layout)

latents, ids = shard(latents), shard(ids)
print(len(latents.sharding.device_set))
for value in step([v.value for v in layer.variables], latents, ids):
    print(*np.asarray(value, "float32").ravel())
"""


@pytest.mark.skipif(
    keras.backend.backend() != "jax",
    reason="Keras supports data parallelism on JAX only.",
)
def test_data_parallel_update_uses_the_global_batch():
    def updated_variables(devices):
        flags = f"--xla_force_host_platform_device_count={devices}"
        result = subprocess.run(
            [sys.executable, "-c", SCRIPT],
            env={**os.environ, "XLA_FLAGS": flags},
            capture_output=True,
            text=True,
        )
        assert result.returncode == 0, result.stderr[-2000:]
        count, *lines = result.stdout.splitlines()
        assert int(count) == devices
        return [np.array(line.split(), "float32") for line in lines]

    for expected, received in zip(
        updated_variables(1), updated_variables(2), strict=True
    ):
        np.testing.assert_allclose(received, expected, rtol=1e-6)
