"""What is said of two experiments that differ."""

from secchi.experiments.same_experiment import differences

BASE = {"training": {"lr": 0.1, "loss": None}, "model": {"hidden": [4]}, "seed": 0, "repeats": 3}


def test_every_value_that_differs_is_said() -> None:
    other = {"training": {"lr": 0.1, "loss": "l1"}, "model": {"hidden": [4, 4]}, "seed": 0}
    assert differences(BASE, other) == [
        "model.hidden is [4, 4] and was [4]",
        "training.loss is 'l1' and was None",
    ]


def test_more_trials_are_no_difference() -> None:
    more = {"repeats": 9, "vary": {"lr": [1, 2]}, "design": "grid", "samples": 3, "name": "a"}
    assert differences(BASE, BASE | more) == []


def test_long_values_are_cut() -> None:
    (said,) = differences({"rows": "a" * 1000}, {"rows": "b" * 1000})
    assert len(said) < 150
    assert "…" in said


def test_other_rows_are_said_in_words() -> None:
    kept, wanted = ({"data": {"fingerprint": digest}} for digest in ("5f", "60"))
    assert differences(kept, wanted) == ["the rows of the data are others"]
