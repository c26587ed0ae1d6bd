"""Anomalies of a gridded field relative to a reference period, decade by decade.

Yearly data lose the mean of the reference years; monthly data lose the mean of the same calendar
month in the reference years, so that the annual cycle goes too. The regional mean weights each grid
point with the cosine of its latitude and each month with its length.

The reference period 1961-1990 is the one that the World Meteorological Organization keeps for
long-term climate change assessment: WMO Guidelines on the Calculation of Climate Normals,
WMO-No. 1203 (2017).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from .gridded import Field, InputError

RECENT_YEARS = 30
Progress = Callable[[str, float], None]  # message, fraction of the work done


@dataclass(frozen=True)
class Anomaly:
    """The result; arrays are in the field's order (time, latitude, longitude)."""

    values: np.ndarray  # anomaly of each time step
    reference: np.ndarray  # (months, latitude, longitude) mean of the reference period
    months: np.ndarray  # calendar month of each entry of ``reference``; one entry for yearly data
    reference_period: tuple[int, int]
    reference_mean: float  # of the region, in the field's units
    years: np.ndarray  # the complete years
    annual: np.ndarray  # regional mean anomaly of each of them
    recent_period: tuple[int, int]
    recent: np.ndarray  # (latitude, longitude) mean anomaly of the recent period

    @property
    def recent_mean(self) -> float:
        return float(self.annual[self.years >= self.recent_period[0]].mean())


def anomaly(field: Field, start: int, end: int, progress: Progress) -> Anomaly:
    """Subtract the climate of the years ``start`` to ``end``, both included.

    :raises InputError: the period is not covered, or the time steps are finer than months
    """
    years, months, days = field.years, field.months, field.days
    index, calendar = _calendar(years, months)
    _check_reference(years, index, len(calendar), start, end)
    weights = np.cos(np.deg2rad(field.latitudes))[:, np.newaxis]
    weights = np.broadcast_to(weights, field.data.shape[1:])

    reference = np.zeros((len(calendar), *field.data.shape[1:]))
    counts = np.zeros(reference.shape)
    within = np.flatnonzero((years >= start) & (years <= end))
    done = 0
    for steps, first, last in _decades(years, within[0], within[-1] + 1):
        block = field.read(steps)
        np.add.at(reference, index[steps], np.nan_to_num(block))
        np.add.at(counts, index[steps], np.isfinite(block))
        done += last - first + 1
        progress(
            f"Reference climate {start}-{end}: {done} of {end - start + 1} years averaged",
            0.4 * done / (end - start + 1),
        )
    with np.errstate(invalid="ignore"):
        reference = np.where(counts > 0, reference / counts, np.nan)
    if not np.isfinite(reference).any():
        raise InputError(f"The region has no valid value in the reference period {start} to {end}.")

    complete = _complete_years(years, len(calendar))
    recent_years = complete[-RECENT_YEARS:]
    values = np.empty(field.data.shape, dtype=np.float32)
    regional = np.empty(years.size)
    recent, recent_weight = np.zeros(weights.shape), np.zeros(weights.shape)
    for steps, first, last in _decades(years, 0, years.size):
        block = field.read(steps) - reference[index[steps]]
        values[steps] = block
        regional[steps] = [_mean(step, weights) for step in block]
        chosen = np.isin(years[steps], recent_years)
        length = days[steps][chosen][:, np.newaxis, np.newaxis]
        recent += (np.nan_to_num(block[chosen]) * length).sum(axis=0)
        recent_weight += (np.isfinite(block[chosen]) * length).sum(axis=0)
        span = f"{first}" if first == last else f"{first}-{last}"
        progress(f"Anomalies of {span} computed", 0.4 + 0.6 * steps.stop / years.size)
    with np.errstate(invalid="ignore"):
        recent = np.where(recent_weight > 0, recent / recent_weight, np.nan)

    empty = complete[[not np.isfinite(regional[years == y]).all() for y in complete]]
    if empty.size:
        raise InputError(f"The region has no valid value in the year {empty[0]}.")

    lengths = np.array([days[index == m].mean() for m in range(len(calendar))])
    return Anomaly(
        values=values,
        reference=reference,
        months=calendar,
        reference_period=(start, end),
        reference_mean=float(
            np.average([_mean(month, weights) for month in reference], weights=lengths)
        ),
        years=complete,
        annual=np.array(
            [np.average(regional[years == y], weights=days[years == y]) for y in complete]
        ),
        recent_period=(int(recent_years[0]), int(recent_years[-1])),
        recent=recent,
    )


