// Enqueues for the Bull peer: rows in batches of 1,000, then addBulk.
"use strict";

const { INSERT, SENT, pool, queue, sleep } = require("./work");

const BATCH = 1000;
const WARM_UP = 200;
const RECIPIENTS = 10_000;
const COUNT = Number(process.env.BENCH_COUNT);
const STOP_MS = Date.now() + Number(process.env.BENCH_LIMIT_S) * 1000;
const TEXT = "Bonjour, votre demande est bien enregistrée ; un artisan vous rappelle. ".repeat(5);

const nowUs = () => Math.round((performance.timeOrigin + performance.now()) * 1000);

async function enqueue(count) {
  for (let start = 0; start < count; start += BATCH) {
    const stamp = nowUs().toString(16).padStart(16, "0");
    const [ids, recipients, contents, jobs] = [[], [], [], []];
    for (let number = start; number < Math.min(start + BATCH, count); number++) {
      const id = `msg_${stamp}${number.toString(16).padStart(6, "0")}`;
      ids.push(id);
      recipients.push(`+3363998${String(number % RECIPIENTS).padStart(4, "0")}`);
      contents.push(JSON.stringify({ v: 1, type: "text", text: `${number}: ${TEXT}` }));
      jobs.push({ name: "send", data: { id }, opts: { removeOnComplete: true } });
    }
    await pool.query({ name: "insert", text: INSERT, values: [ids, recipients, contents] });
    await queue.addBulk(jobs);
  }
}

async function waitFor(count) {
  while ((await pool.query(SENT)).rows[0].sent < count && Date.now() < STOP_MS) await sleep(250);
}

async function main() {
  await queue.isReady();
  await enqueue(WARM_UP);
  await waitFor(WARM_UP);
  const began_us = nowUs();
  await enqueue(COUNT);
  const enqueued_us = nowUs();
  await waitFor(WARM_UP + COUNT);
  console.log(JSON.stringify({ began_us, enqueued_us }));
  process.exit(0);
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
