async def test_x(make_database):
    from tests.nodes import running_node
    async with running_node(make_database) as node:
        r = await node["a"].internal.put("Patient/p1", json={"resourceType":"Patient","id":"p1"})
        assert r.status_code==201, r.text
        r = await node["a"].front.get("Patient/p1")
        assert r.status_code==401
        await node["a"].ground("999901370", node["b"].ura)
        t=await node["b"].token(node["a"])
        print(t, (await node["a"].internal.get("Patient")).text)
