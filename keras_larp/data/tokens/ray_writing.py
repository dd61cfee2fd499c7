"""Token data sets that workers of a Ray cluster encode."""

import base64
import json
import os
from collections.abc import Callable

import keras

from keras_larp.data.sources.video_source import VideoSource
from keras_larp.data.tokens.shard_encoding import encode_shards, write_shard
from keras_larp.data.tokens.token_records import shard_name
from keras_larp.data.tokens.token_source import TokenSource
from keras_larp.data.tokens.token_writing import (
    missing_shards,
    prepare_token_dataset,
)
from keras_larp.distribution import process_count
from keras_larp.utils.checks import (
    check_callable,
    check_integer,
    check_number,
)
from keras_larp.utils.fingerprints import model_fingerprint
from keras_larp.utils.locks import lock_folder
from keras_larp.utils.optional_imports import require

# Nothing is reported to the makers of Ray.
_ENVIRONMENT = {"RAY_USAGE_STATS_ENABLED": "0"}


def write_token_dataset_with_ray(
    folder: str | os.PathLike,
    source: VideoSource,
    load_tokenizer: Callable[[], keras.Model],
    frame_sampling: str = "first",
    include_flips: bool = False,
    num_condition_frames: int | None = None,
    num_tokens: int | None = None,
    batch_size: int = 8,
    clips_per_shard: int = 1024,
    seed: int = 0,
    num_workers: int = 0,
    on_error: str = "raise",
    num_actors: int = 2,
    gpus_per_actor: float = 0.0,
    ray_address: str | None = None,
) -> TokenSource:
    """Tokenizes the clips of a source on a Ray cluster.

    The files are equal to those of `write_token_dataset`, and an interrupted
    call resumes in the same way, also with the other function. Each actor
    encodes one shard at a time, and this process writes its file. Ray restarts
    actors that die, and encodes their shards again.

    The videos, and whatever `load_tokenizer` reads, must have the same paths
    on all machines of the cluster, which need `keras-larp` too. The folder of
    the token data set is needed on this machine only.

    Args:
        folder: As in `write_token_dataset`.
        source: As in `write_token_dataset`. It is sent to the actors, and must
            therefore be serializable by `pickle`.
        load_tokenizer: Function without arguments that returns the
            `LARPTokenizer`. Each actor calls it.
        frame_sampling: As in `write_token_dataset`.
        include_flips: As in `write_token_dataset`.
        num_condition_frames: As in `write_token_dataset`.
        num_tokens: As in `write_token_dataset`.
        batch_size: As in `write_token_dataset`.
        clips_per_shard: As in `write_token_dataset`. There must be more shards
            than actors for all actors to have work.
        seed: As in `write_token_dataset`.
        num_workers: Integer. Number of decoding processes of each actor.
            Defaults to 0.
        on_error: As in `write_token_dataset`.
        num_actors: Integer. Number of actors. Defaults to 2.
        gpus_per_actor: Float. Number of GPUs that each actor reserves;
            fractions share a GPU. Actors see no GPU if it is 0. Defaults to 0.
        ray_address: String. Address of the cluster, such as `"auto"` or
            `"ray://host:10001"`. Defaults to `None`, which uses the cluster
            that this process is connected to, or else starts one on this
            machine and stops it in the end.

    Returns:
        The `TokenSource` of the folder.

    Raises:
        BlockingIOError: As in `write_token_dataset`.
        ImportError: If Ray is not installed.
        ValueError: As in `write_token_dataset`.
        RuntimeError: If an actor raises an exception. The message has its
            text, and Ray's logs its traceback.

    Example:

    ```python
    source = keras_larp.data.UCF101("UCF-101", split="train")
    tokens = keras_larp.data.write_token_dataset_with_ray(
        "ucf101_tokens",
        source,
        lambda: keras_larp.presets.load("larp_l_long_tokenizer"),
        num_actors=16,
        gpus_per_actor=1,
        ray_address="auto",
    )
    ```

    Reference:
        - [Ray Data](https://docs.ray.io/en/latest/data/data.html)
    """
    check_callable("load_tokenizer", load_tokenizer)
    check_integer("num_actors", num_actors, 1)
    check_number("gpus_per_actor", gpus_per_actor)
    if ray_address is not None and not isinstance(ray_address, str):
        raise TypeError(
            "`ray_address` must be a string, such as 'auto' or "
            f"'ray://host:10001'. Received: ray_address={ray_address!r}"
        )
    if process_count() > 1:
        raise ValueError(
            "Ray starts the workers. Call the function in one process, without "
            f"a launcher. Received: {process_count()} processes"
        )
    os.environ.update(_ENVIRONMENT)
    ray = require("ray", extra="ray")
    require("ray.data", extra="ray")
    folder, loader, description = prepare_token_dataset(
        folder,
        source,
        load_tokenizer(),
        frame_sampling,
        include_flips,
        num_condition_frames,
        num_tokens,
        batch_size,
        clips_per_shard,
        seed,
        num_workers,
        on_error,
    )
    with lock_folder(folder):
        missing = missing_shards(folder, description, source)
        if not missing:
            return TokenSource(folder)
        is_own_cluster = not ray.is_initialized()
        if is_own_cluster:
            _connect(ray, ray_address, num_actors)
        try:
            rows = _encode(
                ray,
                missing,
                {
                    "load_tokenizer": load_tokenizer,
                    "loader": loader,
                    "description": description,
                    "batch_size": batch_size,
                    "num_workers": num_workers,
                },
                num_actors,
                gpus_per_actor,
            )
            for row in rows:
                path = folder / shard_name(description, row["shard"])
                write_shard(path, _unpack(row["records"]))
        finally:
            if is_own_cluster:
                ray.shutdown()
    return TokenSource(folder)


