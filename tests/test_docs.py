"""Every example of the documentation runs, on small made pictures."""

import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from secchi import MLP, FeatureCache, ImageData, Learner, Moons, TableData
from secchi.experiments.spec_file import read_spec

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGES = ("training.md", "augmentation.md", "recipe.md", "tables.md", "experiments.md")

_BLOCK = re.compile(r"(<!-- not run -->\n+)?^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_SPEC = re.compile(r"^```toml\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_EXAMPLE = re.compile(r"^For example::\n\n((?:(?:    .*)?\n)+)", re.MULTILINE)
_LINK = re.compile(r"\]\(([^)#:]*)(?:#([^)]*))?\)")

MakePictures = Callable[..., Path]


@pytest.fixture(autouse=True)
def _small(
    make_pictures: MakePictures, lite0_cache: FeatureCache, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """A folder ``dogscats`` of pictures so few and small that a body trains in a second."""
    for place, per_class in (("train", 6), ("valid", 4)):
        make_pictures(Path("dogscats") / place, ("cats", "dogs"), per_class, seed=per_class)
    monkeypatch.setenv("SECCHI_CACHE", str(lite0_cache.root))
    _write_wine(Path("winequality-red.csv"))
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # batches as small as these wait longer for a second core
    yield
    torch.set_num_threads(before)


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_the_examples_of_a_page_run_in_their_order(page: str) -> None:
    names: dict[str, object] = {}
    for number, (skipped, code) in enumerate(_BLOCK.findall(_text(page)), start=1):
        if not skipped:
            place = f"{page}, example {number}"
            exec(compile(code.replace("size=224", "size=64"), place, "exec"), names)
    assert names


@pytest.mark.slow
def test_the_examples_of_the_learner_run() -> None:
    data = ImageData.from_folders("dogscats", size=64)
    wine = TableData.from_csv("winequality-red.csv", "quality", above=5, test=True)
    moons = TableData.made(Moons())
    names: dict[str, object] = {
        "data": data,
        "learn": Learner.pretrained("lite0", data),
        "net": Learner(wine, MLP([8])),
        "plane": Learner(moons, MLP([8])),
    }
    examples = _examples_of(Learner)
    assert len(examples) > 10
    for name, code in examples.items():
        exec(compile(code, f"the example of {name}", "exec"), names)


def test_the_file_of_an_experiment_is_one() -> None:
    (spec,) = _SPEC.findall(_text("experiments.md"))
    file = Path("wine.toml")
    file.write_text(spec, encoding="utf-8")
    experiment = read_spec(file)
    assert list(experiment.vary) == ["lr", "dropout", "patience"]
    assert len(experiment.trials) == 20 * 3 * 2 * 10


def test_links_lead_somewhere() -> None:
    for page in DOCS.glob("*.md"):
        for file, heading in _LINK.findall(page.read_text(encoding="utf-8")):
            there = (DOCS / file).resolve() if file else page
            assert there.exists(), f"{page.name} links to {file}"
            if heading:
                assert heading in _anchors(there), f"{page.name} links to {file}#{heading}"


def _write_wine(file: Path) -> None:
    """A small table like that of the wines: columns of numbers, and a quality from 3 to 8."""
    random = np.random.default_rng(0)
    columns = ["alcohol", "sulphates", "pH", "density", "residual sugar", "chlorides"]
    values = random.normal(size=(200, len(columns))).round(4)
    quality = np.clip(np.round(5.5 + values[:, 0] - values[:, 2]), 3, 8).astype(int)
    lines = [";".join([*map(str, row), str(q)]) for row, q in zip(values, quality, strict=True)]
    file.write_text("\n".join([";".join([*columns, "quality"]), *lines]) + "\n")


def _text(page: str) -> str:
    return (DOCS / page).read_text(encoding="utf-8")


def _examples_of(kind: type) -> dict[str, str]:
    """The examples in the docstrings of a class and its public members, by name, in their order."""
    members = {"the class": kind} | {k: v for k, v in vars(kind).items() if k[0] != "_"}
    found = {}
    for name, member in members.items():
        text = inspect.getdoc(getattr(member, "__func__", member)) or ""
        for block in _EXAMPLE.findall(text + "\n"):
            found[name] = inspect.cleandoc(block)
    return found


def _anchors(page: Path) -> list[str]:
    """What GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]
