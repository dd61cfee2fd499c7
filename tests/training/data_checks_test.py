"""Checks of video, ids and labels at every entry of a model."""

import keras
import numpy as np
import pytest
from keras import ops
from tiny_models import clips, tiny_generator, tiny_tokenizer

from keras_larp.utils import input_checks

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
@pytest.mark.parametrize(
    "entry", ["encode", "call", "fit", "validation", "evaluate", "predict"]
)
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


def test_generators_lose_no_batch(tokenizer):
    data = ((clips(),) for _ in range(3))
    before = int(ops.convert_to_numpy(tokenizer.training_state.step))
    tokenizer.fit(data, steps_per_epoch=3, verbose=0)
    after = int(ops.convert_to_numpy(tokenizer.training_state.step))
    assert after - before == 3


@pytest.mark.parametrize("case", INVALID_IDS)
@pytest.mark.parametrize(
    "entry", ["call", "fit", "dataset", "validation", "evaluate", "predict"]
)
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
    ],
)
def test_tokens_of_another_vocabulary_or_class_list_are_refused(
    attributes, message
):
    model = tiny_generator(class_names=["a", "b", "c"])
    model.compile()
    data = batches(({"token_ids": TOKENS, "class_ids": LABELS},))
    data.source = type("Source", (), {"class_names": ("a", "b", "c")})()
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
