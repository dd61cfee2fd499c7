"""Checks of video, ids and labels at every entry of a model."""

import keras
import numpy as np
import pytest
import torch
from keras import ops
from tiny_models import clips, tiny_generator, tiny_tokenizer

from keras_larp.utils import input_checks

ENTRIES = ["call", "fit", "validation", "evaluate"]
ENTRIES += ["predict", "predict_on_batch"]
INVALID_CLIPS = {
    "8-bit floats": (clips() * 255.0, "0..255 by 255"),
    "signed": (2.0 * clips() - 1.0, r"\(video \+ 1\) / 2"),
    "uint8": ((clips() * 255).astype("uint8"), "Divide 8-bit video by 255"),
}
TOKENS = np.arange(24).reshape(4, 6)
LABELS = np.array([0, 1, 2, -1])
INVALID_IDS = {
    "label = num_classes": (TOKENS, [0, 1, 2, 3], "class ids from 0 to 2"),
    "label out of range": (TOKENS, [0, 1, 2, 99], "class ids from 0 to 2"),
    "one-hot": (TOKENS, np.eye(3)[[0, 1, 2, 0]], "argmax"),
    "float": (TOKENS, [0.0, 1.9, 2.0, 0.0], "integer class ids"),
    "token = vocab_size": (TOKENS + 9, LABELS, "token ids from 0 to 31"),
    "negative token": (TOKENS - 1, LABELS, "token ids from 0 to 31"),
}


def batches(data):
    return BatchList([data])


class BatchList(keras.utils.PyDataset):
    def __init__(self, items):
        super().__init__()
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        return self.items[index]


class Source:
    """The metadata of a video source or of a token data set."""

    class_names = ("a", "b", "c")
    labels = (0, 1, 2, -1)

    def __len__(self):
        return len(self.labels)

    def label(self, index):
        return self.labels[index]


class Pipeline(BatchList):
    """Has the attributes of a `TokenDataset`."""

    steps_per_epoch = 1
    repeats = True

    def __init__(self, items):
        super().__init__(items)
        self.source = Source()


class Stream(torch.utils.data.IterableDataset):
    """A data set that can be read only once."""

    def __init__(self, items):
        super().__init__()
        self.items = iter(items)

    def __iter__(self):
        return self.items


def forever(data):
    while True:
        yield data


@pytest.fixture(scope="module")
def tokenizer():
    model = tiny_tokenizer(prior=None)
    model.compile()
    return model


@pytest.fixture(scope="module")
def generator():
    model = tiny_generator()
    model.compile()
    return model


@pytest.mark.parametrize("case", INVALID_CLIPS)
@pytest.mark.parametrize("entry", [*ENTRIES, "encode"])
def test_tokenizer_refuses_invalid_clips(tokenizer, entry, case):
    video, message = INVALID_CLIPS[case]
    entries = {
        "encode": tokenizer.encode,
        "call": lambda video: tokenizer(ops.convert_to_tensor(video)),
        "fit": lambda video: tokenizer.fit(video, verbose=0),
        "validation": lambda video: tokenizer.fit(
            clips(), validation_data=(video, None), verbose=0
        ),
        "evaluate": lambda video: tokenizer.evaluate(video, verbose=0),
        "predict": lambda video: tokenizer.predict(video, verbose=0),
        "predict_on_batch": tokenizer.predict_on_batch,
    }
    with pytest.raises(ValueError, match=message):
        entries[entry](video)


@pytest.mark.parametrize("kind", ["dataset", "generator"])
def test_first_batch_of_a_data_set_is_checked(tokenizer, kind):
    make = {"dataset": batches, "generator": forever}[kind]
    options = {"steps_per_epoch": 2} if kind == "generator" else {}
    video, message = INVALID_CLIPS["8-bit floats"]
    with pytest.raises(ValueError, match=message):
        tokenizer.fit(make((video,)), verbose=0, **options)


DATA_SETS = {
    "generator": lambda items: (item for item in items),
    "data set": BatchList,
    "loader": lambda items: torch.utils.data.DataLoader(items, batch_size=None),
    "stream": lambda items: torch.utils.data.DataLoader(
        Stream(items), batch_size=None
    ),
}


@pytest.mark.parametrize("kind", DATA_SETS)
def test_data_sets_lose_no_batch(tokenizer, kind):
    if kind == "stream" and keras.backend.backend() == "tensorflow":
        pytest.skip("On TensorFlow, Keras reads the first batch twice.")
    data = DATA_SETS[kind]([(clips(),)] * 3)
    before = int(ops.convert_to_numpy(tokenizer.training_state.step))
    tokenizer.fit(data, steps_per_epoch=3, verbose=0)
    after = int(ops.convert_to_numpy(tokenizer.training_state.step))
    assert after - before == 3


@pytest.mark.once
def test_batches_of_a_pipeline_are_not_read_before_training(generator):
    data = Pipeline([])
    assert generator.check_data(data) is data


