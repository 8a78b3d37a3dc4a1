"""Which rows are held out."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secchi.data.splits import holdout
from secchi.errors import DataError

Row = tuple[bytes, str, str | None]

# Few keys and groups, so that rows share them often.
KEYS = st.integers(0, 30).map(lambda n: b"key %d" % n)
ROWS = st.lists(
    st.tuples(KEYS, st.sampled_from("abc"), st.one_of(st.none(), st.sampled_from("ghijkl"))),
    max_size=60,
)
FRACTIONS = st.floats(0.01, 0.99)


def held_out(rows: list[Row], fraction: float, seed: int = 0) -> np.ndarray:
    return holdout(
        fraction,
        keys=[key for key, _, _ in rows],
        labels=[label for _, label, _ in rows],
        groups=[group for _, _, group in rows],
        seed=seed,
    )


def digests(count: int) -> list[bytes]:
    return [b"picture %d" % number for number in range(count)]


@given(ROWS, FRACTIONS, st.integers(0, 5))
def test_identical_rows_and_groups_are_never_parted(
    rows: list[Row], fraction: float, seed: int
) -> None:
    held = held_out(rows, fraction, seed)
    for column in (0, 2):
        sides: dict[object, set[bool]] = {}
        for row, out in zip(rows, held, strict=True):
            if row[column] is not None:
                sides.setdefault(row[column], set()).add(bool(out))
        assert all(len(side) == 1 for side in sides.values())


def test_rows_joined_by_a_chain_of_keys_and_groups_stay_together() -> None:
    keys = [b"1", b"1", b"2", b"2", *digests(6)]
    groups = ["p", "q", "q", "r", None, None, None, None, None, None]
    for seed in range(20):
        held = holdout(0.5, keys=keys, groups=groups, seed=seed)
        assert len(set(held[:4].tolist())) == 1


def test_rows_without_a_group_are_no_group() -> None:
    assert holdout(0.5, keys=digests(10), groups=[None] * 10).sum() == 5


@given(ROWS, FRACTIONS, st.randoms(use_true_random=False))
def test_the_order_of_rows_changes_nothing(
    rows: list[Row], fraction: float, random: np.random.Generator
) -> None:
    order = list(range(len(rows)))
    random.shuffle(order)
    held = held_out(rows, fraction)
    assert held_out([rows[i] for i in order], fraction).tolist() == held[order].tolist()


@given(st.lists(st.tuples(KEYS, st.sampled_from("abc")), max_size=80), FRACTIONS)
def test_each_label_gives_its_share_to_the_nearest_whole_unit(
    pairs: list[tuple[bytes, str]], fraction: float
) -> None:
    # One label a key, so that a unit has the label of its rows.
    label_of: dict[bytes, str] = {}
    for key, label in pairs:
        label_of.setdefault(key, label)
    keys = [key for key, _ in pairs]
    labels = [label_of[key] for key in keys]
    held = holdout(fraction, keys=keys, labels=labels)
    for label in set(labels):
        mine = [i for i, other in enumerate(labels) if other == label]
        sizes = {key: sum(keys[i] == key for i in mine) for key in (keys[i] for i in mine)}
        wanted, taken = fraction * len(mine), int(held[mine].sum())
        if len(sizes) == 1:
            assert taken == 0
        else:
            assert 0 < taken < len(mine)
            assert abs(taken - wanted) <= max(sizes.values())


@given(st.integers(2, 300), FRACTIONS)
def test_without_repeats_the_share_is_met_to_the_row(rows: int, fraction: float) -> None:
    taken = int(holdout(fraction, keys=digests(rows)).sum())
    assert taken == pytest.approx(min(max(fraction * rows, 1), rows - 1), abs=0.5 + 1e-9)


@given(st.lists(st.sampled_from("abcd"), min_size=1, max_size=60), FRACTIONS)
def test_a_label_with_two_rows_or_more_is_on_both_sides(labels: str, fraction: float) -> None:
    held = holdout(fraction, keys=digests(len(labels)), labels=labels)
    for label in set(labels):
        sides = {bool(out) for out, other in zip(held, labels, strict=True) if other == label}
        assert sides == ({False, True} if labels.count(label) > 1 else {False})


def test_another_seed_gives_another_split() -> None:
    keys = digests(100)
    splits = {tuple(holdout(0.2, keys=keys, seed=seed).tolist()) for seed in range(20)}
    assert len(splits) == 20


def test_every_row_is_held_out_by_some_seed_about_as_often() -> None:
    keys = digests(50)
    times = sum(holdout(0.2, keys=keys, seed=seed).astype(int) for seed in range(400))
    # Binomial(400, 0.2): mean 80, standard deviation 8.
    assert (abs(times - 80) < 5 * 8).all()


def test_a_row_that_is_added_moves_few_others() -> None:
    keys = digests(200)
    before = holdout(0.2, keys=keys)
    for new in range(10):
        after = holdout(0.2, keys=[*keys, b"new %d" % new])[:200]
        assert int((before != after).sum()) <= 1


def test_labels_may_be_an_array() -> None:
    labels = np.array(["a", "b"] * 10)
    assert holdout(0.5, keys=digests(20), labels=labels).sum() == 10


def test_no_rows_give_no_rows() -> None:
    assert holdout(0.2, keys=[]).shape == (0,)


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 1.5, float("nan")])
def test_a_share_that_cannot_be_is_refused(fraction: float) -> None:
    with pytest.raises(DataError, match="between 0 and 1"):
        holdout(fraction, keys=digests(4))


def test_columns_of_another_length_are_refused() -> None:
    with pytest.raises(DataError, match="4 rows but 3 labels"):
        holdout(0.2, keys=digests(4), labels=["a"] * 3)
    with pytest.raises(DataError, match="4 rows but 5 groups"):
        holdout(0.2, keys=digests(4), groups=["a"] * 5)