def _connect(ray, address, num_actors):
    """Connects to a cluster, or starts one on this machine."""
    if address is not None:
        ray.init(address)
        return
    # One CPU more than the actors reserve, since Ray Data needs one.
    num_cpus = max(num_actors + 1, os.cpu_count() or 1)
    ray.init("local", num_cpus=num_cpus, include_dashboard=False)


def _encode(ray, shards, arguments, num_actors, gpus_per_actor):
    """Yields a row for each shard, in any order."""
    rows = ray.data.from_items(
        [{"shard": shard} for shard in shards],
        override_num_blocks=len(shards),
    ).map(
        _ShardEncoder,
        fn_constructor_kwargs=arguments,
        # By default, Ray Data restarts actors and repeats their tasks.
        compute=ray.data.ActorPoolStrategy(size=min(num_actors, len(shards))),
        num_cpus=1,
        num_gpus=gpus_per_actor or None,
        runtime_env={
            "env_vars": {
                **_ENVIRONMENT,
                "KERAS_BACKEND": keras.backend.backend(),
            }
        },
    )
    for row in rows.iter_rows():
        if row["error"]:
            raise RuntimeError(
                f"Shard {row['shard']} could not be encoded: {row['error']}"
            )
        yield row


class _ShardEncoder:
    """Actor that encodes shards."""

    def __init__(
        self, load_tokenizer, loader, description, batch_size, num_workers
    ):
        self._tokenizer = load_tokenizer()
        self._arguments = description, loader, self._tokenizer
        self._options = batch_size, num_workers
        self._fingerprints = (
            description["tokenizer"],
            model_fingerprint(self._tokenizer),
        )

    def __call__(self, row):
        """Returns a row with the records, or the error, of a shard."""
        shard, records, error = int(row["shard"]), [], ""
        try:
            records = self._records(shard)
        # Ray would bury it under its own traceback, and repeat it.
        except Exception as exception:
            error = f"{type(exception).__name__}: {exception}"
        return {"shard": shard, "records": _pack(records), "error": error}

    def _records(self, shard):
        expected, received = self._fingerprints
        if received != expected:
            raise ValueError(
                "All machines must load the same tokenizer. Expected the "
                f"fingerprint {expected[:12]}. Received: {received[:12]}"
            )
        encoded = encode_shards([shard], *self._arguments, *self._options)
        return [record for _, records in encoded for record in records]


def _pack(records):
    """Records as one text: Ray would pad or strip bytes of several lengths,
    and what a worker sends must not be able to execute anything."""
    return json.dumps([base64.b64encode(record).decode() for record in records])


def _unpack(text):
    return [base64.b64decode(record) for record in json.loads(text)]
