// What fhir-kit-client does at the FHIR base BASE, with the key KEY; MARK tells the resources of this run apart.
//
// Each step asserts what it sees, and may use what earlier ones made. At the end the ids made are printed as JSON.

import assert from "node:assert/strict";
import { Client } from "fhir-kit-client";

const { BASE: baseUrl, KEY: key, MARK: mark } = process.env;
const client = new Client({ baseUrl, customHeaders: { "X-API-Key": key } });
const SYSTEM = "http://example.org/number";
const identifier = [{ system: SYSTEM, value: mark }];
const stu3 = baseUrl.endsWith("/stu3");

const made = {};
const steps = {
  async capabilityStatement() {
    const statement = await client.capabilityStatement();
    assert.equal(statement.resourceType, "CapabilityStatement");
    assert.match(statement.fhirVersion, stu3 ? /^3\.0/ : /^4\.0/);
    assert.ok(statement.rest[0].resource.some((one) => one.type === "Patient"));
  },

  async smartAuthMetadata() {
    const found = await client.smartAuthMetadata();
    assert.equal(found.authorizeUrl, undefined, "the internal door knows no tokens");
  },

  async create() {
    const body = { resourceType: "Patient", identifier, name: [{ family: "Jansen" }], gender: "female" };
    const created = await client.create({ resourceType: "Patient", body });
    const { response } = Client.httpFor(created);
    assert.equal(response.status, 201);
    assert.equal(response.headers.get("location"), `${baseUrl}/Patient/${created.id}/_history/1`);
    made.patient = created.id;
  },

  async createConditionally() {
    const options = { headers: { "If-None-Exist": `identifier=${SYSTEM}|${mark}` } };
    const body = { resourceType: "Patient", identifier };
    const found = await client.create({ resourceType: "Patient", body, options });
    assert.equal(found.id, made.patient);
    assert.equal(Client.httpFor(found).response.status, 200);
  },

  async read() {
    const read = await client.read({ resourceType: "Patient", id: made.patient });
    assert.equal(read.name[0].family, "Jansen");
    assert.equal(Client.httpFor(read).response.headers.get("etag"), 'W/"1"');
  },

  async update() {
    const body = await client.read({ resourceType: "Patient", id: made.patient });
    const options = { headers: { "If-Match": 'W/"1"' } };
    const updated = await client.update({
      resourceType: "Patient", id: made.patient, body: { ...body, active: true }, options,
    });
    assert.equal(updated.meta.versionId, "2");
    await assert.rejects(
      client.update({ resourceType: "Patient", id: made.patient, body, options }),
      ({ response }) => response.status === 412 && response.data.resourceType === "OperationOutcome",
    );
  },

  async updateConditionally() {
    const searchParams = { identifier: `${SYSTEM}|${mark}` };
    const body = { resourceType: "Patient", identifier, name: [{ family: "Bakker" }], gender: "female" };
    const updated = await client.update({ resourceType: "Patient", searchParams, body });
    assert.deepEqual([updated.id, updated.meta.versionId], [made.patient, "3"]);
  },

  async patch() {
    const jsonPatch = [
      { op: "test", path: "/gender", value: "female" },
      { op: "replace", path: "/gender", value: "unknown" },
      { op: "add", path: "/birthDate", value: "1970-01-01" },
    ];
    const patched = await client.patch({ resourceType: "Patient", id: made.patient, jsonPatch });
    assert.deepEqual([patched.gender, patched.birthDate], ["unknown", "1970-01-01"]);
  },

  async vread() {
    const first = await client.vread({ resourceType: "Patient", id: made.patient, version: "1" });
    assert.deepEqual([first.meta.versionId, first.name[0].family], ["1", "Jansen"]);
  },

  async history() {
    const versions = (bundle) => bundle.entry.map((entry) => entry.resource.meta.versionId);
    const mine = await client.history({ resourceType: "Patient", id: made.patient });
    assert.deepEqual(versions(mine), ["4", "3", "2", "1"]);
    const ofType = await client.history({ resourceType: "Patient" });
    assert.deepEqual(versions(ofType).slice(0, 4), ["4", "3", "2", "1"]);
    assert.equal((await client.history()).type, "history");
  },

  async transaction() {
    const observation = (value) => ({
      resource: {
        resourceType: "Observation", status: "final", code: { text: mark }, identifier,
        subject: { reference: `Patient/${made.patient}` }, valueQuantity: { value },
        contained: [{ resourceType: "Device", id: "meter" }], device: { reference: "#meter" },
      },
      request: { method: "POST", url: "Observation" },
    });
    const entry = [1, 2, 3, 4, 5].map(observation);
    const answer = await client.transaction({ body: { resourceType: "Bundle", type: "transaction", entry } });
    assert.equal(answer.type, "transaction-response");
    assert.ok(answer.entry.every(({ response }) => response.status.startsWith("201")));
    made.observations = answer.entry.map(({ response }) => response.location.split("/")[1]);
  },

  async batch() {
    const entry = [`Patient/${made.patient}`, "Patient/nobody"].map((url) => ({ request: { method: "GET", url } }));
    const answer = await client.batch({ body: { resourceType: "Bundle", type: "batch", entry } });
    assert.deepEqual(answer.entry.map(({ response }) => response.status.slice(0, 3)), ["200", "404"]);
  },

  async search() {
    const searchParams = { identifier: `${SYSTEM}|${mark}`, _include: "Observation:subject" };
    for (const postSearch of [false, true]) {
      const bundle = await client.search({ resourceType: "Observation", searchParams, options: { postSearch } });
      assert.equal(bundle.total, 5);
      assert.deepEqual(bundle.entry.map((one) => one.search.mode).sort(), ["include", ...Array(5).fill("match")]);
      const everything = await client.search({
        searchParams: { _type: "Patient,Observation", identifier: `${SYSTEM}|${mark}` }, options: { postSearch },
      });
      assert.equal(everything.total, 6);
    }
    await assert.rejects(
      client.search({ resourceType: "Patient", searchParams: { naam: "x" } }),
      ({ response }) => response.status === 400 && /naam/.test(response.data.issue[0].diagnostics),
    );
  },

  async nextPage() {
    const searchParams = { identifier: [`${SYSTEM}|${mark}`], _count: 2 };
    const found = [];
    let bundle = await client.search({ resourceType: "Observation", searchParams });
    const sizes = [];
    while (bundle) {
      sizes.push(bundle.entry.length);
      found.push(...bundle.entry.map((one) => one.resource.id));
      bundle = await client.nextPage({ bundle });
    }
    assert.deepEqual(sizes, [2, 2, 1]);
    assert.deepEqual(found.sort(), made.observations.toSorted());
  },

  async compartmentSearch() {
    const compartment = { resourceType: "Patient", id: made.patient };
    for (const postSearch of [false, true]) {
      const options = { postSearch };
      const bundle = await client.search({ resourceType: "Observation", compartment, options });
      assert.equal(bundle.total, 5);
      const none = await client.compartmentSearch({
        resourceType: "Observation", compartment, searchParams: { status: "amended" }, options,
      });
      assert.equal(none.total, 0);
    }
  },

  async operation() {
    const input = {
      resourceType: "Parameters",
      parameter: [{ name: "resource", resource: { resourceType: "Patient", gender: "none" } }],
    };
    const outcome = await client.operation({ name: "validate", resourceType: "Patient", input });
    assert.equal(outcome.issue[0].severity, "error");
    const meta = await client.operation({
      name: "$meta", resourceType: "Patient", id: made.patient, method: "GET",
    });
    assert.equal(meta.parameter[0].valueMeta.versionId, "4");
    const everything = await client.operation({
      name: "everything", resourceType: "Patient", id: made.patient, method: "GET", input: { _count: 100 },
    });
    assert.equal(everything.entry.length, 6);
  },

  async resolve() {
    const bundle = await client.search({
      resourceType: "Observation", searchParams: { _id: made.observations[0], _include: "Observation:subject" },
    });
    const observation = bundle.entry[0].resource;
    const { reference } = observation.subject;
    assert.equal((await client.resolve({ reference })).id, made.patient);
    assert.equal((await client.resolve({ reference: `${baseUrl}/${reference}` })).id, made.patient);
    assert.equal((await client.resolve({ reference, context: bundle })).id, made.patient);
    const { reference: inside } = observation.device;
    const device = await client.resolve({ reference: inside, context: observation });
    assert.equal(device.resourceType, "Device");
  },

  async delete() {
    const [id] = made.observations;
    const gone = await client.delete({ resourceType: "Observation", id });
    assert.equal(Client.httpFor(gone).response.status, 204);
    await assert.rejects(
      client.read({ resourceType: "Observation", id }), ({ response }) => response.status === 410,
    );
  },
};

for (const [name, step] of Object.entries(steps)) {
  try {
    await step();
  } catch (error) {
    error.message = `${name}: ${error.message} ${JSON.stringify(error.response?.data ?? "")}`;
    throw error;
  }
}
console.log(JSON.stringify(made));
