"""Batches of clips, independent of the number of workers and shards."""

import itertools
import re
import warnings
from multiprocessing import shared_memory

import keras
import numpy as np
import pytest
from accelerator_tensor import AcceleratorTensor
from hypothesis import given, settings
from hypothesis import strategies as st
from number_clips import NumberClips
from tiny_models import tiny_generator, tiny_tokenizer

from keras_larp import data


def pipeline(count=6, **options):
    defaults = {"num_frames": 4, "image_size": 2, "repeat": False}
    return data.video_dataset(NumberClips(count), **{**defaults, **options})


def labels(dataset, count=None):
    return [
        batch[1].tolist() for batch in itertools.islice(iter(dataset), count)
    ]


def test_one_epoch_has_each_video_once():
    assert labels(pipeline(batch_size=4, shuffle=False)) == [
        [0, 1, 2, 3],
        [4, 5],
    ]
    shuffled = sum(labels(pipeline(30, batch_size=4)), [])
    assert sorted(shuffled) == list(range(30)) and shuffled[:5] != [*range(5)]


def test_same_seed_returns_the_same_batches():
    def run(seed):
        dataset = pipeline(8, seed=seed, num_frames=2, horizontal_flip=True)
        return np.concatenate([video for video, _ in dataset])

    np.testing.assert_array_equal(run(1), run(1))
    assert (run(1) != run(2)).any()


def test_workers_do_not_change_the_batches():
    options = {"batch_size": 3, "num_frames": 2, "horizontal_flip": True}
    threads = list(pipeline(7, **options))
    workers = list(pipeline(7, num_workers=2, **options))
    assert len(threads) == len(workers) == 3
    for first, second in zip(threads, workers, strict=True):
        np.testing.assert_array_equal(first[0], second[0])
        np.testing.assert_array_equal(first[1], second[1])


def test_workers_need_no_shared_memory(monkeypatch):
    """Containers have little of it, and killed runs leak it."""

    def refuse(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shared_memory, "SharedMemory", refuse)
    assert labels(pipeline(batch_size=6, shuffle=False, num_workers=1))


def test_shards_together_have_all_clips():
    def clips(**options):
        found = {}
        for video, label in pipeline(7, batch_size=1, num_frames=2, **options):
            found[int(label[0])] = video[0]
        return found

    expected, found = clips(), {}
    for i in range(3):
        found.update(clips(shard_index=i, shard_count=3))
    assert set(found) == set(expected)
    for label, video in found.items():
        np.testing.assert_array_equal(video, expected[label])


@pytest.mark.parametrize("frame_sampling", ["random", "windows"])
def test_each_shard_reads_only_its_own_clips(frame_sampling):
    source = NumberClips(7)
    for i in range(3):
        source.reads.clear()
        dataset = data.video_dataset(
            source,
            num_frames=4,
            image_size=2,
            frame_sampling=frame_sampling,
            repeat=False,
            shard_index=i,
            shard_count=3,
        )
        assert not source.reads
        found = sum(labels(dataset), [])
        assert source.reads == dict.fromkeys(found, 1)
        assert len(found) == (3, 2, 2)[i]


def test_epochs_differ_in_order_and_starts():
    dataset = pipeline(16, batch_size=16, num_frames=2, repeat=True)
    (first, order), (second, other) = itertools.islice(iter(dataset), 2)
    assert sorted(order) == sorted(other) and (order != other).any()
    starts = [
        video[np.argsort(ids), 0, 0, 0, 1]
        for video, ids in ((first, order), (second, other))
    ]
    assert (starts[0] != starts[1]).any()


def test_windows_are_all_complete_clips():
    dataset = pipeline(
        2, num_frames=2, frame_sampling="windows", shuffle=False, batch_size=4
    )
    (video, ids), *rest = dataset
    assert not rest and ids.tolist() == [0, 0, 1, 1]
    starts = np.round(video[:, 0, 0, 0, 1] * 255)
    np.testing.assert_array_equal(starts, [0, 2, 0, 2])


def test_clips_without_labels():
    (video,) = pipeline(2, with_labels=False)
    assert video.shape == (2, 4, 2, 2, 3) and video.dtype == np.float32


