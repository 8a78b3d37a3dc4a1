"""Which rows train, which validate and which test."""

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from secchi.data.splits import (
    TEST,
    TRAIN,
    VALID,
    assign,
    assign_by_position,
    assign_by_time,
    folds,
    holdout,
    order_warning,
)
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


@settings(deadline=None)
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


@settings(deadline=None)
@given(ROWS, FRACTIONS, st.randoms(use_true_random=False))
def test_the_order_of_rows_changes_nothing(
    rows: list[Row], fraction: float, random: np.random.Generator
) -> None:
    order = list(range(len(rows)))
    random.shuffle(order)
    held = held_out(rows, fraction)
    assert held_out([rows[i] for i in order], fraction).tolist() == held[order].tolist()


@settings(deadline=None)
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


@settings(deadline=None)
@given(st.integers(2, 300), FRACTIONS)
def test_without_repeats_the_share_is_met_to_the_row(rows: int, fraction: float) -> None:
    taken = int(holdout(fraction, keys=digests(rows)).sum())
    assert taken == pytest.approx(min(max(fraction * rows, 1), rows - 1), abs=0.5 + 1e-9)


@settings(deadline=None)
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


Columns = tuple[np.ndarray, np.ndarray, np.ndarray]


@st.composite
def tables(draw: st.DrawFn, most: int = 60) -> Columns:
    """Keys, labels and groups, of which rows share some; the first digits of the keys are alike."""
    rows = draw(
        st.lists(
            st.tuples(st.integers(0, 40), st.integers(0, 3), st.integers(-1, 8)), max_size=most
        )
    )
    keys, labels, groups = np.array(rows, np.int64).reshape(-1, 3).T
    return keys.astype(np.uint64), labels, groups


@st.composite
def shares(draw: st.DrawFn, tested: bool | None = None) -> dict[str, float]:
    valid = draw(st.one_of(st.just(0.2), st.floats(0.01, 0.97)))
    if tested is None:
        tested = draw(st.booleans())
    return {"valid": valid, "test": draw(st.floats(0.01, 0.99 - valid)) if tested else 0.0}


def unlike(rows: int, seed: int = 0) -> np.ndarray:
    """Keys of rows that are all different."""
    return np.random.default_rng(seed).permutation(2**20)[:rows].astype(np.uint64)


def counts(part: np.ndarray) -> list[int]:
    return np.bincount(part, minlength=3).tolist()


def never_parted(part: np.ndarray, column: np.ndarray) -> bool:
    return all(len(set(part[column == value].tolist())) == 1 for value in set(column.tolist()))


@settings(deadline=None)
@given(tables(), shares(), st.booleans(), st.booleans())
def test_each_row_has_one_part_and_units_stay_whole(
    table: Columns, wanted: dict[str, float], together: bool, stable: bool
) -> None:
    keys, labels, groups = table
    part = assign(
        keys, **wanted, labels=labels, groups=groups, together=together, stable=stable, seed=3
    )
    assert part.shape == keys.shape
    assert part.dtype == np.int8
    assert set(part.tolist()) <= {TRAIN, VALID, TEST}
    assert never_parted(part[groups >= 0], groups[groups >= 0])
    if together:
        assert never_parted(part, keys)


@settings(deadline=None)
@given(tables(), shares(), st.booleans(), st.booleans(), st.randoms(use_true_random=False))
def test_rows_in_another_order_part_in_the_same_way(
    table: Columns, wanted: dict[str, float], together: bool, stable: bool, random: Any
) -> None:
    order = np.array(random.sample(range(len(table[0])), len(table[0])), np.int64)

    def parted(keys: np.ndarray, labels: np.ndarray, groups: np.ndarray) -> list[tuple[Any, ...]]:
        part = assign(
            keys, **wanted, labels=labels, groups=groups, together=together, stable=stable
        )
        rows = np.stack([keys.astype(np.int64), labels, groups, part])
        return [tuple(row) for row in rows.T.tolist()]

    before, after = parted(*table), parted(*(column[order] for column in table))
    if together:
        assert after == [before[i] for i in order]
    else:  # rows that are equal in everything can change places
        assert sorted(after) == sorted(before)


