"""The asking side of an exchange: find who has data, where they are, get a token, fetch from all at once, assemble.

`Locator` asks who may have data of a patient; `Holders` asks one question to many holders (`Peers` holds the pooled
connections, `TokenAsker` asks for a token in the way that a holder offers) and tells, per holder and request, what
came, what was refused and why, what failed or is late; `assemble` puts what came in order. A slow or broken holder
never hides the others.
"""

from schakel.network.asking import TokenAsker
from schakel.network.assembling import assemble
from schakel.network.fetch import HolderResult, RequestResult
from schakel.network.finders import IndexFinder, PermissionFinder
from schakel.network.holders import HolderRules, Holders, Question
from schakel.network.locating import Asked, Finder, Finding, Findings, Located, Locator, Reason, Wanted
from schakel.network.peers import Peers, Reply
from schakel.network.proving import AccessToken, Proofs, ServerUras

__all__ = [
    "AccessToken",
    "Asked",
    "Finder",
    "Finding",
    "Findings",
    "HolderResult",
    "HolderRules",
    "Holders",
    "IndexFinder",
    "Located",
    "Locator",
    "Peers",
    "PermissionFinder",
    "Proofs",
    "Question",
    "Reason",
    "Reply",
    "RequestResult",
    "ServerUras",
    "TokenAsker",
    "Wanted",
    "assemble",
]
