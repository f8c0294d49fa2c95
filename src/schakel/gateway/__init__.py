"""The guarded door: who asks, may they, did the patient allow it, what is the minimum, is it written down.

Read `pipeline.Gateway.answer` from top to bottom: it is the rule. `minimise` is used by the asking side as well.
"""

from schakel.gateway.minimise import Dropped, Item, Minimised, minimise, prepare
from schakel.gateway.pipeline import Call, Gateway

__all__ = ["Call", "Dropped", "Gateway", "Item", "Minimised", "minimise", "prepare"]
