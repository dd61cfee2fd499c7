"""Tokens are written once, whole, and read back for training."""

from multiprocessing import shared_memory

import keras
import numpy as np
import pytest
from tiny_models import tiny_discriminator, tiny_generator, tiny_tokenizer

from keras_larp import data, presets


class Tokenizer:
    """Its tokens are the first red pixel of the left and right column."""

    num_frames = image_size = num_tokens = 2

    def __init__(self, vocab_size=300, stop_after=None):
        self.codebook_size, self.stop_after = vocab_size, stop_after
        self.calls = 0

    def encode(self, video):
        self.calls += 1
        if self.calls == self.stop_after:
            raise KeyboardInterrupt
        return np.round(video[:, 0, 0, :, 0] * 255).astype("int32")

    def get_config(self):
        return {"name": f"tokenizer_{id(self)}", "vocab": self.codebook_size}

    weights = [np.arange(3.0)]


def source(count=5, num_frames=2):
    """Clip i: red is i in the left column and 100 + i + 10 t in the right."""
    clips = []
    for label in range(count):
        video = np.zeros((num_frames, 2, 2, 3), "uint8")
        video[:, :, 0, 0] = label
        steps = 10 * np.arange(num_frames)[:, None]
        video[:, :, 1, 0] = 100 + label + steps
        clips.append({"video": video, "label": label})
    return clips


def write(folder, clips=None, tokenizer=None, **options):
    options = {"clips_per_shard": 2, "batch_size": 3, **options}
    return data.write_token_dataset(
        folder, clips or source(), tokenizer or Tokenizer(), **options
    )


def shards(folder):
    return sorted(path.name for path in folder.glob("tokens-*"))


def test_records_tell_all_about_a_clip(tmp_path):
    tokens = write(
        tmp_path, source(2, 4), frame_sampling="windows", include_flips=True
    )
    assert len(tokens) == 8
    assert (tokens.vocab_size, tokens.num_tokens) == (300, 2)
    assert tokens.tokenizer == data.model_fingerprint(Tokenizer())
    record = tokens[7]  # the second window of the second video, mirrored
    np.testing.assert_array_equal(record.pop("token_ids"), [121, 1])
    assert record == {"label": 1, "name": "1", "start": 2, "flipped": True}


@pytest.mark.parametrize("vocab_size, dtype", [(2**16, 2), (2**16 + 1, 4)])
def test_tokens_are_stored_in_few_bytes(vocab_size, dtype):
    from keras_larp.data.tokens.token_records import pack_record, unpack_record

    token_ids = np.array([0, vocab_size - 1] * 512)
    record = pack_record(token_ids, -1, 0, 0, "ü.avi", vocab_size)
    assert len(record) < dtype * 1024 + 500
    unpacked = unpack_record(record)
    np.testing.assert_array_equal(unpacked["token_ids"], token_ids)
    assert unpacked["name"] == "ü.avi"


def test_writing_goes_on_behind_whole_shards(tmp_path):
    expected = write(tmp_path / "whole")
    folder = tmp_path / "stopped"
    with pytest.raises(KeyboardInterrupt):
        write(folder, tokenizer=Tokenizer(stop_after=2))
    (whole,) = shards(folder)
    with pytest.raises(FileNotFoundError, match="2 of 3 shards are missing"):
        data.TokenSource(folder)
    stamp = (folder / whole).stat().st_mtime_ns
    second = Tokenizer()
    tokens = write(folder, tokenizer=second)
    assert (folder / whole).stat().st_mtime_ns == stamp and second.calls == 1
    assert len(tokens) == len(expected) == 5
    for found, wanted in zip(tokens, expected, strict=True):
        assert found["token_ids"].tolist() == wanted["token_ids"].tolist()
    third = Tokenizer()
    write(folder, tokenizer=third)
    assert third.calls == 0