@settings(deadline=None)
@given(tables(), shares(), st.booleans())
def test_the_numbers_of_groups_are_mere_names(
    table: Columns, wanted: dict[str, float], together: bool
) -> None:
    keys, labels, groups = table
    assume(together or len(np.unique(np.stack([keys, labels]), axis=1).T) == len(keys))
    renamed = np.where(groups < 0, groups, 100 - 7 * groups)
    before, after = (
        assign(keys, **wanted, labels=labels, groups=names, together=together)
        for names in (groups, renamed)
    )
    assert before.tolist() == after.tolist()


@settings(deadline=None)
@given(st.lists(st.integers(0, 6), max_size=120), shares(), st.integers(0, 5))
def test_shares_are_met_to_a_row_in_the_whole_and_in_each_label(
    given_labels: list[int], wanted: dict[str, float], seed: int
) -> None:
    labels = np.array(given_labels, np.int64)
    part = assign(unlike(len(labels), seed), **wanted, labels=labels, seed=seed)
    # A single row tests even where there is none to spare, so that there is a part at all.
    off = 1 + (wanted["test"] > 0 and (part == TEST).sum() == 1)
    for number, share in ((VALID, wanted["valid"]), (TEST, wanted["test"])):
        for label in set(given_labels):
            mine = part[labels == label]
            assert (mine == TRAIN).any()
            assert abs((mine == number).sum() - share * len(mine)) < off
        more = (part == number).sum() - share * len(part)
        assert more < 1
        if min(map(given_labels.count, given_labels), default=99) > 10:
            assert more > -off


def test_roundings_do_not_add_up_over_many_labels() -> None:
    # A fifth of each of 100 labels of 7 rows is 1.4; rounding each by itself gives 100.
    labels = np.repeat(np.arange(100), 7)
    assert counts(assign(unlike(700), valid=0.2, labels=labels)) == [560, 140, 0]
    assert counts(assign(unlike(700), valid=0.2, test=0.1, labels=labels)) == [490, 140, 70]


def test_which_label_is_rounded_up_is_drawn() -> None:
    labels = np.repeat([0, 1], 5)
    more = [
        np.bincount(labels[assign(unlike(10), valid=0.3, labels=labels, seed=s) == VALID]).argmax()
        for s in range(40)
    ]
    assert 8 <= sum(more) <= 32


@settings(deadline=None)
@given(st.lists(st.integers(1, 9), min_size=2, max_size=30), shares(tested=False))
def test_groups_of_many_sizes_meet_a_share_to_one_group(
    sizes: list[int], wanted: dict[str, float]
) -> None:
    groups = np.repeat(np.arange(len(sizes)), sizes)
    part = assign(unlike(len(groups)), **wanted, groups=groups)
    assert 0 < (part == VALID).sum() < len(part)
    assert abs((part == VALID).sum() - wanted["valid"] * len(part)) <= max(sizes)


def test_groups_too_large_for_a_share_still_give_one() -> None:
    groups = np.repeat([0, 1, 2], 10)
    assert counts(assign(unlike(30), valid=0.05, test=0.05, groups=groups)) == [10, 10, 10]


def test_a_label_with_one_unit_stays_in_training() -> None:
    keys = np.array([1, 1, 1, 2, 3, 4, 5, 6], np.uint64)
    labels = np.array([0, 0, 0, 1, 2, 2, 2, 2])
    for seed in range(30):
        part = assign(keys, valid=0.6, labels=labels, seed=seed)
        assert (part[:4] == TRAIN).all()
        assert (part[4:] == TRAIN).any()


def test_few_rows_give_what_they_can() -> None:
    assert counts(assign(unlike(0), valid=0.2, test=0.2)) == [0, 0, 0]
    assert counts(assign(unlike(1), valid=0.2, test=0.2)) == [1, 0, 0]
    assert counts(assign(unlike(2), valid=0.2)) == [1, 1, 0]
    assert counts(assign(unlike(3), valid=0.2, test=0.2)) == [1, 1, 1]
    assert counts(assign(unlike(5), valid=0)) == [5, 0, 0]


