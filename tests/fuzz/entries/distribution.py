"""Entries of functions that start a distributed job."""

from fuzz.bad_values import Kind, boolean, integer, names, number
from fuzz.entry import Entry
from hypothesis import strategies as st

from keras_larp import distribution


def _job():
    """A job of one process, which has nothing to start."""
    return {
        "coordinator_address": "127.0.0.1:29500",
        "process_count": 1,
        "process_index": 0,
    }


def entries():
    addresses = st.sampled_from([1, True, "host", "host:", "host:port", b"h:1"])
    yield Entry(
        "distribution.initialize",
        distribution.initialize,
        _job,
        {
            "coordinator_address": Kind(lambda _: addresses),
            "process_count": integer(1),
            "process_index": integer(0, 0),
            "timeout": number("(0, inf)"),
        },
    )
    # Valid calls would change the devices of all later tests.
    yield Entry(
        "distribution.data_parallel",
        distribution.data_parallel,
        dict,
        {"devices": names(optional=True), "shard_optimizer": boolean()},
        can_run=False,
    )
    yield Entry(
        "distribution.model_parallel",
        distribution.model_parallel,
        dict,
        {
            "num_model_shards": integer(1, optional=True),
            "devices": names(optional=True),
        },
        can_run=False,
    )
