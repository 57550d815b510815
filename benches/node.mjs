// The same kind of job as the default rules do, written as one would in plain Node, without isolation, memory or merging:
// a yardstick for `benches/ask.rs`. Reads payloads and replies from standard input, prints microseconds as JSON.
import { readFileSync } from "node:fs";

const BATCHES = 60;

const cents = (text) => {
  const [whole, fraction = ""] = String(text ?? "0").split(".");
  return BigInt(whole) * 100n + (whole.startsWith("-") ? -1n : 1n) * BigInt(fraction.padEnd(2, "0").slice(0, 2));
};
const money = (amount) => Number(amount) / 100;
const call = (target, method, path, body) => ({ target, method, path, body: JSON.stringify(body) });

const names = {
  customers: (body) => [`shopify/customer/${body.id}`],
  orders: (body) => [`shopify/order/${body.id}`],
  products: (body) => [`shopify/product/${body.id}`],
};

const steps = {
  customers(body, replies, memory) {
    const profile = { first_name: body.first_name, last_name: body.last_name, email: body.email?.trim().toLowerCase() };
    if (body.phone) profile.mobile_phone = body.phone.replace(/[^+0-9]/g, "");
    const address = body.addresses[0];
    const asks = memory.length > 0 ? [
      () => [call("omneo", "GET", `/profiles/${body.id}`, {})],
      () => [call("omneo", "PUT", `/profiles/${body.id}`, profile)],
    ] : [
      () => [
        call("omneo", "POST", "/profiles/search-id", { type: "shopify", id: String(body.id) }),
        call("omneo", "POST", "/profiles/availability", { email: profile.email, mobile_phone: profile.mobile_phone }),
      ],
      () => [call("omneo", "POST", "/profiles", { ...profile, identities: [{ handle: "shopify", identifier: String(body.id) }] })],
      () => [call("shopify", "POST", "/graphql", { query: "mutation { metafieldsSet }", variables: { id: body.id } })],
      () => [call("omneo", "POST", "/addresses/upsert", { external_id: String(address.id), city: address.city, postcode: address.zip })],
    ];
    return asks[replies.length]?.() ?? { done: "in step", memory: JSON.stringify(profile) };
  },
  orders(body, replies) {
    let total = 0n;
    const items = body.line_items.map((line) => {
      const discount = line.discount_allocations.reduce((sum, one) => sum + cents(one.amount), 0n);
      const tax = line.tax_lines.reduce((sum, one) => sum + cents(one.price), 0n);
      const net = cents(line.price) * BigInt(line.quantity) - discount + (body.taxes_included ? 0n : tax);
      total += net;
      return {
        external_id: String(line.id), name: line.name, quantity: line.quantity, price_sell: money(net), price_tax: money(tax),
        price_current: money(cents(line.price)), sku: line.sku, variant_external_id: String(line.variant_id),
      };
    });
    if (total !== cents(body.total_price)) throw new Error("the lines do not sum to the total");
    if (replies.length > 0) return { done: "sent", memory: JSON.stringify({ id: body.id, total: body.total_price }) };
    const transaction = { external_id: String(body.id), receipt_ref: body.name, total: money(total), transacted_at: body.processed_at, items };
    return [call("omneo", "POST", "/transactions/update-create", transaction)];
  },
  products(body, replies) {
    if (replies.length > 0) return { done: "sent", memory: JSON.stringify({ id: body.id, updated_at: body.updated_at }) };
    const variants = body.variants.map((one) => ({
      external_id: String(one.id), sku: one.sku, title: one.title, price: money(cents(one.price)), position: one.position,
      options: body.options.map((option, n) => ({ name: option.name, value: one[`option${n + 1}`] })),
    }));
    const product = { external_id: String(body.id), title: body.title, brand: body.vendor, description: body.body_html, variants };
    return [call("omneo", "POST", "/products/queue", product)];
  },
};

function ask({ topic, payload, memory }, replies) {
  const bodies = replies.map((pass) => pass.map((reply) => JSON.parse(reply)));
  return steps[topic.split("/")[0]](JSON.parse(payload), bodies, memory.map((text) => JSON.parse(text)));
}

function whole(one) {
  const seen = [names[one.topic.split("/")[0]](JSON.parse(one.payload))];
  for (let n = 0; n <= one.replies.length; n += 1) seen.push(ask(one, one.replies.slice(0, n)));
  return seen;
}

// Microseconds of one run: the 20th percentile of the batches, after as many to warm up.
function time(run) {
  const began = process.hrtime.bigint();
  run();
  const size = Math.min(200, Math.max(1, Math.floor(2e6 / Number(process.hrtime.bigint() - began))));
  const batches = [];
  for (let n = 0; n < 2 * BATCHES; n += 1) {
    const start = process.hrtime.bigint();
    for (let i = 0; i < size; i += 1) run();
    batches.push(Number(process.hrtime.bigint() - start) / 1e3 / size);
  }
  return batches.slice(BATCHES).sort((a, b) => a - b)[BATCHES / 5];
}

const events = JSON.parse(readFileSync(0, "utf8"));
console.log(JSON.stringify(events.map((one) => [time(() => ask(one, [])), time(() => whole(one))])));
