"""Writing, resuming and reading of token data sets."""

import collections
import hashlib
import json
import pathlib
from multiprocessing import shared_memory

import keras
import numpy as np
import pytest
from accelerator_tensor import AcceleratorTensor
from array_record.python import array_record_module
from tiny_models import tiny_discriminator, tiny_generator, tiny_tokenizer

from keras_larp import data, presets
from keras_larp.data.tokens.token_records import pack_record, unpack_record


def read_all(source):
    """float32 `(N, T, H, W, 3)` in [0, 1]."""
    clips = [
        source.read(i, np.arange(source.num_frames(i)))
        for i in range(len(source))
    ]
    return np.stack(clips).astype("float32") / 255


class Tokenizer:
    """Encodes the red value of the left and right column of the first frame."""

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


class Clips(data.VideoSource):
    """Red is i in the left column and 100 + i + 10 t in the right of clip i.

    Args:
        count: Integer.
        length: Integer.
        broken: List of the indices of clips that do not decode.
    """

    def __init__(self, count=5, length=2, broken=()):
        self.count, self.length, self.broken = count, length, broken
        self.reads = collections.Counter()

    def __len__(self):
        return self.count

    def label(self, index):
        return index

    def num_frames(self, index):
        return self.length

    def read(self, index, frame_indices, image_size=None):
        self.reads[index] += 1
        if index in self.broken:
            raise data.VideoDecodeError(f"clip {index} does not decode")
        video = np.zeros((self.length, 2, 2, 3), "uint8")
        video[:, :, 0, 0] = index
        steps = 10 * np.arange(self.length)[:, None]
        video[:, :, 1, 0] = 100 + index + steps
        return video[frame_indices]


class ConstantTokenizer(Tokenizer):
    """Accepts clips of any size."""

    def encode(self, video):
        return 0 * super().encode(video)[:, :2]


def write(folder, source=None, tokenizer=None, **options):
    options = {"clips_per_shard": 2, "batch_size": 3, **options}
    return data.write_token_dataset(
        folder, source or Clips(), tokenizer or Tokenizer(), **options
    )


def assert_equal(tokens, others):
    for record, other in zip(tokens, others, strict=True):
        record, other = dict(record), dict(other)
        np.testing.assert_array_equal(
            record.pop("token_ids"), other.pop("token_ids")
        )
        assert record == other


def shards(folder):
    return sorted(path.name for path in folder.glob("tokens-*"))


def test_records_describe_clips(tmp_path):
    tokens = write(
        tmp_path, Clips(2, 4), frame_sampling="windows", include_flips=True
    )
    assert len(tokens) == 8
    assert (tokens.vocab_size, tokens.num_tokens) == (300, 2)
    assert tokens.tokenizer == data.model_fingerprint(Tokenizer())
    record = tokens[7]  # The second window of the second video, mirrored.
    np.testing.assert_array_equal(record.pop("token_ids"), [121, 1])
    assert record == {
        "label": 1,
        "name": "000001",
        "start": 2,
        "flipped": True,
    }


@pytest.mark.parametrize("vocab_size, dtype", [(2**16, 2), (2**16 + 1, 4)])
def test_records_are_small(vocab_size, dtype):
    token_ids = np.array([0, vocab_size - 1] * 512)
    record = pack_record(token_ids, -1, 0, 0, "ü.avi", vocab_size)
    assert len(record) < dtype * 1024 + 500
    description = {
        "num_tokens": 1024,
        "vocab_size": vocab_size,
        "class_names": [],
    }
    unpacked = unpack_record(record, description)
    np.testing.assert_array_equal(unpacked["token_ids"], token_ids)
    assert unpacked["name"] == "ü.avi"


def test_writing_resumes_after_the_last_complete_shard(tmp_path):
    expected = write(tmp_path / "complete")
    folder = tmp_path / "stopped"
    with pytest.raises(KeyboardInterrupt):
        write(folder, tokenizer=Tokenizer(stop_after=2))
    (complete,) = shards(folder)
    with pytest.raises(FileNotFoundError, match="2 of 3 shards are missing"):
        data.TokenSource(folder)
    stamp = (folder / complete).stat().st_mtime_ns
    second = Tokenizer()
    tokens = write(folder, tokenizer=second)
    assert (folder / complete).stat().st_mtime_ns == stamp and second.calls == 2
    assert len(tokens) == len(expected) == 5
    assert_equal(tokens, expected)
    third = Tokenizer()
    write(folder, tokenizer=third)
    assert third.calls == 0


def test_workers_write_the_same_without_shared_memory(tmp_path, monkeypatch):
    def refuse(*arguments, **options):
        raise OSError(28, "No space left on device")

    expected = write(tmp_path / "alone")
    monkeypatch.setattr(shared_memory, "SharedMemory", refuse)
    tokens = write(tmp_path / "helped", num_workers=1)
    assert_equal(tokens, expected)