@settings(max_examples=20, deadline=None)
@given(
    count=st.integers(1, 9),
    batch_size=st.integers(1, 5),
    drop_remainder=st.booleans(),
)
def test_steps_per_epoch_is_the_number_of_batches(
    count, batch_size, drop_remainder
):
    dataset = pipeline(
        count, batch_size=batch_size, drop_remainder=drop_remainder
    )
    assert len(list(dataset)) == dataset.steps_per_epoch


@pytest.mark.parametrize(
    "options",
    [
        {"num_frames": 0},
        {"image_size": 0},
        {"batch_size": 0},
        {"frame_sampling": "last"},
        {"on_error": "ignore"},
        {"resize": "opencv"},
        {"seed": -1},
        {"num_workers": -1},
        {"shard_index": 2, "shard_count": 2},
        {"shard_count": 7},
        {"frame_sampling": "windows", "num_frames": 5},
    ],
)
def test_invalid_options_are_refused(options):
    with pytest.raises(ValueError):
        pipeline(**options)


def test_horizontal_flip_is_refused_if_it_changes_labels():
    with pytest.raises(ValueError, match="MovingShapes"):
        data.video_dataset(data.MovingShapes(4), horizontal_flip=True)


def test_ffmpeg_resizes_nearly_like_pillow(tmp_path):
    clip = data.MovingShapes(1, 4, 64).render(0)
    data.write_video(tmp_path / "clip.mp4", clip)
    source = data.VideoFolder(tmp_path)
    (slow, _), (fast, _) = (
        next(iter(data.video_dataset(source, 4, 16, 1, resize=resize)))
        for resize in ("pillow", "ffmpeg")
    )
    assert slow.shape == fast.shape == (1, 4, 16, 16, 3)
    assert 0 < np.abs(slow - fast).mean() < 0.03
    with pytest.raises(ValueError, match="resize='ffmpeg' with crop_scale"):
        data.video_dataset(source, resize="ffmpeg", crop_scale=(0.5, 1))


@pytest.mark.parametrize("num_workers", [0, 1])
def test_unreadable_files_are_errors_or_skipped_and_counted(
    tmp_path, num_workers, caplog
):
    (tmp_path / "broken.mp4").write_text("no video")
    clip = data.MovingShapes(1, 4, 16).render(0)
    data.write_video(tmp_path / "intact.mp4", clip)
    source = data.VideoFolder(tmp_path)
    options = {
        "num_frames": 4,
        "image_size": 16,
        "repeat": False,
        "num_workers": num_workers,
    }
    with pytest.raises(data.VideoDecodeError, match="broken.mp4"):
        list(data.video_dataset(source, **options))
    dataset = data.video_dataset(source, on_error="skip", **options)
    ((video, _),) = dataset
    assert video.shape == (1, 4, 16, 16, 3)
    ((message, count),) = dataset.skipped.items()
    assert "broken.mp4" in message and count == 1
    assert len(re.findall("Skipped: .*broken.mp4", caplog.text)) == 1


def test_skipping_stops_if_no_video_is_readable(tmp_path):
    (tmp_path / "broken.mp4").write_text("no video")
    source = data.VideoFolder(tmp_path)
    dataset = data.video_dataset(source, on_error="skip")
    with pytest.raises(data.VideoDecodeError, match="None of the 1 videos"):
        next(iter(dataset))


def test_one_file_with_many_errors_does_not_stop_a_run():
    """The error message of a damaged file depends on the start of the clip."""

    class Damaged(NumberClips):
        def read(self, index, frame_indices, image_size=None):
            frames = super().read(index, frame_indices)
            if index:
                return frames
            message = f"broken.mp4: frame {self.reads[0]}"
            raise data.VideoDecodeError(message)

    dataset = data.video_dataset(
        Damaged(2), num_frames=4, image_size=2, batch_size=1, on_error="skip"
    )
    assert labels(dataset, 5) == [[1]] * 5
    assert len(dataset.skipped) > 2