def summary(field: Field, result: Anomaly) -> dict[str, Any]:
    """The numbers of a result, rounded to 0.0001; temperatures in kelvin, trends per decade."""
    units = field.difference_units
    first, last = (int(year) for year in (result.years[0], result.years[-1]))
    longitudes = (field.longitudes + 180) % 360 - 180
    warmest = int(result.annual.argmax())
    return {
        "variable": field.name,
        "long_name": field.title,
        "units": units,
        "time_step": "year" if len(result.months) == 1 else "month",
        "period": {"start": first, "end": last, "years": int(result.years.size)},
        "region": {
            "west": round(float(longitudes[0]), 4),
            "south": round(float(field.latitudes.min()), 4),
            "east": round(float(longitudes[-1]), 4),
            "north": round(float(field.latitudes.max()), 4),
            "grid_points": int(np.isfinite(result.reference[0]).sum()),
        },
        "reference": {
            "start": result.reference_period[0],
            "end": result.reference_period[1],
            "mean": round(result.reference_mean, 4),
            "units": field.units,
        },
        "recent": {
            "start": result.recent_period[0],
            "end": result.recent_period[1],
            "anomaly": round(result.recent_mean, 4),
            "trend": trend(result, *result.recent_period),
        },
        "trend": trend(result, first, last),
        "trend_units": f"{units}/decade",
        "highest": {
            "year": int(result.years[warmest]),
            "anomaly": round(float(result.annual[warmest]), 4),
        },
        "decades": [
            {
                "start": int(decade),
                "end": int(decade) + 9,
                "anomaly": round(float(result.annual[result.years // 10 * 10 == decade].mean()), 4),
            }
            for decade in np.unique(result.years // 10 * 10)
            if (result.years // 10 * 10 == decade).sum() == 10
        ],
    }


def trend(result: Anomaly, start: int, end: int) -> float | None:
    """Least-squares slope of the regional annual means, per decade; None for a single year."""
    chosen = (result.years >= start) & (result.years <= end)
    if chosen.sum() < 2:
        return None
    time = result.years[chosen] - result.years[chosen].mean()
    return round(float(10 * (time @ result.annual[chosen]) / (time @ time)), 4)


def _calendar(years: np.ndarray, months: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which entry of the climatology each time step belongs to, and the entries' months."""
    if np.unique(years).size == years.size:
        return np.zeros(years.size, dtype=int), months[:1]
    if np.unique(years * 12 + months).size < years.size:
        raise InputError(
            "The dataset has several time steps in one month. Give yearly or monthly means."
        )
    calendar, index = np.unique(months, return_inverse=True)
    return index, calendar


def _check_reference(
    years: np.ndarray, index: np.ndarray, entries: int, start: int, end: int
) -> None:
    if start > end:
        raise InputError(f"The reference period starts in {start}, after its end in {end}.")
    if start < years[0] or end > years[-1]:
        raise InputError(
            f"The reference period {start} to {end} lies outside the data, "
            f"which cover the years {years[0]} to {years[-1]}."
        )
    for entry in range(entries):
        missing = np.setdiff1d(np.arange(start, end + 1), years[index == entry])
        if missing.size:
            raise InputError(
                f"The data are not complete in the reference period {start} to {end}: "
                f"{missing.size} years lack a time step, the first of them is {missing[0]}."
            )


def _complete_years(years: np.ndarray, entries: int) -> np.ndarray:
    unique, counts = np.unique(years, return_counts=True)
    return unique[counts == entries]


def _decades(years: np.ndarray, start: int, stop: int) -> Iterator[tuple[slice, int, int]]:
    """Time steps of each calendar decade, with its first and last year; bounds the memory used."""
    decades = years[start:stop] // 10
    edges = [0, *(np.flatnonzero(np.diff(decades)) + 1), stop - start]
    for low, high in itertools.pairwise(edges):
        steps = slice(int(start + low), int(start + high))
        yield steps, int(years[steps.start]), int(years[steps.stop - 1])


def _mean(values: np.ndarray, weights: np.ndarray) -> float:
    valid = np.isfinite(values)
    return float(np.average(values[valid], weights=weights[valid])) if valid.any() else np.nan
