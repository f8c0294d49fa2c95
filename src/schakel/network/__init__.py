"""The asking side of an exchange: get a token at a holder, fetch from many holders at once, assemble.

`Peers` holds the pooled connections, `TokenAsker` asks for a token in the way that the holder offers; `fetch` runs a
list of requests at one holder and tells, per request, what came, what was refused and why, what failed. A slow or
broken holder never hides the others.
"""

from schakel.network.asking import TokenAsker
from schakel.network.fetch import HolderResult, RequestResult, fetch_holder
from schakel.network.peers import Peers, Reply

__all__ = ["HolderResult", "Peers", "Reply", "RequestResult", "TokenAsker", "fetch_holder"]
