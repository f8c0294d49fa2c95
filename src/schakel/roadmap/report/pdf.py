"""A report on paper: a PDF that a screen reader can follow (PDF/UA-1) and an archive can keep (PDF/A-2a).

The template of Typst gets what is told as data, never as its own language, so a text cannot become a command. Its fonts
are those that come with it; a sign that they do not have is shown as �, because such a PDF may hold no sign without
a shape.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import datetime
from importlib.resources import files
from typing import Final

import orjson

from schakel.roadmap.report.contents import Contents

_TEMPLATE: Final = (files(__package__) / "templates" / "report.typ").read_bytes()

_WITHOUT_SHAPE: Final = re.compile(
    "[^\x20-\x7e\u00a0-\u024f\u02b0-\u02ff\u0300\u0301\u0302\u0303\u0308\u0323\u0384-\u038a\u038c\u038e-\u03a1"
    "\u03a3-\u03ff\u0400-\u045f\u1e00-\u1eff\u2010-\u2027\u2030-\u2040\u20a0-\u20bf\u2190-\u22ff\u25a0-\u25ff"
    "\u2713-\u2718\ufffd]"
)
"""What the fonts of Typst have no shape for."""


def document(contents: Contents) -> bytes:
    """The PDF."""
    import typst  # Here, as most nodes never make one.

    data = unicodedata.normalize("NFC", orjson.dumps(contents).decode())
    return typst.compile(
        _TEMPLATE,
        sys_inputs={"contents": _WITHOUT_SHAPE.sub("\ufffd", data)},
        ignore_system_fonts=True,
        pdf_standards=["ua-1", "a-2a"],
        timestamp=int(datetime.fromisoformat(contents.moment.at).timestamp()),
    )