def test_workers_write_the_same_without_shared_memory(tmp_path, monkeypatch):
    def refuse(*arguments, **options):
        raise OSError(28, "No space left on device")

    expected = write(tmp_path / "alone")
    monkeypatch.setattr(shared_memory, "SharedMemory", refuse)
    tokens = write(tmp_path / "helped", num_workers=1)
    for found, wanted in zip(tokens, expected, strict=True):
        assert found["label"] == wanted["label"]
        assert found["token_ids"].tolist() == wanted["token_ids"].tolist()


def test_writing_refuses_a_folder_of_another_tokenizer(tmp_path):
    write(tmp_path)
    with pytest.raises(ValueError, match="vocab_size 300 there and 301 here"):
        write(tmp_path, tokenizer=Tokenizer(301))
    with pytest.raises(ValueError, match="flips False there and True here"):
        write(tmp_path, include_flips=True)


@pytest.mark.parametrize("other", ["b.mp4", "a.mp4 of another class", "clip"])
def test_writing_refuses_a_folder_of_another_source(tmp_path, other):
    class Encoder(Tokenizer):
        def encode(self, video):
            return np.zeros((len(video), 2), "int32")

    clip = data.MovingShapes(1, 2, 8).render(0)
    for name in ("a.mp4", "b.mp4"):
        data.write_video(tmp_path / name, clip)
    label = 1 if other == "a.mp4 of another class" else 0
    file = data.VideoFile(str(tmp_path / other[:5]), label)
    if other == "clip":
        file = {"video": clip, "label": 0}
    first = data.VideoFile(str(tmp_path / "a.mp4"), 0)
    for _ in range(2):  # The same once more is no other source.
        write(tmp_path / "tokens", [first], Encoder())
    with pytest.raises(ValueError, match="source '.*' there and '.*' here"):
        write(tmp_path / "tokens", [file], Encoder())


def test_unreadable_videos_leave_gaps(tmp_path):
    clips = source()
    clips[2] = data.VideoFile("nowhere.mp4", 2)
    clips[3] = data.VideoFile("neither.mp4", 3)
    with pytest.raises(data.VideoDecodeError, match="nowhere.mp4"):
        write(tmp_path, clips)
    tokens = write(tmp_path, clips, on_error="skip")
    assert len(shards(tmp_path)) == 3
    assert [record["label"] for record in tokens] == [0, 1, 4]


def test_mirrored_copies_are_refused_where_classes_name_directions(tmp_path):
    with pytest.raises(ValueError, match="MovingShapes"):
        write(tmp_path, data.MovingShapes(2, 2, 8), include_flips=True)
    assert not list(tmp_path.iterdir())


def test_shards_of_two_tokenizers(tmp_path):
    write(tmp_path / "one")
    write(tmp_path / "two", tokenizer=Tokenizer(301))
    name = shards(tmp_path / "two")[0]
    (tmp_path / "two" / name).rename(tmp_path / "one" / name)
    with pytest.raises(ValueError, match=f"another tokenizer.*{name}"):
        data.TokenSource(tmp_path / "one")


def test_damaged_shard_and_no_data_set(tmp_path):
    with pytest.raises(FileNotFoundError, match="tokens.json"):
        data.TokenSource(tmp_path)
    write(tmp_path)
    (tmp_path / shards(tmp_path)[0]).write_bytes(b"")
    with pytest.raises(ValueError, match="damaged"):
        data.TokenSource(tmp_path)


def test_identity_follows_weights_alone():
    first, second = tiny_tokenizer(name="a"), tiny_tokenizer(name="b")
    assert data.model_fingerprint(first) != data.model_fingerprint(second)
    second.set_weights(first.get_weights())
    assert data.model_fingerprint(first) == data.model_fingerprint(second)


def test_identity_is_of_what_encodes_and_not_of_training(tmp_path):
    tokenizer = tiny_tokenizer(prior=None)
    identity = data.model_fingerprint(tokenizer)
    tokenizer.compile(
        keras.optimizers.Adam(1e-3),
        discriminator=tiny_discriminator(),
        discriminator_optimizer=keras.optimizers.Adam(1e-3),
    )
    assert data.model_fingerprint(tokenizer) == identity
    # What a step changes, without the time that compiling one takes.
    for variable in tokenizer.training_state.weights:
        variable.assign(np.ones(variable.shape))
    assert data.model_fingerprint(tokenizer) == identity
    variable = tokenizer.trainable_variables[0]
    variable.assign(variable + 0.1)
    trained = data.model_fingerprint(tokenizer)
    assert trained != identity
    tokenizer.save_to_preset(tmp_path / "preset")
    loaded = presets.load(tmp_path / "preset")
    assert data.model_fingerprint(loaded) == trained


