"""What a test set is called, whatever its file, order and copies."""

import dataclasses
import hashlib
import json
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secchi.data import looks
from secchi.data.looks import fingerprint, keys_of_digests
from secchi.errors import DataError

KEYS = st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=20)


@given(KEYS, st.randoms(use_true_random=False))
def test_order_and_copies_of_rows_do_not_matter(keys: list[int], random) -> None:
    shuffled = keys + random.choices(keys, k=3)
    random.shuffle(shuffled)
    first, second = (looks.TestSet.of(np.array(k, np.uint64)) for k in (keys, shuffled))
    assert first == second
    assert fingerprint(np.array(shuffled, np.uint64)) == first.fingerprint
    assert len(first) == len(set(keys))


@given(KEYS, KEYS)
def test_other_rows_are_another_test_set(first: list[int], second: list[int]) -> None:
    names = [fingerprint(np.array(keys, np.uint64)) for keys in (first, second)]
    assert (names[0] == names[1]) == (set(first) == set(second))


def test_the_name_is_the_same_in_every_version() -> None:
    # A change of it would forget every look there ever was.
    blob = b"secchi test set 1\n" + b"\3\0\0\0\0\0\0\0" + b"\xff" * 8
    assert fingerprint(np.array([2**64 - 1, 3], np.uint64)) == hashlib.sha256(blob).hexdigest()


def test_digests_of_pictures_become_keys() -> None:
    digests = [hashlib.sha256(b"picture %d" % n).digest() for n in range(5)]
    keys = keys_of_digests(digests)
    assert keys.dtype == np.uint64
    assert [int(key) for key in keys] == [int.from_bytes(d[:8], "little") for d in digests]
    assert keys_of_digests([]).shape == (0,)
    with pytest.raises(DataError, match="shorter than eight bytes"):
        keys_of_digests([b"1234567"])


def test_a_test_set_without_rows_is_refused() -> None:
    with pytest.raises(DataError, match="without rows"):
        fingerprint(np.array([], np.uint64))


def test_a_look_as_json_and_as_a_line() -> None:
    when = datetime(2026, 11, 3, 9, 30, tzinfo=UTC)
    look = looks.Look("1", "5f", "why", when, "0.1", "0", "77c0", "16-32", "loss", 0.51234)
    document = json.loads(json.dumps(look.to_dict()))
    assert document["when"] == "2026-11-03T09:30:00+00:00"
    assert looks.Look(**document | {"when": when}) == look
    assert str(look) == "2026-11-03 09:30 UTC, 16-32: loss 0.5123"
    assert str(dataclasses.replace(look, value=None)).endswith("16-32: loss not finite")
