"""Days and moments as people read them, in the time of the Netherlands, with the same for machines in `<time>`."""

from __future__ import annotations

from datetime import date, datetime

from babel.dates import format_date, format_datetime
from markupsafe import Markup

from schakel.kernel.clock import AMSTERDAM

_TIME = Markup('<time datetime="{}">{}</time>')
LOCALES = {"nl": "nl", "en": "en_GB"}


def day(value: date, language: str) -> Markup:
    """The day of `value`: 1 december 2026."""
    if isinstance(value, datetime):
        value = value.astimezone(AMSTERDAM).date()
    return _TIME.format(value.isoformat(), format_date(value, "d MMMM y", locale=LOCALES[language]))


def moment(value: datetime, language: str) -> Markup:
    """The day and the time of `value`: 1 december 2026, 14:05."""
    local = value.astimezone(AMSTERDAM)
    return _TIME.format(
        local.isoformat(timespec="seconds"),
        format_datetime(local, "d MMMM y, HH:mm", locale=LOCALES[language]),
    )
