"""The three evaluations, each of one shard; `merge` puts shards together."""

import hashlib

import keras
import numpy as np
from keras import ops

from keras_larp import data
from keras_larp.evaluation.clip_classifier import predicted_classes
from keras_larp.evaluation.feature_extractor import FeatureExtractor
from keras_larp.evaluation.shards import write_shard
from keras_larp.evaluation.small_video_network import resize_frames
from keras_larp.metrics import psnr, ssim
from keras_larp.metrics.ssim import WINDOW_SIZE
from keras_larp.utils.checks import check_integer
from keras_larp.version import __version__


def evaluate_reconstruction(
    folder,
    tokenizer,
    clips,
    extractor=None,
    perceptual_model=None,
    batch_size=8,
    shard=(0, 1),
    save_videos=False,
    overwrite=False,
    settings=None,
    verbose=1,
):
    """Compares clips with what a tokenizer makes of them.

    MSE, PSNR and SSIM; the perceptual distance and the Fréchet distance where
    their models are given; and how the codebook is used.

    Args:
        folder: Path, where shards are written.
        tokenizer: A `LARPTokenizer`.
        clips: `EvaluationClips` of its size.
        extractor: Optional `FeatureExtractor`.
        perceptual_model: Optional `LPIPS`.
        batch_size: Integer; a part of the protocol, since float32 rounds
            otherwise in batches of other sizes.
        shard: Pair of integers, which part of how many.
        save_videos: Boolean, whether originals beside reconstructions are
            written too, a file a clip.
        overwrite: Boolean, whether to do again a shard that is there.
        settings: Optional dictionary of what a report should also tell. It
            has to be the same for all shards, but for what is in its
            "places", a dictionary of where files lie on this machine.
        verbose: 0, or 1 for a progress bar.

    Returns:
        Path of the shard. `merge(folder)` gives the results.

    Raises:
        ValueError: for too few frames, more shards than batches, an extractor
            of another kind, and a folder with shards of other settings.
        VideoDecodeError: where a video does not decode.

    Example:

    ```python
    clips = keras_larp.evaluation.EvaluationClips(
        keras_larp.data.UCF101("UCF-101"), 16, 128, frame_sampling="random"
    )
    keras_larp.evaluation.evaluate_reconstruction(
        "runs/rfvd",
        tokenizer,
        clips,
        keras_larp.evaluation.i3d_features("i3d_pretrained_400.pt"),
    )
    results, _ = keras_larp.evaluation.merge("runs/rfvd")
    results["PSNR"], results["rFVD"]
    ```
    """
    _check_size(clips, tokenizer)
    distance = None
    if extractor is not None:
        distance = _distance(extractor, "r", clips.loader.num_frames)
    settings = {
        **_common_settings("reconstruction", batch_size, settings),
        "clips": clips.settings(),
        "tokenizer_sha256": data.model_fingerprint(tokenizer),
        "codebook_size": tokenizer.codebook_size,
        "extractors": {distance: extractor.name} if extractor else {},
    }
    if perceptual_model is not None:
        settings["perceptual_model_sha256"] = data.model_fingerprint(
            perceptual_model
        )

    def measure(ranges, part):
        for videos, _, numbers in clips.batches(ranges):
            count = len(numbers)
            if not count:
                yield {}
                continue
            videos = _filled(videos, batch_size)
            token_ids = tokenizer.encode(videos)
            results = _numpy(tokenizer.decode(token_ids))
            rows = {"token_ids": _numpy(token_ids), **_errors(videos, results)}
            if perceptual_model is not None:
                rows["LPIPS"] = _numpy(perceptual_model(videos, results))
            if extractor is not None:
                rows[f"real_{distance}"] = extractor(videos)
                rows[f"generated_{distance}"] = extractor(results)
            if save_videos:
                _write_pairs(part, numbers, videos, results)
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
    folder,
    generator,
    tokenizer,
    labels,
    clips,
    extractor,
    generate_options=None,
    classifier=None,
    batch_size=8,
    shard=(0, 1),
    save_videos=False,
    overwrite=False,
    settings=None,
    verbose=1,
):
    """Compares generated clips with real ones.

    Args:
        folder: Path, where shards are written.
        generator: An `ARVideoGenerator` of classes.
        tokenizer: The `LARPTokenizer` of its tokens.
        labels: int `(num_samples,)`, the class of each generated clip;
            `EvaluationClips.labels()` of training clips are drawn as classes are
            in the training set.
        clips: `EvaluationClips`, the real ones; need not be equally many.
        extractor: `FeatureExtractor`.
        generate_options: Dictionary of options of `generate`: `guidance_scale`,
            `guidance_interval`, `temperature`, `top_k`, `top_p`, `seed`.
        classifier: Optional `ClipClassifier`; the share of clips that it
            puts in the class that they were generated for is reported.
        batch_size, shard, save_videos, overwrite, settings, verbose: As in
            `evaluate_reconstruction`.

    Returns:
        Path of the shard. `merge(folder)` gives the results.

    Raises:
        ValueError, VideoDecodeError: as in `evaluate_reconstruction`.

    Example:

    ```python
    clips = keras_larp.evaluation.EvaluationClips(
        keras_larp.data.UCF101("UCF-101"), 16, 128, num_clips=9_000, seed=42
    )
    keras_larp.evaluation.evaluate_generation(
        "runs/gfvd",
        generator,
        tokenizer,
        clips.labels(),
        clips,
        keras_larp.evaluation.i3d_features("i3d_pretrained_400.pt"),
        generate_options={"guidance_scale": 1.25, "seed": 0},
    )
    results, _ = keras_larp.evaluation.merge("runs/gfvd")
    results["gFVD"]
    ```
    """
    _check_size(clips, tokenizer)
    generator.check_tokenizer(tokenizer)
    distance = _distance(extractor, "g", tokenizer.num_frames)
    generate_options = {"seed": 0, **(generate_options or {})}
    labels = np.asarray(labels, "<i4")
    settings = {
        **_common_settings("generation", batch_size, settings),
        "num_samples": len(labels),
        "labels_sha256": hashlib.sha256(labels.tobytes()).hexdigest(),
        "generate_options": generate_options,
        "real_clips": clips.settings(),
        "tokenizer_sha256": data.model_fingerprint(tokenizer),
        "generator_sha256": data.model_fingerprint(generator),
        "extractors": {distance: extractor.name},
    }
    if classifier is not None:
        settings["classifier_sha256"] = data.model_fingerprint(classifier)
        settings["classifier_accuracy"] = classifier.accuracy

    def real_rows(videos, classes, numbers):
        videos = _filled(videos, batch_size)
        rows = {f"real_{distance}": extractor(videos)}
        if classifier is not None:
            found = predicted_classes(classifier, videos)[: len(numbers)]
            rows["class_fidelity_of_real_clips"] = found == classes
        return {name: array[: len(numbers)] for name, array in rows.items()}

    def generated_rows(numbers, part):
        chosen = labels[numbers.start : numbers.stop]
        videos = generator.generate(
            chosen,
            tokenizer=tokenizer,
            batch_size=batch_size,
            sample_offset=numbers.start,
            **generate_options,
        )
        videos = _numpy(videos)
        filled = _filled(videos, batch_size)
        rows = {f"generated_{distance}": extractor(filled)[: len(chosen)]}
        if classifier is not None:
            found = predicted_classes(classifier, filled)[: len(chosen)]
            rows["class_fidelity"] = found == chosen
        if save_videos:
            for number, video in zip(numbers, videos, strict=True):
                data.write_video(_file(part, number), video)
        return rows

    def measure(ranges, part):
        real = [_below(numbers, len(clips)) for numbers in ranges]
        batches = clips.batches(real)
        for numbers, batch in zip(ranges, batches, strict=True):
            rows = real_rows(*batch) if batch[2] else {}
            numbers = _below(numbers, len(labels))
            if numbers:
                rows |= generated_rows(numbers, part)
            yield rows

    count = max(len(labels), len(clips))
    return write_shard(
        folder,
        settings,
        count,
        batch_size,
        measure,
        shard,
        overwrite,
        verbose,
        skipped=lambda: clips.skipped,
    )