def test_equal_rows_can_be_told_apart() -> None:
    keys = np.zeros(100, np.uint64)
    assert counts(assign(keys, valid=0.2)) == [100, 0, 0]
    assert counts(assign(keys, valid=0.2, together=False)) == [80, 20, 0]
    # Equal rows of two labels are no more alike than others.
    labels = np.tile([0, 1], 50)
    part = assign(keys, valid=0.2, labels=labels, together=False)
    assert np.bincount(labels[part == VALID]).tolist() == [10, 10]


@settings(deadline=None)
@given(st.lists(st.integers(0, 5), max_size=60), st.integers(1, 5), st.integers(0, 5), shares())
def test_rows_that_are_added_move_few_others(
    given_labels: list[int], more: int, into: int, wanted: dict[str, float]
) -> None:
    keys, old = unlike(len(given_labels) + more), len(given_labels)
    labels = np.array([*given_labels, *[into] * more], np.int64)
    before = assign(keys[:old], **wanted, labels=labels[:old])
    after = assign(keys, **wanted, labels=labels)[:old]
    assert (before != after).sum() <= more + (5 if wanted["test"] else 1)
    assert ((before == TEST) != (after == TEST)).sum() <= more + 1


@settings(deadline=None)
@given(tables(), tables(30), shares(), st.booleans())
def test_a_stable_rule_moves_none(
    old: Columns, new: Columns, wanted: dict[str, float], together: bool
) -> None:
    rows = len(old[0])
    keys, _, groups = (np.concatenate(pair) for pair in zip(old, new, strict=True))
    if together:  # rows of equal keys are of one group, so that none joins what was apart
        groups = (keys % 7).astype(np.int64) - 1
        groups[groups < 0] = -1
    options: dict[str, Any] = {**wanted, "together": together, "stable": True}
    before = assign(keys[:rows], groups=groups[:rows], **options)
    after = assign(keys, groups=groups, **options)[:rows]
    assert before.tolist() == after.tolist()


def test_a_stable_rule_meets_the_shares_on_average() -> None:
    part = assign(unlike(20_000), valid=0.2, test=0.1, stable=True)
    # Binomial: standard deviations of 57 and 42 rows.
    assert np.abs(np.array(counts(part)) - [14_000, 4_000, 2_000]).max() < 5 * 65


def test_a_larger_share_keeps_what_a_smaller_one_holds_out() -> None:
    small, large = (assign(unlike(100), valid=valid, test=0.1) for valid in (0.1, 0.3))
    assert (large[small == VALID] == VALID).all()
    assert ((small == TEST) == (large == TEST)).all()


@pytest.mark.parametrize("stable", [False, True])
def test_seeds_and_repeats_part_in_other_ways(stable: bool) -> None:
    keys = np.arange(100, dtype=np.uint64)
    ways = {
        assign(keys, valid=0.2, seed=seed, repeat=repeat, stable=stable).tobytes()
        for seed in range(10)
        for repeat in range(10)
    }
    assert len(ways) == 100


def test_every_row_validates_in_about_as_many_repeats() -> None:
    keys = np.arange(50, dtype=np.uint64)
    times = sum((assign(keys, valid=0.2, repeat=r) == VALID).astype(int) for r in range(400))
    # Binomial(400, 0.2): mean 80, standard deviation 8.
    assert (abs(times - 80) < 5 * 8).all()


@pytest.mark.parametrize(
    ("valid", "test", "says"),
    [(-0.1, 0, "to validate is -0.1"), (0.2, float("nan"), "to test is nan"), (0.5, 0.5, "none")],
)
def test_shares_that_cannot_be_are_refused(valid: float, test: float, says: str) -> None:
    for part in (
        lambda: assign(unlike(9), valid=valid, test=test),
        lambda: assign_by_position(9, valid=valid, test=test),
    ):
        with pytest.raises(DataError, match=says):
            part()


