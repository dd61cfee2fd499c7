"""Evaluation of reconstruction, generation and frame prediction.

Each function evaluates one shard; `merge` combines shards into results.
"""

import hashlib
import os
import pathlib
from typing import Any

import keras
import numpy as np

from keras_larp import data
from keras_larp.evaluation.clip_classifier import (
    ClipClassifier,
    predicted_classes,
)
from keras_larp.evaluation.evaluation_clips import EvaluationClips
from keras_larp.evaluation.feature_extractor import FeatureExtractor
from keras_larp.evaluation.motion_rows import (
    generation_rows,
    prediction_rows,
    reconstruction_rows,
)
from keras_larp.evaluation.shards import check_shard, write_shard
from keras_larp.evaluation.small_video_network import resize_frames
from keras_larp.metrics import psnr, ssim
from keras_larp.metrics.ssim import WINDOW_SIZE
from keras_larp.models import LPIPS, ARVideoGenerator, LARPTokenizer
from keras_larp.utils.arrays import to_numpy
from keras_larp.utils.batching import pad_batch
from keras_larp.utils.checks import (
    check_attribute,
    check_boolean,
    check_instance,
    check_integer,
    check_path,
)
from keras_larp.utils.fingerprints import model_fingerprint
from keras_larp.utils.input_checks import check_ids, to_array
from keras_larp.version import __version__


def evaluate_reconstruction(
    folder: str | os.PathLike,
    tokenizer: LARPTokenizer,
    clips: EvaluationClips,
    feature_extractor: FeatureExtractor | None = None,
    perceptual_model: LPIPS | None = None,
    batch_size: int = 8,
    shard: tuple[int, int] = (0, 1),
    save_videos: bool = False,
    overwrite: bool = False,
    settings: dict | None = None,
    verbose: int = 1,
) -> pathlib.Path:
    """Compares clips with their reconstructions by a tokenizer.

    It measures MSE, PSNR, SSIM, PSNR of moving pixels, flicker of still ones
    and codebook usage, and the perceptual and Fréchet distances if their
    models are given. `median_frame_PSNR` and its value for moving pixels are
    those of a reconstruction that repeats the median frame of each clip.

    Args:
        folder: String or path. Folder of the evaluation, which the shard is
            written to.
        tokenizer: `LARPTokenizer`.
        clips: `EvaluationClips` of the tokenizer's size.
        feature_extractor: Optional `FeatureExtractor` of the Fréchet
            distance.
        perceptual_model: Optional `LPIPS`.
        batch_size: Integer. Part of the protocol, because the rounding of
            float32 depends on it. Defaults to 8.
        shard: Pair of integers. Index of the shard and number of shards.
            Defaults to `(0, 1)`.
        save_videos: Boolean. Whether to also write one video per clip, with
            the original and the reconstruction. Defaults to `False`.
        overwrite: Boolean. Whether to repeat a shard that is complete.
            Defaults to `False`.
        settings: Optional dictionary of further settings to report. They must
            be equal for all shards, except for `settings["paths"]`, a
            dictionary of paths on this machine.
        verbose: Integer. 0, or 1 for a progress bar. Defaults to 1.

    Returns:
        Path of the shard. `merge(folder)` returns the results.

    Raises:
        ValueError: If clips have too few frames, there are more shards than
            batches, `feature_extractor` is not a `FeatureExtractor`, or the
            folder has shards with other settings.
        VideoDecodeError: If a video cannot be decoded and the clips have
            `on_error="raise"`.

    Example:

    ```python
    tokenizer = keras_larp.presets.load("larp_tiny_moving_shapes_tokenizer")
    source = keras_larp.data.MovingShapes(16, num_frames=16, image_size=32)
    clips = keras_larp.evaluation.EvaluationClips(source, 16, 32)
    keras_larp.evaluation.evaluate_reconstruction(
        "runs/reconstruction",
        tokenizer,
        clips,
        keras_larp.evaluation.random_features(),
    )
    results, _ = keras_larp.evaluation.merge("runs/reconstruction")
    results["PSNR"]
    ```

    Reference:
        - [LARP](https://arxiv.org/abs/2410.21264), section 4.2
    """
    _check_arguments(**locals())
    _check_size(clips, tokenizer)
    distance, extractors = None, {}
    if feature_extractor is not None:
        distance = _distance_name(
            feature_extractor, "r", clips.loader.num_frames
        )
        extractors = {distance: feature_extractor.name}
    settings = {
        **_common_settings("reconstruction", batch_size, settings),
        "clips": clips.settings(),
        "tokenizer_sha256": model_fingerprint(tokenizer),
        "codebook_size": tokenizer.codebook_size,
        "extractors": extractors,
    }
    if perceptual_model is not None:
        settings["perceptual_model_sha256"] = model_fingerprint(
            perceptual_model
        )

    def measure(ranges, folder):
        for videos, _, indices in clips.batches(ranges):
            count = len(indices)
            if not count:
                yield {}
                continue
            videos = pad_batch(videos, batch_size)
            token_ids = tokenizer.encode(videos)
            reconstructions = to_numpy(tokenizer.decode(token_ids))
            rows = {
                "token_ids": to_numpy(token_ids),
                **_pixel_metrics(videos, reconstructions),
            }
            if tokenizer.num_frames > 1:
                rows |= reconstruction_rows(videos, reconstructions)
            if perceptual_model is not None:
                rows["LPIPS"] = to_numpy(
                    perceptual_model(videos, reconstructions)
                )
            if feature_extractor is not None:
                rows[f"real_{distance}"] = feature_extractor(videos)
                rows[f"generated_{distance}"] = feature_extractor(
                    reconstructions
                )
            if save_videos:
                _write_pairs(folder, indices, videos, reconstructions)
            yield {name: array[:count] for name, array in rows.items()}

    return write_shard(
        folder,
        settings,
        len(clips),
        batch_size,
        measure,
        shard,
        overwrite,
        verbose,
        skipped=lambda: clips.skipped,
    )