def evaluate_frame_prediction(
    folder,
    generator,
    tokenizer,
    clips,
    extractor,
    num_condition_frames=None,
    compare_size=64,
    generate_options=None,
    batch_size=8,
    shard=(0, 1),
    save_videos=False,
    overwrite=False,
    settings=None,
    verbose=1,
):
    """Continues clips from their first frames, and compares with the rest.

    As in the paper, whole clips are compared by the Fréchet distance, the
    first frames as the tokens tell them; PSNR is of the predicted frames
    alone.

    Args:
        folder: Path, where shards are written.
        generator: An `ARVideoGenerator` with `conditioning="frames"`.
        tokenizer: The `LARPTokenizer` of its tokens.
        clips: `EvaluationClips`.
        extractor: `FeatureExtractor`.
        num_condition_frames: Integer; the generator's own where `None`.
        compare_size: Integer, height and width to which both clips are
            resized before they are compared.
        generate_options: Dictionary of options of `predict_frames`: `temperature`,
            `top_k`, `top_p`, `seed`.
        batch_size, shard, save_videos, overwrite, settings, verbose: As in
            `evaluate_reconstruction`.

    Returns:
        Path of the shard. `merge(folder)` gives the results.

    Raises:
        ValueError, VideoDecodeError: as in `evaluate_reconstruction`.

    Reference:
        - [LARP](https://arxiv.org/abs/2410.21264), section 4.3
    """
    _check_size(clips, tokenizer)
    generator.check_tokenizer(tokenizer)
    distance = _distance(extractor, "", tokenizer.num_frames)
    generate_options = {"seed": 0, **(generate_options or {})}
    if num_condition_frames is None:
        num_condition_frames = generator.num_condition_frames
    check_integer(
        "num_condition_frames",
        num_condition_frames,
        1,
        tokenizer.num_frames - 1,  # There must be frames to predict.
    )
    settings = {
        **_common_settings("frame-prediction", batch_size, settings),
        "num_condition_frames": num_condition_frames,
        "compare_size": compare_size,
        "generate_options": generate_options,
        "clips": clips.settings(),
        "tokenizer_sha256": data.model_fingerprint(tokenizer),
        "generator_sha256": data.model_fingerprint(generator),
        "extractors": {distance: extractor.name},
    }

    def measure(ranges, part):
        batches = clips.batches(ranges)
        for numbers, batch in zip(ranges, batches, strict=True):
            videos, _, kept = batch
            if not kept:
                yield {}
                continue
            filled = _filled(videos, batch_size)
            predicted = generator.predict_frames(
                filled,
                tokenizer,
                num_condition_frames,
                batch_size=batch_size,
                sample_offset=numbers.start,
                **generate_options,
            )
            pair = [
                np.clip(_numpy(resize_frames(x, compare_size)), 0.0, 1.0)
                for x in (filled, predicted)
            ]
            later = [x[:, num_condition_frames:] for x in pair]
            rows = {
                "PSNR_of_predicted_frames": _numpy(psnr(*later)),
                f"real_{distance}": extractor(pair[0]),
                f"generated_{distance}": extractor(pair[1]),
            }
            if save_videos:
                _write_pairs(part, kept, *pair)
            yield {name: array[: len(kept)] for name, array in rows.items()}

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


