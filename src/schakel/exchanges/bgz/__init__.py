"""The BgZ (basisgegevensset zorg): fetch the core record of a patient from other care providers.

Entry points: `BgzExchange.fetch` for the whole at once, `BgzExchange.told` for each step as it comes.
The 27 requests are those of BgZ-MSZ 2.0 on STU3 (zib 2017).
"""

from schakel.exchanges.bgz.ask import Ask, Who, parse_ask
from schakel.exchanges.bgz.exchange import BgzExchange, Told
from schakel.exchanges.bgz.requests import requests_for

__all__ = ["Ask", "BgzExchange", "Told", "Who", "parse_ask", "requests_for"]