def test_writing_refuses_a_folder_with_other_settings(tmp_path):
    write(tmp_path)
    with pytest.raises(ValueError, match="vocab_size: stored 300, req.* 301"):
        write(tmp_path, tokenizer=Tokenizer(301))
    with pytest.raises(ValueError, match="flips: stored False, req.* True"):
        write(tmp_path, include_flips=True)


@pytest.fixture
def videos(tmp_path):
    """A folder with five videos in two classes."""
    clip = data.MovingShapes(1, 2, 8).render(0)
    for name in ("a/1", "a/2", "a/3", "b/1", "b/2"):
        data.write_video(tmp_path / "videos" / f"{name}.mp4", clip)
    return tmp_path / "videos"


def test_writing_refuses_a_folder_of_another_source(tmp_path, videos):
    folder = tmp_path / "tokens"
    files = data.VideoFolder(videos).files
    first = data.FileSource(files[:1], videos)
    for _ in range(2):  # Writing the same source again is not an error.
        write(folder, first, ConstantTokenizer())
    other_class = data.VideoFile(files[0].path, 1)
    for other in (
        data.FileSource(files[1:2], videos),
        data.FileSource([other_class], videos),
        data.MovingShapes(1, 2, 8),
    ):
        with pytest.raises(ValueError, match="source: stored '.*', requested"):
            write(folder, other, ConstantTokenizer())
    shapes = tmp_path / "shapes"
    write(shapes, data.MovingShapes(1, 2, 8), ConstantTokenizer())
    with pytest.raises(ValueError, match="source: stored '.*', requested"):
        write(shapes, data.MovingShapes(1, 2, 8, seed=1), ConstantTokenizer())


@pytest.mark.once
@pytest.mark.parametrize("fails_at", ["opening", "closing", "last"])
def test_full_disk_is_reported_with_the_path_of_the_shard(
    tmp_path, monkeypatch, fails_at
):
    class FullDisk:
        """`ArrayRecordWriter` on a full disk; its records are buffered."""

        def __init__(self, path, options):
            pathlib.Path(path).touch()
            self.is_last = path.endswith("-00002-of-00003.array_record")
            if fails_at == "opening":
                self.close()

        def write(self, record):
            pass

        def close(self):
            if fails_at == "last" and not self.is_last:
                return
            raise RuntimeError("write() failed: No space left on device; a")

    monkeypatch.setattr(array_record_module, "ArrayRecordWriter", FullDisk)
    with pytest.raises(OSError, match="No space left.*-of-00003"):
        write(tmp_path)
    assert not list(tmp_path.glob(".part-*"))


def interrupt(folder, source):
    """Writes the first of three shards."""
    with pytest.raises(KeyboardInterrupt):
        write(folder, source, ConstantTokenizer(stop_after=2))
    assert len(shards(folder)) == 1


def test_writing_resumes_after_the_videos_moved(tmp_path, videos, monkeypatch):
    folder = tmp_path / "tokens"
    interrupt(folder, data.VideoFolder(videos))
    (tmp_path / "elsewhere").mkdir()
    videos.rename(tmp_path / "elsewhere" / "moved")
    monkeypatch.chdir(tmp_path / "elsewhere")
    tokens = write(folder, data.VideoFolder("moved"), ConstantTokenizer())
    names = ["a/1.mp4", "a/2.mp4", "a/3.mp4", "b/1.mp4", "b/2.mp4"]
    assert [record["name"] for record in tokens] == names
    assert [record["label"] for record in tokens] == [0, 0, 0, 1, 1]


def store_path_fingerprint(folder, text):
    """Makes a description one that was written before names were hashed."""
    path = folder / "tokens.json"
    description = json.loads(path.read_text())
    description["source"] = hashlib.sha256(text).hexdigest()
    path.write_text(json.dumps(description))


@pytest.mark.parametrize("repeats", [None, [1, 2]])
def test_writing_resumes_with_fingerprints_of_paths(tmp_path, videos, repeats):
    folder, source = tmp_path / "tokens", data.VideoFolder(videos)
    text = "".join(f"{file.path} {file.label}\n" for file in source.files)
    if repeats:
        source, text = data.ConcatSource([source, source], repeats), 2 * text
    write(folder, source, ConstantTokenizer())
    (folder / shards(folder)[-1]).unlink()
    store_path_fingerprint(folder, text.encode())
    tokens = write(folder, source, ConstantTokenizer())
    assert len(tokens) == len(source)
    store_path_fingerprint(folder, b"other files")
    with pytest.raises(ValueError, match="source: stored"):
        write(folder, source, ConstantTokenizer())


