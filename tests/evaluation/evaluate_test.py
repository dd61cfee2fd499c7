"""The three evaluations at a tiny size, in one shard and in several."""

import json

import keras
import numpy as np
import pytest
from accelerator_tensor import AcceleratorTensor
from tiny_models import tiny_generator, tiny_tokenizer

from keras_larp import data, evaluation, metrics
from keras_larp.models import I3D, LPIPS

NUM_CLIPS, BATCH_SIZE = 13, 3


def mean_colors(clips):
    return np.asarray(clips).mean(axis=(1, 2, 3))


@pytest.fixture
def extractor():
    return evaluation.FeatureExtractor(mean_colors, "mean colors")


@pytest.fixture(scope="module")
def models():
    keras.utils.set_random_seed(1)
    return {
        "tokenizer": tiny_tokenizer(),
        "generator": tiny_generator(num_classes=12),
        "frame_generator": tiny_generator(
            conditioning="frames", num_condition_frames=2
        ),
    }


def make_clips(num_clips=NUM_CLIPS, **kwargs):
    source = data.MovingShapes(24, num_frames=4, image_size=16)
    return evaluation.EvaluationClips(
        source, 4, 16, num_clips=num_clips, **kwargs
    )


def run(
    kind,
    folder,
    models,
    extractor,
    shard=(0, 1),
    clips=None,
    labels=range(10),
    **options,
):
    clips = clips or make_clips()
    options |= {"shard": shard, "verbose": 0, "batch_size": BATCH_SIZE}
    if kind == "reconstruction":
        return evaluation.evaluate_reconstruction(
            folder, models["tokenizer"], clips, extractor, **options
        )
    if kind == "generation":
        return evaluation.evaluate_generation(
            folder,
            models["generator"],
            models["tokenizer"],
            labels,
            clips,
            extractor,
            **options,
        )
    return evaluation.evaluate_frame_prediction(
        folder,
        models["frame_generator"],
        models["tokenizer"],
        clips,
        extractor,
        compare_size=8,
        **options,
    )


@pytest.mark.parametrize(
    "kind", ["reconstruction", "generation", "frame-prediction"]
)
def test_results_do_not_depend_on_the_shards(kind, models, extractor, tmp_path):
    single, sharded = tmp_path / "single", tmp_path / "sharded"
    run(kind, single, models, extractor)
    for i in (2, 0, 1):
        run(kind, sharded, models, extractor, (i, 3))
    expected, _ = evaluation.merge(single)
    results, settings = evaluation.merge(sharded)
    assert results == expected
    assert results["frechet_distance"] > 0
    assert settings["kind"] == kind
    assert settings["extractors"] == {"frechet_distance": "mean colors"}
    for name in ("real", "generated"):
        pair = [
            np.load(folder / f"{name}_frechet_distance.npz")
            for folder in (single, sharded)
        ]
        np.testing.assert_array_equal(*(x["sum_of_products"] for x in pair))


def test_skipped_clips_are_counted(models, extractor, tmp_path):
    class Broken(data.MovingShapes):
        def render(self, index):
            if index in (1, 4):  # One in each shard.
                raise data.VideoDecodeError(f"{index} does not decode")
            return super().render(index)

    source = Broken(6, num_frames=4, image_size=16)
    clips = evaluation.EvaluationClips(source, 4, 16, "first", on_error="skip")
    for i in (0, 1):
        run("reconstruction", tmp_path, models, extractor, (i, 2), clips)
    results, _ = evaluation.merge(tmp_path)
    assert results["num_skipped_clips"] == 2
    assert results["num_real_clips"] == 4


def test_reconstruction_metrics(models, extractor, tmp_path):
    lpips = LPIPS(seed=0)
    clips = make_clips()
    run(
        "reconstruction",
        tmp_path,
        models,
        extractor,
        perceptual_model=lpips,
        save_videos=True,
    )
    results, settings = evaluation.merge(tmp_path)
    videos = np.concatenate(
        [video for video, _, _ in clips.batches([range(0, 6), range(6, 13)])]
    )
    assert len(videos) == results["num_real_clips"] == NUM_CLIPS
    tokenizer = models["tokenizer"]
    decoded = tokenizer.decode(tokenizer.encode(videos))
    decoded = keras.ops.convert_to_numpy(decoded)
    error = ((videos - decoded) ** 2).mean(axis=(1, 2, 3, 4))
    np.testing.assert_allclose(results["MSE"], error.mean(), rtol=1e-5)
    np.testing.assert_allclose(
        results["PSNR"], (-10 * np.log10(error)).mean(), rtol=1e-5
    )
    distances = keras.ops.convert_to_numpy(lpips(videos, decoded))
    np.testing.assert_allclose(results["LPIPS"], distances.mean(), rtol=1e-4)
    assert results["SSIM"] < 1
    moving = keras.ops.convert_to_numpy(metrics.moving_psnr(videos, decoded))
    np.testing.assert_allclose(
        results["PSNR_of_moving_pixels"], np.nanmean(moving), rtol=1e-4
    )
    assert results["median_frame_PSNR"] > results["PSNR"]  # Untrained.
    assert 1 / 32 <= results["codebook_usage"] <= 1
    files = list(tmp_path.glob("shard_*/videos/*.mp4"))
    assert len(files) == NUM_CLIPS
    assert json.loads((tmp_path / "results.json").read_text()) == {
        "results": results,
        "settings": settings,
    }


