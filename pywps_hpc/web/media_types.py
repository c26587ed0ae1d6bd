"""Media types of output files, by their names."""

from __future__ import annotations

import mimetypes

#: What a compressed file is, whatever it holds: it is sent as it is, without Content-Encoding
#: (RFC 9110, section 8.4), so that whoever asked gets the file that the process wrote.
_COMPRESSED = {
    "gzip": "application/gzip",
    "bzip2": "application/x-bzip2",
    "xz": "application/x-xz",
    "compress": "application/x-compress",
    "br": "application/x-brotli",
}
#: Formats of this field that the IANA's registry, hence the standard library, came to late.
_TYPES = {
    ".geojson": "application/geo+json",
    ".gml": "application/gml+xml",
    ".gpkg": "application/geopackage+sqlite3",
    ".grb": "application/wmo-grib",
    ".grib": "application/wmo-grib",
    ".grib2": "application/wmo-grib",
    ".kml": "application/vnd.google-earth.kml+xml",
    ".kmz": "application/vnd.google-earth.kmz",
    ".meta4": "application/metalink4+xml",
    ".metalink": "application/metalink+xml",
    ".nc": "application/x-netcdf",
    ".xhtml": "application/xhtml+xml",
    ".zst": "application/zstd",
}
#: The same on every host: what its /etc/mime.types says does not count.
_KNOWN = mimetypes.MimeTypes()
for _suffix, _type in _TYPES.items():
    _KNOWN.add_type(_type, _suffix)


def of_file(name: str) -> str:
    """The media type of a file of this name; ``application/octet-stream`` where that is not known.

    A name is no URL: what looks like a query or a fragment belongs to it.
    """
    kind, encoding = _KNOWN.guess_type(f"./{name}".replace("?", "_").replace("#", "_"))
    if encoding is not None:
        return _COMPRESSED.get(encoding, "application/octet-stream")
    return kind or "application/octet-stream"