def test_writing_resumes_with_fingerprints_of_pixels(tmp_path):
    shapes = data.MovingShapes(5, 2, 8)
    interrupt(tmp_path, shapes)
    store_path_fingerprint(tmp_path, shapes.render(0).tobytes())
    assert len(write(tmp_path, shapes, ConstantTokenizer())) == 5


def test_computed_clips_are_rendered_once(tmp_path):
    class CountingShapes(data.MovingShapes):
        def __init__(self):
            super().__init__(5, 2, 8)
            self.renders = collections.Counter()

        def render(self, index):
            self.renders[index] += 1
            return super().render(index)

    source = CountingShapes()
    write(tmp_path / "all", source, ConstantTokenizer(), num_condition_frames=1)
    assert source.renders == dict.fromkeys(range(5), 1)
    interrupt(tmp_path / "resumed", CountingShapes())
    source = CountingShapes()
    write(tmp_path / "resumed", source, ConstantTokenizer())
    assert source.renders == dict.fromkeys((2, 3, 4), 1)
    source = CountingShapes()
    write(tmp_path / "resumed", source, ConstantTokenizer())
    assert not source.renders


def test_unreadable_videos_are_skipped(tmp_path):
    source = Clips(broken=(2, 3))
    with pytest.raises(data.VideoDecodeError, match="clip 2"):
        write(tmp_path, source)
    tokens = write(tmp_path, source, on_error="skip")
    assert len(shards(tmp_path)) == 3
    assert [record["label"] for record in tokens] == [0, 1, 4]


def test_leftovers_of_a_killed_run_are_removed(tmp_path):
    expected = write(tmp_path)
    (tmp_path / f".part-0-{shards(tmp_path)[0]}").write_bytes(b"part")
    assert_equal(data.TokenSource(tmp_path), expected)
    write(tmp_path)
    assert not list(tmp_path.glob(".part*"))


def test_flips_are_refused_if_they_change_labels(tmp_path):
    with pytest.raises(ValueError, match="MovingShapes"):
        write(tmp_path, data.MovingShapes(2, 2, 8), include_flips=True)
    assert not list(tmp_path.iterdir())


def test_shards_of_another_tokenizer_are_refused(tmp_path):
    write(tmp_path / "one")
    write(tmp_path / "two", tokenizer=Tokenizer(301))
    name = shards(tmp_path / "two")[0]
    (tmp_path / "two" / name).rename(tmp_path / "one" / name)
    with pytest.raises(ValueError, match=f"another tokenizer.*{name}"):
        data.TokenSource(tmp_path / "one")


def test_damaged_or_missing_data_set(tmp_path):
    with pytest.raises(FileNotFoundError, match="tokens.json"):
        data.TokenSource(tmp_path)
    write(tmp_path)
    (tmp_path / shards(tmp_path)[0]).write_bytes(b"")
    with pytest.raises(ValueError, match="damaged"):
        data.TokenSource(tmp_path)


def test_fingerprint_depends_on_weights_but_not_on_the_name():
    first, second = tiny_tokenizer(name="a"), tiny_tokenizer(name="b")
    assert data.model_fingerprint(first) != data.model_fingerprint(second)
    second.set_weights(first.get_weights())
    assert data.model_fingerprint(first) == data.model_fingerprint(second)


def test_fingerprint_ignores_training_state(tmp_path):
    tokenizer = tiny_tokenizer(prior=None)
    fingerprint = data.model_fingerprint(tokenizer)
    tokenizer.compile(
        keras.optimizers.Adam(1e-3),
        discriminator=tiny_discriminator(),
        discriminator_optimizer=keras.optimizers.Adam(1e-3),
    )
    assert data.model_fingerprint(tokenizer) == fingerprint
    # Changes the same variables as a training step, without compiling one.
    for variable in tokenizer.training_state.weights:
        variable.assign(np.ones(variable.shape))
    assert data.model_fingerprint(tokenizer) == fingerprint
    variable = tokenizer.trainable_variables[0]
    variable.assign(variable + 0.1)
    trained = data.model_fingerprint(tokenizer)
    assert trained != fingerprint
    tokenizer.save_to_preset(tmp_path / "preset")
    loaded = presets.load(tmp_path / "preset")
    assert data.model_fingerprint(loaded) == trained


def test_generators_of_other_sizes_are_refused(tmp_path):
    tokens = write(tmp_path)
    data.token_dataset(tokens, vocab_size=300, num_tokens=2)
    with pytest.raises(ValueError, match="vocab_size.*300.*vocab_size=301"):
        data.token_dataset(tokens, vocab_size=301)
    with pytest.raises(ValueError, match="num_tokens.* 2.*num_tokens=3"):
        data.token_dataset(tokens, num_tokens=3)


