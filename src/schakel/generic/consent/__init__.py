"""Consent: grounds for disclosure, written down by the organisation itself.

A `Ground` says that one requester may have one exchange, or the queries it lists, of one patient until a
moment, and why. `Grounds` writes, lists and ends them, and says whether one permits a request. Without one
there is no disclosure.
"""

from schakel.generic.consent.grounds import Ground, Grounds

__all__ = ["Ground", "Grounds"]
