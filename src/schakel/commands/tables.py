"""Plain text in columns, for a terminal of about 100 columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence


def columns(
    rows: Sequence[Sequence[str]], right: frozenset[int] = frozenset(), gap: str = "  "
) -> Iterator[str]:
    """`rows` as lines with aligned columns; those in `right` to the right, the last one never padded."""
    if not rows:
        return
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))]
    for row in rows:
        cells = [
            text.rjust(width) if n in right else text.ljust(width)
            for n, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield gap.join(cells).rstrip()


def shortened(text: str, width: int) -> str:
    """`text` on one line of at most `width` characters."""
    line = " ".join(text.split())
    return line if len(line) <= width else f"{line[: width - 3]}..."


def count(number: int, word: str, plural: str = "") -> str:
    """A number with its word: `1 entry`, `1,200 entries`."""
    return f"{number:,} {word if number == 1 else plural or f'{word}s'}"