def test_token_stream_resumes(tmp_path):
    write(tmp_path)

    def take(dataset, count):
        batches = iter(dataset)
        return [next(batches)["class_ids"].tolist() for _ in range(count)]

    dataset = data.token_dataset(tmp_path, batch_size=2)
    assert dataset.steps_per_epoch == 2
    uninterrupted = take(dataset, 6)
    state = dataset.get_state(2)
    dataset = data.token_dataset(tmp_path, batch_size=2)
    dataset.set_state(state)
    assert take(dataset, 4) == uninterrupted[2:]
    assert sorted(sum(uninterrupted[:5], [])) == sorted([*range(5)] * 2)


def test_generator_trains_on_written_tokens(tmp_path):
    clips = data.MovingShapes(4, num_frames=4, image_size=16)
    tokenizer = tiny_tokenizer()
    tokens = write(tmp_path, clips, tokenizer)
    video = read_all(clips)
    expected = keras.ops.convert_to_numpy(tokenizer.encode(video))
    found = np.stack([record["token_ids"] for record in tokens])
    np.testing.assert_array_equal(found, expected)
    assert tokens.class_names == clips.class_names
    generator = tiny_generator(num_classes=12)
    generator.compile("adamw")
    dataset = data.token_dataset(tokens, batch_size=2)
    history = generator.fit(dataset, epochs=2, verbose=0).history
    assert np.isfinite(history["loss"]).all() and len(history["loss"]) == 2


def test_frame_prediction_trains_on_written_tokens(tmp_path):
    clips = data.MovingShapes(4, num_frames=4, image_size=16)
    tokenizer = tiny_tokenizer()
    tokens = write(tmp_path, clips, tokenizer, num_condition_frames=2)
    assert data.TokenSource(tmp_path).num_condition_frames == 2
    video = read_all(clips)
    video[:, 2:] = video[:, 1:2]
    expected = keras.ops.convert_to_numpy(tokenizer.encode(video))
    options = {"batch_size": 4, "shuffle": False}
    dataset = data.token_dataset(tokens, conditioning="frames", **options)
    condition = next(iter(dataset))["condition_ids"]
    np.testing.assert_array_equal(condition[:, :-1], expected)
    np.testing.assert_array_equal(condition[:, -1], 32)  # The separator.

    # The loss equals the one on the clips themselves.
    generator = tiny_generator(conditioning="frames", num_condition_frames=2)
    generator.compile("adamw")
    found = generator.evaluate(dataset, steps=1, verbose=0)
    originals = read_all(clips)
    expected = generator.evaluate(
        originals, batch_size=4, tokenizer=tokenizer, verbose=0
    )
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-5)


def test_first_tokens_of_an_elastic_tokenizer_are_written(tmp_path):
    source = data.MovingShapes(2, num_frames=4, image_size=16)
    tokenizer = tiny_tokenizer(token_dropout={"rate": 0.5}, prior=None)
    options = {"num_condition_frames": 2}
    full = write(tmp_path / "full", source, tokenizer, **options)
    first = write(
        tmp_path / "first", source, tokenizer, num_tokens=4, **options
    )
    assert (full.num_tokens, first.num_tokens) == (6, 4)
    for record, expected in zip(first, full, strict=True):
        for name in ("token_ids", "condition_ids"):
            np.testing.assert_array_equal(record[name], expected[name][:4])
    with pytest.raises(ValueError, match="num_tokens: stored 6, req.* 4"):
        write(tmp_path / "full", source, tokenizer, num_tokens=4, **options)
    with pytest.raises(ValueError, match="with_token_dropout.*num_tokens=4"):
        write(tmp_path / "fixed", source, tiny_tokenizer(), num_tokens=4)
    assert not (tmp_path / "fixed").exists()
    for num_tokens in (0, 7):
        with pytest.raises(ValueError, match=f"num_tokens={num_tokens}"):
            write(tmp_path / "a", source, tokenizer, num_tokens=num_tokens)


def test_tokens_without_condition_frames_are_refused(tmp_path):
    tokens = write(tmp_path)
    with pytest.raises(ValueError, match="num_condition_frames="):
        data.token_dataset(tokens, conditioning="frames")
    with pytest.raises(ValueError, match="num_condition_frames.*3"):
        write(tmp_path / "more", num_condition_frames=3)


@pytest.mark.once
def test_writing_refuses_a_folder_of_another_geometry(tmp_path, videos):
    write(tmp_path / "tokens", data.VideoFolder(videos))
    stored = data.VideoFolder(videos, geometry="stored")
    with pytest.raises(
        ValueError, match="geometry: stored 'display', requested 'stored'"
    ):
        write(tmp_path / "tokens", stored)


@pytest.mark.once
def test_labels_may_be_tensors(tmp_path):
    class Tensors(Clips):
        def label(self, index):
            return AcceleratorTensor(super().label(index))

    write(tmp_path, Clips(3))
    write(tmp_path, Tensors(3))