def evaluate_generation(
    folder: str | os.PathLike,
    generator: ARVideoGenerator,
    tokenizer: LARPTokenizer,
    labels: Any,
    clips: EvaluationClips,
    feature_extractor: FeatureExtractor,
    generate_options: dict | None = None,
    classifier: ClipClassifier | None = None,
    motion_classifier: ClipClassifier | None = None,
    batch_size: int = 8,
    shard: tuple[int, int] = (0, 1),
    save_videos: bool = False,
    overwrite: bool = False,
    settings: dict | None = None,
    verbose: int = 1,
) -> pathlib.Path:
    """Compares generated clips with real ones by a Fréchet distance.

    It also measures, for both, the fraction of moving pixels and the flicker
    of still ones.

    Args:
        folder: String or path. Folder of the evaluation, which the shard is
            written to.
        generator: Class-conditional `ARVideoGenerator`.
        tokenizer: `LARPTokenizer` that decodes its tokens.
        labels: Integers of shape `(num_samples,)`. Class of each generated
            clip, -1 for none. `EvaluationClips.labels()` of training clips
            follows the class distribution of the training set.
        clips: `EvaluationClips`. The real clips, of any number.
        feature_extractor: `FeatureExtractor` of the Fréchet distance.
        generate_options: Optional dictionary of arguments of `generate`:
            `guidance_scale`, `guidance_interval`, `temperature`, `top_k`,
            `top_p`, `num_tokens`, `seed`.
        classifier: Optional `ClipClassifier`. Adds the fraction of generated
            clips that it assigns to their class to the results. Clips without
            a class (-1) do not count.
        motion_classifier: Optional `ClipClassifier`, built with
            `motion_only=True`. Adds the same fraction of a classifier that
            sees only the differences between frames.
        batch_size: As in `evaluate_reconstruction`.
        shard: As in `evaluate_reconstruction`.
        save_videos: Boolean. Whether to also write the generated clips.
            Defaults to `False`.
        overwrite: As in `evaluate_reconstruction`.
        settings: As in `evaluate_reconstruction`.
        verbose: As in `evaluate_reconstruction`.

    Returns:
        Path of the shard. `merge(folder)` returns the results.

    Raises:
        ValueError: As in `evaluate_reconstruction`.
        VideoDecodeError: As in `evaluate_reconstruction`.

    Example:

    ```python
    name = "larp_tiny_moving_shapes"
    tokenizer = keras_larp.presets.load(f"{name}_tokenizer")
    generator = keras_larp.presets.load(f"{name}_generator")
    source = keras_larp.data.MovingShapes(16, num_frames=16, image_size=32)
    clips = keras_larp.evaluation.EvaluationClips(source, 16, 32)
    keras_larp.evaluation.evaluate_generation(
        "runs/generation",
        generator,
        tokenizer,
        clips.labels(),
        clips,
        keras_larp.evaluation.random_features(),
        generate_options={"guidance_scale": 1.25, "seed": 0},
    )
    results, _ = keras_larp.evaluation.merge("runs/generation")
    results["random_frechet_distance"]
    ```

    Reference:
        - [LARP](https://arxiv.org/abs/2410.21264), section 4.3
    """
    _check_arguments(**locals())
    check_attribute(
        "generator", generator, "check_tokenizer", "ARVideoGenerator"
    )
    _check_size(clips, tokenizer)
    generator.check_tokenizer(tokenizer)
    distance = _distance_name(feature_extractor, "g", tokenizer.num_frames)
    generate_options = {"seed": 0, **(generate_options or {})}
    labels = _check_labels(labels, generator.num_classes)
    settings = {
        **_common_settings("generation", batch_size, settings),
        "num_samples": len(labels),
        "labels_sha256": hashlib.sha256(labels.tobytes()).hexdigest(),
        "generate_options": generate_options,
        "real_clips": clips.settings(),
        "tokenizer_sha256": model_fingerprint(tokenizer),
        "generator_sha256": model_fingerprint(generator),
        "extractors": {distance: feature_extractor.name},
    }
    classifiers = {"": classifier, "motion_": motion_classifier}
    classifiers = {p: c for p, c in classifiers.items() if c is not None}
    for prefix, model in classifiers.items():
        settings[f"{prefix}classifier_sha256"] = model_fingerprint(model)
        settings[f"{prefix}classifier_accuracy"] = model.accuracy

    def measure_clips(videos, class_ids, suffix=""):
        """Motion, and whether each clip with a class is assigned to it."""
        rows, count = {}, len(class_ids)
        if tokenizer.num_frames > 1:
            rows = generation_rows(videos, suffix)
            rows = {name: row[:count] for name, row in rows.items()}
        has_class = class_ids >= 0
        if not has_class.any():
            return rows
        for prefix, model in classifiers.items():
            predicted = predicted_classes(model, videos)[:count]
            name = f"{prefix}class_fidelity{suffix}"
            rows[name] = (predicted == class_ids)[has_class]
        return rows

    def measure_real(videos, classes, indices):
        count = len(indices)
        videos = pad_batch(videos, batch_size)
        rows = {f"real_{distance}": feature_extractor(videos)[:count]}
        return rows | measure_clips(videos, classes, "_of_real_clips")

    def measure_generated(indices, folder):
        class_ids = labels[indices.start : indices.stop]
        count = len(class_ids)
        videos = generator.generate(
            class_ids,
            tokenizer=tokenizer,
            batch_size=batch_size,
            sample_offset=indices.start,
            **generate_options,
        )
        videos = to_numpy(videos)
        padded = pad_batch(videos, batch_size)
        rows = {f"generated_{distance}": feature_extractor(padded)[:count]}
        rows |= measure_clips(padded, class_ids)
        if save_videos:
            for index, video in zip(indices, videos, strict=True):
                data.write_video(_video_path(folder, index), video)
        return rows

    def measure(ranges, folder):
        real_ranges = [_clip_range(indices, len(clips)) for indices in ranges]
        real_batches = clips.batches(real_ranges)
        for indices, batch in zip(ranges, real_batches, strict=True):
            rows = measure_real(*batch) if batch[2] else {}
            indices = _clip_range(indices, len(labels))
            if indices:
                rows |= measure_generated(indices, folder)
            yield rows

    return write_shard(
        folder,
        settings,
        max(len(labels), len(clips)),
        batch_size,
        measure,
        shard,
        overwrite,
        verbose,
        skipped=lambda: clips.skipped,
    )


