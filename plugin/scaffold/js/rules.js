// The default rules, and what is otherwise here.

import { put, skipped } from "./tandem.js";

export const plugin = {
  name: "my-plugin",
  version: "0.1.0",

  *handle(event, inner) {
    // Skip what is not wanted, or do a topic in another way.
    if (event.topic === "products/delete") return skipped("products are taken down by hand");

    // Change what the default rules send.
    let isNew = false;
    const change = (call) => {
      if (!call.matches("POST omneo /profiles")) return;
      call.body.last_name = call.body.last_name?.toUpperCase();
      isNew = true;
    };

    // Where that is all, return it: to go on afterwards takes the time of an ask for every pass.
    if (event.topic !== "customers/create") return inner(change);
    const end = yield* inner(change);

    // Add a call. Not for every event: what it writes causes an event in its turn.
    const profile = inner.learned("omneo/profile/");
    if (isNew && profile) {
      const since = { type: "string", value: event.occurredAt };
      yield put("omneo", `/profiles/${profile}/attributes/custom/my_plugin:since`, since);
    }
    return end;
  },
};
