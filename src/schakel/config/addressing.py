"""Settings of addressing: where others are found, and what is told of our own organisations."""

from __future__ import annotations

from schakel.config.base import Section


class Addressing(Section):
    """The directories that are followed, and who may ask ours."""
