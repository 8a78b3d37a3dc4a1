"""Rows that are never parted."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secchi.data.units import joined, mixed, numbered, units_of

PAIRS = st.lists(st.tuples(st.integers(0, 9), st.integers(-1, 9)), max_size=30)


@settings(deadline=None)
@given(PAIRS)
def test_rows_are_joined_where_a_chain_leads_from_one_to_the_other(
    rows: list[tuple[int, int]],
) -> None:
    codes, groups = np.array(rows, np.int64).reshape(-1, 2).T
    units = joined(codes, groups)
    linked = (codes[:, None] == codes) | ((groups[:, None] == groups) & (groups >= 0))
    reach = np.linalg.matrix_power(linked.astype(float), len(rows)) > 0 if rows else linked
    assert ((units[:, None] == units) == reach).all()
    assert set(units.tolist()) == set(range(len(set(units.tolist()))))


def test_the_row_of_the_smallest_digest_speaks_for_its_unit() -> None:
    keys = np.arange(8, dtype=np.uint64)
    labels = np.arange(8) * 10
    units = units_of(keys, labels, np.array([0, 0, 0, 0, 1, 1, 1, 1]), together=True)
    for unit, rows in ((units.of[0], slice(0, 4)), (units.of[4], slice(4, 8))):
        digests = mixed(keys)[rows]
        assert units.names[unit] == digests.min()
        assert units.labels[unit] == labels[rows][digests.argmin()]
        assert units.sizes[unit] == 4


def test_equal_rows_that_may_be_parted_have_names_of_their_own() -> None:
    keys = np.zeros(1000, np.uint64)
    assert len(units_of(keys, None, None, together=True).names) == 1
    assert len(set(units_of(keys, None, None, together=False).names.tolist())) == 1000


def test_a_group_speaks_by_its_number_before_its_rows() -> None:
    groups = np.repeat(np.arange(50), 2)
    before = units_of(np.arange(100, dtype=np.uint64), None, groups, together=True, by_group=True)
    # Rows of no group join through their content.
    keys, none = np.arange(100, dtype=np.uint64).repeat(2), np.full(100, -1)
    joining = np.stack([groups, none], axis=1).ravel()
    after = units_of(keys, None, joining, together=True, by_group=True)
    assert before.names[before.of].tolist() == after.names[after.of[::2]].tolist()


def test_draws_follow_from_the_seed_and_look_even() -> None:
    units = units_of(np.arange(20_000, dtype=np.uint64), None, None, together=True)
    first, second = (units.draws(seed) * 2.0**-64 for seed in (1, 2))
    # Uniform: standard deviation 0.289 / sqrt(20,000) = 0.002.
    assert first.mean() == pytest.approx(0.5, abs=0.01)
    assert np.corrcoef(first, second)[0, 1] == pytest.approx(0, abs=0.035)
    assert np.corrcoef(first[:-1], first[1:])[0, 1] == pytest.approx(0, abs=0.035)


def test_mixing_loses_nothing() -> None:
    bits = np.arange(100_000, dtype=np.uint64)
    assert len(np.unique(mixed(bits))) == len(bits)
    # As java.util.SplittableRandom(0) and the reference in C give first.
    assert hex(int(mixed(np.array([0x9E3779B97F4A7C15], np.uint64))[0])) == "0xe220a8397b1dcdaf"


def test_names_are_numbered_and_none_is_no_name() -> None:
    assert numbered([b"x", "x", None, b"x"]).tolist() == [0, 1, -1, 0]
    assert numbered([]).shape == (0,)
