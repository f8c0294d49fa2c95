"""Settings of the portal and of the board of the roadmap."""

from __future__ import annotations
