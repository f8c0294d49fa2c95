"""Documents that cannot be masked: does their text hold one of these numbers?

A PDF is laid out text, which nothing here rewrites; who made it must keep the BSN out of it. What is found is
reported to the holder. Source: MedMij PDF/A 3.0.
"""

from __future__ import annotations

import io
import logging
import re
from typing import Literal

Finding = Literal["clean", "found", "unreadable"]

MAX_PAGES = 500
"""Pages of a PDF that are read; a longer one counts as unreadable."""

logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # It may quote the document.


def search(data: bytes, media: str, numbers: re.Pattern[str]) -> Finding:
    """Whether `numbers` stand in a document of this media type (lower case): `unreadable` when that cannot be
    told. What is no PDF is searched as it stands."""
    if numbers.search(data.decode("latin-1")):
        return "found"
    if media != "application/pdf" and not data.startswith(b"%PDF-"):
        return "clean"
    from pypdf import PdfReader  # When there is a document: it takes as long to load as a tenth of a node.

    try:
        reader = PdfReader(io.BytesIO(data))
        if len(reader.pages) > MAX_PAGES:
            return "unreadable"
        texts = [page.extract_text() for page in reader.pages]
        texts += [str(value) for value in (reader.metadata or {}).values()]
    except Exception:  # Whatever a damaged or encrypted file makes of the reader, it was not read.
        return "unreadable"
    return "found" if any(numbers.search(text) for text in texts) else "clean"
