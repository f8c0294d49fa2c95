"""Settings of bounds."""

from __future__ import annotations

from pydantic import Field

from schakel.config.base import Section


class Limits(Section):
    """Bounds; each names itself in the error of a caller who passes it."""

    body: int = Field(20_000_000, description="bytes of a request body, unpacked", ge=1000)
    depth: int = Field(64, description="levels of nesting in a body", ge=8, le=200)
    entries: int = Field(5000, description="entries in a batch or transaction", ge=1)
    guarded_body: int = Field(
        1_000_000, description="bytes of a request body at the guarded door, unpacked", ge=1000
    )
    guarded_entries: int = Field(100, description="entries in a batch at the guarded door", ge=1)
    parameters: int = Field(200, description="parameters in a query, at most 200", ge=1, le=200)
    values: int = Field(200, description="values of one search parameter, divided by commas", ge=1)
    chain_depth: int = Field(3, description="references that one chain or _has goes through", ge=0)
    includes: int = Field(1000, description="resources that includes may add to a page", ge=0)
    document: int = Field(2000, description="resources in a document ($document)", ge=1)
    include_depth: int = Field(4, description="rounds of :iterate in includes", ge=0)
    page: int = Field(200, description="matches on a page when _count is not given", ge=1)
    page_max: int = Field(1000, description="most matches on a page", ge=1)
    remembered: int = Field(20_000, description="most matches in all pages of a search", ge=1)
    query_seconds: float = Field(20, description="seconds one database statement may take", gt=0)
    expression_steps: int = Field(100_000, description="steps of an expression that a caller sends", ge=1000)
    search_parameters: int = Field(50, description="search parameters an organisation may add", ge=0, le=1000)
    search_parameter_steps: int = Field(
        5000, description="steps of the expression of an added search parameter on one resource", ge=100
    )
    patch_operations: int = Field(1000, description="operations in a patch", ge=1)
    header_bytes: int = Field(65_536, description="bytes of a request line and its headers", ge=1000)
    header_seconds: float = Field(
        20, description="seconds in which a request line and its headers must be whole", gt=0
    )
    handshake_seconds: float = Field(10, description="seconds in which TLS must be agreed on", gt=0)
    body_seconds: float = Field(120, description="seconds in which a request body must be whole", gt=0)
    idle_seconds: float = Field(75, description="seconds an unused connection stays open", gt=0)
    requests_per_minute: int = Field(
        60_000,
        description="requests in a minute that one requester may send to the guarded doors, and one address without "
        "saying who it is; each process counts for itself",
        ge=1,
    )
    tokens_per_minute: int = Field(12_000, description="the same for requests for a token", ge=1)
    connections: int = Field(1000, description="connections that callers hold open at one listener", ge=1)