def test_psnr_covers_predicted_frames_only(models, extractor, tmp_path):
    class Copying:
        """Returns the clips with blank condition frames."""

        num_condition_frames = 2
        weights = ()

        def check_tokenizer(self, tokenizer):
            pass

        def predict_frames(self, video, *args, **kwargs):
            return np.concatenate([0 * video[:, :2], video[:, 2:]], axis=1)

        def get_config(self):
            return {}

    models = {**models, "frame_generator": Copying()}
    run("frame-prediction", tmp_path, models, extractor)
    results, _ = evaluation.merge(tmp_path)
    assert results["PSNR_of_predicted_frames"] == pytest.approx(120.0)
    assert results["PSNR_of_predicted_moving_pixels"] == pytest.approx(120.0)
    assert results["last_frame_PSNR_of_predicted_moving_pixels"] < 30
    assert "linear_extrapolation_PSNR_of_predicted_frames" in results
    assert results["frechet_distance"] > 0.01


def test_names_of_i3d_distances(models, tmp_path):
    i3d = evaluation.FeatureExtractor(mean_colors, "I3D", "FVD")
    names = {"reconstruction": "rFVD", "generation": "gFVD"}
    for kind, name in {**names, "frame-prediction": "FVD"}.items():
        run(kind, tmp_path / kind, models, i3d)
        assert name in evaluation.merge(tmp_path / kind)[0]


