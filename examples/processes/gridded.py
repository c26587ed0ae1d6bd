"""Read one variable of a CF-compliant NetCDF file on a regular latitude-longitude grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr

TEMPERATURE_NAMES = ("air_temperature", "surface_temperature", "sea_surface_temperature")
CELSIUS = ("degc", "deg_c", "celsius", "degree_celsius", "degrees_celsius")

# CF conventions, sections 4.1, 4.2 and 4.4: how a coordinate is recognised.
LATITUDE = ("latitude", "Y", ("degrees_north", "degree_north", "degrees_n", "degree_n"))
LONGITUDE = ("longitude", "X", ("degrees_east", "degree_east", "degrees_e", "degree_e"))


class InputError(ValueError):
    """The data or a parameter cannot be used; the text is a sentence for the scientist."""


@dataclass(frozen=True)
class Field:
    """A variable as (time, latitude, longitude), read from disk only where asked."""

    data: xr.DataArray
    source: xr.Dataset
    time: str
    latitude: str
    longitude: str

    @property
    def name(self) -> str:
        return str(self.data.name)

    @property
    def title(self) -> str:
        attrs = self.data.attrs
        text = str(attrs.get("long_name") or attrs.get("standard_name") or self.name)
        text = text.replace("_", " ")
        return text[:1].upper() + text[1:]

    @property
    def is_temperature(self) -> bool:
        return self.units == "K" or self.units.lower() in CELSIUS

    @property
    def units(self) -> str:
        return str(self.data.attrs.get("units", "1"))

    @property
    def difference_units(self) -> str:
        """Units of a difference of two values: kelvin for every temperature."""
        return "K" if self.is_temperature else self.units

    @property
    def years(self) -> np.ndarray:
        return self.data[self.time].dt.year.values.astype(int)

    @property
    def months(self) -> np.ndarray:
        return self.data[self.time].dt.month.values.astype(int)

    @property
    def days(self) -> np.ndarray:
        """Length of each time step's calendar month, in days of the file's own calendar."""
        return self.data[self.time].dt.days_in_month.values.astype(float)

    @property
    def latitudes(self) -> np.ndarray:
        return self.data[self.latitude].values.astype(float)

    @property
    def longitudes(self) -> np.ndarray:
        """Degrees east, ascending without a jump at the date line or at Greenwich."""
        degrees = self.data[self.longitude].values.astype(float)
        return degrees[0] + (degrees - degrees[0]) % 360

    def read(self, steps: slice) -> np.ndarray:
        """Values of these time steps as float64; missing values are NaN."""
        return self.data.isel({self.time: steps}).values.astype(float)


def open_dataset(path: str | Path) -> xr.Dataset:
    """Open a NetCDF file with its times in the file's own calendar.

    :raises InputError: it is not NetCDF, or its times cannot be understood
    """
    try:
        return xr.open_dataset(
            path,
            engine="netcdf4",
            decode_times=xr.coders.CFDatetimeCoder(use_cftime=True),
            decode_timedelta=False,
        )
    except OSError:
        raise InputError("The input dataset is not a NetCDF file that can be read.") from None
    except ValueError:
        raise InputError(
            "The time coordinate of the input dataset does not follow the CF conventions."
        ) from None


def open_field(
    dataset: xr.Dataset, variable: str | None = None, bbox: Sequence[float] | None = None
) -> Field:
    """Pick the variable, recognise its coordinates, and cut out the box.

    :param variable: name in the file; without it, the near-surface temperature or the only field
    :param bbox: west, south, east, north in degrees; west may exceed east across the date line
    :raises InputError: no such variable, no regular grid, or nothing inside the box
    """
    fields = {
        str(name): axes
        for name, data in dataset.data_vars.items()
        if (axes := _axes(dataset, data)) is not None
    }
    name = _choose(dataset, fields, variable)
    time, latitude, longitude = fields[name]
    data = dataset[name].squeeze(
        [d for d in dataset[name].dims if d not in fields[name] and dataset.sizes[d] == 1]
    )
    further = [str(d) for d in data.dims if d not in (time, latitude, longitude)]
    if further:
        raise InputError(
            f"The variable {name} has further dimensions: {', '.join(further)}. "
            "Give one level and one member only."
        )
    data = data.transpose(time, latitude, longitude)
    if data[time].size == 0:
        raise InputError(f"The variable {name} has no time step.")
    data = data.sortby(time)
    if bbox is not None:
        data = _cut(data, latitude, longitude, bbox)
    return Field(data, dataset, time, latitude, longitude)


def _axes(dataset: xr.Dataset, data: xr.DataArray) -> tuple[str, str, str] | None:
    """Names of time, latitude and longitude if the variable lies on a regular grid."""
    found: dict[str, str] = {}
    for dim in data.dims:
        if dim not in dataset.indexes:
            continue
        coordinate = dataset[dim]
        if isinstance(dataset.indexes[dim], xr.CFTimeIndex):
            found["time"] = str(dim)
        elif _is(coordinate, *LATITUDE):
            found["latitude"] = str(dim)
        elif _is(coordinate, *LONGITUDE):
            found["longitude"] = str(dim)
    if len(found) < 3:
        return None
    return found["time"], found["latitude"], found["longitude"]


def _is(coordinate: xr.DataArray, name: str, axis: str, units: tuple[str, ...]) -> bool:
    attrs = coordinate.attrs
    if "standard_name" in attrs:
        return bool(attrs["standard_name"] == name)
    return str(attrs.get("units", "")).lower() in units or (
        attrs.get("axis") == axis and coordinate.name in (name, name[:3])
    )


def _choose(
    dataset: xr.Dataset, fields: dict[str, tuple[str, str, str]], wanted: str | None
) -> str:
    known = ", ".join(fields) or "none"
    if wanted:
        if wanted in fields:
            return wanted
        if wanted in dataset.variables:
            raise InputError(
                f"The variable {wanted} is not a field of time, latitude and longitude. "
                f"Fields in this dataset: {known}."
            )
        raise InputError(
            f"The dataset has no variable named {wanted}. Fields in this dataset: {known}."
        )
    if not fields:
        raise InputError(
            "The dataset has no variable with time, latitude and longitude on a regular grid."
        )
    temperatures = [n for n in fields if dataset[n].attrs.get("standard_name") in TEMPERATURE_NAMES]
    for candidates in (temperatures, list(fields)):
        if len(candidates) == 1:
            return candidates[0]
    raise InputError(f"The dataset has several fields, say which variable to use: {known}.")


def _cut(data: xr.DataArray, latitude: str, longitude: str, bbox: Sequence[float]) -> xr.DataArray:
    """Grid points whose centre lies in the box, longitudes in order from west to east."""
    west, south, east, north = (float(edge) for edge in bbox)
    if not np.isfinite([west, south, east, north]).all():
        raise InputError("The bounding box must have four finite numbers.")
    if south > north or south < -90 or north > 90:
        raise InputError(
            f"The bounding box must go from south to north between -90 and 90 degrees, "
            f"not from {south:g} to {north:g}."
        )
    latitudes, longitudes = data[latitude].values, data[longitude].values
    width = 360.0 if abs(east - west) >= 360 else (east - west) % 360
    offsets = (longitudes.astype(float) - west) % 360
    rows = np.flatnonzero((latitudes >= south) & (latitudes <= north))
    columns = np.flatnonzero(offsets <= width)
    columns = columns[np.argsort(offsets[columns], kind="stable")]
    if rows.size == 0 or columns.size == 0:
        signed = (longitudes + 180) % 360 - 180
        raise InputError(
            f"No grid point of the dataset lies in the bounding box {west:g}, {south:g}, "
            f"{east:g}, {north:g}. The dataset covers longitudes {signed.min():g} to "
            f"{signed.max():g} and latitudes {latitudes.min():g} to {latitudes.max():g}."
        )
    return data.isel({latitude: rows, longitude: columns})
