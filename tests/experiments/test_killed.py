"""kill -9 at random moments: the same command goes on, and nothing is lost or done twice."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

KILLS = 20

KILLED = """
import json, os, random, signal, sys, time
import torch

torch.set_num_threads(1)

from secchi.console import Console
from secchi.data.synthetic import Line
from secchi.errors import SecchiError
from secchi.experiments import run as run_module, shares
from secchi.experiments.storing import keeping
from secchi.experiments.experiment import Experiment
from secchi.experiments.store import Store
from secchi.models.mlp import MLP
from secchi.training.spec import Training

kills = int(sys.argv[1])
experiment = Experiment(
    Line(rows=40),
    MLP([4]),
    Training("adam", epochs=2, batch_size=16),
    {"lr": [0.001, 0.01, 1e6], "activation": ["tanh", "prelu"]},
    repeats=20,
)
shares.SHARE_SECONDS, shares._LANES, keeping.KEPT_SECONDS = 0.05, 4, 0.0  # many commits
train_members = run_module.train_members


def noting(members, *given, **named):
    with open("trained", "a") as file:
        for each in members:
            file.write(f"{each.training.lr} {each.model.activation} {each.seed}, ")
    return train_members(members, *given, **named)


def started(store, table):
    # Forked, since every process would take seconds to import what it needs.
    if child := os.fork():
        return child
    run_module.train_members = noting
    result = run_module.run(experiment, store, jobs=1, console=Console(quiet=True))
    result.final.to_json(table, double_precision=15)
    os._exit(0)


def finished():
    try:
        store = Store.read("store")
    except SecchiError:  # it is just being begun
        return []
    trials = [each.trial for each in store.finished()]
    return [
        f"{each.setting['lr']} {each.setting['activation']} {experiment.seed_of(each.repeat)}"
        for each in trials
    ]


def wait_for_more(count, child):
    while not os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT):
        if len(finished()) > count:
            return
        time.sleep(0.002)


experiment.tables().of({}, 0)  # imports what it needs
start = time.perf_counter()
os.waitpid(started(None, "undisturbed.json"), 0)
whole = time.perf_counter() - start
for _ in range(kills):
    before = finished()
    open("trained", "w").close()
    child = started("store", "killed.json")
    if random.random() < 0.75:  # else it may be killed before it has kept anything
        wait_for_more(len(before), child)
    time.sleep(random.uniform(0, whole / 10))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    print(json.dumps([before, open("trained").read().split(", ")[:-1]]), flush=True)
os.waitpid(started("store", "killed.json"), 0)
print(json.dumps([finished(), []]), flush=True)
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork and no kill -9 here")
def test_kills_at_random_moments(tmp_path: Path) -> None:
    run = [sys.executable, "-c", KILLED, str(KILLS)]
    done = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    rounds = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(rounds) == KILLS + 1
    finished: set[str] = set()
    for before, trained in rounds:
        assert finished <= set(before)  # none is lost
        finished = set(before)
        assert not finished & set(trained)  # none is done twice
        assert len(set(trained)) == len(trained)
    assert len(finished) == 120
    moments = {len(before) for before, _ in rounds}
    assert len(moments) > 3, "the kills came too early or too late"
    tables = [(tmp_path / f"{how}.json").read_text() for how in ("undisturbed", "killed")]
    assert tables[0] == tables[1]
