"""What a factor does by itself where one changes at a time, and what is said of drawn designs."""

from typing import Any

import numpy as np
import pytest

from secchi.experiments.factor_values import log_uniform, uniform
from secchi.experiments.space import Space

LR, DROPOUT = [0.1, 0.01, 1.0], [0.0, 0.5]
DESIGN = Space(
    {"lr": LR, "dropout": DROPOUT}, "one_at_a_time", base={"lr": 0.1, "dropout": 0.0}
).settings


@pytest.fixture(scope="module")
def one_at_a_time(make_result: Any) -> Any:
    """0.9 at the base and with more dropout, 0.2 at other rates; at 1 every third fails."""
    truth = np.array([0.9 if setting["lr"] == 0.1 else 0.2 for setting in DESIGN])
    values = truth[:, None] + np.random.default_rng(0).normal(0, 0.01, (len(DESIGN), 6))
    return make_result(
        DESIGN, values, lambda s, r: s["lr"] == 1.0 and r % 3 == 0, design="one_at_a_time"
    )


def test_means_by_a_factor_are_those_at_the_base(one_at_a_time: Any) -> None:
    means = one_at_a_time.mean("valid_accuracy", "dropout")
    np.testing.assert_allclose(means.mean, [0.9, 0.9], atol=0.02)
    assert means.remark == "with lr = 0.1"
    assert str(means).endswith("with lr = 0.1")
    curves = one_at_a_time.curves("valid_accuracy", "dropout")
    np.testing.assert_allclose(curves.mean[:, -1], means.mean)
    np.testing.assert_allclose(
        one_at_a_time.mean("valid_accuracy", "lr").mean, [0.2, 0.9, 0.2], atol=0.02
    )


def test_failures_of_another_arm_are_not_the_bases(one_at_a_time: Any) -> None:
    assert one_at_a_time.failures("dropout").share.tolist() == [0, 0]
    assert one_at_a_time.failures("lr").share.tolist() == pytest.approx([0, 0, 1 / 3])
    assert "2 of 24 trials" in str(one_at_a_time)


def test_every_factor_together_is_every_setting(one_at_a_time: Any) -> None:
    assert len(one_at_a_time.mean("valid_accuracy").groups) == len(DESIGN)


def test_of_drawn_settings_it_is_said_that_groups_differ_otherwise(make_result: Any) -> None:
    ranges = {"lr": log_uniform(0.01, 1), "dropout": uniform(0, 0.5)}
    drawn = Space(ranges, "random", samples=8).settings
    result = make_result(drawn, np.random.default_rng(1).random((8, 3)), design="random")
    assert "differ in the other factors" in str(result.mean("valid_accuracy", "lr"))
    assert not result.mean("valid_accuracy").remark
