"""A whole run: every check that says something at the level asked, then one result for each requirement."""

from __future__ import annotations

import time
from collections.abc import Callable

from schakel.conformance.api_requirements.catalogue import at
from schakel.conformance.api_requirements.checks import CHECKS
from schakel.conformance.api_requirements.judging import judge
from schakel.conformance.api_requirements.model import ApiResult, Finding
from schakel.conformance.api_requirements.options import ApiOptions
from schakel.conformance.api_requirements.probe import Probe
from schakel.kernel.clock import now


async def check_api(options: ApiOptions, progress: Callable[[str], None] | None = None) -> ApiResult:
    """What is known of every requirement at the endpoint. `progress` hears the keys of each check before it runs.

    Raises `Invalid` for options that cannot be used; nothing was sent then.
    """
    began, started = time.monotonic(), now()
    requirements = at(options.standard)
    wanted = {key for one in requirements for key in one.keys}
    findings: dict[str, Finding] = {}
    async with Probe(options) as probe:
        for check in CHECKS:
            if wanted.intersection(check.keys):
                if progress:
                    progress(", ".join(check.keys[:3]))
                findings |= {one.key: one for one in await check.findings(probe)}
    moment = now()
    results = tuple(
        result for one in requirements for result in judge(one, findings, options.answers, moment)
    )
    return ApiResult(options.url, options.standard, started, time.monotonic() - began, results)
