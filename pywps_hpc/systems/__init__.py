"""The batch systems: what settings and dispatcher both have to know of each."""
