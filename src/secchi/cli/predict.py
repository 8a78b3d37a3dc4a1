"""``secchi predict``: a trained model and pictures or a table in, classes or numbers out."""

from pathlib import Path
from typing import Annotated, Any

import typer

from secchi.cli.options import Device, Json, Precision, console, print_json
from secchi.errors import DataError
from secchi.files import check_writable


def predict(
    run: Annotated[Path, typer.Argument(help="A run's folder, or a bundle.")],
    rows: Annotated[
        list[Path], typer.Argument(help="Pictures and folders of pictures, or one table.")
    ],
    out: Annotated[Path | None, typer.Option(help="Write them to this CSV file too.")] = None,
    device: Device = "auto",
    precision: Precision = "auto",
    as_json: Json = False,
) -> None:
    """Predict pictures, or the rows of a table, with a trained model."""
    from secchi.bundle.bundle import Bundle
    from secchi.bundle.table_bundle import TableBundle
    from secchi.data.summary import printable

    screen = console(as_json)
    if out is not None:
        check_writable(out.absolute().parent)
    said = {"device": device, "precision": precision}
    bundle = Bundle.load(run, **{name: value for name, value in said.items() if value != "auto"})
    if isinstance(bundle, TableBundle):
        if len(rows) != 1:
            raise DataError(f"one table is predicted at a time, and {len(rows)} are given")
        predictions = bundle.predict(rows[0])
    else:
        with screen.progress("features") as progress:
            predictions = bundle.predict(rows, progress)
    records: list[dict[str, Any]] = predictions.to_records()
    source = predictions.source_name
    records += [{source: file, "error": reason} for file, reason in predictions.unreadable]
    if out is not None:
        predictions.write_csv(out)
    if as_json:
        print_json({"predictions": records})
        return
    for record in records:
        place = printable(str(record[source]))
        screen.line(
            f"{_answer(record, source)}  {place if source == 'file' else f'{source} {place}'}"
        )
    if out is not None:
        screen.line(f"written to {out}")


def _answer(record: dict[str, Any], source: str) -> str:
    if "error" in record:
        return f"unreadable: {record['error']}"
    if "probabilities" in record:
        return _class(record)
    answers = {name: value for name, value in record.items() if name != source}
    return "  ".join(
        f"{name} {_class(value).strip() if isinstance(value, dict) else _number(value)}"
        for name, value in answers.items()
    )


def _class(answer: dict[str, Any]) -> str:
    """The class, where one is said, and the likeliest ones with their probabilities."""
    best = sorted(answer["probabilities"].items(), key=lambda pair: -pair[1])[:3]
    shares = "  ".join(f"{name} {p:.4f}" for name, p in best)
    if "class" not in answer:
        return shares
    says = answer["class"]
    said = " ".join(map(str, says)) if isinstance(says, list) else str(says)
    return f"{said:<16}{shares}"


def _number(value: Any) -> str:
    """Six digits, without powers of ten where a person would write none."""
    if not isinstance(value, float):
        return str(value)
    return f"{value:,.0f}" if 1e5 <= abs(value) < 1e15 else f"{value:.6g}"
