"""Twenty kinds of bad tables: each trains, or gets an error that says what to do."""

import csv
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from secchi.console import Console
from secchi.data.table import TableData
from secchi.errors import DataError
from secchi.learner import Learner
from secchi.models.mlp import MLP
from secchi.training.spec import Training

Rows = list[list[object]]
HEADER: list[object] = ["width", "height", "colour", "kind"]


def good(rows: int = 60) -> Rows:
    random = np.random.default_rng(0)
    return [
        [
            round(random.normal(5, 1), 3),
            round(random.normal(3, 1), 3),
            str(random.choice(["red", "blue"])),
            "tall" if number % 2 else "short",
        ]
        for number in range(rows)
    ]


def text(rows: Rows, header: list[object] | None = HEADER, sep: str = ",", end: str = "\n") -> str:
    lines = [header, *rows] if header else rows
    return end.join(sep.join(map(str, line)) for line in lines) + end


def changed(column: int, make: Callable[[int, object], object], rows: int = 60) -> Rows:
    table = good(rows)
    for number, row in enumerate(table):
        row[column] = make(number, row[column])
    return table


def ragged() -> str:
    lines = text(good()).splitlines()
    lines[5] += ",1,2"
    lines[9] = lines[9].rpartition(",")[0]
    return "\n".join(lines) + "\n"


def mixed_ends() -> str:
    lines = text(good()).splitlines()
    return "".join(line + ("\r\n" if n % 2 else "\n") for n, line in enumerate(lines))


TRAINS: dict[str, tuple[str, str]] = {
    "ragged": (ragged(), "ragged|fields"),
    "byte order mark": ("\ufeff" + text(good()), ""),
    "constant column": (text(changed(0, lambda n, v: 7)), "it is 7 in every row"),
    "all missing": (text(changed(0, lambda n, v: "")), "no value in any row"),
    "infinities": (text(changed(0, lambda n, v: "inf" if n == 3 else v)), "infinit"),
    "text in numbers": (text(changed(0, lambda n, v: "tall?" if n == 3 else v)), "tall\\?"),
    "target missing": (text(changed(3, lambda n, v: "" if n < 5 else v)), ""),
    "a class with one row": (text(changed(3, lambda n, v: "odd" if n == 0 else v)), ""),
    "mixed line ends": (mixed_ends(), ""),
    "quoted newlines": (text(changed(2, lambda n, v: '"two\nlines"' if n % 3 else v)), ""),
    "duplicated rows": (text(good(20) * 3), ""),
    "semicolons": (text(good(), sep=";"), ""),
    "tabs": (text(good(), sep="\t"), ""),
    "decimal commas": (
        text(changed(0, lambda n, v: str(v).replace(".", ",")), sep=";"), "",
    ),
}  # fmt: skip

REFUSED: dict[str, tuple[str, str]] = {
    "duplicate headers": (text(good(), ["width", "width", "colour", "kind"]), "'width'"),
    "empty": ("", "empty"),
    "header alone": (text([]), "no rows|without rows|no row"),
    "one row": (text(good(1)), "nothing to tell apart|every row|none is left"),
    "one column": (text([[row[3]] for row in good()], ["kind"]), "no column .* can be learned"),
    "one class only": (text(changed(3, lambda n, v: "tall")), "nothing to tell apart"),
    "target without a value": (text(changed(3, lambda n, v: "")), "has no value in any row"),
    "dates": (
        text(changed(0, lambda n, v: f"2026-01-{1 + n % 28:02}")), r"dates.*drop=\['width'\]",
    ),
    "no header": (text(good(), None), "header|first line|'kind'"),
}  # fmt: skip


def fitted(path: Path, **options: object) -> Learner:
    data = TableData.from_csv(path, "kind", **options)  # type: ignore[arg-type]
    learn = Learner(data, MLP([4]), Training(epochs=1), console=Console(quiet=True))
    learn.fit()
    return learn


@pytest.mark.parametrize("kind", TRAINS)
def test_it_trains_and_says_what_became_of_it(kind: str, tmp_path: Path) -> None:
    content, note = TRAINS[kind]
    path = tmp_path / "table.csv"
    path.write_bytes(content.encode())
    learn = fitted(path)
    assert np.isfinite(learn.evaluate()["loss"])
    summary = str(learn.data.summary())
    if note:
        assert re.search(note, summary), summary
    assert path.read_bytes() == content.encode()


@pytest.mark.parametrize("kind", REFUSED)
def test_it_is_refused_with_advice(kind: str, tmp_path: Path) -> None:
    content, fault = REFUSED[kind]
    path = tmp_path / "table.csv"
    path.write_text(content)
    with pytest.raises(DataError, match=fault):
        fitted(path)


def test_a_wrong_separator_is_told_with_the_right_one(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text(text(good(), sep=";"))
    with pytest.raises(DataError, match="';'"):
        fitted(path, sep=",")


@pytest.fixture
def growth(tmp_path: Path) -> Callable[[], float]:
    """How many MB the process has held at the most, beyond what a small table took."""
    (tmp_path / "small.csv").write_text(text(good()))
    fitted(tmp_path / "small.csv")
    try:
        Path("/proc/self/clear_refs").write_text("5")  # the highest mark falls to what is held now
    except OSError:
        pytest.skip("this system does not tell how much memory a process held")

    def most() -> float:
        status = Path("/proc/self/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024  # type: ignore[index]

    before = most()
    return lambda: most() - before


@pytest.mark.slow
def test_ten_thousand_columns_train_in_bounded_memory(
    tmp_path: Path, growth: Callable[[], float]
) -> None:
    path = tmp_path / "wide.csv"
    random = np.random.default_rng(0)
    values = random.normal(size=(200, 10_000)).round(3)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*(f"c{n}" for n in range(10_000)), "kind"])
        writer.writerows([*row, "tall" if n % 2 else "short"] for n, row in enumerate(values))
    learn = fitted(path)
    assert len(learn.data.inputs) == 10_000
    assert growth() < 250


@pytest.mark.slow
def test_a_million_rows_train_in_bounded_memory(
    tmp_path: Path, growth: Callable[[], float]
) -> None:
    path = tmp_path / "long.csv"
    block = "\n".join(
        f"{n % 997 / 7:.3f},{n % 13},{'tall' if n % 7 > 3 else 'short'}" for n in range(9973)
    )
    with path.open("w") as file:
        file.write("width,height,kind\n")
        for number in range(101):
            file.write(block.replace(",", f"{number},", 1) + "\n")
    data = TableData.from_csv(path, "kind")
    assert len(data.train) + len(data.valid) > 1_000_000
    learn = Learner(
        data, MLP([4]), Training(epochs=1, batch_size=4096), console=Console(quiet=True)
    )
    learn.fit()
    assert growth() < 200
