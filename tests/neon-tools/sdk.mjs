// The lifecycle of a project with @neon/sdk.
import assert from "node:assert/strict";
import { apiKey, apiUrl, byOptions, load, query, withPort } from "./lib.mjs";

const { createNeonClient } = await load("@neon/sdk/dist/index.js");
const neon = createNeonClient({ apiKey, baseUrl: apiUrl, throwOnError: true, wait: { pollIntervalMs: 50, timeoutMs: 20_000 } });

const { project, connectionString } = await neon.projects.createAndConnect({ name: "by-sdk", pooled: false });
const main = withPort(connectionString);
await query(main, "CREATE TABLE notes AS SELECT 'of main' AS text");
assert.deepEqual(await query(byOptions(main), "SELECT text FROM notes"), [{ text: "of main" }]);
assert.equal((await neon.projects.get({ projectId: project.id })).name, "by-sdk");

const preview = await neon.branches.createAndConnect({ projectId: project.id, name: "preview", pooled: false });
const own = withPort(preview.connectionString);
await query(own, "UPDATE notes SET text = 'of the branch'");
assert.deepEqual(await query(main, "SELECT text FROM notes"), [{ text: "of main" }]);
await neon.branches.resetFromParent(
  { projectId: project.id, branchId: preview.branch.id },
  { waitForReadiness: true },
);
assert.deepEqual(await query(own, "SELECT text FROM notes"), [{ text: "of main" }]);
await neon.branches.delete({ projectId: project.id, branchId: preview.branch.id });
await neon.projects.delete({ projectId: project.id });
await assert.rejects(neon.projects.get({ projectId: project.id }));
