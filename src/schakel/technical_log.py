"""The technical log: JSON lines on stderr, for operators and machines, without personal data.

Our own events carry only what the code names. Of other libraries' records the text is kept as it stands in
their code, first line only and without its arguments, for those may hold a query or a name; of an exception the
kind and the place, never its text.
"""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import MutableMapping
from io import TextIOBase
from typing import Any, TextIO, cast

import orjson
import structlog

LEVELS = ("debug", "info", "warning", "error")


def configure(level: str = "info", stream: TextIO | None = None) -> None:
    """Sends events of `level` (one of `LEVELS`) and above to `stream`, default stderr, from now on."""
    out = stream or cast(TextIO, _Errors())
    number = getattr(logging, level.upper())
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _exception_without_text,
            structlog.processors.JSONRenderer(_dumped),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(out),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(_Formatter())
    logging.basicConfig(level=max(number, logging.WARNING), handlers=[handler], force=True)


class _Errors(TextIOBase):
    """The stderr of the moment at which something is written: a program may put another in its place, and close it."""

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()


class _Formatter(logging.Formatter):
    """A record of another library as one of our lines."""

    def format(self, record: logging.LogRecord) -> str:
        event: dict[str, Any] = {
            "event": str(record.msg).partition("\n")[0][:200],
            "logger": record.name,
            "level": record.levelname.lower(),
            "timestamp": structlog.processors.TimeStamper(fmt="iso", utc=True)(None, "", {})["timestamp"],
        }
        if record.exc_info and record.exc_info[1]:
            event |= _place(record.exc_info[1])
        return _dumped(event)


def _exception_without_text(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """`exc_info` as kind and place."""
    given = event.pop("exc_info", None)
    error = sys.exc_info()[1] if given is True else given
    if isinstance(error, BaseException):
        event.update(_place(error))
    return event


def _place(error: BaseException) -> dict[str, object]:
    frames = traceback.extract_tb(error.__traceback__)
    where = {"file": frames[-1].filename, "line": frames[-1].lineno} if frames else {}
    return {"kind": type(error).__name__, **where}


def _dumped(event: object, **_options: object) -> str:
    return orjson.dumps(event, default=lambda value: type(value).__name__).decode()
