"""Texts for people, in Dutch and in English."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Language = Literal["nl", "en"]


@dataclass(frozen=True, slots=True)
class Text:
    """A text in both languages."""

    nl: str
    en: str

    def of(self, language: Language) -> str:
        """The text in `language`."""
        return self.nl if language == "nl" else self.en
