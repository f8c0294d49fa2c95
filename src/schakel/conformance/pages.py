"""The templates of the reports that are web pages: each is one page that needs no script and no other file.

`page.html` is the head that they share, `badge.html` a verdict told by a word and a sign; its colour only repeats it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

_Verdict = TypeVar("_Verdict")


def template(
    name: str,
    *,
    sign: Callable[[_Verdict], str],
    word: Callable[[_Verdict], str],
    style: Callable[[_Verdict], str],
    **others: Any,
) -> Template:
    """The template of this name, with how it tells a verdict (`style` is a class of `style.html`) and what else it
    uses."""
    environment = Environment(
        loader=PackageLoader("schakel.conformance"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(sign=sign, word=word, style=style, **others)
    return environment.get_template(name)
