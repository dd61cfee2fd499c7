"""The first codes: centres of the latents of some clips."""

import numpy as np
from keras import ops


def codebook_from_clips(tokenizer, clips, num_clips, num_iterations, seed):
    """Cluster centres of the latents of the first `num_clips` clips.

    Args:
        tokenizer: A `LARPTokenizer`.
        clips: Clips `(B, T, H, W, C)`, or an iterable of such batches or of
            pairs of a batch and labels.
        num_clips: Integer.
        num_iterations: Integer, of k-means.
        seed: Integer.

    Returns:
        NumPy float32 `(codebook_size, code_dim)`.
    """
    batches = [clips] if hasattr(clips, "shape") else clips
    latents, count = [], 0
    for batch in batches:
        video = batch[0] if isinstance(batch, tuple | list) else batch
        video = ops.convert_to_tensor(video[: num_clips - count])
        # As in training: a batch normalization has not seen anything yet.
        outputs = tokenizer.compute_codes(video, training=True)
        latents.append(ops.convert_to_numpy(outputs["latents"]))
        count += len(latents[-1])
        if count == num_clips:
            break
    if not latents:
        raise ValueError("There are no clips to take the first codes from.")
    points = np.concatenate(latents).reshape(-1, tokenizer.code_dim)
    return cluster_centers(
        points, tokenizer.codebook_size, num_iterations, seed
    )


def cluster_centers(points, num_centers, num_iterations=10, seed=0):
    """k-means: float `(M, d)` to float32 centres `(num_centers, d)`.

    A cluster without points starts again at a random one; where there are
    fewer points than centres, centres are points with a little noise.
    """
    generator = np.random.default_rng(seed)
    points = np.asarray(points, "float64")
    spread = 1e-3 * points.std()

    def draw(count):
        few = count > len(points)
        drawn = points[generator.choice(len(points), count, replace=few)]
        return drawn + spread * few * generator.normal(size=drawn.shape)

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


def _nearest(points, centers, chunk=4096):
    """Index of the nearest centre of each point."""
    squares = (centers**2).sum(axis=1)
    return np.concatenate(
        [
            np.argmin(squares - 2.0 * part @ centers.T, axis=1)
            for part in np.split(points, range(chunk, len(points), chunk))
        ]
    )
