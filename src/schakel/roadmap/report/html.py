"""A report as one web page that can be opened, sent and printed without anything else: no script, no other file."""

from __future__ import annotations

from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from schakel.roadmap.report.contents import Contents


def page(contents: Contents) -> bytes:
    """The page, UTF-8."""
    return _template().render(c=contents, t=contents.t).encode()


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader(__package__),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html")
