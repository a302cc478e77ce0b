// node-postgres on the console: texts alone (simple protocol), with values (extended), named, and what it is refused.
"use strict";
const assert = require("assert");
const { Client } = require("pg");

async function main() {
  const client = new Client();
  await client.connect();
  const simple = await client.query("SHOW DATABASES");
  const app = simple.rows.find((row) => row.name === "app");
  assert.strictEqual(app.pool_size, 20);
  const extended = await client.query({ text: "SHOW DATABASES", values: [] });
  assert.deepStrictEqual(extended.rows, simple.rows);
  for (let n = 0; n < 3; n++) {
    const named = await client.query({ name: "version", text: "SHOW VERSION" });
    assert.match(named.rows[0].version, /^PgBouncer 1\./);
  }
  await client.query("");
  await assert.rejects(client.query({ text: "FROBNICATE", values: [] }), /invalid command/);
  assert.strictEqual((await client.query("SHOW STATE")).rows[0].value, "yes");
  await client.end();
}

main().then(() => process.exit(0), (error) => { console.error(error); process.exit(1); });
