"""An experiment: a network, its training and its data, and what varies of them."""

import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from secchi.data.synthetic import Synthetic
from secchi.data.table import TableData
from secchi.data.task import Task
from secchi.errors import SpecError
from secchi.experiments.experiment_faults import (
    ARGUMENTS,
    WHAT,
    argument_faults,
    check_kinds,
    check_names,
    faults_of,
)
from secchi.experiments.factors import Factors
from secchi.experiments.forms import written
from secchi.experiments.own_model import network_identity
from secchi.experiments.record import data_from, data_to_dict, model_from, vary_from, without
from secchi.experiments.settings import canonical
from secchi.experiments.trials import Trial, trials_of
from secchi.models.mlp import MLP
from secchi.seeding import stream_seed
from secchi.text import counted
from secchi.training.metrics import check_metrics, usual_metrics
from secchi.training.spec import Training
from secchi.values import is_whole

if TYPE_CHECKING:
    import os

    from secchi.cohort.member import Member
    from secchi.experiments.experiment_plan import ExperimentPlan
    from secchi.experiments.result import Result
    from secchi.experiments.tables import Tables

TRAINING = Training(lr=3e-3, epochs=100, patience=20, keep_best=True)
"""How networks are trained where nobody says, as :class:`secchi.Learner` does it on a table."""


