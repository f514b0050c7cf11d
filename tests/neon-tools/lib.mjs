// What the scripts share: the packages in the cache, and connections to databases without DNS.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import net from "node:net";
import path from "node:path";
import { pathToFileURL } from "node:url";

const need = (name) => process.env[name] ?? assert.fail(`${name} is not set`);

export const apiUrl = need("API_URL");
export const apiKey = need("API_KEY");
const modules = path.join(need("NEON_TOOLS"), "node_modules");

/// Loads a package by the path of its main file.
export const load = (file) => import(pathToFileURL(path.join(modules, file)));

export const pg = createRequire(path.join(modules, "pg/package.json"))("pg");

/// Runs a statement. Every host name resolves to this machine; TLS uses the name unchanged.
export async function query(connectionString, statement) {
  const stream = () => {
    const socket = new net.Socket();
    const connect = socket.connect.bind(socket);
    socket.connect = (port, host) =>
      connect({
        port,
        host,
        lookup: (_name, options, done) =>
          options.all ? done(null, [{ address: "127.0.0.1", family: 4 }]) : done(null, "127.0.0.1", 4),
      });
    return socket;
  };
  const client = new pg.Client({ connectionString, stream });
  await client.connect();
  try {
    return (await client.query(statement)).rows;
  } finally {
    await client.end();
  }
}

/// The same database, selected by the endpoint option instead of the host name.
export function byOptions(connectionString) {
  const url = new URL(connectionString);
  const [endpoint] = url.hostname.split(".");
  url.hostname = "127.0.0.1";
  url.searchParams.set("options", `endpoint=${endpoint}`);
  return url.href;
}

/// Adds the port, which clients that build connection strings omit.
export function withPort(connectionString) {
  const url = new URL(connectionString);
  url.port = need("DATA_PORT");
  return url.href;
}
