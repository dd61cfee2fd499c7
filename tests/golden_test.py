"""Comparison with golden numbers of the reference implementation."""

import json

import keras
import numpy as np
import pytest
from golden_case import (
    assert_close,
    assert_gradient_norms,
    golden_video,
    load_case,
)
from keras import ops

from keras_larp import layers, metrics, models
from keras_larp.layers.sampling import filtered_probabilities
from keras_larp.losses import token_cross_entropy
from keras_larp.presets.converters.larp_weights import mappings, to_larp_state
from keras_larp.training.prior_loss import prior_loss, prior_rounds


def test_position_embeddings(golden_dir):
    case = np.load(golden_dir / "position_embeddings/arrays.npz")
    assert_close(layers.sincos_1d(10, 48), case["one_d_dim48_len10"], 1e-6)
    table = layers.sincos_1d(10, 48, max_wavelength=100)
    assert_close(table, case["one_d_dim48_len10_base100"], 1e-6)
    table = layers.sincos_3d((3, 4, 4), 48)
    assert_close(table, case["three_d_dim48_grid4_frames3"], 1e-6)


def test_psnr_and_code_statistics(golden_dir):
    case = np.load(golden_dir / "metrics/arrays.npz")
    first = golden_video(case["video_shape"])
    noise = golden_video(case["video_shape"], seed=float(case["noise_seed"]))
    second = np.clip(first + float(case["noise_weight"]) * noise, 0, 1)
    assert_close(metrics.psnr(first, second), case["psnr_per_video"])
    statistics = metrics.CodeStatistics(int(case["codebook_size"]))
    statistics.update_state(case["token_ids"])
    result = statistics.result()
    assert_close(result["codebook_usage"], case["usage"])
    assert_close(result["perplexity"], case["perplexity"])
    assert_close(result["kl_from_uniform"], case["kl_from_uniform"])


def greedy_total(model, video, case):
    """Total loss with argmax codes and greedy scheduled sampling."""
    codes = model.compute_codes(video)
    reconstruction = model.reconstruct(codes["quantized"])
    total = ops.mean(ops.abs(reconstruction - video)) + 0.1 * codes["loss"]
    outputs = {"codes": codes, "reconstruction": reconstruction}
    if model.prior is not None:
        rounds, inputs = prior_rounds(
            model.prior,
            model.quantizer.codebook(),
            codes["quantized"],
            num_rounds=model.prior_num_rounds,
            replaced=ops.convert_to_tensor(
                case["sampling_uniforms"] < case["sampling_ratio"]
            ),
        )
        outputs["rounds"], outputs["inputs"] = rounds, inputs
        outputs["prior"] = prior_loss(rounds, codes["token_ids"])
        total = total + 0.06 * outputs["prior"][0]
    return total, outputs


@pytest.mark.parametrize("name", ["tokenizer_base", "tokenizer_frame_patches"])
def test_tokenizer(golden_dir, tmp_path, name):
    model, case = load_case(golden_dir, name, tmp_path)
    video = ops.convert_to_tensor(golden_video(case["video_shape"]))
    total, outputs = greedy_total(model, video, case)
    codes = outputs["codes"]
    ids = ops.convert_to_numpy(codes["token_ids"])
    np.testing.assert_array_equal(ids, case["token_ids"])
    ids = ops.convert_to_numpy(model.encode(video))
    np.testing.assert_array_equal(ids, case["token_ids"])
    assert_close(codes["projected"], case["projected_latents"])
    assert_close(codes["quantized"], case["quantized_latents"])
    latents = model.from_code(codes["quantized"])
    assert_close(latents, case["decoder_inputs"])
    assert_close(outputs["reconstruction"], case["reconstruction"])
    for term in ("commitment_loss", "codebook_loss", "entropy_loss"):
        assert_close(codes[term], case[term])
    assert_close(codes["loss"], case["quantizer_loss"])
    assert_close(total, case["total_loss"])
    if model.prior is not None:
        first, second = outputs["rounds"]
        assert_close(first, case["prior_logits_round_1"])
        assert_close(second, case["prior_logits_round_2"])
        assert_close(outputs["inputs"], case["second_round_inputs"])
        loss, top1, top5 = outputs["prior"]
        assert_close(loss, case["prior_loss"])
        # The reference implementation's accuracies are percentages.
        assert_close(100 * top1, case["prior_top1"])
        assert_close(100 * top5, case["prior_top5"])


