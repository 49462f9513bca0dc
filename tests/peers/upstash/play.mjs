// Does through Upstash's own client what the test compares; prints one JSON line.
import { Redis } from "@upstash/redis";

const settings = { url: process.env.URL, retry: false, enableTelemetry: false, automaticDeserialization: false };
const encoding = process.env.ENCODING === "base64" ? "base64" : false;
const redis = new Redis({ ...settings, token: process.env.TOKEN, responseEncoding: encoding });
const stranger = new Redis({ ...settings, token: "wrong", responseEncoding: encoding });

async function refusal(call) {
  try {
    return await call();
  } catch (error) {
    return error.message.replace("Command failed: ", "").split(",")[0];
  }
}

const told = {
  set: await redis.set("k", "v é ☎"),
  get: await redis.get("k"),
  none: await redis.get("nope"),
  hset: await redis.hset("h", { a: "1", b: "2" }),
  hgetall: await redis.hgetall("h"),
  pipeline: await redis.pipeline().set("p", "1").incr("p").get("p").exec(),
  multi: await redis.multi().set("m", "1").incr("m").get("m").exec(),
  eval: await redis.eval("return {KEYS[1], ARGV[1], 7}", ["k"], ["x"]),
  scan: (await redis.scan("0", { match: "h*" })).map((part) => (Array.isArray(part) ? part : String(part))),
  wrongtype: await refusal(() => redis.lpush("k", "x")),
  discarded: await refusal(() => redis.multi().set("m", "9").json.get("k").exec()),
  kept: await redis.get("m"),
  tokenOfMulti: await refusal(() => stranger.multi().set("m", "2").exec()),
  token: await refusal(() => stranger.get("k")),
};
console.log(JSON.stringify(told));