class Experiment:
    """Many networks that differ in what is asked about, each trained several times.

    Factors are the fields of the specifications by their own names:

    - of an :class:`secchi.MLP`: ``dropout``, ``activation``, ``hidden``, or ``depth`` and
      ``width``, …;
    - of a :class:`secchi.Training`: ``lr``, ``momentum``, ``batch_size``, ``optimizer``, …, and
      ``cycles``, ``cycle_len``, ``cycle_mult``;
    - of made-up rows: ``rows``, ``noise``, ``slope``, …;
    - of the rows: ``train_fraction``, the share of the training rows that is learned from, of which
      a larger one holds a smaller one; with ``folds=k`` ``fold``, the one of 0 to k - 1 that
      validates; of tables and made-up rows ``scale`` and ``target_scale``.

    Every repeat has a seed of its own, stream_seed(seed, "repeat", repeat), which names first
    weights, batches and dropout. The settings of one repeat share all of these, and the rows, as
    far as shapes allow: so comparisons are paired. A trial is what an ordinary run with that seed
    is.

    Args:
        data: A table; a specification such as ``Line()``, of which rows are drawn anew for each
            repeat; or the features of pictures, as ``learn.features()`` gives them.
        model: An :class:`secchi.MLP`, or whatever else :func:`secchi.models.build.build_model`
            takes, of which nothing can vary; for more than one repeat it has to make the network,
            so that each starts from weights of its own. None takes ``MLP()``.
        training: Of all trials, but for what varies; its seed does not count. None takes
            :data:`TRAINING`.
        vary: The values of each factor; see :class:`secchi.experiments.space.Space`.
        repeats: How many times each setting is trained.
        seed: Names every random choice but the split that a table came with, and its folds, which
            the table's own seed names unless it is parted anew.
        resplit: Whether a table is parted anew for each repeat. Made-up rows always are.
        folds: How many folds the factor ``fold`` counts.
        design: How settings are chosen: ``"grid"``, ``"one_at_a_time"``, ``"random"`` or
            ``"latin_hypercube"``.
        samples: How many settings the last two have.
        metrics: What is measured after each epoch; None takes what is usual for the task.
        precision: ``"fp32"`` or ``"fp64"``.
        device: ``"auto"``, ``"cpu"`` or ``"cuda"``; auto is the processor, as for tables.
        data_options: How made-up rows are parted and scaled; as for :meth:`secchi.TableData.made`.
        name: What it is called; None takes that of the data.

    Attributes:
        vary: The factors, by their names; lists as tuples of plain values.
        settings: The settings, each a value for each factor by its name, as the specifications hold
            it: 0.0 for 0.
        task: What is predicted.
        device: Where networks are trained, ``"cpu"`` or ``"cuda"``; a part of what they are, since
            a GPU rounds otherwise, and draws the dropout of those that train alone itself.

    Raises:
        SpecError: With every fault at once.
        DataError: A table that cannot be parted as asked for.

    >>> from secchi.data.synthetic import Line
    >>> slopes = Experiment(Line(rows=50), MLP([1]), vary={"slope": [-1, 0, 1]}, repeats=50)
    >>> slopes
    <line: slope varies, 3 settings x 50 repeats = 150 trials>
    >>> slopes.trials[1]
    Trial(setting={'slope': 0.0}, repeat=0)
    >>> Experiment(Line(), vary={"lrr": [0.1], "dropout": [0, 1]})
    Traceback (most recent call last):
    ...
    secchi.errors.SpecError: this experiment cannot be: there is no factor 'lrr'; did you mean \
lr?; dropout is 1, which is not a number from 0 on, below 1
    """

    def __init__(
        self,
        data: Any,
        model: Any = None,
        training: Training | None = None,
        vary: Mapping[str, Any] | None = None,
        *,
        repeats: int = 1,
        seed: int = 0,
        resplit: bool = False,
        folds: int | None = None,
        design: str = "grid",
        samples: int | None = None,
        metrics: Sequence[str] | None = None,
        precision: str = "fp32",
        device: str = "auto",
        data_options: Mapping[str, Any] | None = None,
        name: str | None = None,
    ) -> None:
        vary = {} if vary is None else vary
        training = TRAINING if training is None else training
        check_kinds(data, training, vary, metrics, data_options)
        self.data = data
        self.model = MLP() if model is None else model
        self.repeats, self.seed = repeats, seed
        self.resplit, self.folds = resplit, folds
        self.design, self.samples = design, samples
        self.precision = precision
        self.device = "cpu" if device == "auto" else device
        self.data_options = dict(data_options or {})
        faults = argument_faults(self, vary)
        self.training = training.but(seed=0)
        self.name = data.name if name is None else name
        self.task = self._checked_task(vary)
        pictures = not isinstance(data, TableData | Synthetic)
        usual = usual_metrics(self.task, "mae" if pictures else "r")
        self.metrics = tuple(usual if metrics is None else metrics)
        self._factors = Factors(
            data, self.model, self.training, self.task, folds, self.data_options
        )
        faults += faults_of(check_metrics, self.metrics, self.task)
        try:
            self.vary, self.settings = self._factors.spanned(vary, design, samples, seed)
        except SpecError as error:
            raise SpecError(WHAT, [*faults, *error.faults]) from error
        if faults:
            raise SpecError(WHAT, faults)

    # ---------------------------------------------------------------- what is trained

    @cached_property
    def trials(self) -> tuple[Trial, ...]:
        """Every setting in every repeat: all of the first repeat, then the second, and so on.

        The number of a trial is its place here; more repeats leave it as it is.
        """
        return trials_of(self.settings, self.repeats)

    def seed_of(self, repeat: int) -> int:
        """The seed of all trials of a repeat: of first weights, batches and dropout."""
        return stream_seed(self.seed, "repeat", repeat)

    @cached_property
    def measured(self) -> tuple[str, ...]:
        """What metrics are called: by their names, of several targets each ``target.metric``."""
        from secchi.training.evaluation import score_names

        return tuple(score_names(self.task, self.metrics))

    def parameters(self, setting: Mapping[str, Any]) -> int:
        """How many numbers the network of a setting learns.

        >>> from secchi.data.synthetic import Line
        >>> eight = {"depth": [1, 2, 4], "width": lambda setting: 8 // setting["depth"]}
        >>> experiment = Experiment(Line(), vary=eight)
        >>> [experiment.parameters(setting) for setting in experiment.settings]
        [25, 33, 25]
        """
        member = self.member(Trial(setting, repeat=0), self.tables())
        network = member.table.network(member.model, member.seed)
        return sum(each.numel() for each in network.parameters() if each.requires_grad)

    def member(self, trial: Trial, tables: "Tables") -> "Member":
        """The network of a trial, with what it learns from and how.

        Args:
            trial: One of this experiment, or another with such factors.
            tables: Where its rows come from, as :meth:`tables` makes it.
        """
        from secchi.cohort.member import Member

        seed = self.seed_of(trial.repeat)
        return Member(
            table=tables.of(trial.setting, trial.repeat),
            model=self._factors.model_of(trial.setting),
            training=self._factors.training_of(trial.setting).but(seed=seed),
            seed=seed,
        )

    def tables(self) -> "Tables":
        """Where the rows of trials come from."""
        from secchi.experiments.tables import Tables

        return Tables(
            self.data,
            seed=self.seed,
            resplit=self.resplit,
            folds=self.folds,
            precision=self.precision,
            options=self.data_options,
        )

    def plan(self, store: "str | os.PathLike[str] | None" = None) -> "ExperimentPlan":
        """What a run of it would be: trials, what trains together, and about how long it takes.

        Args:
            store: As for :meth:`run`: a file of which the finished trials are left out. It is only
                read, and does not have to be there.

        Raises:
            SecchiError: The store is of another experiment, or cannot be read.
        """
        from secchi.experiments.experiment_plan import plan_of

        return plan_of(self, store)

    def run(
        self,
        store: "str | os.PathLike[str] | None" = None,
        *,
        jobs: int | None = None,
        fresh: bool = False,
    ) -> "Result":
        """Train all trials, but for those that the store has.

        Args:
            store: A file that keeps what is finished, so that the same call goes on after an
                interruption and more repeats or values train only what is new. None keeps all in
                memory.
            jobs: How many processor cores work; None takes all.
            fresh: Start anew, whatever the store has.
        """
        from secchi.experiments.run import run

        return run(self, store, jobs=jobs, fresh=fresh)

    def but(self, **changes: Any) -> "Experiment":
        """The same with other arguments, by their names.

        Raises:
            SpecError: With every fault.

        >>> from secchi.data.synthetic import Line
        >>> Experiment(Line(rows=50), repeats=5).but(vary={"fold": [0, 1]}, folds=2)
        <line: fold varies, 2 settings x 5 repeats = 10 trials>
        """
        check_names(changes)
        return Experiment(**({name: getattr(self, name) for name in ARGUMENTS} | changes))

    # ---------------------------------------------------------------- as a record

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values; of functions, models and losses of one's own, their names.

        ``loss_units`` are the factors that change what losses are in units of: they follow from
        the rest, and tell who reads a result without its data.
        """
        from secchi.models.build import model_to_dict

        return {
            "name": self.name,
            "data": data_to_dict(self.data, self.task, self.data_options),
            "model": model_to_dict(self.model),
            "training": {k: v for k, v in self.training.to_dict().items() if k != "seed"},
            "vary": {name: written(factor) for name, factor in self.vary.items()},
            "design": self.design,
            "samples": self.samples,
            "repeats": self.repeats,
            "seed": self.seed,
            "resplit": self.resplit,
            "folds": self.folds,
            "metrics": list(self.metrics),
            "precision": self.precision,
            "device": self.device,
            "loss_units": list(self._factors.loss_units(self.settings)),
        }

    @classmethod
    def from_dict(
        cls,
        document: Mapping[str, Any],
        *,
        data: Any = None,
        model: Any = None,
        training: Training | None = None,
        vary: Mapping[str, Any] | None = None,
    ) -> "Experiment":
        """From what :meth:`to_dict` gave.

        What a record does not hold is given again: data that came from no file, a model, a loss or
        a factor of one's own. A table is read again from its file.

        Raises:
            SpecError: With everything that has to be given again.
            DataError: The table cannot be read, or is another one by now.
        """
        told = ("data", "model", "training", "loss_units")
        given = {name: value for name, value in document.items() if name not in told}
        faults: list[str] = []
        if data is None:
            data = data_from(document["data"], faults)
        if isinstance(data, Synthetic):
            given["data_options"] = document["data"].get("options")
        if model is None:
            model = model_from(document["model"], faults)
        given["vary"] = {**vary_from(document["vary"], vary or {}, faults), **(vary or {})}
        if faults:
            raise SpecError("this record of an experiment does not hold all of it", faults)
        return cls(data, model, training or Training.from_dict(document["training"]), **given)

    def fingerprint(self) -> str:
        """A digest of the base: data, model, training and seed, without what varies.

        Trials of two experiments with the same one are the same where their keys are. A model of
        one's own is made once for it.

        Raises:
            SpecError: The model is one's own, and makes no network for these rows.
        """
        from secchi.training.own_loss import loss_identity

        document = self.to_dict()
        base = {
            name: document[name]
            for name in (
                *("model", "training", "seed", "resplit", "folds"),
                *("metrics", "precision", "device"),
            )
        }
        base["loss"] = loss_identity(self.training.loss)
        data = document["data"]
        base["data"] = {k: v for k, v in data.items() if k not in ("name", "source", "rows")}
        if not isinstance(self.model, MLP):
            base["network"] = network_identity(self.model, self.tables().of({}, 0))
        return hashlib.sha256(canonical(without(base, self.vary)).encode()).hexdigest()

    def __repr__(self) -> str:
        factors = ", ".join(self.vary) or "nothing"
        number = len(self.settings)
        drawn = f" (of {self.samples:,} drawn)" if number < (self.samples or 0) else ""
        return (
            f"<{self.name}: {factors} {'vary' if len(self.vary) > 1 else 'varies'}, "
            f"{counted(number, 'setting', 'settings')}{drawn} x "
            f"{counted(self.repeats, 'repeat', 'repeats')} = "
            f"{counted(number * self.repeats, 'trial', 'trials')}>"
        )

    def _checked_task(self, vary: Mapping[str, Any]) -> Task:
        """What is predicted, of data that can be parted as they have to be."""
        data: Any = self.data
        if isinstance(data, Synthetic):
            data = TableData.made(data, **({"seed": self.seed} | self.data_options))
        if self.resplit:
            data.resplit()
        folds: Any = self.folds
        if "fold" in vary and is_whole(folds) and folds > 1:
            next(data.folds(folds))
        task: Task = data.task
        return task