def evaluate_frame_prediction(
    folder: str | os.PathLike,
    generator: ARVideoGenerator,
    tokenizer: LARPTokenizer,
    clips: EvaluationClips,
    feature_extractor: FeatureExtractor,
    num_condition_frames: int | None = None,
    compare_size: int = 64,
    generate_options: dict | None = None,
    batch_size: int = 8,
    shard: tuple[int, int] = (0, 1),
    save_videos: bool = False,
    overwrite: bool = False,
    settings: dict | None = None,
    verbose: int = 1,
) -> pathlib.Path:
    """Predicts clips from their first frames and compares with the originals.

    As in the paper, the Fréchet distance compares complete clips, whose first
    frames are decoded from tokens. PSNR covers the predicted frames only, all
    pixels and moving ones. Results with the prefixes `last_frame_` and
    `linear_extrapolation_` are those of two predictions without a model: the
    last known frame, repeated, and the change between the last two known
    frames, continued.

    Args:
        folder: String or path. Folder of the evaluation, which the shard is
            written to.
        generator: `ARVideoGenerator` with `conditioning="frames"`.
        tokenizer: `LARPTokenizer` that decodes its tokens.
        clips: `EvaluationClips`.
        feature_extractor: `FeatureExtractor` of the Fréchet distance.
        num_condition_frames: Integer. Number of frames to condition on.
            `None` uses the generator's number. Defaults to `None`.
        compare_size: Integer. Height and width that both clips are resized to
            before the comparison. Defaults to 64, as in the paper.
        generate_options: Optional dictionary of arguments of
            `predict_frames`: `temperature`, `top_k`, `top_p`, `num_tokens`,
            `seed`.
        batch_size: As in `evaluate_reconstruction`.
        shard: As in `evaluate_reconstruction`.
        save_videos: As in `evaluate_reconstruction`, with predicted clips.
        overwrite: As in `evaluate_reconstruction`.
        settings: As in `evaluate_reconstruction`.
        verbose: As in `evaluate_reconstruction`.

    Returns:
        Path of the shard. `merge(folder)` returns the results.

    Raises:
        ValueError: As in `evaluate_reconstruction`.
        VideoDecodeError: As in `evaluate_reconstruction`.

    Example:

    ```python
    name = "larp_tiny_moving_shapes"
    tokenizer = keras_larp.presets.load(f"{name}_tokenizer")
    generator = keras_larp.presets.load(f"{name}_frame_prediction")
    source = keras_larp.data.MovingShapes(16, num_frames=16, image_size=32)
    clips = keras_larp.evaluation.EvaluationClips(source, 16, 32)
    keras_larp.evaluation.evaluate_frame_prediction(
        "runs/frame_prediction",
        generator,
        tokenizer,
        clips,
        keras_larp.evaluation.random_features(),
        compare_size=32,
    )
    results, _ = keras_larp.evaluation.merge("runs/frame_prediction")
    results["PSNR_of_predicted_frames"]
    ```

    Reference:
        - [LARP](https://arxiv.org/abs/2410.21264), section 4.3
    """
    _check_arguments(**locals())
    check_attribute(
        "generator", generator, "check_tokenizer", "ARVideoGenerator"
    )
    _check_size(clips, tokenizer)
    generator.check_tokenizer(tokenizer)
    distance = _distance_name(feature_extractor, "", tokenizer.num_frames)
    generate_options = {"seed": 0, **(generate_options or {})}
    if num_condition_frames is None:
        num_condition_frames = generator.num_condition_frames
    check_integer(
        "num_condition_frames",
        num_condition_frames,
        1,
        tokenizer.num_frames - 1,  # At least one frame to predict.
    )
    settings = {
        **_common_settings("frame-prediction", batch_size, settings),
        "num_condition_frames": num_condition_frames,
        "compare_size": compare_size,
        "generate_options": generate_options,
        "clips": clips.settings(),
        "tokenizer_sha256": model_fingerprint(tokenizer),
        "generator_sha256": model_fingerprint(generator),
        "extractors": {distance: feature_extractor.name},
    }

    def measure(ranges, folder):
        batches = clips.batches(ranges)
        for range_, batch in zip(ranges, batches, strict=True):
            videos, _, indices = batch
            if not indices:
                yield {}
                continue
            videos = pad_batch(videos, batch_size)
            predicted = generator.predict_frames(
                videos,
                tokenizer,
                num_condition_frames,
                batch_size=batch_size,
                sample_offset=range_.start,
                **generate_options,
            )
            pair = [
                np.clip(to_numpy(resize_frames(x, compare_size)), 0.0, 1.0)
                for x in (videos, predicted)
            ]
            rows = {
                **prediction_rows(*pair, num_condition_frames),
                f"real_{distance}": feature_extractor(pair[0]),
                f"generated_{distance}": feature_extractor(pair[1]),
            }
            if save_videos:
                _write_pairs(folder, indices, *pair)
            yield {name: array[: len(indices)] for name, array in rows.items()}

    return write_shard(
        folder,
        settings,
        len(clips),
        batch_size,
        measure,
        shard,
        overwrite,
        verbose,
        skipped=lambda: clips.skipped,
    )


