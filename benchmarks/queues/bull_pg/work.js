// What worker and driver share: the queue, the pool of 10 and the statements (the same as in ../statements.py).
"use strict";

const Queue = require("bull");
const { Pool } = require("pg");

const NOW = "(extract(epoch FROM clock_timestamp()) * 1e6)::bigint";
const INSERT = `INSERT INTO messages (id, recipient, content, state)
SELECT *, 'pending' FROM unnest($1::text[], $2::text[], $3::text[])`;
const MARK = `UPDATE messages SET state = 'sending', attempts = attempts + 1, updated_us = ${NOW}
WHERE id = $1 AND state = 'pending' RETURNING recipient, content`;
const SETTLE = `UPDATE messages SET state = 'sent', provider_id = $2, updated_us = ${NOW} WHERE id = $1`;
const SENT = "SELECT count(*)::int AS sent FROM messages WHERE state = 'sent'";

const pool = new Pool({ connectionString: process.env.DATABASE_URL, max: 10 });
const queue = new Queue("messages", process.env.REDIS_URL);
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

module.exports = { INSERT, MARK, SETTLE, SENT, pool, queue, sleep };
