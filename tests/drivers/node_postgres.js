// node-postgres: named and unnamed statements, transactions, cursors, COPY, errors, and its pool.
// Where to connect stands in libpq's variables; the certificate is for the driver to be told.
"use strict";
const assert = require("assert");
const fs = require("fs");
const { Client, Pool } = require("pg");
const Cursor = require("pg-cursor");
const copy = require("pg-copy-streams");
const { pipeline } = require("stream/promises");
const { Readable } = require("stream");

const tls = process.argv[1] === "tls";
const config = { ssl: tls ? { ca: fs.readFileSync(process.env.PGSSLROOTCERT) } : false };

async function transactions(client) {
  for (let n = 0; n < 20; n++) {
    await client.query("BEGIN");
    const named = { name: "increment", text: "SELECT $1::int + 1 AS next", values: [n] };
    assert.strictEqual((await client.query(named)).rows[0].next, n + 1);
    await client.query("COMMIT");
    const unnamed = await client.query("SELECT $1::text AS tag", [`tag ${n}`]);
    assert.strictEqual(unnamed.rows[0].tag, `tag ${n}`);
  }
  const several = await client.query("SELECT 1 AS a; SELECT 2 AS b");
  assert.deepStrictEqual(several.map((one) => one.rows), [[{ a: 1 }], [{ b: 2 }]]);
}

async function cursors(client) {
  await client.query("BEGIN");
  const cursor = client.query(new Cursor("SELECT generate_series(1, $1::int) AS n", [10]));
  const numbers = [];
  for (;;) {
    const rows = await cursor.read(3);
    if (rows.length === 0) break;
    numbers.push(...rows.map((row) => row.n));
  }
  await cursor.close();
  assert.deepStrictEqual(numbers, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  await client.query("COMMIT");
}

async function copies(client) {
  await client.query("BEGIN");
  await client.query("CREATE TEMP TABLE copied (n int) ON COMMIT DROP");
  const lines = Array.from({ length: 1000 }, (_, n) => `${n}\n`);
  await pipeline(Readable.from(lines), client.query(copy.from("COPY copied FROM STDIN")));
  let bytes = "";
  for await (const chunk of client.query(copy.to("COPY copied TO STDOUT"))) bytes += chunk;
  assert.strictEqual(bytes.trim().split("\n").length, 1000);
  await client.query("COMMIT");
}

async function errors(client) {
  await assert.rejects(client.query("SELECT 1 / $1::int", [0]), { code: "22012" });
  const broken = { name: "broken", text: "SELECT FROM WHERE" };
  await assert.rejects(client.query(broken), { code: "42601" });
  assert.strictEqual((await client.query("SELECT 1 AS one")).rows[0].one, 1);
}

async function cancels(client) {
  const sleeping = assert.rejects(client.query("SELECT pg_sleep(60)"), { code: "57014" });
  const [key] = [{ pid: client.processID, secret: client.secretKey }];
  let done = false;
  sleeping.finally(() => (done = true)).catch(() => {});
  // Until the query runs there is nothing to cancel, so more than one may be needed.
  while (!done) {
    await cancelRequest(key);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  await sleeping;
  assert.strictEqual((await client.query("SELECT 1 AS one")).rows[0].one, 1);
}

function cancelRequest(key) {
  return new Promise((resolve, reject) => {
    const canceller = new Client(config);
    const con = canceller.connection;
    con.on("connect", () => con.cancel(key.pid, key.secret));
    con.on("sslconnect", () => con.cancel(key.pid, key.secret));
    con.on("end", resolve);
    con.on("error", reject);
    con.connect(canceller.port, canceller.host);
  });
}

async function aPool() {
  const pool = new Pool({ ...config, max: 10 });
  const tasks = Array.from({ length: 30 }, async (_, task) => {
    for (let round = 0; round < 10; round++) {
      const tag = `task ${task} round ${round}`;
      const query = { name: "tag", text: "SELECT $1::text AS tag", values: [tag] };
      assert.strictEqual((await pool.query(query)).rows[0].tag, tag);
    }
  });
  await Promise.all(tasks);
  await pool.end();
}

async function main() {
  const client = new Client(config);
  await client.connect();
  assert.strictEqual(client.connection.stream.encrypted === true, tls);
  for (const part of [transactions, cursors, copies, errors, cancels]) await part(client);
  await client.end();
  await aPool();
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
