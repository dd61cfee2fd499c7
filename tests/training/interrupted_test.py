"""On TensorFlow, the threads of `tf.data` that outlive the interpreter abort
the process, or keep it from ending."""

import gc

import keras
import pytest
from tiny_models import clips, tiny_tokenizer

from keras_larp.callbacks import Checkpoint

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="tests tf.data"
)


class Interrupt(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        raise KeyboardInterrupt

    on_test_batch_end = on_predict_batch_end = on_train_batch_end


def iterators():
    gc.collect()
    found = [type(o).__name__ for o in gc.get_objects()]
    return found.count("OwnedIterator")


@pytest.mark.parametrize("method", ["fit", "evaluate", "predict"])
def test_interrupted_loops_delete_their_iterators(method):
    model = tiny_tokenizer()
    model.compile("sgd")
    before = iterators()
    # The error must stay alive: it holds the frames.
    with pytest.raises(KeyboardInterrupt) as error:
        getattr(model, method)(clips(), batch_size=2, callbacks=[Interrupt()])
    assert iterators() == before, error


def test_stopped_runs_of_other_models_delete_their_iterators(tmp_path):
    model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    before = iterators()
    with (
        pytest.raises(KeyboardInterrupt) as error,
        Checkpoint(tmp_path).stop_on_signals(),
    ):
        model.fit(clips(), clips()[:, 0, 0, 0, :1], callbacks=[Interrupt()])
    assert iterators() == before, error