def _check_arguments(
    folder,
    tokenizer,
    clips,
    batch_size,
    shard,
    save_videos,
    overwrite,
    settings,
    verbose,
    perceptual_model=None,
    classifier=None,
    motion_classifier=None,
    generate_options=None,
    compare_size=1,
    **others,
):
    """Checks the arguments that evaluations share."""
    check_path("folder", folder)
    check_instance("tokenizer", tokenizer, LARPTokenizer)
    check_instance("clips", clips, EvaluationClips)
    for name, value, kind in (
        ("perceptual_model", perceptual_model, keras.layers.Layer),
        ("classifier", classifier, keras.Model),
        ("motion_classifier", motion_classifier, keras.Model),
        ("settings", settings, dict),
        ("generate_options", generate_options, dict),
    ):
        if value is not None:
            check_instance(name, value, kind)
    check_integer("batch_size", batch_size, 1)
    check_integer("compare_size", compare_size, 1)
    check_integer("verbose", verbose, 0, 1)
    check_boolean("save_videos", save_videos)
    check_boolean("overwrite", overwrite)
    check_shard(shard)


def _check_labels(labels, num_classes):
    """Returns class ids, -1 for no class, as int32 `(num_samples,)`."""
    labels = to_array(labels, "labels")
    has_class = np.where(labels == -1, 0, labels)
    check_ids(has_class, "labels", num_classes, (None,))
    return labels.astype("<i4")


