// Tests of the SDK itself. They are not copied into a new plugin: `tests/scaffold` runs them beside one that was just
// made.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Call, converse, done, exact, get, post, put, query, wrap } from "./tandem.js";

const answer = (body) => ({ tag: "answer", val: { status: 200, headers: [], body } });
const event = { source: "shopify", topic: "t", id: "1", payload: '{"id":706405506930370084}' };

// Makes two calls at once, then one more, and learns a name on the way.
const inner = {
  describe: () => ({ name: "inner", version: "1", listens: ["a"], targets: [], settings: ["b"] }),
  key: ({ payload }) => ({ names: [payload], after: [] }),
  step: (_, memory, replies) => {
    const body = '{"total": 19.90, "id": 706405506930370084}';
    const write = { target: "omneo", request: { tag: "rest", val: { method: "put", path: "/b/2", query: [], body } }, effect: "once" };
    const bodies = replies.map((pass) => pass.map(({ val }) => val.body).join("+"));
    switch (replies.length) {
      case 0: return { tag: "send", val: { calls: [get("omneo", "/a").sent(), get("omneo", "/b").sent()], names: { learned: [], retired: [] } } };
      case 1: return { tag: "send", val: { calls: [write], names: { learned: ["omneo/profile/2b1c", "omneo/profile/gone"], retired: [] } } };
      case 2: return { tag: "end", val: { outcome: "done", reason: bodies.join(", "), memory: memory[0], names: { learned: ["omneo/profile/2b1c", "x/y/z"], retired: ["omneo/profile/gone"] } } };
      default: throw new Error("these are the replies of other rules");
    }
  },
};

const rules = (handle) => ({ name: "outer", version: "2", handle });

// Every step of a conversation as it goes over the wire. The body of each reply is its number.
function steps(handle, passes) {
  const { step } = wrap(rules(handle), inner);
  const replies = [];
  const said = [];
  for (let n = 0, reply = 0; n <= passes; n++) {
    said.push(step(event, ["m"], replies));
    replies.push((said.at(-1).val.calls ?? []).map(() => answer(String(reply++))));
  }
  return said;
}

test("no number loses a digit", () => {
  for (const text of ['{"id":706405506930370084,"a":0.10000000000000000000001}', '[1e400,-820982911946154508,"7064055069303700849"]']) {
    assert.equal(exact.stringify(exact.parse(text)), text);
  }
  assert.deepEqual(exact.parse('{"id":7064055069303,"total":19.90}'), { id: 7064055069303, total: 19.9 });
});

test("what is passed on is passed on as it was", () => {
  const passed = steps(function* (_, inner) { return inner(); }, 2);
  const gone = steps(function* (_, inner) { return yield* inner(); }, 2);
  assert.deepEqual(passed, gone);
  assert.equal(passed[1].val.calls[0].request.val.body, '{"total": 19.90, "id": 706405506930370084}');
  assert.deepEqual(passed[2], { tag: "end", val: { outcome: "done", reason: "0+1, 2", memory: "m", names: { learned: ["omneo/profile/2b1c", "x/y/z"], retired: ["omneo/profile/gone"] } } });
});

test("both ways of asking the inner rules change their calls", () => {
  const change = (call) => { if (call.matches("PUT omneo /b/*")) call.body.more = 1n; };
  for (const handle of [function* (_, inner) { return inner(change); }, function* (_, inner) { return yield* inner(change); }]) {
    assert.equal(steps(handle, 1)[1].val.calls[0].request.val.body, '{"total":19.9,"id":706405506930370084,"more":1}');
  }
});

test("calls before and after the inner rules keep their replies", () => {
  const said = steps(function* (event, inner) {
    const before = yield get("omneo", `/before/${event.body.id}`);
    const end = yield* inner();
    const [one, two] = yield [put("omneo", `/${inner.learned("omneo/profile/")}`, {}), get("omneo", "/q")];
    return { ...end, reason: `${before.body}; ${end.reason}; ${one.body} ${two.body}` };
  }, 4);
  assert.deepEqual(said.map(({ val }) => val.calls?.map((wire) => new Call(wire).line)), [
    ["GET omneo /before/706405506930370084"],
    ["GET omneo /a", "GET omneo /b"],
    ["PUT omneo /b/2"],
    ["PUT omneo /2b1c", "GET omneo /q"],
    undefined,
  ]);
  assert.equal(said[4].val.reason, "0; 1+2, 3; 4 5");
});

test("replies of other rules are noticed, and what is thrown is logged", () => {
  const log = [];
  const { step } = wrap(rules(function* () { return done("at once"); }), inner, (line) => log.push(line));
  assert.throws(() => step(event, [], [[answer("0")]]), /replies of other rules/);
  assert.match(log.join(), /^panicked at .*replies of other rules/s);
});

test("the inner rules' manifest and key are passed on", () => {
  const { describe, key } = wrap(rules(), inner);
  assert.deepEqual(describe(), { name: "outer", version: "2", listens: ["a"], targets: [], settings: ["b"] });
  assert.deepEqual(key(event), { names: [event.payload], after: [] });
});

test("a whole conversation can be held", () => {
  const { calls, end } = converse(rules(function* (_, inner) { return inner(); }), inner, event, () => [201, { ok: true }]);
  assert.deepEqual([calls.length, end.reason], [3, '{"ok":true}+{"ok":true}, {"ok":true}']);
});

test("a 2xx that is no answer is asked again, then given up or unknown", () => {
  const told = (calls, ...passes) => {
    const { step } = wrap(rules(function* () {
      const replies = yield calls();
      return done(exact.stringify(replies.map(({ body, unknown }) => body ?? unknown)));
    }), inner);
    const next = step(event, [], passes.map((bodies) => bodies.map(answer)));
    return next.tag === "send" ? next.val.calls.map((wire) => new Call(wire).line) : [next.val.outcome, next.val.reason];
  };
  const reads = () => [get("omneo", "/a").needs("/data/id"), query("shopify", "query Q { b }", {})];
  const good = ['{"data":{"id":7}}', '{"data":{"b":null}}'];
  assert.deepEqual(told(reads, good), ["done", `[${good.join(",")}]`]);
  for (const none of ["", "<html>", '{"data":', "{}", "7", '{"data":{"id":null}}']) {
    assert.deepEqual(told(reads, [none, good[1]]), ["GET omneo /a"], none);
    assert.deepEqual(told(reads, [none, good[1]], [good[0]]), ["done", `[${good.join(",")}]`], none);
  }
  assert.deepEqual(told(reads, [good[0], "<html>"], ["{}"], [""]), ["refused", "given up: shopify answered `GRAPHQL shopify Q` with 200 and a body that is not JSON, 3 times"]);
  const why = "omneo answered `POST omneo /orders` with 200 and a body that is not JSON";
  assert.deepEqual(told(() => [post("omneo", "/orders", {})], ["<html>"]), ["done", exact.stringify([why])]);
});
