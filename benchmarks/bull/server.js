// Pairing codes the way users do it today: express, a SET NX lock per user and a Bull queue.
"use strict";

const { randomInt, randomUUID } = require("node:crypto");
const express = require("express");
const Queue = require("bull");
const Redis = require("ioredis");

const PORT = Number(process.env.PORT || 3000);
const REDIS_URL = process.env.REDIS_URL || "redis://127.0.0.1:6379";
const PROVIDER_MS = Number(process.env.PROVIDER_MS || 300);

// How a request waits for its job. "finished": Bull's documented way, two listeners per job, each of which hears of every
// job. "shared": one listener for all; a fifth less p99 when 6,000 wait, no difference when 60 do.
const WAIT = process.env.BULL_WAIT || "finished";

const LOCK_TTL_MS = 300_000;
const JOB_TIMEOUT_MS = 300_000;
const CODE_LIFE_MS = 160_000;
const CONCURRENCY = 10_000;
const BACKLOG = 4096; // Node's default of 511 would turn away a burst of connections
const CODE_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTVWXYZ"; // without I, O, U and 0: WhatsApp's own
const RELEASE = `
if redis.call("get", KEYS[1]) == ARGV[1] then return redis.call("del", KEYS[1]) end
return 0`;

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

const redis = new Redis(REDIS_URL, { enableAutoPipelining: true });
redis.defineCommand("releaseLock", { numberOfKeys: 1, lua: RELEASE });

const queue = new Queue("pairing", REDIS_URL);
queue.setMaxListeners(0); // a local listener per waiting request, beyond Node's warning at 10
queue.on("error", (error) => console.error(`[PairingQueue] ${error.message}`));

// What WhatsApp does: it takes its time, then answers with a code.
async function requestCode() {
  await sleep(PROVIDER_MS);
  let code = "";
  for (let i = 0; i < 8; i++) code += CODE_ALPHABET[randomInt(CODE_ALPHABET.length)];
  const expiresAt = new Date(Date.now() + CODE_LIFE_MS);
  return { code: `${code.slice(0, 4)}-${code.slice(4)}`, expires_at: expiresAt.toISOString() };
}

queue.process(CONCURRENCY, async (job) => {
  const { userId, phoneNumber } = job.data;
  console.log(`[PairingQueue] Job ${job.id} started for user ${userId}`);
  try {
    const result = await requestCode(phoneNumber);
    console.log(`[PairingQueue] Job ${job.id} completed for user ${userId}`);
    return result;
  } catch (error) {
    console.error(`[PairingQueue] Job ${job.id} failed for user ${userId}: ${error.message}`);
    throw error;
  }
});

// Held: look again whether it still exists (it may just have expired) and try once more.
async function acquireLock(userId) {
  const key = `lock:${userId}`;
  const token = randomUUID();
  const take = async () => (await redis.set(key, token, "PX", LOCK_TTL_MS, "NX")) === "OK";
  if ((await take()) || ((await redis.exists(key)) === 0 && (await take()))) {
    console.log(`[SessionLock] Lock acquired for user ${userId}`);
    return { key, token, userId };
  }
  return null;
}

async function releaseLock({ key, token, userId }) {
  await redis.releaseLock(key, token);
  console.log(`[SessionLock] Lock released for user ${userId}`);
}

const waiting = new Map();
function settle(jobId, how, value) {
  waiting.get(jobId)?.[how](value);
  waiting.delete(jobId);
}
if (WAIT === "shared") {
  queue.on("global:completed", (jobId, result) => settle(jobId, "resolve", JSON.parse(result)));
  queue.on("global:failed", (jobId, reason) => settle(jobId, "reject", new Error(reason)));
}

async function pair(userId, phoneNumber) {
  const options = { jobId: userId, timeout: JOB_TIMEOUT_MS, removeOnComplete: true, removeOnFail: true };
  if (WAIT !== "shared") return (await queue.add({ userId, phoneNumber }, options)).finished();
  const finished = new Promise((resolve, reject) => waiting.set(userId, { resolve, reject }));
  await queue.add({ userId, phoneNumber }, options);
  return finished;
}

const app = express();
app.disable("x-powered-by");
app.disable("etag");
app.use(express.json());

app.get("/healthz", (_request, response) => response.json({ status: "ok" }));

app.post("/api/whatsapp/pairing-code", async (request, response) => {
  const { user_id: userId, phone_number: phoneNumber } = request.body ?? {};
  if (typeof userId !== "string" || !/^\+[1-9]\d{6,14}$/.test(phoneNumber ?? "")) {
    return response.status(422).json({ error: "user_id and phone_number are needed" });
  }
  const lock = await acquireLock(userId);
  if (!lock) {
    const left = await redis.pttl(`lock:${userId}`);
    const error = "An operation is already in progress for your account.";
    return response.status(429).json({ error, retry_after: Math.max(1, Math.ceil(left / 1000)) });
  }
  try {
    const { code, expires_at } = await pair(userId, phoneNumber);
    return response.json({ attempt_id: randomUUID(), status: "code_issued", code, expires_at });
  } catch (error) {
    console.error(`[PairingQueue] No code for user ${userId}: ${error.message}`);
    return response.status(500).json({ error: error.message });
  } finally {
    await releaseLock(lock);
  }
});

Promise.all([redis.ping(), queue.isReady()]).then(() => {
  const server = app.listen({ port: PORT, host: "127.0.0.1", backlog: BACKLOG }, () => console.log("ready"));
  server.keepAliveTimeout = 60_000;
});

process.once("SIGTERM", () => process.exit(0));