def test_columns_of_another_length_than_the_keys_are_refused() -> None:
    short = np.zeros(3, np.int64)
    with pytest.raises(DataError, match="4 rows but 3 labels"):
        assign(unlike(4), valid=0.2, labels=short)
    with pytest.raises(DataError, match="4 rows but 3 groups"):
        assign_by_time(np.arange(4), valid=0.2, groups=short)
    with pytest.raises(DataError, match="4 rows but 3 groups"):
        folds(unlike(4), 2, groups=short)
    with pytest.raises(DataError, match="4 rows but 3 values"):
        order_warning(np.zeros(4, np.int8), short)


@settings(deadline=None)
@given(st.lists(st.integers(0, 40), min_size=3, max_size=80), shares())
def test_what_is_judged_is_never_earlier_than_what_trains(
    when: list[int], wanted: dict[str, float]
) -> None:
    times = np.array(when)
    assume(len(set(when)) >= 3)
    part = assign_by_time(times, **wanted)
    parts = [times[part == number] for number in (TRAIN, VALID, TEST)]
    assert len(parts[0])
    assert len(parts[1])
    assert bool(len(parts[2])) == (wanted["test"] > 0)
    there = [column for column in parts if len(column)]
    assert all(a.max() < b.min() for a, b in zip(there, there[1:], strict=False))


@settings(deadline=None)
@given(tables(), shares())
def test_a_group_stands_at_its_last_time(table: Columns, wanted: dict[str, float]) -> None:
    _, times, groups = table
    last = {g: times[groups == g].max() for g in set(groups.tolist()) if g >= 0}
    stands = np.array([last.get(g, t) for g, t in zip(groups.tolist(), times, strict=True)])
    assume(len(set(stands.tolist())) >= 3)
    part = assign_by_time(times, **wanted, groups=groups)
    assert part.tolist() == assign_by_time(stands, **wanted).tolist()


def test_dates_part_by_time_to_the_row() -> None:
    days = np.datetime64("2024-01-01") + np.random.default_rng(0).permutation(100)
    part = assign_by_time(days, valid=0.2, test=0.1)
    assert counts(part) == [70, 20, 10]
    assert days[part == TEST].min() == np.datetime64("2024-01-01") + 90


@pytest.mark.parametrize("when", [np.array([1.0, np.nan]), np.array(["2024-01-01", "NaT"], "M8")])
def test_rows_without_a_time_are_refused(when: np.ndarray) -> None:
    with pytest.raises(DataError, match="1 rows have no time"):
        assign_by_time(when, valid=0.2)


def test_fewer_times_than_parts_are_refused() -> None:
    with pytest.raises(DataError, match="3 parts need as many different times, and there are 2"):
        assign_by_time(np.array([1, 1, 2]), valid=0.2, test=0.2)
    with pytest.raises(DataError, match="there are 0"):
        assign_by_position(0, valid=0.2)


@settings(deadline=None)
@given(tables(), st.integers(2, 5), st.booleans(), st.booleans(), st.booleans())
def test_each_row_validates_once_a_repeat_and_units_stay_whole(
    table: Columns, k: int, labelled: bool, grouped: bool, together: bool
) -> None:
    keys, labels, groups = table
    columns = {"labels": labels if labelled else None, "groups": groups if grouped else None}
    try:
        parts = list(folds(keys, k, repeats=2, together=together, **columns))
    except DataError:
        assume(False)
    assert len(parts) == 2 * k
    for repeat in (parts[:k], parts[k:]):
        assert (sum((part == VALID).astype(int) for part in repeat) == 1).all()
    for part in parts:
        assert set(part.tolist()) == {TRAIN, VALID}
        if together:
            assert never_parted(part, keys)
        if grouped:
            assert never_parted(part[groups >= 0], groups[groups >= 0])


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("labelled", [False, True])
def test_folds_do_not_depend_on_the_order_of_rows(grouped: bool, labelled: bool) -> None:
    random = np.random.default_rng(0)
    keys, order = unlike(90), random.permutation(90)
    labels = random.integers(0, 3, 90) if labelled else None
    groups = random.integers(-1, 15, 90) if grouped else None

    def chosen(rows: np.ndarray) -> list[np.ndarray]:
        columns = {"labels": labels, "groups": groups}
        taken = {name: None if c is None else c[rows] for name, c in columns.items()}
        return list(folds(keys[rows], 5, repeats=2, **taken))

    for before, after in zip(chosen(np.arange(90)), chosen(order), strict=True):
        assert before[order].tolist() == after.tolist()


