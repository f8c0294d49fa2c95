"""Numbers as people read them in the language of a page: 1.234,5 and 38%, or 1,234.5 and 38%."""

from __future__ import annotations

from decimal import Decimal

from babel.numbers import format_decimal, format_percent

from schakel.portal.pages.times import LOCALES


def number(value: float | Decimal, language: str) -> str:
    """A number with at most one decimal, its thousands apart."""
    return format_decimal(value, "#,##0.#", locale=LOCALES[language])


def figure(value: str | float, language: str) -> str:
    """A figure of a finding: a number with at most four decimals, its thousands apart; a text as it is."""
    return value if isinstance(value, str) else format_decimal(value, "#,##0.####", locale=LOCALES[language])


def percentage(value: float | Decimal, language: str) -> str:
    """A share of 1 in whole percents. What is not nothing is never 0%, what is not all never 100%."""
    percents = round(value * 100)
    whole = min(max(percents, 1 if value > 0 else 0), 99 if value < 1 else percents)
    return format_percent(Decimal(whole) / 100, "#,##0%", locale=LOCALES[language])
