import sys
from tests.nodes import MakeDatabase, running_node
from schakel.conformance.api_requirements import ApiOptions, Standard, check_api, report


async def test_scratch(make_database: MakeDatabase) -> None:
    async with running_node(make_database) as node:
        a = node["a"]
        await a.internal.put("Patient/p1", json={"resourceType":"Patient","id":"p1"})
        for name, base, headers, root in (("front", a.front_fhir, (), a.front_root), ("internal", a.internal_fhir, (("X-API-Key", a.key),), a.internal_root),("internalr4", a.internal_base("r4"), (("X-API-Key", a.key),), a.internal_root)):
            result = await check_api(ApiOptions(base, Standard.FULL, headers=headers, openapi=f"{root}/openapi.json", oauth=f"{a.front_root}/a", writes=name!="front"))
            open(f"/tmp/apireq/{name}.txt","w").write(report.text(result))
            open(f"/tmp/apireq/{name}.html","wb").write(report.html(result))
