// Verifies each {secret, headers, body} of the JSON array on stdin by the receivers' own library; prints what it says.
import { readFileSync } from "node:fs";
import { Webhook } from "standardwebhooks";

const told = JSON.parse(readFileSync(0, "utf8")).map(({ secret, headers, body }) => {
  try {
    return { event: new Webhook(secret).verify(body, headers) };
  } catch (error) {
    return { error: error.message };
  }
});
console.log(JSON.stringify(told));
