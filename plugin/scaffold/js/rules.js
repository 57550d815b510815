// The default rules, with the changes below.

import { put, skipped } from "./tandem.js";

export const plugin = {
  name: "my-plugin",
  version: "0.1.0",

  *handle(event, inner) {
    // Skip an event, or handle a topic in a different way.
    if (event.topic === "products/delete") return skipped("products are taken down by hand");

    // Change what the default rules send.
    let isNew = false;
    const change = (call) => {
      if (!call.matches("POST omneo /profiles")) return;
      call.body.last_name = call.body.last_name?.toUpperCase();
      isNew = true;
    };

    // If that is all, return it: going on afterwards runs the default rules once for every pass instead of once.
    if (event.topic !== "customers/create") return inner(change);
    const end = yield* inner(change);

    // Add a call, but not for every event: each write causes another event.
    const profile = inner.learned("omneo/profile/");
    if (isNew && profile) {
      const since = { type: "string", value: event.occurredAt };
      yield put("omneo", `/profiles/${profile}/attributes/custom/my_plugin:since`, since);
    }
    return end;
  },
};
