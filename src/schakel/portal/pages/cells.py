"""The cells of one row of the board, and the badge of a state.

A page has thousands of them: made here and not in the template they cost a twentieth of the time.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from markupsafe import Markup, escape

from schakel.roadmap.evidence import Member
from schakel.roadmap.standing import State
from schakel.roadmap.words import STATES, Look

_LEFT_OUT = '<td class="left-out"></td>'


def board_cells(row: Iterable[tuple[Member, Look | None]], path: str, language: str) -> Markup:
    """A cell for each organisation that leads to its page below `path`, with the state as a sign and in words; an empty
    one for what a filter leaves out."""
    base = _plain(path)
    made = []
    for member, look in row:
        if look is None:
            made.append(_LEFT_OUT)
            continue
        before, between, after = _parts(look.state, language)
        made.append(f"{before}{base}/{_plain(member.ura)}{between}{_plain(member.name)}{after}")
    return Markup("\n".join(made))  # noqa: S704 - every part is escaped


@lru_cache(maxsize=64)
def badge(look: Look, language: str) -> Markup:
    """A state by its sign, its word, a line and a colour. A page has hundreds, of ten kinds."""
    return Markup(
        '<span class="state state-{}"><span class="sign" aria-hidden="true">{}</span> '
        '<span class="word">{}</span></span>'
    ).format(look.state, look.sign, look.word.nl if language == "nl" else look.word.en)


@lru_cache(maxsize=4096)
def _plain(text: str) -> str:
    """`text` as it stands in HTML."""
    return str(escape(text))


@lru_cache(maxsize=64)
def _parts(state: State, language: str) -> tuple[str, str, str]:
    """What stands before the address, between it and the name, and after the name."""
    look = STATES[state]
    sign, word = escape(look.sign), escape(look.word.nl if language == "nl" else look.word.en)
    return (
        f'<td class="state-{state}"><a href="',
        f'"><span class="sign" aria-hidden="true">{sign}</span><span class="said">',
        f": {word}</span></a></td>",
    )
