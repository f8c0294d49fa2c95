"""Addressing: where another organisation is found and what it signs with.

`Addresses` is what every directory can be asked. `QueryDirectory` is the replica of the national directories,
`ConfiguredDirectory` what the operator entered, `Directories` the two together.
"""

from __future__ import annotations

from schakel.generic.addressing.configured import ConfiguredDirectory, Directories
from schakel.generic.addressing.directory import DirectoryRules, QueryDirectory
from schakel.generic.addressing.model import Address, Addresses

__all__ = [
    "Address",
    "Addresses",
    "ConfiguredDirectory",
    "Directories",
    "DirectoryRules",
    "QueryDirectory",
]