@pytest.mark.parametrize("name", ["tokenizer_base", "tokenizer_frame_patches"])
def test_tokenizer_gradients(golden_dir, tmp_path, name):
    model, case = load_case(golden_dir, name, tmp_path)
    video = ops.convert_to_tensor(golden_video(case["video_shape"]))
    assert_gradient_norms(
        model,
        lambda: greedy_total(model, video, case)[0],
        golden_dir,
        name,
        case["gradient_norms"],
    )


GENERATORS = ["generator_class", "generator_frame_prediction"]


@pytest.mark.parametrize("name", GENERATORS)
def test_generator_teacher_forced(golden_dir, tmp_path, name):
    model, case = load_case(golden_dir, name, tmp_path)
    inputs = {
        "token_ids": case["token_ids"],
        model.condition_name: case["condition"],
    }
    assert_close(model(inputs), case["logits"])

    def loss():
        return token_cross_entropy(model(inputs), case["token_ids"])[0]

    assert_close(loss(), case["loss"])
    assert_gradient_norms(model, loss, golden_dir, name, case["gradient_norms"])


@pytest.mark.parametrize("name", GENERATORS)
def test_generator_greedy_tokens(golden_dir, tmp_path, name):
    model, case = load_case(golden_dir, name, tmp_path)
    runs = {"greedy_ids": {}}
    if name == "generator_class":
        inputs = {
            "token_ids": case["token_ids"],
            "class_ids": np.full_like(case["condition"], -1),
        }
        assert_close(model(inputs), case["unconditional_logits"])
        scale = float(case["guidance_scale"])
        interval = int(case["guidance_interval"])
        runs["guided_greedy_ids"] = {"guidance_scale": scale}
        runs["guided_interval_greedy_ids"] = {
            "guidance_scale": scale,
            "guidance_interval": interval,
        }
    for expected, options in runs.items():
        ids = model.generate(
            temperature=0,
            **{model.condition_name: case["condition"]},
            **options,
        )
        ids = ops.convert_to_numpy(ids)
        np.testing.assert_array_equal(ids, case[expected])


def test_filtered_probabilities(golden_dir):
    case = np.load(golden_dir / "generator_class/arrays.npz")
    logits = case["filter_logits"]
    assert_close(
        filtered_probabilities(logits, 0.8, top_k=10),
        case["probs_temperature08_top_k10"],
    )
    assert_close(
        filtered_probabilities(logits, top_p=0.7), case["probs_top_p07"]
    )
    assert_close(
        filtered_probabilities(logits, 1.2, top_k=20, top_p=0.9),
        case["probs_temperature12_top_k20_top_p09"],
    )


def test_generator_trajectory(golden_dir, tmp_path):
    name = "generator_trajectory"
    model, case = load_case(golden_dir, name, tmp_path)
    config = json.loads((golden_dir / name / "config.json").read_text())
    assert isinstance(model, models.ARVideoGenerator)
    model.class_dropout = 0.0  # The golden case has no dropout.
    model.compile(
        keras.optimizers.AdamW(
            config["learning_rate"],
            beta_1=config["adam_beta_1"],
            beta_2=config["adam_beta_2"],
            epsilon=config["adam_epsilon"],
            weight_decay=config["weight_decay"],
        )
    )
    for step in range(config["steps"]):
        inputs = {
            "token_ids": case["token_ids"][step],
            "class_ids": case["condition"][step].astype("int32"),
        }
        result = model.train_on_batch(inputs, return_dict=True)
        model.reset_metrics()
        assert_close(result["loss"], case["loss"][step])
    arrays = [ops.convert_to_numpy(m.variable) for m in mappings(model)]
    state = to_larp_state(model, arrays)
    names = json.loads((golden_dir / name / "parameter_names.json").read_text())
    norms = [np.linalg.norm(state[n]) for n in names["generator"]]
    assert_close(np.array(norms), case["final_parameter_norms"])
