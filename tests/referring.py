"""A node that asks the PRS and the NVI of a nation: its settings, and a middleman before the NVI."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.middleman import Middleman, middleman
from tests.nation import INDEX, OPERATOR, REFERRAL_SCOPE, Nation

SOURCE = "node"


def referring(country: Nation, between: Middleman | None = None, **nvi: Any) -> dict[str, Any]:
    """The sections prs and nvi; the NVI is asked by way of `between`, when there is one."""
    shown = {
        "certificate": str(country.operator.certificate),
        "key": str(country.operator.key),
        "ca": [str(country.anchors)],
    }
    endpoint = f"{country.referral('minvws-oauth')}/oauth/token"
    base = f"http://127.0.0.1:{between.port}" if between else country.referral("nvi")
    return {
        "prs": {
            "base": country.referral("prs"),
            "recipient": f"oin:{INDEX}",
            "scope": REFERRAL_SCOPE,
            "oauth": {"endpoint": endpoint, "organisation": OPERATOR},
            **shown,
        },
        "nvi": {
            "base": f"{base}/fhir",
            "source": SOURCE,
            "oauth": {"endpoint": endpoint, "source": SOURCE, "audience": country.referral("nvi")},
            **shown,
            **nvi,
        },
    }


@asynccontextmanager
async def before_the_index(country: Nation) -> AsyncIterator[Middleman]:
    """A middleman that asks the NVI over TLS with the operator's certificate."""
    asking = ssl.create_default_context(cafile=str(country.anchors))
    asking.load_cert_chain(*country.operator.pair)
    async with middleman(None, asking) as between:
        between.target = country.referral("nvi")
        yield between
