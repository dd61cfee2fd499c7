"""Invalid arguments that were once accepted, or refused unclearly."""

import keras
import numpy as np
import pytest
from tiny_models import clips, tiny_generator, tiny_tokenizer

from keras_larp import callbacks, data, evaluation, layers, metrics, recipes
from keras_larp.training import schedules

NAN = float("nan")
FRAMES = np.zeros((4, 16, 16, 3), "uint8")


def _shapes():
    return data.MovingShapes(4, num_frames=4, image_size=16)


@pytest.mark.parametrize(
    "arguments",
    [
        {"num_channels": "8"},
        {"num_tokens": 4.0},
        {"num_frames": True},
        {"image_size": -16},
        {"query_init_std": NAN},
        {"prior_temperature": float("inf")},
        {"patch_size": (2, 8, 8.0)},
        {"prior": 3},
        {"quantizer": "batch"},
        {"seed": -1},
    ],
    ids=str,
)
def test_tokenizer_names_the_invalid_argument(arguments):
    (name,) = arguments
    with pytest.raises((TypeError, ValueError), match=f"`{name}`.*Received: "):
        tiny_tokenizer(**arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        {"class_dropout": 2},
        {"epsilon": NAN},
        {"num_condition_frames": 0},
        {"class_names": "abc"},
        {"class_names": ["a", "b", "a"]},
    ],
    ids=str,
)
def test_generator_names_the_invalid_argument(arguments):
    (name,) = arguments
    with pytest.raises(ValueError, match=f"`{name}`.*Received"):
        tiny_generator(**arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        {"learning_rate": -1e-4},
        {"learning_rate": NAN},
        {"beta_1": 2},
        {"ema_decay": 1.0},
        {"prior_loss_weight": "0.06"},
        {"epsilon": NAN},
        {"dtype": "float12"},
        {"prior": "gptc-unknown"},
    ],
    ids=str,
)
@pytest.mark.once
def test_recipes_name_the_invalid_setting(arguments):
    (name,) = arguments
    with pytest.raises((TypeError, ValueError), match=f"`{name}`.*Received: "):
        recipes.small_data_tokenizer(**arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        {"prior_loss_weight": "0.06"},
        {"pixel_loss_weight": len},
        {"lecam_weight": NAN},
        {"optimizer": None},
        {"optimizer": {"a": 1}},
        {"discriminator": "discriminator"},
        {"perceptual_model": "lpips"},
        {"temperature_schedule": "linear"},
        {"adversarial_loss": "unknown"},
    ],
    ids=str,
)
def test_compile_names_the_invalid_argument(arguments):
    (name,) = arguments
    with pytest.raises((TypeError, ValueError), match=f"`{name}`.*Received: "):
        tiny_tokenizer().compile(**arguments)


@pytest.mark.once
@pytest.mark.parametrize("shard", [(3, 2), (2, 2), (-1, 2), (0, 0), 1])
def test_shards_outside_of_their_number_are_refused(tmp_path, shard):
    clips_ = evaluation.EvaluationClips(_shapes(), 4, 16)
    with pytest.raises(ValueError, match=r"`shard` must.*Received: "):
        evaluation.evaluate_reconstruction(
            tmp_path, tiny_tokenizer(), clips_, shard=shard
        )


@pytest.mark.once
@pytest.mark.parametrize(
    "box",
    [(0, 0, 0, 8), (10, 0, 8, 8), (0, 10, 8, 8), (-1, 0, 8, 8), (0, 0, 8), 4],
)
def test_crop_boxes_outside_of_frames_are_refused(box):
    with pytest.raises(ValueError, match="crop box.*16 by 16.*Received: "):
        data.resized_crop(FRAMES, box, 8)
    with pytest.raises(ValueError, match="crop box.*16 by 16.*Received: "):
        data.preprocess_clip(FRAMES, 8, crop_box=box)


def test_metrics_refuse_different_numbers_of_clips():
    for metric in (metrics.psnr, metrics.ssim):
        with pytest.raises(ValueError, match="equal shape"):
            metric(clips(4), clips(1))


