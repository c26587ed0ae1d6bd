"""Write an anomaly as compressed, CF-compliant NetCDF; the same input gives the same bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from .anomaly import Anomaly
from .gridded import Field

FILL = np.float32(1e20)
KEPT = ("institution", "source", "experiment_id", "Model scenario", "comment")


def write_netcdf(path: Path, field: Field, result: Anomaly) -> None:
    """Write the anomaly, the reference climate, the recent mean and the regional series.

    There is no time of writing in the file: its history tells what was computed, not when.
    """
    start, end = result.reference_period
    horizontal = (field.latitude, field.longitude)
    units, title = field.difference_units, field.title
    difference = {"units": units}
    if field.is_temperature:
        difference["units_metadata"] = "temperature: difference"  # CF 1.11, section 3.1.2
    grid = {k: v for k, v in field.data.attrs.items() if k == "grid_mapping"}
    grid |= {k: v for k, v in field.data.encoding.items() if k == "grid_mapping"}

    dataset = xr.Dataset(coords=_coordinates(field))
    dataset[f"{field.name}_anomaly"] = (
        (field.time, *horizontal),
        result.values,
        {
            **_standard_name(field),
            "long_name": f"{title} anomaly relative to {start}-{end}",
            **difference,
            **{k: v for k, v in field.data.attrs.items() if k == "cell_methods"},
            **grid,
        },
    )
    if len(result.months) == 1:
        dims, reference = horizontal, result.reference[0]
    else:
        dims, reference = ("month", *horizontal), result.reference
        dataset["month"] = ("month", result.months.astype(np.int32), {"long_name": "month"})
    dataset[f"{field.name}_reference"] = (
        dims,
        reference.astype(np.float32),
        {"long_name": f"{title}, mean of {start}-{end}", "units": field.units, **grid},
    )
    first, last = result.recent_period
    dataset["recent_anomaly"] = (
        horizontal,
        result.recent.astype(np.float32),
        {"long_name": f"{title} anomaly, mean of {first}-{last}", **difference, **grid},
    )
    dataset["year"] = ("year", result.years.astype(np.int32), {"long_name": "calendar year"})
    dataset["regional_anomaly"] = (
        "year",
        result.annual,
        {"long_name": f"{title} anomaly, annual mean weighted by area", **difference},
    )
    for name in grid.values():
        if name in field.source:
            dataset[name] = field.source[name].reset_coords(drop=True)
    dataset.attrs = _attributes(field, result)
    dataset.to_netcdf(path, engine="netcdf4", format="NETCDF4", encoding=_encoding(dataset, field))


def _standard_name(field: Field) -> dict[str, str]:
    known = field.data.attrs.get("standard_name") == "air_temperature"
    return {"standard_name": "air_temperature_anomaly"} if known else {}


def _coordinates(field: Field) -> dict[str, xr.DataArray]:
    """The axes with their bounds, and single heights; auxiliary times are left out."""
    kept = {}
    for name in (field.time, field.latitude, field.longitude):
        axis = field.data[name].reset_coords(drop=True)
        kept[name] = axis
        bounds = axis.attrs.get("bounds") or axis.encoding.get("bounds")
        if bounds in field.source.variables:
            # Selecting by label also follows the sorting and the cut of the axis itself.
            kept[bounds] = (
                field.source[bounds]
                .sel({name: axis})
                .drop_vars([c for c in field.source[bounds].coords if c != name])
            )
    for name, coordinate in field.data.coords.items():
        if coordinate.ndim == 0 and coordinate.attrs.get("standard_name") == "height":
            kept[str(name)] = coordinate.reset_coords(drop=True)
    return kept


def _attributes(field: Field, result: Anomaly) -> dict[str, Any]:
    start, end = result.reference_period
    inherited = {**field.source.attrs, **field.data.attrs}
    history = f"climate_anomaly: {field.name} minus its {start}-{end} mean"
    if "history" in field.source.attrs:
        history = f"{history}\n{field.source.attrs['history']}"
    return {
        "Conventions": "CF-1.11",
        "title": f"{field.title} anomaly relative to {start}-{end}",
        **{k.replace(" ", "_").lower(): inherited[k] for k in KEPT if k in inherited},
        "history": history,
        "references": "WMO-No. 1203, Guidelines on the Calculation of Climate Normals (2017)",
    }


def _encoding(dataset: xr.Dataset, field: Field) -> dict[str, dict[str, Any]]:
    packed = {"zlib": True, "complevel": 4, "shuffle": True, "_FillValue": FILL}
    encoding: dict[str, dict[str, Any]] = {
        str(name): dict(packed) for name, data in dataset.data_vars.items() if data.ndim >= 2
    }
    for name in dataset.variables:
        encoding.setdefault(str(name), {"_FillValue": None})
    for name in dataset.coords:
        encoding[str(name)] = {"_FillValue": None}
    time = field.data[field.time].encoding
    encoding[field.time] |= {k: time[k] for k in ("units", "calendar") if k in time}
    encoding[field.time]["dtype"] = "float64"
    return encoding