def test_interrupted_shard_is_named_and_repeated(
    models, extractor, tmp_path, monkeypatch
):
    single, sharded = tmp_path / "single", tmp_path / "sharded"
    run("reconstruction", single, models, extractor)
    run("reconstruction", sharded, models, extractor, (0, 2))

    def interrupted(videos):
        interrupted.calls += 1
        if interrupted.calls > 2:
            raise KeyboardInterrupt
        return mean_colors(videos)

    interrupted.calls = 0
    monkeypatch.setattr(extractor, "function", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run("reconstruction", sharded, models, extractor, (1, 2))
    monkeypatch.undo()
    assert not list(sharded.glob("*.partial"))
    # A process that was killed leaves its folder behind.
    (sharded / "shard_0001_of_0002.partial").mkdir()
    with pytest.raises(
        FileNotFoundError, match=r"shard_0001_of_0002 \(started, not finished\)"
    ):
        evaluation.merge(sharded)
    run("reconstruction", sharded, models, extractor, (1, 2))
    assert evaluation.merge(sharded)[0] == evaluation.merge(single)[0]
    assert not list(sharded.glob("*.partial"))


def test_complete_shard_is_repeated_only_with_overwrite(
    models, extractor, tmp_path, monkeypatch
):
    run("reconstruction", tmp_path, models, extractor)
    calls = []
    monkeypatch.setattr(
        extractor,
        "function",
        lambda videos: calls.append(1) or mean_colors(videos),
    )
    run("reconstruction", tmp_path, models, extractor)
    assert not calls
    run("reconstruction", tmp_path, models, extractor, overwrite=True)
    assert len(calls) == 10
    assert evaluation.merge(tmp_path)[0]["num_real_clips"] == NUM_CLIPS


def test_other_settings_are_rejected(models, extractor, tmp_path):
    run("reconstruction", tmp_path, models, extractor, (0, 2))
    with pytest.raises(ValueError, match="shard_0000_of_0002 has.*'seed': 0"):
        run(
            "reconstruction",
            tmp_path,
            models,
            extractor,
            (1, 2),
            clips=make_clips(seed=1),
        )


def test_shards_with_other_labels_are_rejected(models, extractor, tmp_path):
    run("generation", tmp_path, models, extractor, (0, 2))
    with pytest.raises(ValueError, match="labels_sha256: shard_0000_of_0"):
        others = [*range(9), 0]
        run("generation", tmp_path, models, extractor, (1, 2), labels=others)


@pytest.mark.parametrize(
    "kind, extractor",
    [
        ("reconstruction", mean_colors),
        ("reconstruction", I3D),
        ("generation", None),
        ("frame-prediction", None),
    ],
)
def test_other_extractors_are_rejected(kind, extractor, models, tmp_path):
    with pytest.raises(ValueError, match="must be a `FeatureExtractor`"):
        run(kind, tmp_path, models, extractor)


@pytest.mark.parametrize("count", [0, 4])
def test_invalid_num_condition_frames(count, models, extractor, tmp_path):
    with pytest.raises(ValueError, match=f"from 1 to 3.*frames={count}"):
        run(
            "frame-prediction",
            tmp_path,
            models,
            extractor,
            num_condition_frames=count,
        )


def test_mismatched_arguments_are_rejected(models, extractor, tmp_path):
    with pytest.raises(ValueError, match="5 batches.*Received: 6 shards"):
        run("reconstruction", tmp_path, models, extractor, (0, 6))
    long = evaluation.FeatureExtractor(mean_colors, "I3D sha256:0", "FVD", 9)
    with pytest.raises(ValueError, match="I3D needs.*9 frames.*of 4 frames"):
        run("generation", tmp_path, models, long)
    source = data.MovingShapes(4, num_frames=4, image_size=32)
    clips = evaluation.EvaluationClips(source, 4, 32)
    with pytest.raises(ValueError, match=r"\(4, 16\).*Received: \(4, 32\)"):
        run("reconstruction", tmp_path, models, extractor, clips=clips)
    other = {**models, "generator": tiny_generator(vocab_size=16)}
    with pytest.raises(ValueError, match="of 16 codes.*of 32 codes"):
        run("generation", tmp_path, other, extractor)
    assert not list(tmp_path.iterdir())


class ConstantClassifier(keras.Model):
    """Assigns every clip to class 0."""

    accuracy = 1.0

    def call(self, videos):
        first = keras.ops.zeros_like(videos[:, 0, 0, 0, 0], "int32")
        return keras.ops.one_hot(first, 12)


def test_class_fidelity(models, extractor, tmp_path):
    classifier = ConstantClassifier()
    run("generation", tmp_path, models, extractor, classifier=classifier)
    results, settings = evaluation.merge(tmp_path)
    assert results["class_fidelity"] == pytest.approx(0.1)  # 1 label of 10
    assert 0 <= results["class_fidelity_of_real_clips"] < 0.5
    assert settings["classifier_accuracy"] == 1.0
    assert "motion_class_fidelity" not in results


class LastClassifier(ConstantClassifier):
    """Assigns every clip to class 1."""

    accuracy = 0.5

    def call(self, videos):
        return keras.ops.roll(super().call(videos), 1, axis=-1)


def test_motion_class_fidelity_is_reported_next_to_class_fidelity(
    models, extractor, tmp_path
):
    run(
        "generation",
        tmp_path,
        models,
        extractor,
        labels=[0, 1, 1, 2, 1],
        classifier=ConstantClassifier(),
        motion_classifier=LastClassifier(),
    )
    results, settings = evaluation.merge(tmp_path)
    assert results["class_fidelity"] == pytest.approx(1 / 5)
    assert results["motion_class_fidelity"] == pytest.approx(3 / 5)
    labels = make_clips().labels()
    assert results["motion_class_fidelity_of_real_clips"] == pytest.approx(
        np.mean(labels == 1)
    )
    assert settings["motion_classifier_accuracy"] == 0.5


def test_motion_of_generated_and_real_clips_is_reported(
    models, extractor, tmp_path
):
    run("generation", tmp_path, models, extractor)
    results, _ = evaluation.merge(tmp_path)
    videos = np.concatenate(
        [video for video, _, _ in make_clips().batches([range(13)])]
    )
    moving = keras.ops.convert_to_numpy(metrics.moving_pixels(videos))
    assert results["moving_pixel_fraction_of_real_clips"] == pytest.approx(
        moving.mean(), rel=1e-5
    )
    assert 0 <= results["moving_pixel_fraction"] <= 1
    assert {"still_flicker", "still_flicker_of_real_clips"} <= set(results)


class PartlyLabeled(data.MovingShapes):
    """Every other clip has class 0, the others have none."""

    def label(self, index):
        return -(index % 2)


def test_clips_without_a_class_do_not_count_for_class_fidelity(
    models, extractor, tmp_path
):
    clips = evaluation.EvaluationClips(PartlyLabeled(6, 4, 16), 4, 16)
    models = {
        **models,
        "generator": tiny_generator(num_classes=12, class_dropout=0.1),
    }
    options = {"clips": clips, "classifier": ConstantClassifier()}
    labels = [-1, -1, -1, 0, 0, 1]  # the first batch has no class
    run("generation", tmp_path, models, extractor, labels=labels, **options)
    results, _ = evaluation.merge(tmp_path)
    assert results["class_fidelity"] == pytest.approx(2 / 3)
    assert results["class_fidelity_of_real_clips"] == 1.0


@pytest.mark.once
def test_labels_may_be_a_tensor(models, extractor, tmp_path):
    run("generation", tmp_path, models, extractor)
    labels = AcceleratorTensor(np.arange(10))
    # Complete, with the same settings.
    run("generation", tmp_path, models, extractor, labels=labels)
