"""Checks of training on two logical CPUs; they run in their own process, since
logical devices must be created before TensorFlow is used.

    python -m distribution.tensorflow_job CHECK [CHECK ...]
"""

import sys

import numpy as np
import pytest
import tensorflow as tf

tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0],
    [tf.config.LogicalDeviceConfiguration()] * 2,
)
# Optimizing the graphs would take longer than to run them.
tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
import keras  # noqa: E402
from distribution.train import (  # noqa: E402
    make_generator,
    make_tokenizer,
    weights,
)
from tiny_models import clips, tiny_tokenizer  # noqa: E402

from keras_larp.backend import (  # noqa: E402
    replicas,
    tensorflow_replicas,
    tensorflow_updates,
)
from keras_larp.distribution import data_parallel  # noqa: E402
from keras_larp.utils.input_checks import without_value_checks  # noqa: E402

OPTIONS = {"batch_size": 4, "shuffle": False, "verbose": 0}


def check_equal(actual, expected):
    """Compares two dictionaries in their order: names of layers differ."""
    pairs = zip(actual.values(), expected.items(), strict=True)
    for value, (name, expected_value) in pairs:
        np.testing.assert_allclose(
            value, expected_value, 1e-5, 1e-6, err_msg=name
        )


def run_step(step, x):
    """Results of a compiled step on the parts of a batch, by replica."""
    strategy = tf.distribute.get_strategy()
    batch = tf.data.Dataset.from_tensors(x)
    (part,) = strategy.experimental_distribute_dataset(batch)

    def replica_step(x):
        with tensorflow_replicas.batch_of_replica(x) as x:
            return step(x)

    results = tf.function(strategy.run)(replica_step, (part,))
    return [
        [t.numpy() for t in strategy.experimental_local_results(result)]
        for result in tf.nest.flatten(results)
    ]


