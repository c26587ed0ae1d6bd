"""A part of the service :mod:`nursling`, of which tests make other versions."""

VERSION = "1"
