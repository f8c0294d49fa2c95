"""Texts that people write on the board, checked."""

from __future__ import annotations

from schakel.kernel.outcomes import Invalid, naming
from schakel.kernel.values import NAME_LENGTH, Ura


def text(name: str, value: str, *, most: int, needed: bool = True, lines: bool = False) -> str:
    """`value` without blanks around it. Raises `Invalid` naming `name`: empty though it is needed, longer than `most`
    characters, or not printable; `lines` says that it may have more than one line."""
    value = value.replace("\r\n", "\n").strip()
    if needed and not value:
        raise Invalid(f"{name} is needed", code="text-needed", expression=name)
    if len(value) > most:
        raise Invalid(f"{name} has more than {most} characters", code="text-long", expression=name)
    if not (value.replace("\n", "") if lines else value).isprintable():
        raise Invalid(f"{name} has characters that cannot be shown", code="text-odd", expression=name)
    return value


def person(name: str, value: str) -> str:
    """The name of somebody who does something here, without blanks around it. Raises `Invalid` naming `name`."""
    return text(name, value, most=NAME_LENGTH)


def identifier(name: str, value: str, *, needed: bool = True) -> str:
    """`value` as a URA. Raises `Invalid` naming `name`; one that is not needed may be ''."""
    if not value and not needed:
        return ""
    with naming(name):
        return str(Ura(value))
