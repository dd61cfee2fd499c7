"""Stopped streams go on with the very next batch."""

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
def test_the_stream_goes_on_behind_any_batch(broken):
    options = {"broken": broken, "on_error": "skip"}
    first = dataset(**options)
    unbroken = labels(iter(first), 9)
    for batches in (8, 3, 0):
        state = json.loads(json.dumps(first.get_state(batches)))
        second = dataset(**options)
        second.set_state(state)
        assert labels(iter(second), 9 - batches) == unbroken[batches:]


def test_workers_may_come_and_go():
    options = {"broken": 3, "on_error": "skip"}
    unbroken = labels(iter(dataset(**options)), 9)
    first = dataset(num_workers=1, **options)
    assert labels(iter(first), 5) == unbroken[:5]
    second = dataset(num_workers=2, **options)
    second.set_state(first.get_state(3))
    assert labels(iter(second), 6) == unbroken[3:]


def test_the_iterator_after_that_begins_at_the_beginning():
    numbers = dataset(shuffle=False)
    list(itertools.islice(iter(numbers), 3))
    numbers.set_state(numbers.get_state())
    assert labels(iter(numbers), 1) == [[6, 0]]  # as `fit` looks at it
    assert labels(iter(numbers), 3) == [[6, 0], [1, 2], [3, 4]]
    assert labels(iter(numbers), 1) == [[0, 1]]


def test_one_pass_ends_where_it_would_have_ended():
    numbers = dataset(shuffle=False, repeat=False)
    assert len(list(numbers)) == 4
    numbers.set_state(numbers.get_state(3))
    assert labels(iter(numbers), None) == [[6]]
    numbers.set_state(numbers.get_state())
    assert labels(iter(numbers), None) == []


def test_grain_iterators_have_states_too():
    batches = iter(dataset())
    labels(batches, 2)
    state = batches.get_state()
    following = labels(batches, 3)
    batches.set_state(state)
    assert labels(batches, 3) == following


@pytest.mark.parametrize(
    "state, message",
    [
        ({}, "what `get_state` returned"),
        (dataset(8).get_state(), "length 8 there and 7 here"),
        (dataset(seed=1).get_state(), "seed 1 there and 0 here"),
        ({**dataset().get_state(), "position": -1}, "position -1 there"),
    ],
)
def test_states_of_other_streams(state, message):
    with pytest.raises(ValueError, match=message):
        dataset().set_state(state)


def test_states_that_nobody_remembers():
    with pytest.raises(ValueError, match="from 0 to 0.*batches=1"):
        dataset().get_state(1)


class Watch(keras.callbacks.Callback):
    """Labels of the batches that were trained; stops after `stop`."""

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
    watch = Watch(numbers, **options)
    model.fit(
        numbers, epochs=3, steps_per_epoch=3, callbacks=[watch], verbose=0
    )
    return watch


def one_by_one():
    return dataset(5, batch_size=1, shuffle=False)


def test_epochs_of_a_fit_go_on_in_the_stream():
    assert fit(one_by_one()).seen == [0, 1, 2, 3, 4, 0, 1, 2, 3]


@pytest.mark.parametrize("when", ["before", "on_train_begin"])
def test_fit_goes_on_in_the_middle_of_an_epoch(when):
    stopped = fit(one_by_one(), stop=4)
    assert stopped.seen == [0, 1, 2, 3]
    numbers, options = one_by_one(), {}
    if when == "before":
        numbers.set_state(stopped.state)
    else:
        options["state"] = stopped.state
    assert fit(numbers, **options).seen == [4, 0, 1, 2, 3, 4, 0, 1, 2]
