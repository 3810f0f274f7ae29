"""The picture of a run: bars of the time of a step over that of the products alone, one panel for each workload."""

from __future__ import annotations

from pathlib import Path
from typing import Any

OURS, OTHERS, PRODUCTS = "0.15", "0.68", "0.9"  # greys, and hatching for the products
LONG = 8  # times the products: longer bars are cut


def chart(results: list[dict[str, Any]], machine: dict[str, Any], path: Path) -> None:
    """Write a PNG or SVG. A bar is the median, its whisker spans the middle half of the calls; shorter is faster."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    results = [result for result in results if any(row["ratio"] is not None for row in result["rows"])]
    if not results:
        raise ValueError("chart: no gemm was measured, so there is nothing to compare with; run one of them too.")
    tallest = max(len(result["rows"]) for result in results)
    figure = Figure(figsize=(max(6.5, 4.6 * len(results) + 0.4), 0.34 * tallest + 1.7), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, result in zip(figure.subplots(1, len(results), squeeze=False)[0], results, strict=True):
        _panel(axes, result)
    gpu = (machine.get("gpu") or {}).get("name", "")
    where = ", ".join(filter(None, [gpu, machine["cpu"], f"{machine['cores']} cores"]))
    figure.suptitle("Time of one training step, in times of its matrix products alone", fontsize=12)
    figure.supxlabel(
        f"shorter is faster; whiskers: middle half of the calls; {results[0]['dtype']}\n{where}", fontsize=8
    )
    figure.savefig(path, dpi=150)


def _panel(axes: Any, result: dict[str, Any]) -> None:
    rows = sorted(result["rows"], key=lambda row: -row["seconds"])
    base = rows[0]["seconds"] / rows[0]["ratio"]
    longest = max([row["high"] / base for row in rows if row["ratio"] <= LONG] or [LONG])
    end = longest * 1.18
    for y, row in enumerate(rows):
        ours = row["name"].startswith("xpgraph")
        color = PRODUCTS if not row["trains"] else OURS if ours else OTHERS
        spread = [[(row["seconds"] - row["low"]) / base], [(row["high"] - row["seconds"]) / base]]
        axes.barh(
            y, row["ratio"], height=0.7, color=color, edgecolor="black", linewidth=0.6,
            hatch="" if row["trains"] else "///", xerr=spread,
            error_kw={"ecolor": "0.5" if ours else "black", "elinewidth": 1, "capsize": 2.5},
        )  # fmt: skip
        if row["high"] / base < end:
            axes.text(row["high"] / base + longest * 0.02, y, f"{row['ratio']:.2f}", va="center", fontsize=8)
        else:
            box = {"facecolor": "white", "edgecolor": "none", "pad": 1.5}
            text = f"{row['ratio']:.1f} »"
            axes.text(end * 0.98, y, text, va="center", ha="right", fontsize=8, bbox=box)
    axes.set_yticks(range(len(rows)), [row["name"] for row in rows], fontsize=8.5)
    for label, row in zip(axes.get_yticklabels(), rows, strict=True):
        label.set_fontweight("bold" if row["name"].startswith("xpgraph") else "normal")
    axes.axvline(1, color="black", linewidth=0.8, linestyle=":")
    axes.set_xlim(0, end)
    axes.set_title(f"{result['workload']['name']}\n{result['words']}", fontsize=8.5)
    axes.tick_params(axis="x", labelsize=8)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