def test_generators_of_other_sizes(tmp_path):
    tokens = write(tmp_path)
    data.token_dataset(tokens, vocab_size=300, num_tokens=2)
    with pytest.raises(ValueError, match="vocab_size=300.*vocab_size=301"):
        data.token_dataset(tokens, vocab_size=301)
    with pytest.raises(ValueError, match="num_tokens=2.*num_tokens=3"):
        data.token_dataset(tokens, num_tokens=3)


def test_stream_of_tokens_goes_on_after_a_stop(tmp_path):
    write(tmp_path)

    def take(dataset, count):
        batches = iter(dataset)
        return [next(batches)["class_ids"].tolist() for _ in range(count)]

    dataset = data.token_dataset(tmp_path, batch_size=2)
    assert dataset.steps_per_epoch == 2
    unbroken = take(dataset, 6)
    state = dataset.get_state(2)
    dataset = data.token_dataset(tmp_path, batch_size=2)
    dataset.set_state(state)
    assert take(dataset, 4) == unbroken[2:]
    assert sorted(sum(unbroken[:5], [])) == sorted([*range(5)] * 2)


def test_a_generator_trains_on_the_tokens_of_a_tokenizer(tmp_path):
    clips = data.MovingShapes(4, num_frames=4, image_size=16)
    tokenizer = tiny_tokenizer()
    tokens = write(tmp_path, clips, tokenizer)
    video = np.stack([clips.render(i) for i in range(len(clips))])
    expected = keras.ops.convert_to_numpy(tokenizer.encode(video))
    found = np.stack([record["token_ids"] for record in tokens])
    np.testing.assert_array_equal(found, expected)
    assert tokens.class_names == clips.class_names
    generator = tiny_generator(num_classes=12)
    generator.compile("adamw")
    dataset = data.token_dataset(tokens, batch_size=2)
    history = generator.fit(dataset, epochs=2, verbose=0).history
    assert np.isfinite(history["loss"]).all() and len(history["loss"]) == 2


def test_frame_prediction_trains_on_tokens_of_first_frames(tmp_path):
    clips = data.MovingShapes(4, num_frames=4, image_size=16)
    tokenizer = tiny_tokenizer()
    tokens = write(tmp_path, clips, tokenizer, num_condition_frames=2)
    assert data.TokenSource(tmp_path).num_condition_frames == 2
    video = np.stack([clips.render(i) for i in range(len(clips))])
    video[:, 2:] = video[:, 1:2]
    expected = keras.ops.convert_to_numpy(tokenizer.encode(video))
    options = {"batch_size": 4, "shuffle": False}
    dataset = data.token_dataset(tokens, conditioning="frames", **options)
    condition = next(iter(dataset))["condition_ids"]
    np.testing.assert_array_equal(condition[:, :-1], expected)
    np.testing.assert_array_equal(condition[:, -1], 32)  # The separator.

    # As in `fit` on the clips themselves.
    generator = tiny_generator(conditioning="frames", num_condition_frames=2)
    generator.compile("adamw")
    found = generator.evaluate(dataset, steps=1, verbose=0)
    originals = np.stack([clips.render(i) for i in range(len(clips))])
    expected = generator.evaluate(
        originals, batch_size=4, tokenizer=tokenizer, verbose=0
    )
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-5)


def test_tokens_without_first_frames_are_refused(tmp_path):
    tokens = write(tmp_path)
    with pytest.raises(ValueError, match="num_condition_frames="):
        data.token_dataset(tokens, conditioning="frames")
    with pytest.raises(ValueError, match="num_condition_frames.*3"):
        write(tmp_path / "more", num_condition_frames=3)
