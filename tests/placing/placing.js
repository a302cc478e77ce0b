// node-postgres: where its transactions run. Arguments: the primary's port, the replica's.
"use strict";
const assert = require("assert");
const { Client } = require("pg");

const [primary, replica] = process.argv.slice(1, 3).map(Number);
const WHO = "SELECT inet_server_port() AS port";

async function placed(client, first, host) {
  await client.query("BEGIN");
  if (first) await client.query(first);
  assert.strictEqual((await client.query(WHO)).rows[0].port, host, first);
  await client.query("COMMIT");
}

async function main() {
  const client = new Client();
  await client.connect();
  for (let round = 0; round < 3; round++) {
    await placed(client, "SET TRANSACTION READ ONLY", replica);
    await placed(client, { name: "readonly", text: "SET TRANSACTION READ ONLY" }, replica);
    await placed(client, { text: "/* pgweir: route=replica */ SELECT $1::int", values: [1] }, replica);
    await placed(client, null, primary);
  }
  // All of it is sent before any answer comes.
  const texts = ["BEGIN", "SET TRANSACTION READ ONLY", WHO, "COMMIT", WHO];
  const answers = await Promise.all(texts.map((text) => client.query(text)));
  assert.strictEqual(answers[2].rows[0].port, replica);
  assert.strictEqual(answers[4].rows[0].port, primary);
  await client.query({ name: "route", text: "SET pgweir.route = replica" });
  assert.strictEqual((await client.query(WHO)).rows[0].port, replica);
  const shown = await client.query({ name: "show", text: "SHOW pgweir.route" });
  assert.deepStrictEqual(shown.rows, [{ "pgweir.route": "replica" }]);
  await client.end();
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