def _common_settings(kind, batch_size, settings):
    return {
        "kind": kind,
        **(settings or {}),
        "batch_size": batch_size,
        "backend": keras.backend.backend(),
        "keras": keras.version(),
        "keras_larp": __version__,
    }


def _distance_name(feature_extractor, prefix, num_frames):
    """Returns the name of the distance in results, such as rFVD or gFVD."""
    if not isinstance(feature_extractor, FeatureExtractor):
        raise ValueError(
            "`feature_extractor` must be a `FeatureExtractor`, such as "
            "`i3d_features(file)`, `random_features()` or "
            "`FeatureExtractor(function, name)`. Received: "
            f"feature_extractor={feature_extractor!r}"
        )
    feature_extractor.check(num_frames)
    if feature_extractor.distance == "FVD":
        return f"{prefix}FVD"
    return feature_extractor.distance


def _check_size(clips, tokenizer):
    received = clips.loader.num_frames, clips.loader.image_size
    expected = tokenizer.num_frames, tokenizer.image_size
    if received != expected:
        raise ValueError(
            "Clips must have the (frames, height) of the tokenizer, "
            f"{expected}. Received: {received}"
        )


def _pixel_metrics(videos, reconstructions):
    """Returns arrays with one value per clip."""
    difference = videos.astype("float64") - reconstructions
    rows = {
        "MSE": np.mean(difference**2, axis=(1, 2, 3, 4)),
        "PSNR": to_numpy(psnr(videos, reconstructions)),
    }
    if min(videos.shape[2:4]) >= WINDOW_SIZE:
        rows["SSIM"] = to_numpy(ssim(videos, reconstructions))
    return rows


def _clip_range(indices, stop):
    return range(min(indices.start, stop), min(indices.stop, stop))


def _video_path(folder, index):
    return folder / "videos" / f"{index:06d}.mp4"


def _write_pairs(folder, indices, originals, results):
    """Writes one video per clip, with the original on the left."""
    # Batches are padded: stop at the last index.
    for index, *pair in zip(indices, originals, results, strict=False):
        grid = data.video_grid(np.stack(pair), 2)
        data.write_video(_video_path(folder, index), grid)
