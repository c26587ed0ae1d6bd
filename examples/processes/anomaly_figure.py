"""The figure of an anomaly: a map of the recent decades above the regional series."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import BoundaryNorm, Colormap
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from .anomaly import Anomaly
from .gridded import Field

WIDTH = 7.1  # inches, two columns of most journals
SERIES, LETTERING = 2.1, 1.65  # inches: height of the lower panel, and of titles and labels
CLASSES = 10  # at most, on each side of zero
SMOOTHING = 11  # years of the running mean
DASH = "\N{EN DASH}"
MINUS = "\N{MINUS SIGN}"
ABOVE, BELOW = "#d6604d", "#4393c3"  # of the same palette as the map
INK, GREY = "#1a1a1a", "#6b6b6b"
STYLE = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same letters on every node
    "font.size": 8.5,
    "axes.edgecolor": GREY,
    "axes.linewidth": 0.6,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "text.color": INK,
    "axes.labelcolor": INK,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
}


def draw(path: Path, field: Field, result: Anomaly) -> None:
    """Write the figure as PNG at 200 dots per inch, without any time of writing in it."""
    with mpl.rc_context(STYLE):
        tall = _map_height(field)
        figure = Figure(figsize=(WIDTH, tall + SERIES + LETTERING), layout="constrained")
        figure.get_layout_engine().set(hspace=0.06)
        upper, lower = figure.subplots(2, 1, height_ratios=[tall, SERIES])
        _map(figure, upper, field, result)
        _series(lower, field, result)
        figure.suptitle(
            f"{field.title} anomaly relative to {_span(result.reference_period)}",
            fontsize=12,
            fontweight="bold",
            x=0.01,
            ha="left",
        )
        credit = _credit(field)
        if credit:
            figure.supxlabel(credit, fontsize=7, color=GREY, x=0.01, ha="left")
        figure.savefig(path, dpi=200, metadata={"Software": None})


def _map(figure: Figure, axes: Axes, field: Field, result: Anomaly) -> None:
    norm, colours = _scale(result.recent)
    longitudes, latitudes = _edges(field.longitudes), _edges(field.latitudes).clip(-90, 90)
    mesh = axes.pcolormesh(
        longitudes, latitudes, result.recent, norm=norm, cmap=colours, rasterized=True
    )
    axes.set_facecolor("#d9d9d9")
    axes.add_collection(
        LineCollection(_coastlines(longitudes.min(), longitudes.max()), colors=INK, linewidths=0.5)
    )
    axes.set_xlim(longitudes.min(), longitudes.max())
    axes.set_ylim(latitudes.min(), latitudes.max())
    axes.set_aspect(1 / max(0.3, np.cos(np.deg2rad(latitudes.mean()))))
    axes.xaxis.set_major_locator(MaxNLocator(7, steps=[1, 1.5, 2, 3, 6, 10]))
    axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 1.5, 2, 3, 6, 10]))
    axes.xaxis.set_major_formatter(
        FuncFormatter(lambda x, _: _degrees((x + 180) % 360 - 180, "EW"))
    )
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: _degrees(y, "NS")))
    axes.grid(color=INK, alpha=0.15, linewidth=0.4)
    axes.set_title(f"a  Mean of {_span(result.recent_period)}")
    bar = figure.colorbar(mesh, ax=axes, pad=0.02, aspect=24, ticks=_every_second(norm.boundaries))
    bar.set_label(_label(field))
    bar.ax.yaxis.set_major_formatter(FuncFormatter(_signed))
    bar.outline.set_linewidth(0.6)


def _series(axes: Axes, field: Field, result: Anomaly) -> None:
    years, annual = result.years, result.annual
    title = "b  Regional annual mean, weighted by area"
    start, end = result.reference_period
    axes.axvspan(start - 0.5, end + 0.5, color="#000000", alpha=0.09, linewidth=0)
    axes.bar(years, annual, width=0.9, color=np.where(annual < 0, BELOW, ABOVE), linewidth=0)
    axes.axhline(0, color=INK, linewidth=0.6)
    if years.size > 2 * SMOOTHING and (np.diff(years) == 1).all():
        half = SMOOTHING // 2
        smooth = np.convolve(annual, np.full(SMOOTHING, 1 / SMOOTHING), mode="valid")
        axes.plot(
            years[half:-half],
            smooth,
            color=INK,
            linewidth=1.3,
            solid_capstyle="round",
        )
        title += f"; line: {SMOOTHING}-year running mean"
    axes.set_title(title)
    low, high = min(0.0, annual.min()), max(0.0, annual.max())
    room = 0.16 * (high - low) or 1.0
    axes.set_ylim(low - 0.5 * room, high + 1.8 * room)
    axes.set_xlim(years[0] - 1.5, years[-1] + 1.5)
    _bracket(axes, (start, end), high + 0.25 * room, f"reference\n{start}{DASH}{end}", INK)
    recent_start, recent_end = result.recent_period
    if recent_start > end:
        text = f"{recent_start}{DASH}{recent_end}\n{_signed(result.recent_mean, digits=2)} "
        _bracket(axes, result.recent_period, high + 0.25 * room, text + field.difference_units, INK)
    axes.yaxis.set_major_formatter(FuncFormatter(_signed))
    axes.xaxis.set_major_locator(MaxNLocator(9, integer=True, steps=[1, 2, 4, 5, 10]))
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel("Year")
    axes.set_ylabel(_label(field))


def _bracket(axes: Axes, span: tuple[int, int], y: float, text: str, colour: str) -> None:
    axes.plot([span[0] - 0.5, span[1] + 0.5], [y, y], color=colour, linewidth=1.0)
    axes.annotate(
        text,
        (sum(span) / 2, y),
        (0, 3),
        textcoords="offset points",
        ha="center",
        va="bottom",
        fontsize=7.5,
        color=colour,
        linespacing=1.25,
    )


def _scale(values: np.ndarray) -> tuple[BoundaryNorm, Colormap]:
    """Discrete classes of round width, symmetric about zero; red is above the reference."""
    largest = float(np.nanmax(np.abs(values))) or 1.0
    power = 10.0 ** np.floor(np.log10(largest / CLASSES))
    width = next(s * power for s in (1, 2, 2.5, 5, 10) if largest <= CLASSES * s * power)
    count = int(np.ceil(largest / width))
    levels = width * np.arange(-count, count + 1)
    colours = mpl.colormaps["RdBu_r"].with_extremes(bad="#d9d9d9")
    return BoundaryNorm(levels, colours.N), colours


def _every_second(levels: np.ndarray) -> np.ndarray:
    """Every second class boundary, so chosen that zero is one of them."""
    return levels[len(levels) // 2 % 2 :: 2]


def _coastlines(west: float, east: float) -> list[np.ndarray]:
    """Coastlines as (longitude, latitude) rows, repeated eastward to reach the whole map."""
    record: dict[str, Any] = json.loads(
        Path(__file__).with_name("coastline.json").read_text(encoding="utf-8")
    )
    lines = [
        np.cumsum(np.reshape(line, (-1, 2)), axis=0) * record["unit_degrees"]
        for line in record["lines"]
    ]
    return [
        line + np.array([turn, 0.0])
        for turn in (-360.0, 0.0, 360.0)
        for line in lines
        if (line[:, 0] + turn).max() > west and (line[:, 0] + turn).min() < east
    ]


def _edges(centres: np.ndarray) -> np.ndarray:
    if centres.size == 1:
        return centres[0] + np.array([-0.5, 0.5])
    middle = (centres[:-1] + centres[1:]) / 2
    return np.concatenate([[2 * centres[0] - middle[0]], middle, [2 * centres[-1] - middle[-1]]])


def _map_height(field: Field) -> float:
    longitudes, latitudes = _edges(field.longitudes), _edges(field.latitudes)
    tall = np.ptp(latitudes) / max(0.3, np.cos(np.deg2rad(latitudes.mean())))
    return float(np.clip(0.82 * WIDTH * tall / np.ptp(longitudes), 2.2, 6.0))


def _label(field: Field) -> str:
    return f"Anomaly ({field.difference_units})"


def _span(period: tuple[int, int]) -> str:
    return f"{period[0]}{DASH}{period[1]}"


def _degrees(value: float, names: str) -> str:
    side = "" if round(value, 6) in (0, -180) else names[0] if value > 0 else names[1]
    return f"{abs(value):g}°{side}"


def _signed(value: float, _position: int | None = None, *, digits: int | None = None) -> str:
    text = f"{abs(value):.{digits}f}" if digits is not None else f"{abs(round(value, 6)):g}"
    return text if float(text) == 0 else f"{'+' if value > 0 else MINUS}{text}"


def _credit(field: Field) -> str:
    attrs = {**field.source.attrs, **field.data.attrs}
    scenario = attrs.get("experiment_id") or attrs.get("Model scenario")
    parts = [str(attrs.get("source", "")), f"scenario {scenario}" if scenario else ""]
    return ", ".join(part for part in parts if part)[:120]
