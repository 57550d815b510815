import assert from "node:assert/strict";
import { test } from "node:test";
import { plugin } from "./rules.js";
import { converse, post } from "./tandem.js";

// Stands in for the default rules, which are WebAssembly: creates a profile and ends as done.
const inner = {
  step: (event, memory, replies) => {
    const body = { email: "ada@lovelace.dev", last_name: "Lovelace", ref: 706405506930370084n };
    if (replies.length === 0) return { tag: "send", val: { calls: [post("omneo", "/profiles", body).sent()], names: { learned: [], retired: [] } } };
    return { tag: "end", val: { outcome: "done", reason: "created", memory: "{}", names: { learned: ["omneo/profile/2b1c"], retired: [] } } };
  },
};

test("products are taken down by hand", () => {
  const { calls, end } = converse(plugin, inner, { topic: "products/delete" }, () => assert.fail("nothing is sent"));
  assert.deepEqual([calls.length, end.outcome], [0, "skipped"]);
});

test("a new profile is told from an old one", () => {
  const event = { topic: "customers/create", occurredAt: "2026-01-02T03:04:05Z" };
  const { calls, end } = converse(plugin, inner, event, (call) => (call.matches("POST omneo /profiles") ? 201 : 200));
  assert.deepEqual(calls.map((call) => call.line), [
    "POST omneo /profiles",
    "PUT omneo /profiles/2b1c/attributes/custom/my_plugin:since",
  ]);
  assert.deepEqual(calls[0].body, { email: "ada@lovelace.dev", last_name: "LOVELACE", ref: 706405506930370084n });
  assert.deepEqual([end.reason, end.memory, end.names.learned], ["created", "{}", ["omneo/profile/2b1c"]]);
});
