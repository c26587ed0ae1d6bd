"""Units of literal inputs, as processes see them."""

from __future__ import annotations

from typing import Any

from pywps.inout.basic import UOM


class Unit(str):
    """The unit of a value: its name as text, which is what PyWPS gives a process, and all that
    PyWPS's own unit has, which its documents need.

    Attributes:
        reference: a URI; may be empty.
    """

    reference: str

    @classmethod
    def of(cls, unit: UOM) -> Unit:
        """The same unit."""
        made = cls(unit.uom)
        made.reference = unit.reference or ""
        return made

    @property
    def uom(self) -> str:
        """The name."""
        return str(self)

    @property
    def json(self) -> dict[str, Any]:
        """Name and reference."""
        return {"reference": self.reference, "uom": str(self)}