def test_code_statistics_refuse_ids_out_of_range():
    statistics = metrics.CodeStatistics(4)
    for token_ids in ([[0, 4]], [[-1, 0]]):
        with pytest.raises(ValueError, match="token ids from 0 to 3"):
            statistics.update_state(np.array(token_ids))
    with pytest.raises(ValueError, match="`token_ids` must be an integer"):
        statistics.update_state(np.array([[0.0, 1.0]]))


@pytest.mark.parametrize("value", [NAN, float("inf"), -float("inf")])
def test_video_must_be_finite(tmp_path, value):
    video = clips(2)
    video[1, 0, 0, 0, 0] = value
    tokenizer = tiny_tokenizer()
    tokenizer.compile()
    entries = [
        tokenizer.encode,
        tokenizer,
        lambda x: tokenizer.fit(x, batch_size=2, verbose=0),
        lambda x: tokenizer.evaluate(x, batch_size=2, verbose=0),
        lambda x: metrics.psnr(x, clips(2)),
        lambda x: metrics.psnr(clips(2), x),
        lambda x: data.write_video(tmp_path / "a.mp4", x[1]),
        lambda x: data.video_grid(x, 2),
        lambda x: callbacks.ReconstructionGrid(x, tmp_path),
    ]
    for entry in entries:
        with pytest.raises(ValueError, match="NaN or infinity in 1 of"):
            entry(video)


@pytest.mark.once
@pytest.mark.parametrize(
    "convert, hint",
    [
        (lambda x: x * 255, "Divide video in 0..255 by 255"),
        (lambda x: x * 2 - 1, r"Map video in \[-1, 1\]"),
        (lambda x: (x * 255).astype("int32"), "Divide 8-bit video by 255"),
    ],
    ids=["0..255", "-1..1", "int32"],
)
def test_written_video_must_be_in_unit_range(tmp_path, convert, hint):
    with pytest.raises(ValueError, match=hint):
        data.write_video(tmp_path / "a.mp4", convert(clips(1)[0]))
    assert not list(tmp_path.iterdir())


def test_layers_name_the_expected_shape_and_dtype():
    block = layers.TransformerBlock(16, 2)
    for tokens in (np.ones((2, 4, 15), "float32"), np.ones((2, 4, 16), int)):
        with pytest.raises(ValueError, match=r"`tokens`.*\(batch, batch, 16\)"):
            block(tokens)
    # The error left no weights of the wrong shape.
    assert block(np.ones((2, 4, 16), "float32")).shape == (2, 4, 16)


def test_class_ids_below_minus_one_are_refused():
    generator = tiny_generator()
    with pytest.raises(ValueError, match="class ids from 0 to 2"):
        generator.generate([-2, 1])
    generator.compile()
    tokens = {
        "token_ids": np.zeros((2, 6), "int32"),
        "class_ids": np.array([-2, 1], "int32"),
    }
    with pytest.raises(ValueError, match="class ids from 0 to 2"):
        generator.fit(tokens, batch_size=2, verbose=0)


@pytest.mark.once
@pytest.mark.parametrize("num_clips", [10**12, 10**9])
def test_computed_sources_limit_the_number_of_clips(num_clips):
    with pytest.raises(ValueError, match="`num_clips` must be"):
        data.MovingShapes(num_clips)


@pytest.mark.once
@pytest.mark.parametrize("name", ["peak", "total_steps", "min_lr_ratio"])
def test_schedules_refuse_nan(name):
    arguments = {"peak": 1e-3, "total_steps": 10, name: NAN}
    with pytest.raises(ValueError, match=f"`{name}` must be a finite number"):
        schedules.WarmupCosine(**arguments)


def test_optimizers_of_keras_are_accepted():
    tokenizer = tiny_tokenizer()
    tokenizer.compile(keras.optimizers.Adam(1e-4))
    tokenizer.compile("adamw")
