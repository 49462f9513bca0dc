// The Bull peer's worker: two updates around the provider's call, 100 jobs at once.
"use strict";

const { randomUUID } = require("node:crypto");
const { MARK, SETTLE, pool, queue, sleep } = require("./work");

const LATENCY_MS = Number(process.env.BENCH_LATENCY_S) * 1000;

async function callProvider() {
  if (LATENCY_MS) await sleep(LATENCY_MS);
  return randomUUID();
}

queue.process("send", Number(process.env.BENCH_SLOTS), async (job) => {
  const { id } = job.data;
  const { rows } = await pool.query({ name: "mark", text: MARK, values: [id] });
  if (rows.length === 0) return;
  const providerId = await callProvider(rows[0].recipient, rows[0].content);
  await pool.query({ name: "settle", text: SETTLE, values: [id, providerId] });
});

queue.on("failed", (job, error) => console.error(`job ${job.id}: ${error.message}`));
process.once("SIGTERM", () => process.exit(0));