def _common_settings(kind, batch_size, settings):
    return {
        "kind": kind,
        **(settings or {}),
        "batch_size": batch_size,
        "backend": keras.backend.backend(),
        "keras": keras.version(),
        "keras_larp": __version__,
    }


def _distance(extractor, prefix, num_frames):
    """What the distance is called: rFVD, gFVD or another name."""
    if not isinstance(extractor, FeatureExtractor):
        raise ValueError(
            "`extractor` must be a `FeatureExtractor`, such as "
            "`i3d_features(file)`, `random_features()` or "
            "`FeatureExtractor(function, name)`. Received: "
            f"extractor={extractor!r}"
        )
    extractor.check(num_frames)
    is_fvd = extractor.distance == "FVD"
    return prefix + extractor.distance if is_fvd else extractor.distance


def _check_size(clips, tokenizer):
    received = clips.loader.num_frames, clips.loader.image_size
    expected = tokenizer.num_frames, tokenizer.image_size
    if received != expected:
        raise ValueError(
            "Expected clips of the tokenizer's size, (frames, height) of "
            f"{expected}. Received: {received}"
        )


def _errors(videos, results):
    """Errors of each clip."""
    difference = videos.astype("float64") - results
    rows = {
        "MSE": np.mean(difference**2, axis=(1, 2, 3, 4)),
        "PSNR": _numpy(psnr(videos, results)),
    }
    if min(videos.shape[2:4]) >= WINDOW_SIZE:
        rows["SSIM"] = _numpy(ssim(videos, results))
    return rows


def _filled(videos, batch_size):
    """A whole batch, with the last clip again: nothing compiles twice, and
    clips round alike whatever a shard is cut off at."""
    missing = batch_size - len(videos)
    return np.concatenate([videos, np.repeat(videos[-1:], missing, axis=0)])


def _below(numbers, stop):
    return range(min(numbers.start, stop), min(numbers.stop, stop))


def _numpy(tensor):
    return np.asarray(ops.convert_to_numpy(tensor))


def _file(part, number):
    return part / "videos" / f"{number:06d}.mp4"


def _write_pairs(part, numbers, videos, results):
    """A file a clip, the original on the left."""
    for number, *pair in zip(numbers, videos, results, strict=False):
        data.write_video(
            _file(part, number), data.video_grid(np.stack(pair), 2)
        )
