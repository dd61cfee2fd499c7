"""The parts of a data set that the processes of a job read."""

from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_larp.data.pipelines import batch_dataset
from keras_larp.data.pipelines.batch_dataset import ItemStream

pytestmark = pytest.mark.once


def parts(count, num_items, batch_size, repeat, start=0):
    """The indices of the items that each process reads, from a position."""
    found = []
    for index in range(count):
        with (
            mock.patch.object(batch_dataset, "process_count", lambda: count),
            mock.patch.object(
                batch_dataset, "process_index", lambda index=index: index
            ),
            mock.patch("keras.backend.backend", lambda: "torch"),
        ):
            stream = ItemStream(
                num_items, batch_size, True, 0, repeat, 0, 1, False
            )
        items = stream.own_items(stream.indices[start:])
        found.append((stream, items))
    return found


@settings(deadline=None, max_examples=30)
@given(
    st.integers(1, 4), st.integers(1, 5), st.integers(1, 40), st.integers(0, 50)
)
def test_parts_of_a_batch_make_up_the_batch(count, local, num_items, start):
    batch_size = count * local
    expected = ItemStream(
        num_items, batch_size, True, 0, True, 0, 1, False
    ).indices[start:]
    found = parts(count, num_items, batch_size, True, start)
    for batch in range(3):
        rows = [
            items[batch * local + row]
            for _, items in found
            for row in range(local)
        ]
        first = batch * batch_size
        assert rows == [expected[first + i] for i in range(batch_size)]


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 6), st.integers(1, 40), st.integers(1, 12))
def test_one_epoch_has_each_item_once(count, num_items, batch_size):
    found = parts(count, num_items, batch_size, False)
    rows = [i for _, items in found for i in list(items)]
    assert sorted(rows) == list(range(num_items))


@settings(deadline=None, max_examples=30)
@given(
    st.integers(1, 4), st.integers(1, 5), st.integers(0, 50), st.integers(0, 9)
)
def test_position_after_a_batch_is_equal_in_all_processes(
    count, local, start, batch
):
    size = count * local
    for index, (stream, _) in enumerate(parts(count, 30, size, True)):
        last = start + batch * size + (index + 1) * local - 1
        assert stream.end_of_batch(start, last) == start + (batch + 1) * size


def test_batch_that_processes_cannot_divide_is_refused():
    with pytest.raises(ValueError, match="batch_size=8 with 3 processes"):
        parts(3, 10, 8, True)