def collectives():
    """Statistics of batches of 4, 3 and 1 clips, split as 2+2, 2+1, 1+0."""
    data_parallel()
    generator = keras.random.SeedGenerator(3)
    seed = keras.ops.convert_to_numpy(generator.state)

    def step(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            mean = replicas.mean_over_replicas(tf.reduce_mean(x))
            loss = tf.reduce_mean(mean * x)
        count = replicas.global_size(tf.shape(x)[0])
        indices = tf.range(count)[::-1]
        return [
            mean,
            replicas.sum_over_replicas(tf.reduce_sum(x + 1.0)),
            replicas.take_over_replicas(x, indices),
            count,
            replicas.drop_padding(x),
            replicas.drop_padding(
                replicas.draw_uniforms((tf.shape(x)[0],), generator)
            ),
            # A loss counts as a mean over clips: see `average_gradients`.
            replicas.drop_padding(tape.gradient(loss, x)),
        ]

    for size in (4, 3, 1):
        x = np.random.default_rng(size).random(size, "float32")
        expected_uniforms = keras.random.uniform(
            (size,), seed=keras.random.SeedGenerator(3)
        )
        generator.state.assign(seed)
        mean, total, taken, count, parts, uniforms, dx = run_step(step, x)
        for value in mean:
            np.testing.assert_allclose(value, x.mean(), 1e-6)
        for value in total:
            np.testing.assert_allclose(value, (x + 1.0).sum(), 1e-6)
        for value in taken:
            np.testing.assert_array_equal(value, x[::-1])
        assert [int(c) for c in count] == [size, size]
        assert [len(part) for part in parts] == [(size + 1) // 2, size // 2]
        np.testing.assert_array_equal(
            np.concatenate(uniforms), expected_uniforms
        )
        # The gradient of mean(x)^2, of which each replica has its own clips,
        # divided by its weight.
        for part, gradient in zip(parts, dx, strict=True):
            if len(part):
                np.testing.assert_allclose(
                    gradient, [2 * x.mean() / len(part)] * len(part), 1e-5
                )


def updates():
    """Accumulation, clipping, decay, averages and loss scales of Keras'
    optimizers; the third gradient is not finite."""

    def train(apply, wrap):
        variable = keras.Variable(np.ones(3, "float32"), aggregation="mean")
        optimizer = wrap(
            keras.optimizers.AdamW(
                0.1,
                gradient_accumulation_steps=2,
                global_clipnorm=0.5,
                use_ema=True,
            )
        )
        optimizer.build([variable])
        for last in (0.0, 1.0, np.inf, 3.0, 4.0):
            gradient = tf.constant([1.0, 2.0, last])
            apply(optimizer, gradient, variable)
        return [v.numpy() for v in (variable, *optimizer.variables)]

    def apply(optimizer, gradient, variable):
        scales = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
        if scales or np.isfinite(gradient).all():
            optimizer.apply([gradient], [variable])

    @tf.function
    def run(step):
        tf.distribute.get_strategy().run(step)

    def apply_on_replicas(optimizer, gradient, variable):
        def step():
            finite = tf.reduce_all(tf.math.is_finite(gradient))
            tensorflow_updates.apply_if(
                finite, optimizer, [gradient], [variable]
            )

        run(step)

    wraps = (lambda optimizer: optimizer, keras.optimizers.LossScaleOptimizer)
    expected = [train(apply, wrap) for wrap in wraps]
    data_parallel()
    for wrap, values in zip(wraps, expected, strict=True):
        for a, b in zip(train(apply_on_replicas, wrap), values, strict=True):
            np.testing.assert_allclose(a, b, 1e-6)


def train_tokenizer():
    """20 steps; of the batches of 5 clips, the second one has only 1."""
    compare(make_tokenizer, clips(5), epochs=10)


def train_generator():
    """With batches of 4 and 3 clips, some of them without a class."""
    ids = np.arange(42).reshape(7, 6) % 32
    data = {"token_ids": ids, "class_ids": np.array([0, 1, 2, -1, 4, 3, 2])}
    compare(make_generator, data, epochs=10)


def compare(make_model, data, epochs):
    """Compares training and evaluation on one device and on two."""
    results = []
    for is_parallel in (False, True):
        if is_parallel:
            assert data_parallel() == 2
        keras.utils.set_random_seed(0)
        model = make_model()
        sample_weight = np.linspace(0.5, 1.5, len(keras.tree.flatten(data)[0]))
        history = model.fit(
            data,
            sample_weight=sample_weight,
            validation_data=(data, None, sample_weight),
            epochs=epochs,
            **OPTIONS,
        ).history
        results.append((history, weights(model)))
        assert int(model.training_state.skipped.numpy()) == 0
    (expected_history, expected), (history, actual) = results
    check_equal(history, expected_history)
    check_equal(actual, expected)


def skip_non_finite():
    """A clip that is not finite, on one of the devices."""
    data_parallel()
    video = clips(3)
    video[2] = np.nan
    model = tiny_tokenizer(prior=None)
    model.compile(keras.optimizers.SGD(0.1))
    before = weights(model)
    with without_value_checks():  # As if a later batch were not finite.
        logs = model.fit(video, **OPTIONS).history
    assert int(model.training_state.skipped.numpy()) == 1
    assert logs["skipped_steps"] == logs["invalid_clips"] == [1]
    changed = ("training_state", "iteration")
    for name, value in weights(model).items():
        if not any(word in name for word in changed):
            np.testing.assert_array_equal(value, before[name], name)
    assert model.predict(clips(3), verbose=0).shape == (3, 4, 16, 16, 3)


def refuse_earlier_model():
    model = make_generator()
    data_parallel()
    data = {
        "token_ids": np.zeros((4, 6), "int32"),
        "class_ids": np.zeros(4, int),
    }
    with pytest.raises(ValueError, match="before.*data_parallel.*was called"):
        model.fit(data, **OPTIONS)


if __name__ == "__main__":
    for check in sys.argv[1:]:
        globals()[check]()
        tf.distribute.experimental_set_strategy(None)