@pytest.mark.parametrize("case", INVALID_IDS)
@pytest.mark.parametrize("entry", [*ENTRIES, "dataset"])
def test_generator_refuses_invalid_ids(generator, entry, case):
    token_ids, class_ids, message = INVALID_IDS[case]
    data = {"token_ids": token_ids, "class_ids": np.array(class_ids)}
    valid = {"token_ids": TOKENS, "class_ids": LABELS}
    entries = {
        "call": generator,
        "fit": lambda data: generator.fit(data, verbose=0),
        "dataset": lambda data: generator.fit(batches((data,)), verbose=0),
        "validation": lambda data: generator.fit(
            valid, validation_data=(data, None), verbose=0
        ),
        "evaluate": lambda data: generator.evaluate(data, verbose=0),
        "predict": lambda data: generator.predict(data, verbose=0),
        "predict_on_batch": generator.predict_on_batch,
    }
    with pytest.raises(ValueError, match=message):
        entries[entry](data)


@pytest.mark.parametrize(
    ("video", "labels", "message"),
    [
        (clips() * 255.0, LABELS, "0..255 by 255"),
        (clips(), np.array([0, 1, 2, 3]), "class ids from 0 to 2"),
        (clips(), np.eye(3)[[0, 1, 2, 0]], "argmax"),
    ],
)
def test_generator_refuses_invalid_video_and_labels(
    tokenizer, video, labels, message
):
    model = tiny_generator()
    model.compile()
    with pytest.raises(ValueError, match=message):
        model.fit(video, labels, tokenizer=tokenizer, verbose=0)


@pytest.mark.once
@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"vocab_size": 64}, "vocab_size=64"),
        ({"num_tokens": 12}, "num_tokens=12"),
        ({"class_names": ("a", "b", "c", "d")}, "4 classes"),
        ({"class_names": ("a", "c", "b")}, "'c' instead of 'b'"),
        ({"labels": (0, 3)}, "class ids from 0 to 2"),
    ],
)
def test_tokens_of_another_vocabulary_or_class_list_are_refused(
    attributes, message
):
    model = tiny_generator(class_names=["a", "b", "c"])
    model.compile()
    data = Pipeline([({"token_ids": TOKENS, "class_ids": LABELS},)])
    model.fit(data, verbose=0)
    for name, value in attributes.items():
        setattr(data.source, name, value)
    with pytest.raises(ValueError, match=message):
        model.fit(data, verbose=0)


def test_values_are_not_read_in_steps(tokenizer, monkeypatch):
    checked = []
    monkeypatch.setattr(
        input_checks, "to_numpy", lambda x: checked.append(x) or np.zeros(1)
    )
    tokenizer.fit(clips(), batch_size=1, epochs=3, verbose=0)
    assert len(checked) == 1


LATER_IDS = {
    "token = vocab_size": ("token_ids", TOKENS + 9),
    "negative token": ("token_ids", TOKENS - 1),
    "label = num_classes": ("class_ids", [0, 3, 0, 0]),
    "label out of range": ("class_ids", [0, 0, 10**6, 0]),
}


def later_ids(case):
    """A data set whose second batch has one clip with invalid ids."""
    name, ids = LATER_IDS[case]
    valid = {"token_ids": TOKENS, "class_ids": LABELS}
    return BatchList([(valid,), ({**valid, name: np.array(ids)},)])


@pytest.mark.parametrize("case", LATER_IDS)
def test_steps_with_invalid_ids_are_skipped_and_counted(generator, case):
    with pytest.warns(UserWarning, match="invalid_clips: 1 clips"):
        logs = generator.fit(later_ids(case), verbose=0).history
    assert logs["invalid_clips"] == [1]
    assert logs["skipped_steps"] == [1]
    assert logs["loss"][0] > 0
    for weight in generator.weights:
        assert np.isfinite(ops.convert_to_numpy(weight)).all()


def test_invalid_ids_are_counted_in_evaluation(generator):
    logs = generator.evaluate(
        later_ids("label = num_classes"), verbose=0, return_dict=True
    )
    assert logs["invalid_clips"] == logs["skipped_steps"] == 1


@pytest.mark.parametrize("kind", ["class", "no class", "token"])
def test_invalid_ids_that_stop_a_run_are_named(kind):
    ids = {"token": TOKENS + 32, "class": [3] * 4, "no class": [-1] * 4}[kind]
    name = "token_ids" if kind == "token" else "class_ids"
    valid = {"token_ids": TOKENS, "class_ids": np.zeros(4, "int32")}
    invalid = {**valid, name: np.array(ids)}
    model = tiny_generator(class_dropout=0.0 if kind == "no class" else 0.1)
    model.compile(max_skipped_steps=2)
    data = BatchList([(valid,), (invalid,), (invalid,)])
    message = f"steps were skipped because of {name} out of range"
    with pytest.raises(FloatingPointError, match=message):
        model.fit(data, shuffle=False, verbose=0)


@pytest.mark.parametrize("case", ["8-bit floats", "signed"])
def test_clips_out_of_range_are_counted(tokenizer, case):
    data = BatchList([(clips(),), (INVALID_CLIPS[case][0],)])
    with pytest.warns(UserWarning, match="outside of \\[0, 1\\]"):
        logs = tokenizer.fit(data, verbose=0).history
    assert logs["invalid_clips"] == [4]
    assert logs["skipped_steps"] == [0]
