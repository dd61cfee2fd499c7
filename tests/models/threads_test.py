"""Concurrent calls, as from the threads of a server."""

import concurrent.futures
import sys
import threading

import keras
import numpy as np
import pytest
from keras import ops
from tiny_models import clips, tiny_generator, tiny_tokenizer

NUM_THREADS = 8


def run_in_threads(functions):
    """Calls all functions at the same time, and returns their results."""
    barrier = threading.Barrier(len(functions))

    def run(function):
        barrier.wait()
        return function()

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)  # Provokes races.
    try:
        with concurrent.futures.ThreadPoolExecutor(len(functions)) as pool:
            return list(pool.map(run, functions))
    finally:
        sys.setswitchinterval(interval)


def call(model, tokenizer, i):
    """A call whose batch size and options depend on `i`."""
    kind, count = i % 3, 1 + i % 2
    if kind == 0:
        result = tokenizer.encode(clips(count))
    elif kind == 1:
        options = {"guidance_scale": 1.5} if count > 1 else {}
        result = model.generate(list(range(count)), seed=i, **options)
    else:
        result = model.generate([i % 3], tokenizer=tokenizer, seed=i, top_k=3)
    return ops.convert_to_numpy(result)


def make_models():
    keras.utils.set_random_seed(1)
    generator, tokenizer = tiny_generator(), tiny_tokenizer(prior=None)
    kernel = generator.head.kernel
    kernel.assign(np.random.default_rng(0).standard_normal(kernel.shape))
    return generator, tokenizer


def test_concurrent_first_calls_equal_sequential_calls():
    models = make_models()
    expected = [call(*models, i) for i in range(NUM_THREADS)]
    models = make_models()  # Without compiled functions.
    received = run_in_threads(
        [lambda i=i: call(*models, i) for i in range(NUM_THREADS)]
    )
    for a, b in zip(received, expected, strict=True):
        np.testing.assert_array_equal(a, b)


def test_concurrent_calls_create_each_function_once(monkeypatch):
    model, _ = make_models()
    created, get = [], model._compiled_functions.get

    def counted_get(key, make):
        return get(key, lambda: created.append(key) or make())

    monkeypatch.setattr(model._compiled_functions, "get", counted_get)
    run_in_threads([lambda: model.generate([0], seed=0)] * NUM_THREADS)
    assert len(created) == 1


@pytest.mark.skipif(
    keras.backend.backend() != "torch", reason="tests PyTorch's compiler"
)
def test_concurrent_compiled_training_equals_sequential(monkeypatch):
    import functools

    import torch

    compiler = functools.partial(torch.compile, backend="aot_eager")
    monkeypatch.setattr(torch, "compile", compiler)

    def train(num_layers):
        model = tiny_tokenizer(prior=None, encoder_num_layers=num_layers)
        for variable in model.trainable_variables:
            random = np.random.default_rng(0)
            variable.assign(0.1 * random.standard_normal(variable.shape))
        model.compile(keras.optimizers.SGD(0.01), jit_compile=True)
        history = model.fit(clips(), batch_size=2, shuffle=False, verbose=0)
        return history.history["loss"]

    expected = [train(n) for n in (1, 2)]
    received = run_in_threads([lambda: train(1), lambda: train(2)])
    np.testing.assert_allclose(received, expected, rtol=1e-3)
