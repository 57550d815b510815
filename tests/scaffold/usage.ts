// Used as an editor and `tsc` see it: what is right compiles, and what is marked does not.
import { converse, done, exact, get, mutation, put, query, refused, skipped } from "./tandem.js";
import type { Call, Ending, Event, Json, Plugin, Reply } from "./tandem.js";

const plugin: Plugin = {
  name: "typed",
  version: "0.1.0",
  describe: (manifest) => ({ ...manifest, listens: [...manifest.listens, { source: "shopify", topic: "carts/update" }] }),
  key: (event, inner) => ({ names: [...inner.key(event).names, `shopify/cart/${event.body.id}`], after: [] }),
  *handle(event, inner) {
    if (event.topic === "products/delete") return skipped("by hand");
    const found: Reply = yield get("omneo", "/profiles/1").needs("/data/id");
    if (found.unknown !== undefined) return refused(found.unknown);
    const [one, two]: Reply[] = yield [query("shopify", "query { shop { name } }", {}), put("omneo", "/profiles/1", found.body)];
    const status: number | undefined = one?.status ?? two?.status;
    const end: Ending = yield* inner((call: Call) => {
      if (call.matches("POST omneo /profiles")) call.body.note = exact.stringify({ status });
    });
    return { ...end, memory: inner.learned("omneo/profile/") };
  },
};

const event: Partial<Event> = { topic: "customers/create", payload: "{}" };
const { calls, end } = converse(plugin, {} as Json, event, (call) => (call.line.startsWith("GET") ? 404 : [200, {}]));
const outcome: "done" | "skipped" | "refused" | "invalid" = end.outcome;
export const said: string = `${calls.length} ${outcome} ${done("so").reason}`;

// @ts-expect-error: there is no such system.
get("shopfy", "/profiles");
// @ts-expect-error: an ending is none of these.
export const wrong: Ending = { outcome: "failed", reason: "" };
// @ts-expect-error: a mutation has variables.
mutation("shopify", "mutation { a }");
// @ts-expect-error: a plugin has a version.
export const unnamed: Plugin = { name: "a", *handle() { return done(""); } };
