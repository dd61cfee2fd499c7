"""Interrupted streams resume with the next batch."""

import itertools
import json

import keras
import pytest
from number_clips import NumberClips

from keras_larp import data


def dataset(count=7, broken=None, **options):
    source = NumberClips(count, broken=broken)
    defaults = {"batch_size": 2, "num_frames": 1, "image_size": 1}
    return data.video_dataset(source, **{**defaults, **options})


def labels(batches, count):
    return [label.tolist() for _, label in itertools.islice(batches, count)]


@pytest.mark.parametrize("broken", [None, 3])
def test_stream_resumes_after_any_batch(broken):
    options = {"broken": broken, "on_error": "skip"}
    first = dataset(**options)
    uninterrupted = labels(iter(first), 9)
    for batches in (8, 3, 0):
        state = json.loads(json.dumps(first.get_state(batches)))
        second = dataset(**options)
        second.set_state(state)
        assert labels(iter(second), 9 - batches) == uninterrupted[batches:]


def test_stream_resumes_with_another_number_of_workers():
    options = {"broken": 3, "on_error": "skip"}
    uninterrupted = labels(iter(dataset(**options)), 9)
    first = dataset(num_workers=1, **options)
    assert labels(iter(first), 5) == uninterrupted[:5]
    second = dataset(num_workers=2, **options)
    second.set_state(first.get_state(3))
    assert labels(iter(second), 6) == uninterrupted[3:]


def test_only_one_iterator_starts_from_the_state():
    numbers = dataset(shuffle=False)
    list(itertools.islice(iter(numbers), 3))
    numbers.set_state(numbers.get_state())
    assert labels(iter(numbers), 1) == [[6, 0]]  # As when `fit` infers shapes.
    assert labels(iter(numbers), 3) == [[6, 0], [1, 2], [3, 4]]
    assert labels(iter(numbers), 1) == [[0, 1]]


def test_resumed_epoch_has_the_remaining_batches():
    numbers = dataset(shuffle=False, repeat=False)
    assert len(list(numbers)) == 4
    numbers.set_state(numbers.get_state(3))
    assert labels(iter(numbers), None) == [[6]]
    numbers.set_state(numbers.get_state())
    assert labels(iter(numbers), None) == []


def test_grain_iterators_resume():
    batches = iter(dataset())
    labels(batches, 2)
    state = batches.get_state()
    following = labels(batches, 3)
    batches.set_state(state)
    assert labels(batches, 3) == following


@pytest.mark.parametrize(
    "state, message",
    [
        ({}, "result of `get_state`"),
        (dataset(8).get_state(), "length: stored 8, requested 7"),
        (dataset(seed=1).get_state(), "seed: stored 1, requested 0"),
        ({**dataset().get_state(), "position": -1}, "position -1 of"),
    ],
)
def test_states_of_other_streams_are_refused(state, message):
    with pytest.raises(ValueError, match=message):
        dataset().set_state(state)


def test_unknown_number_of_batches_is_refused():
    with pytest.raises(ValueError, match="from 0 to 0.*batches=1"):
        dataset().get_state(1)


class RecordLabels(keras.callbacks.Callback):
    """Records the labels of trained batches; stops after `stop` of them."""

    def __init__(self, numbers, stop=None, state=None):
        super().__init__()
        self.numbers, self.stop, self.state = numbers, stop, state
        self.seen = []

    def on_train_begin(self, logs=None):
        if self.state is not None:
            self.numbers.set_state(self.state)

    def on_epoch_begin(self, epoch, logs=None):
        self.total = 0.0

    def on_train_batch_end(self, batch, logs=None):
        # The loss in the logs is the mean since the epoch began.
        total = float(logs["loss"]) * (batch + 1)
        self.seen.append(round(total - self.total))
        self.total = total
        if len(self.seen) == self.stop:
            self.state = self.numbers.get_state(self.stop)
            self.model.stop_training = True


def label_as_loss(label, output):
    return keras.ops.cast(label, "float32") + 0.0 * keras.ops.mean(output)


def fit(numbers, **options):
    model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(1)])
    model.compile("sgd", loss=label_as_loss)
    recorder = RecordLabels(numbers, **options)
    model.fit(
        numbers, epochs=3, steps_per_epoch=3, callbacks=[recorder], verbose=0
    )
    return recorder


def single_clips():
    return dataset(5, batch_size=1, shuffle=False)


def test_epochs_of_fit_continue_the_stream():
    assert fit(single_clips()).seen == [0, 1, 2, 3, 4, 0, 1, 2, 3]


@pytest.mark.parametrize("when", ["before", "on_train_begin"])
def test_fit_resumes_within_an_epoch(when):
    stopped = fit(single_clips(), stop=4)
    assert stopped.seen == [0, 1, 2, 3]
    numbers, options = single_clips(), {}
    if when == "before":
        numbers.set_state(stopped.state)
    else:
        options["state"] = stopped.state
    assert fit(numbers, **options).seen == [4, 0, 1, 2, 3, 4, 0, 1, 2]
