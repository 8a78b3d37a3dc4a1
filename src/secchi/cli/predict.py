"""``secchi predict``: a trained model and pictures in, classes out."""

from pathlib import Path
from typing import Annotated, Any

import typer

from secchi.cli.options import Device, Json, Precision, console, print_json
from secchi.files import check_writable


def predict(
    run: Annotated[Path, typer.Argument(help="A run's folder, or a bundle.")],
    pictures: Annotated[list[Path], typer.Argument(help="Pictures and folders of pictures.")],
    out: Annotated[Path | None, typer.Option(help="Write them to this CSV file too.")] = None,
    device: Device = "auto",
    precision: Precision = "auto",
    as_json: Json = False,
) -> None:
    """Predict pictures with a trained model."""
    from secchi.bundle.bundle import Bundle
    from secchi.data.summary import printable

    screen = console(as_json)
    if out is not None:
        check_writable(out.absolute().parent)
    bundle = Bundle.load(run, device=device, precision=precision)
    with screen.progress("features") as progress:
        predictions = bundle.predict(pictures, progress)
    records: list[dict[str, Any]] = predictions.to_records()
    records += [{"file": file, "error": reason} for file, reason in predictions.unreadable]
    if out is not None:
        predictions.write_csv(out)
    if as_json:
        print_json({"predictions": records})
        return
    for record in records:
        screen.line(f"{_answer(record)}  {printable(record['file'])}")
    if out is not None:
        screen.line(f"written to {out}")


def _answer(record: dict[str, Any]) -> str:
    if "error" in record:
        return f"unreadable: {record['error']}"
    if "probabilities" not in record:
        return "  ".join(f"{k} {v:.4g}" for k, v in record.items() if k != "file")
    says = record["class"] if isinstance(record["class"], str) else " ".join(record["class"])
    best = sorted(record["probabilities"].items(), key=lambda pair: -pair[1])[:3]
    return f"{says:<16}" + "  ".join(f"{name} {p:.4f}" for name, p in best)
