"""Initialization of the codebook: k-means of the latents of some clips."""

from typing import Any

import keras
import numpy as np
from keras import ops


def codebook_from_clips(
    tokenizer: keras.Model,
    clips: Any,
    num_clips: int,
    num_iterations: int,
    seed: int,
) -> np.ndarray:
    """k-means centers of the latents of the first `num_clips` clips.

    Args:
        tokenizer: A `LARPTokenizer`.
        clips: Clips `(B, T, H, W, C)`, or an iterable of such batches or of
            pairs of a batch and labels.
        num_clips: Integer.
        num_iterations: Integer, iterations of k-means.
        seed: Integer.

    Returns:
        NumPy float32 `(codebook_size, code_dim)`.

    Raises:
        ValueError: if there are no clips.
    """
    batches = [clips] if hasattr(clips, "shape") else clips
    latents, count = [], 0
    for batch in batches:
        video = batch[0] if isinstance(batch, tuple | list) else batch
        video = ops.convert_to_tensor(video[: num_clips - count])
        # In training mode: the moving averages of a batch normalization are
        # not initialized yet.
        outputs = tokenizer.compute_codes(video, training=True)
        latents.append(ops.convert_to_numpy(outputs["latents"]))
        count += len(latents[-1])
        if count == num_clips:
            break
    if not latents:
        raise ValueError("There are no clips to initialize the codebook from.")
    points = np.concatenate(latents).reshape(-1, tokenizer.code_dim)
    return cluster_centers(
        points, tokenizer.codebook_size, num_iterations, seed
    )


def cluster_centers(
    points: np.ndarray,
    num_centers: int,
    num_iterations: int = 10,
    seed: int = 0,
) -> np.ndarray:
    """Centers of k-means.

    An empty cluster is reset to a random point. If there are fewer points
    than centers, points are used more than once, with a little noise.

    Args:
        points: float `(M, d)`.
        num_centers: Integer.
        num_iterations: Integer. Defaults to 10.
        seed: Integer. Defaults to 0.

    Returns:
        NumPy float32 `(num_centers, d)`.
    """
    generator = np.random.default_rng(seed)
    points = np.asarray(points, "float64")
    noise_scale = 1e-3 * points.std()

    def draw(count):
        repeat = count > len(points)
        drawn = points[generator.choice(len(points), count, replace=repeat)]
        noise = generator.normal(size=drawn.shape)
        return drawn + noise_scale * repeat * noise

    centers = draw(num_centers)
    for _ in range(num_iterations):
        nearest = _nearest(points, centers)
        sizes = np.bincount(nearest, minlength=num_centers)
        sums = [
            np.bincount(nearest, column, num_centers) for column in points.T
        ]
        empty = sizes == 0
        centers = np.stack(sums, axis=1) / np.maximum(sizes, 1)[:, None]
        centers[empty] = draw(empty.sum())
    return centers.astype("float32")


def _nearest(points, centers, chunk_size=4096):
    """Index of the nearest center of each point."""
    squares = (centers**2).sum(axis=1)
    chunks = np.split(points, range(chunk_size, len(points), chunk_size))
    return np.concatenate(
        [np.argmin(squares - 2.0 * c @ centers.T, axis=1) for c in chunks]
    )
