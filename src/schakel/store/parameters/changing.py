"""The change of an organisation's own search parameters, in the transaction that writes the resources that ask it.

That transaction is alone behind the gate (migration 0006). A new parameter, or one with another meaning, gets a number
of its own and a job that builds its rows; the rows of an old number are taken away by another job, a little later, so
that a process that has not heard of the change still finds them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from schakel.fhir.definitions import SearchParameter, Version, definitions
from schakel.fhir.json import Resource
from schakel.kernel.outcomes import NotFound, Unprocessable, at
from schakel.store.connection import Connection
from schakel.store.indexing import FHIR_NUMBER
from schakel.store.jobs import enqueue
from schakel.store.parameters.reading import asked, types_of
from schakel.store.parameters.sets import OwnParameter, ParameterRules, ParameterSets

BUILD, REMOVE = "build-search-parameter", "remove-search-parameter"
_REMOVED_AFTER = 5.0
"""Seconds until the rows of a parameter that is gone are taken away; longer than any process goes without refresh."""


@dataclass(frozen=True, slots=True)
class Change:
    """A SearchParameter that is written (None: deleted) by the write at `place`."""

    place: int
    id: str
    resource: Resource | None


async def change(
    connection: Connection, sets: ParameterSets, version: Version, changes: Sequence[Change]
) -> dict[int, str]:
    """Gives effect to the changes; for each place that makes a job, the job's id.

    Raises `Unprocessable`, with the place of the write that cannot be.
    """
    await sets.refresh(connection)
    known = {p.id: p for p in sets.current.parameters if p.version == version}
    others = len(sets.current.parameters) - len(known)
    final = {name: own.parameter for name, own in known.items()}
    for one in changes:
        with at(one.place):
            wanted = None if one.resource is None else asked(version, one.resource)
        final.pop(one.id, None)
        if wanted is not None:
            final[one.id] = wanted
    for one in changes:
        if one.id in final:
            with at(one.place):
                _check(version, one.id, final, others, sets.rules)
    changed = [c for c in changes if final.get(c.id) != (known[c.id].parameter if c.id in known else None)]
    if not changed:
        return {}
    jobs: dict[int, str] = {}
    for one in changed:
        if one.id in known:
            await _remove(connection, sets.tenant, known[one.id])
    for one in changed:
        if one.id in final:
            jobs[one.place] = await _add(connection, sets.tenant, version, one.id, final[one.id])
    await bump(connection, sets.tenant)
    return jobs


def _check(
    version: Version, name: str, final: Mapping[str, SearchParameter], others: int, rules: ParameterRules
) -> None:
    """That a parameter goes together with the others. Raises `Unprocessable`."""
    own = final[name]
    if len(final) + others > rules.most:
        raise _clash(
            "status",
            f"an organisation may have {rules.most} search parameters of its own (setting "
            "limits.search_parameters); retire another one first",
        )
    table = definitions(version)
    types = set(types_of(table, own.base))
    for other_name, other in final.items():
        if other_name == name:
            continue
        if other.url == own.url:
            raise _clash("url", f"SearchParameter/{other_name} has the url {own.url[:200]} already")
        if other.code == own.code and (shared := types & set(types_of(table, other.base))):
            raise _clash(
                "code", f"SearchParameter/{other_name} has the code {own.code!r} on {min(shared)} already"
            )


def _clash(element: str, why: str) -> Unprocessable:
    return Unprocessable(
        f"this search parameter cannot have effect: {why}",
        code="search-parameter-refused",
        issue="business-rule",
        expression=f"SearchParameter.{element}",
    )


async def _remove(connection: Connection, tenant: int, own: OwnParameter) -> None:
    await connection.execute(
        "DELETE FROM search_parameter WHERE tenant = $1 AND fhir = $2 AND id = $3",
        tenant,
        FHIR_NUMBER[own.version],
        own.id,
    )
    argument = _argument(own.version, own.number, own.parameter)
    await enqueue(connection, tenant, REMOVE, argument, _REMOVED_AFTER)


async def _add(
    connection: Connection, tenant: int, version: Version, name: str, parameter: SearchParameter
) -> str:
    number: int = await connection.fetchval("SELECT nextval('search_parameter_number')")
    job = await enqueue(connection, tenant, BUILD, _argument(version, number, parameter))
    await connection.execute(
        "INSERT INTO search_parameter (tenant, fhir, id, number, url, code, type, bases, expression, targets, state, "
        "job) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 'building', $11)",
        tenant,
        FHIR_NUMBER[version],
        name,
        number,
        parameter.url,
        parameter.code,
        parameter.type,
        list(parameter.base),
        parameter.expression,
        list(parameter.targets),
        UUID(job),
    )
    return job


def _argument(version: Version, number: int, parameter: SearchParameter) -> dict[str, object]:
    """What a job is told; it goes through the types in this order."""
    return {
        "fhir": version,
        "number": number,
        "url": parameter.url,
        "code": parameter.code,
        "type": parameter.type,
        "types": sorted(types_of(definitions(version), parameter.base)),
    }


async def bump(connection: Connection, tenant: int) -> None:
    """Tells every process that the set is another one, once this transaction is there."""
    await connection.execute(
        "INSERT INTO search_parameter_set (tenant, generation) VALUES ($1, 1) "
        "ON CONFLICT (tenant) DO UPDATE SET generation = search_parameter_set.generation + 1",
        tenant,
    )


async def restart(connection: Connection, sets: ParameterSets, url: str = "") -> list[str]:
    """Builds the parameter with this URL again, or all of them; the ids of the jobs, old ones where they still go on.

    One that can be searched with stays so: its rows are replaced resource by resource. Inside a transaction. Raises
    `NotFound`.
    """
    await connection.execute("SELECT write_gate($1, false)", sets.tenant)
    await sets.refresh(connection)
    found = [p for p in sets.current.parameters if url in ("", p.parameter.url)]
    if url and not found:
        raise NotFound(
            f"there is no active search parameter of your own with the url {url[:200]!r}",
            code="search-parameter-unknown",
        )
    rows = await connection.fetch(
        "SELECT p.number, j.id FROM search_parameter p JOIN job j ON j.tenant = p.tenant AND j.id = p.job "
        "WHERE p.tenant = $1 AND j.state IN ('waiting', 'running') FOR UPDATE OF p",
        sets.tenant,
    )
    going = {row["number"]: str(row["id"]) for row in rows}
    jobs = []
    for own in found:
        if own.number in going:
            jobs.append(going[own.number])
            continue
        job = await enqueue(connection, sets.tenant, BUILD, _argument(own.version, own.number, own.parameter))
        await connection.execute(
            "UPDATE search_parameter SET job = $3, "
            "state = CASE state WHEN 'ready' THEN 'ready' ELSE 'building' END "
            "WHERE tenant = $1 AND number = $2",
            sets.tenant,
            own.number,
            UUID(job),
        )
        jobs.append(job)
    await bump(connection, sets.tenant)
    return jobs
