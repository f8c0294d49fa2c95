"""The guarded door: who asks, may they, did the patient allow it, what is the minimum, is it written down.

Read `pipeline.Gateway._decided` from top to bottom: it is the rule. `parts` is what it needs of others, `targets` finds
whose data is asked, `acts` carries out what was decided, `delivery` takes in what others bring, `decision` is what is
stored of it, and `replay` decides again from that. `minimise` is used by the asking side as well.
"""

from schakel.gateway.minimise import Dropped, Item, Minimised, minimise, prepare
from schakel.gateway.parts import Call
from schakel.gateway.pipeline import Gateway

__all__ = ["Call", "Dropped", "Gateway", "Item", "Minimised", "minimise", "prepare"]