def test_fit_and_evaluate_accept_the_pipeline_without_warnings():
    source = data.MovingShapes(6, num_frames=4, image_size=16)
    tokenizer, generator = tiny_tokenizer(), tiny_generator(num_classes=12)
    tokenizer.compile(keras.optimizers.Adam(1e-3))
    generator.compile(keras.optimizers.Adam(1e-3))
    train = data.video_dataset(source, batch_size=3)
    test = data.video_dataset(source, batch_size=3, repeat=False, shuffle=False)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", category=UserWarning)
        history = tokenizer.fit(
            train, epochs=2, validation_data=test, verbose=0
        ).history
        generator.fit(train, tokenizer=tokenizer, verbose=0)
        loss = tokenizer.evaluate(test, verbose=0, return_dict=True)["loss"]
    assert len(history["val_loss"]) == 2
    np.testing.assert_allclose(history["val_loss"][-1], loss, rtol=1e-5)


def test_several_epochs_need_a_repeating_pipeline():
    model = tiny_tokenizer()
    model.compile()
    source = data.MovingShapes(2, num_frames=4, image_size=16)
    with pytest.raises(ValueError, match="repeat=True"):
        model.fit(data.video_dataset(source, repeat=False), epochs=2)


def tf_pipeline(count=6, **options):
    pytest.importorskip("tensorflow")
    defaults = {"num_frames": 4, "image_size": 2}
    return data.tf_video_dataset(NumberClips(count), **{**defaults, **options})


def test_tf_pipeline_has_each_video_once_per_epoch():
    dataset = tf_pipeline(6, batch_size=4)
    assert int(dataset.cardinality()) == 2
    epochs = [
        np.concatenate([label.numpy() for _, label in dataset])
        for _ in range(2)
    ]
    assert all(sorted(ids) == list(range(6)) for ids in epochs)
    assert (epochs[0] != epochs[1]).any()
    video = next(iter(tf_pipeline(with_labels=False)))
    assert tuple(video.shape) == (6, 4, 2, 2, 3)


def test_tf_pipeline_skips_unreadable_files(tmp_path):
    pytest.importorskip("tensorflow")
    (tmp_path / "broken.mp4").write_text("no video")
    clip = data.MovingShapes(1, 4, 16).render(0)
    data.write_video(tmp_path / "intact.mp4", clip)
    dataset = data.tf_video_dataset(
        data.VideoFolder(tmp_path), 4, 16, on_error="skip"
    )
    assert [video.shape[0] for video, _ in dataset] == [1]


def test_fit_accepts_the_tf_pipeline():
    pytest.importorskip("tensorflow")
    source = data.MovingShapes(4, num_frames=4, image_size=16)
    model = tiny_tokenizer(prior=None)
    model.compile(keras.optimizers.Adam(1e-3))
    dataset = data.tf_video_dataset(source, batch_size=2)
    history = model.fit(dataset, epochs=2, shuffle=False, verbose=0).history
    assert np.isfinite(history["loss"]).all()


@pytest.mark.once
@pytest.mark.parametrize(
    "make_dataset", [data.video_dataset, data.tf_video_dataset]
)
def test_sources_may_return_tensors(make_dataset):
    class Tensors(NumberClips):
        def num_frames(self, index):
            return AcceleratorTensor(super().num_frames(index))

        def label(self, index):
            return AcceleratorTensor(super().label(index))

        def read(self, index, frame_indices, image_size=None):
            frames = super().read(index, frame_indices, image_size)
            return AcceleratorTensor(frames)

    if make_dataset is data.tf_video_dataset:
        pytest.importorskip("tensorflow")
    options = {"num_frames": 2, "image_size": 2, "shuffle": False}
    expected, batches = (
        list(make_dataset(source(3), **options, repeat=False))
        for source in (NumberClips, Tensors)
    )
    for pair, other in zip(expected, batches, strict=True):
        np.testing.assert_array_equal(pair[0], other[0])
        np.testing.assert_array_equal(pair[1], other[1])


@pytest.mark.once
def test_augmentations_may_return_tensors():
    def augment(video, seed):
        return AcceleratorTensor(video)

    options = {"num_frames": 2, "batch_size": 3, "shuffle": False}
    (expected, _), (video, _) = (
        next(iter(pipeline(3, augment=function, **options)))
        for function in (None, augment)
    )
    np.testing.assert_array_equal(video, expected)
