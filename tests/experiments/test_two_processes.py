"""Two processes on one file: they share the trials, and neither does what the other does."""

import json
import subprocess
import sys
from pathlib import Path

from secchi.experiments.store import Counts, Store

SHARED = """
import json, os, sys
import torch

torch.set_num_threads(1)

from secchi.console import Console
from secchi.data.synthetic import Line
from secchi.experiments import run as run_module, shares
from secchi.experiments.experiment import Experiment
from secchi.models.mlp import MLP
from secchi.training.spec import Training

experiment = Experiment(
    Line(rows=40),
    MLP([4]),
    Training("adam", epochs=4, batch_size=16),
    {"lr": [0.001, 0.01], "activation": ["tanh", "prelu"]},
    repeats=10,
)
shares.SHARE_SECONDS, shares._LANES = 0.05, 4  # many shares
run_module.POLL_SECONDS = 0.01
train_members, trained = run_module.train_members, []


def noting(members, *given, **named):
    for each in members:
        trained.append([each.training.lr, each.model.activation, str(each.seed)])
    return train_members(members, *given, **named)


run_module.train_members = noting
print("ready", flush=True)
sys.stdin.readline()
result = run_module.run(experiment, "store", jobs=1, console=Console(quiet=True))
table = result.final.to_json(double_precision=15)
print(json.dumps([trained, result.computed, table]), flush=True)
"""


def test_two_processes_share_the_work(tmp_path: Path) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", SHARED],
            cwd=tmp_path,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    (one, computed, table), (other, its_computed, its_table) = (
        json.loads(process.communicate(timeout=120)[0]) for process in processes
    )
    trained = [tuple(each) for each in one + other]
    assert len(trained) == len(set(trained)) == 40
    assert one
    assert other
    assert [computed, its_computed] == [len(one), len(other)]
    assert table == its_table
    assert Store.read(tmp_path / "store").counts() == Counts(40, 40, 0)