def test_folds_have_every_label_in_its_share() -> None:
    labels = np.repeat([0, 1, 2], [50, 30, 20])
    for part in folds(unlike(100), 5, labels=labels):
        assert np.bincount(labels[part == VALID]).tolist() == [10, 6, 4]


def test_seeds_and_repeats_fold_in_other_ways() -> None:
    ways = {part.tobytes() for s in range(5) for part in folds(unlike(60), 3, repeats=5, seed=s)}
    assert len(ways) == 75


@pytest.mark.parametrize(
    ("k", "columns", "says"),
    [
        (7, {}, "7 folds need 7 different rows, and there are 6"),
        (4, {"labels": [0, 0, 0, 0, 1, 1]}, "of each label, and label 1 has 2"),
        (4, {"groups": [0, 0, 0, 1, 1, 2]}, "need 4 groups or single rows, and there are 3"),
        (3, {"labels": [0, 1, 1, 1, 1, 1], "groups": [0, 0, 1, 1, 2, 2]}, "label 0 has 1"),
        (1, {}, "1 folds cannot be; it has to be a whole number from 2"),
        (2, {"repeats": 0}, "0 repeats cannot be"),
    ],
)
def test_folds_that_cannot_be_are_refused_at_once(k: int, columns: Any, says: str) -> None:
    arrays = {name: np.array(c) if isinstance(c, list) else c for name, c in columns.items()}
    with pytest.raises(DataError, match=says):
        folds(unlike(6), k, **arrays)


def test_equal_rows_are_too_few_for_folds() -> None:
    with pytest.raises(DataError, match="there are 1"):
        folds(np.zeros(9, np.uint64), 3)
    assert len(list(folds(np.zeros(9, np.uint64), 3, together=False))) == 3


def test_sorted_iris_parted_by_position_is_told_with_its_averages() -> None:
    from sklearn.datasets import load_iris

    iris = load_iris()
    says = order_warning(
        assign_by_position(150, valid=0.2), iris.target, iris.target_names.tolist()
    )
    assert says is not None
    assert "train: setosa 42 %, versicolor 42 %, virginica 17 %; valid: virginica 100 %" in says
    assert "part them at random" in says


def test_sorted_numbers_are_told_with_their_means() -> None:
    part = assign_by_position(100, valid=0.2, test=0.1)
    says = order_warning(part, np.arange(100.0))
    assert says is not None
    assert "(train: mean 34.5; valid: mean 79.5; test: mean 94.5)" in says


def test_many_classes_are_told_by_the_largest() -> None:
    values = np.sort(np.repeat(np.arange(20), [50, *[10] * 19]))
    says = order_warning(assign_by_position(240, valid=0.2), values, [f"c{i}" for i in range(20)])
    assert says is not None
    assert "train: c0 26 %, c1 5 %, c2 5 %, c3 5 %, 12 others 58 %;" in says
    assert "c15 4 %, c16 21 %, c17 21 %, c18 21 %, c19 21 %" not in says


def test_what_chance_allows_is_not_told() -> None:
    random = np.random.default_rng(0)
    told = 0
    for seed in range(50):
        part = assign(unlike(100), valid=0.2, seed=seed)
        told += order_warning(part, random.integers(0, 3, 100), ["a", "b", "c"]) is not None
        told += order_warning(part, random.normal(size=100)) is not None
    assert told <= 2  # 0.1 expected


@pytest.mark.parametrize("values", [np.zeros(9, np.int64), np.zeros(9), np.arange(9.0)])
def test_one_value_or_one_part_is_nothing_strange(values: np.ndarray) -> None:
    classes = ["a", "b"] if values.dtype.kind == "i" else None
    assert order_warning(np.zeros(9, np.int8), values, classes) is None
    if not values.any():
        assert order_warning(assign_by_position(9, valid=0.2), values, classes) is None
