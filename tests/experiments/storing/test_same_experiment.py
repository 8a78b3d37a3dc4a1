"""What is said of two experiments that differ."""

from secchi.experiments.storing.same_experiment import differences

BASE = {"training": {"lr": 0.1, "loss": None}, "model": {"hidden": [4]}, "seed": 0, "repeats": 3}


def test_every_value_that_differs_is_said() -> None:
    other = {"training": {"lr": 0.1, "loss": "l1"}, "model": {"hidden": [4, 4]}, "seed": 0}
    assert differences(BASE, other) == [
        "model.hidden is [4, 4] and was [4]",
        "training.loss is 'l1' and was None",
    ]


def test_more_trials_are_no_difference() -> None:
    more = {"repeats": 9, "design": "grid", "samples": 3, "name": "a", "seed": 1}
    assert differences(BASE, BASE | more) == ["seed is 1 and was 0"]


def test_the_base_of_what_varies_is_no_difference_and_other_factors_are() -> None:
    kept = BASE | {"vary": {"lr": [0.1]}}
    wanted = BASE | {"vary": {"lr": [0.1, 1]}, "training": {"lr": 0.5, "loss": "l1"}}
    assert differences(kept, wanted) == ["training.loss is 'l1' and was None"]
    others = wanted | {"vary": {"l1": [0, 1]}}
    assert differences(kept, others) == [
        "what varies is l1 and was lr",
        "training.loss is 'l1' and was None",
        "training.lr is 0.5 and was 0.1",
    ]


def test_what_no_value_tells_is_in_a_model_or_loss_of_ones_own() -> None:
    (said,) = differences(BASE, BASE)
    assert said.startswith("its model or its loss is another one of the same name")


def test_long_values_are_cut() -> None:
    (said,) = differences({"rows": "a" * 1000}, {"rows": "b" * 1000})
    assert len(said) < 150
    assert "…" in said


def test_other_rows_are_said_in_words() -> None:
    kept, wanted = (
        {"data": {"fingerprint": digest, "name": digest, "rows": {"train": count}}}
        for digest, count in (("5f", 30), ("60", 40))
    )
    assert differences(kept, wanted) == [
        "the rows of the data, or what is true of them, are others"
    ]


def test_a_table_and_made_up_rows_are_told_by_name_alone() -> None:
    table = {"data": {"name": "wine", "fingerprint": "5f", "scale": "zscore"}, "seed": 0}
    made = {"data": {"made": {"name": "line", "rows": 50}, "options": {}}, "seed": 1}
    assert differences(table, made) == ["data is 'line' and was 'wine'", "seed is 1 and was 0"]
    other = {"data": {"made": {"name": "line", "rows": 60}, "options": {}}, "seed": 1}
    assert differences(made, other) == ["data.made.rows is 60 and was 50"]
