"""Which vectors there are: the present version, and the digests of all that were published.

Rules: a version is a whole number, and is published once its digest stands here. What a published version says is said for
good: whoever changes the layout, the framing, the rows or the cases takes the next number. Limits: a version of the vectors is
not one of the layout; several may be about the same layout.
"""

from __future__ import annotations

from typing import Final

VERSION: Final = 2
"""The version that the code generates, and that this implementation is held to."""
SPECIFICATION: Final = "2.0"
"""The version of the specification with which the present version of the vectors came."""
PUBLISHED: Final[dict[int, str]] = {
    1: "0772eecbd49214111f8fab6320e7df42afbab1db3d3c0966a9b6c899263c1b68",
    2: "f3236d0d04d4901202c8481e69aa64686e41bc1b205c963fdea3303b693a47ff",
}
"""SHA-256 of the manifest of each published version; the manifest has those of all its files."""

FOLDER: Final = "vectors"
"""Where the versions are in the folder of the specification."""
MANIFEST: Final = "manifest.json"
SCHEMA: Final = "schema.json"
