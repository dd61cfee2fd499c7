"""Data-parallel training in several processes on PyTorch."""

import json

import keras
import numpy as np
import pytest
from distribution.jobs import run_job

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "torch", reason="tests torch.distributed"
)


@pytest.fixture(scope="module")
def train(tmp_path_factory):
    """Trains in some processes: the weights and the metrics of each."""

    def run(model, count, **options):
        folder = tmp_path_factory.mktemp(f"{model}-{count}")
        arguments = [f"{name}={value}" for name, value in options.items()]
        run_job(["-m", "distribution.train", folder, model, *arguments], count)
        return [
            (
                dict(np.load(folder / f"{i}.npz")),
                json.loads((folder / f"{i}.json").read_text()),
            )
            for i in range(count)
        ]

    return run


@pytest.mark.parametrize("model", ["tokenizer", "generator"])
def test_processes_train_like_one_process(train, model):
    ((expected, expected_history),) = train(model, 1)
    for weights, history in train(model, 2):
        for name, value in expected.items():
            np.testing.assert_allclose(
                weights[name], value, 1e-5, 1e-6, err_msg=name
            )
        for name, value in expected_history.items():
            np.testing.assert_allclose(
                history[name], value, 1e-5, 1e-6, err_msg=name
            )
