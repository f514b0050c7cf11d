// The lifecycle of a project with @neondatabase/api-client.
import assert from "node:assert/strict";
import { apiKey, apiUrl, byOptions, load, query } from "./lib.mjs";

const loaded = await load("@neondatabase/api-client/dist/index.js");
const { createApiClient, EndpointType } = loaded.createApiClient ? loaded : loaded.default;
const neon = createApiClient({ apiKey, baseURL: apiUrl });

const { data: created } = await neon.createProject({ project: { name: "by-api-client" } });
const id = created.project.id;
const main = created.connection_uris[0].connection_uri;
await query(main, "CREATE TABLE notes AS SELECT 'of main' AS text");
assert.deepEqual(await query(byOptions(main), "SELECT text FROM notes"), [{ text: "of main" }]);
assert.equal((await neon.getProject(id)).data.project.name, "by-api-client");
assert.ok((await neon.listProjects({ limit: 400 })).data.projects.some((project) => project.id === id));

const { data: made } = await neon.createProjectBranch(id, {
  branch: { name: "preview" },
  endpoints: [{ type: EndpointType.ReadWrite }],
});
const own = made.connection_uris[0].connection_uri;
await query(own, "UPDATE notes SET text = 'of the branch'");
await neon.restoreProjectBranch(id, made.branch.id, { source_branch_id: created.branch.id });
assert.deepEqual(await query(own, "SELECT text FROM notes"), [{ text: "of main" }]);
await neon.deleteProjectBranch({ projectId: id, branchId: made.branch.id });
await neon.deleteProject(id);
await assert.rejects(neon.getProject(id), (error) => error.response.status === 404);
