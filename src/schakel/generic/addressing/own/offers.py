"""What the doors to directories let through.

Sources: the ministry's guide on generic functions (care services: the types, ITI-90-NL and ITI-91-NL), and the recorded
requests of its update client, which needs more of a directory than its guide says.
"""

from __future__ import annotations

from schakel.generic.addressing.own.entries import TYPES
from schakel.server import Offer

_ALL = frozenset({*TYPES, "Practitioner", "PractitionerRole"})
_READ = frozenset({"read", "search-type", "history-type"})

ADMINISTRATION = Offer(frozenset(TYPES), _READ)
"""The administration directory as the guide has it."""

UPDATE_CLIENT = Offer(_ALL, _READ | {"history-instance"}, frozenset({"batch"}), hapi_forms=True)
"""The same for the ministry's update client: two more types, and histories of single resources in batches."""

ROOT = Offer(_ALL, _READ, hapi_forms=True)
"""Where that client finds out which directories there are, and a Nuts knooppunt, of which some versions ask a root for
the histories of all types."""

QUERY_DIRECTORY = Offer(
    _ALL,
    _READ | {"history-instance", "update", "delete"},
    frozenset({"batch", "transaction"}),
    hapi_forms=True,
)
"""Where that client writes what it read."""
