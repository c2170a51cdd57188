import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mixscale.ingest.dedup.order import order_of

VALUES = st.one_of(
    st.lists(st.integers(0, 2**64 - 1)),
    st.lists(st.sampled_from([0, 1, 2**16 - 1, 2**16, 2**63, 2**64 - 1])),
    st.lists(st.integers(2**40, 2**40 + 300)),
)


@given(VALUES)
def test_values_come_in_order_and_equal_ones_as_they_were(values: list[int]) -> None:
    order = order_of(np.array(values, np.uint64)).tolist()
    assert order == sorted(range(len(values)), key=values.__getitem__)
