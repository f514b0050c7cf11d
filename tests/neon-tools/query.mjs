// Runs a statement with node-postgres and an unmodified connection string, and prints the first
// value.
import { pg } from "./lib.mjs";

const [connectionString, statement] = process.argv.slice(2);
const client = new pg.Client({ connectionString });
await client.connect();
const { rows } = await client.query({ text: statement, rowMode: "array" });
await client.end();
console.log(rows[0][0]);
