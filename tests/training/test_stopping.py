"""Rules that watch the validation loss, on losses made by hand."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secchi.training.history import Epoch
from secchi.training.stopping import EarlyStopping, KeepBest, Seen

LOSSES = st.lists(st.integers(0, 5).map(float) | st.just(math.nan), min_size=1, max_size=20)


def epochs(losses: list[float], first: int = 0) -> list[Epoch]:
    return [Epoch(first + i, 0.0, loss, {}, 0.0) for i, loss in enumerate(losses)]


def stops(rule: EarlyStopping, losses: list[float]) -> list[bool]:
    state, found = rule.init(), []
    for epoch in epochs(losses):
        state = rule.update(state, epoch)
        found.append(rule.stops(state))
    return found


def test_training_stops_after_so_many_epochs_without_a_lower_loss() -> None:
    losses = [0.5, 0.4, 0.4, 0.3, 0.35, 0.3, 0.31]
    assert stops(EarlyStopping(3), losses) == [False] * 6 + [True]
    assert stops(EarlyStopping(1), losses[:3]) == [False, False, True]
    assert stops(EarlyStopping(4), losses) == [False] * 7


@settings(deadline=None)
@given(LOSSES)
def test_without_patience_training_never_stops(losses: list[float]) -> None:
    assert not any(stops(EarlyStopping(None), losses))


@settings(deadline=None)
@given(LOSSES, st.integers(1, 6))
def test_stopping_is_waiting_since_the_lowest_loss(losses: list[float], patience: int) -> None:
    for place, stop in enumerate(stops(EarlyStopping(patience), losses)):
        seen = [math.inf if math.isnan(loss) else loss for loss in losses[: place + 1]]
        waited = place - seen.index(min(seen)) if min(seen) < math.inf else place + 1
        assert stop == (waited >= patience)


@settings(deadline=None)
@given(LOSSES, st.integers(0, 9))
def test_the_best_epoch_is_the_first_with_the_lowest_loss(losses: list[float], first: int) -> None:
    rule = KeepBest(True)
    state, kept = rule.init(), None
    for epoch in epochs(losses, first):
        state = rule.update(state, epoch)
        kept = epoch.number if rule.keeps(state) else kept
    numbers = [loss for loss in losses if not math.isnan(loss)]
    assert kept == (first + losses.index(min(numbers)) if numbers else None)
    assert state.best == kept


def test_nothing_is_kept_where_it_is_not_wanted() -> None:
    rule = KeepBest(False)
    state = rule.update(rule.init(), epochs([0.5])[0])
    assert not rule.keeps(state)
    assert state.best == 0


def test_nothing_is_kept_before_the_first_epoch() -> None:
    assert not KeepBest(True).keeps(KeepBest(True).init())


@pytest.mark.parametrize("rule", [EarlyStopping(2), KeepBest(True)])
def test_a_rule_remembers_nothing_itself(rule: EarlyStopping | KeepBest) -> None:
    begun = rule.init()
    one = rule.update(begun, epochs([0.5])[0])
    assert begun == rule.init() == Seen(math.inf, None, 0)
    assert one == Seen(0.5, 0, 0)
    assert rule.update(begun, epochs([0.5])[0]) == one
