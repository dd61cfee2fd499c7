"""The `VideoSource` protocol: own sources, and what reads or renders clips."""

import collections
import inspect
import textwrap

import numpy as np
import pytest
from number_clips import ArraySource
from tiny_models import tiny_generator, tiny_tokenizer

import keras_larp
from keras_larp import data, evaluation
from keras_larp.evaluation.shards import shard_batches


def example():
    """The code of the example in the docstring of `VideoSource`."""
    docstring = inspect.getdoc(data.VideoSource)
    return docstring.partition("```python\n")[2].partition("```")[0]


def test_documented_example_trains_models(tmp_path):
    code = textwrap.dedent(example())
    body = code.partition("\n\n\n")[0]
    assert len([line for line in body.splitlines() if line]) <= 20
    names = {"keras_larp": keras_larp, "np": np}
    exec(code, names)
    video, labels = next(iter(names["dataset"]))
    assert video.shape == (4, 16, 32, 32, 3) and set(labels) <= {0, 1}

    source = names["source"]
    tokenizer = tiny_tokenizer()
    tokenizer.compile("adam")
    dataset = data.video_dataset(source, 4, 16, batch_size=4)
    history = tokenizer.fit(dataset, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    tokens = data.write_token_dataset(tmp_path, source, tokenizer)
    assert tokens.class_names == ("dark", "bright") and len(tokens) == 8
    generator = tiny_generator(num_classes=2)
    generator.compile("adam")
    dataset = data.token_dataset(tokens, batch_size=4)
    history = generator.fit(dataset, verbose=0).history
    assert np.isfinite(history["loss"]).all()


def test_defaults_of_a_source():
    source = ArraySource([np.zeros((2, 4, 4, 3), "uint8")])
    assert isinstance(source, data.VideoSource)
    assert source.name(0) == "000000" and source.path(0) is None
    assert source.class_names == () and not source.flip_changes_label
    assert (source.default_num_frames, source.default_image_size) == (16, 128)


def test_required_methods():
    class Incomplete(data.VideoSource):
        def __len__(self):
            return 1

    with pytest.raises(TypeError, match="num_frames"):
        Incomplete()


@pytest.mark.parametrize("source", [[], [data.VideoFile("a.mp4")], "videos"])
def test_other_objects_are_refused(source):
    with pytest.raises(TypeError, match="must be a.*VideoSource"):
        data.video_dataset(source)


@pytest.mark.parametrize(
    "video",
    [
        np.zeros((2, 4, 4, 3)),
        np.zeros((2, 4, 4, 1), "uint8"),
        np.zeros((2, 4, 4), "uint8"),
    ],
)
def test_invalid_frames_of_a_source_are_refused(video):
    dataset = data.video_dataset(ArraySource([video]), 2, 4, 1)
    with pytest.raises(ValueError, match=r"ArraySource.read.*\(2, height"):
        next(iter(dataset))


class CountingShapes(data.MovingShapes):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.renders = collections.Counter()

    def render(self, index):
        self.renders[index] += 1
        return super().render(index)


@pytest.mark.parametrize("frame_sampling", ["first", "windows"])
@pytest.mark.parametrize("wrap", ["none", "concat", "cached"])
def test_choosing_evaluation_clips_renders_none(frame_sampling, wrap):
    shapes = CountingShapes(13, num_frames=8, image_size=8)
    source = {
        "none": shapes,
        "concat": data.ConcatSource([shapes, shapes]),
        "cached": data.CachedSource(shapes),
    }[wrap]
    clips = evaluation.EvaluationClips(
        source, 4, 8, frame_sampling, num_clips=10, seed=1
    )
    labels, settings = clips.labels(), clips.settings()
    names = [clips.loader.name(index) for index in clips.indices]
    assert evaluation.overlapping_files(source, source) == []
    assert not shapes.renders
    assert len(labels) == len(names) == settings["num_clips"] == 10


def test_evaluation_shards_read_only_their_own_clips():
    source = CountingShapes(13, num_frames=4, image_size=8)
    clips = evaluation.EvaluationClips(source, 4, 8, num_clips=12, seed=1)
    chosen = []
    for index in range(3):
        source.renders.clear()
        ranges = [
            range(2 * batch, 2 * batch + 2)
            for batch in shard_batches(6, index, 3)
        ]
        for _ in clips.batches(ranges):
            pass
        own = [clips.indices[i] for numbers in ranges for i in numbers]
        assert source.renders == dict.fromkeys(own, 1)
        chosen += own
    assert chosen == clips.indices


def test_pipelines_render_each_clip_once_per_epoch():
    source = CountingShapes(6, num_frames=4, image_size=8)
    list(data.video_dataset(source, batch_size=4, repeat=False))
    assert source.renders == dict.fromkeys(range(6), 1)
    pytest.importorskip("tensorflow")
    list(data.tf_video_dataset(source, batch_size=4))
    assert source.renders == dict.fromkeys(range(6), 2)
