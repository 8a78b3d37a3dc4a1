"""What the figures of course.py show: a sentence each, computed from the result."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from secchi.experiments.result import Result


def by(result: "Result", factor: str, measure: str = "valid_accuracy") -> "pd.Series[float]":
    """The mean over the repeats, in the end, by the values of a factor."""
    means: pd.Series[float] = result.final.groupby(factor)[measure].mean()
    return means


def slopes(result: "Result") -> str:
    r, rmse = by(result, "slope", "valid_r"), by(result, "slope", "valid_rmse")
    level = int(abs(r.index.to_numpy()).argmin())
    silent = result.final["valid_r"].isna().mean()
    return (
        f"at slopes of -2 and 2 the mean r is {r.iloc[0]:.2f} and {r.iloc[-1]:.2f} and the mean "
        f"error {rmse.iloc[0]:.2f} and {rmse.iloc[-1]:.2f}; at 0 they are {r.iloc[level]:.2f} and "
        f"{rmse.iloc[level]:.2f}, where the noise is 0.5; {silent:.0%} of the networks give every "
        "row the same answer"
    )


def rates(result: "Result") -> str:
    accuracy = result.final["valid_accuracy"]
    learned = accuracy.ge(0.95).groupby(result.final["lr"]).mean()
    enough = learned[learned >= learned.max() / 2].index[0]
    return (
        f"{accuracy.ge(0.95).mean():.0%} of the networks end at an accuracy of 0.95 or more and "
        f"{accuracy.le(0.6).mean():.0%} at 0.6 or less; at the best rate, {learned.idxmax():.2g}, "
        f"{learned.max():.0%} get there, at least half as many from {enough:.2g} on, and at 1 "
        f"{learned.iloc[-1]:.0%}"
    )


def hidden_units(result: "Result") -> str:
    means = by(result, "width")
    smooth = means.rolling(9, center=True, min_periods=1).mean()
    enough = smooth[smooth >= smooth.max() - 0.02].index[0]
    return (
        f"the mean accuracy is {means.iloc[0]:.2f} with 1 unit, {smooth[enough]:.2f} with {enough} "
        f"and {smooth.iloc[-1]:.2f} with 128; from {enough} on (a moving mean over nine) it is "
        "within 0.02 of the best"
    )


def depth_and_width(result: "Result") -> str:
    means = by(result, "depth")
    final = result.final
    weights = parameters(final["depth"], final["width"])
    r = float(weights.corr(final["valid_accuracy"]))
    told = ", ".join(f"{depth}: {mean:.2f}" for depth, mean in means.items())
    return (
        f"the mean accuracy by hidden layers is {told}; its correlation with the number of "
        f"parameters is {r:.2f}"
    )


def parameters(depth: Any, width: Any, inputs: int = 4, outputs: int = 3) -> Any:
    """How many weights and biases there are."""
    between = (depth - 1) * width * (width + 1)
    return width * (inputs + 1) + between + outputs * (width + 1)


def dropout(result: "Result") -> str:
    means = by(result, "dropout")
    return (
        f"the mean accuracy is {means.iloc[0]:.3f} without dropout, at best {means.max():.3f} with "
        f"{means.idxmax():g}, and {means.iloc[-1]:.3f} with {means.index[-1]:g}"
    )


def momentum(result: "Result") -> str:
    curves = result.table.groupby(["momentum", "epoch"])["valid_accuracy"].mean().unstack()
    told = []
    for momentum, curve in curves.iterrows():
        there = curve.index[curve >= 0.9]
        told.append(f"{momentum:g}: {there[0] + 1 if len(there) else 'never'}")
    last = curves.iloc[:, -1]
    return (
        f"epochs until the mean accuracy is first 0.9, by momentum: {', '.join(told)}; in the end "
        f"it is {last.iloc[:-1].min():.2f} or more, and {last.iloc[-1]:.2f} with {last.index[-1]:g}"
    )


def batch_sizes(result: "Result") -> str:
    final = result.final.assign(gap=result.final["valid_loss"] - result.final["train_loss"])
    told = [
        f"{size}: {rows['valid_accuracy'].mean():.3f} and {rows['gap'].mean():+.3f}"
        for size, rows in final.groupby("batch_size")
    ]
    return (
        "the mean accuracy, and by how much the validation loss is above the training loss, by "
        f"batch size: {'; '.join(told)}"
    )
