// The SDK: rules around other rules. `component.js` passes the default rules to it; a test can pass any rules.

// Imported by its path, because the tool that makes the component does not look into `node_modules`.
import { LosslessNumber, isInteger, isSafeNumber, parse, stringify } from "./node_modules/lossless-json/lib/esm/index.js";

// Reads and writes JSON as `JSON` does, but keeps every digit of a number: `JSON.parse` makes 706405506930370084 end in
// 000. A whole number that does not fit a number becomes a BigInt; any other such number becomes a LosslessNumber.
export const exact = {
  parse: (text) => (LONG.test(text) ? parse(text, undefined, number) : JSON.parse(text)),
  stringify: (value) => stringify(value),
};

// Matches every text with a number that a double cannot hold. It also matches some other texts, which only costs time.
const LONG = /[\d.]{16}|\d[eE][+-]?\d{3}/;

function number(text) {
  if (isInteger(text)) return Number.isSafeInteger(Number(text)) ? Number(text) : BigInt(text);
  return isSafeNumber(text) ? Number(text) : new LosslessNumber(text);
}

// How an event ends. `refused` and `invalid` make it a dead letter.
export const done = (reason) => ({ outcome: "done", reason });
export const skipped = (reason) => ({ outcome: "skipped", reason });
export const refused = (reason) => ({ outcome: "refused", reason });
export const invalid = (reason) => ({ outcome: "invalid", reason });

// Calls to yield. A read changes nothing; a repeatable call may be sent twice.
//
// A 2xx is an answer only if it is JSON and holds what `needs` names: `post("omneo", "/orders",
// body).needs("/data/id")`. A proxy's page, an empty body or half a body does not count. A call that reads or may be
// repeated is then sent again, three times in all, and after that the event is refused; for a call that must not be
// sent twice, the reply is `{ unknown: "why" }`.
export const get = (target, path) => rest("get", target, path, undefined, "read");
export const post = (target, path, body) => rest("post", target, path, body, "once");
export const put = (target, path, body) => rest("put", target, path, body, "repeatable");
export const patch = (target, path, body) => rest("patch", target, path, body, "repeatable");
export const remove = (target, path) => rest("delete", target, path, undefined, "repeatable");
export const query = (target, document, variables) => graphql(target, document, variables, "read");
export const mutation = (target, document, variables) => graphql(target, document, variables, "repeatable");

function rest(method, target, path, body, effect) {
  const text = body === undefined ? undefined : exact.stringify(body);
  return new Call({ target, request: { tag: "rest", val: { method, path, query: [], body: text } }, effect });
}

function graphql(target, document, variables, effect) {
  return new Call({ target, request: { tag: "graphql", val: { document, variables: exact.stringify(variables) } }, effect });
}

// A call that has not been sent yet.
export class Call {
  constructor(wire) {
    this.wire = wire;
    this.places = [];
  }

  // The call in one line: `PUT omneo /profiles/2b1c`, `GRAPHQL shopify Person`.
  get line() {
    const { target, request } = this.wire;
    if (request.tag === "rest") return `${request.val.method.toUpperCase()} ${target} ${request.val.path}`;
    return `GRAPHQL ${target} ${/\b(?:query|mutation)\s+(\w+)/.exec(request.val.document)?.[1] ?? ""}`;
  }

  // Whether the call's line is this one; `*` stands for one segment of the path.
  matches(line) {
    const [own, given] = [this.line.split("/"), line.split("/")];
    return own.length === given.length && given.every((part, n) => part === "*" || part === own[n]);
  }

  // The body of a REST request, or the variables of a GraphQL request. Changes to it are sent.
  get body() {
    const text = this.wire.request.val[this.#key];
    this.#body ??= text === undefined ? undefined : exact.parse(text);
    return this.#body;
  }

  set body(body) {
    this.#body = body;
  }

  // JSON pointers to places that must hold a value in a 2xx.
  needs(...places) {
    this.places.push(...places);
    return this;
  }

  // What a 2xx lacks of what the call needs; undefined when it lacks nothing.
  lacks({ tag, val }) {
    const { request } = this.wire;
    const needsNothing = request.val.method === "delete" || (val.status === 204 && this.wire.effect !== "read");
    if (tag !== "answer" || val.status < 200 || val.status > 299) return undefined;
    if (needsNothing && this.places.length === 0) return undefined;
    let body;
    try {
      body = exact.parse(val.body);
    } catch {
      return "a body that is not JSON";
    }
    if (request.tag === "graphql" && body?.errors?.length > 0) return undefined;
    const wanted = request.tag === "graphql" ? ["/data", ...this.places] : this.places;
    // An empty text counts as missing: an empty id cannot be put into a path.
    const isNothing = (found) => found === undefined || found === null || found === "";
    const lost = wanted.find((place) => isNothing(place.split("/").slice(1).reduce((at, key) => at?.[key], body)));
    return lost === undefined ? undefined : `nothing at ${lost}`;
  }

  // The call in the form in which it is sent.
  sent() {
    if (this.#body !== undefined) this.wire.request.val[this.#key] = exact.stringify(this.#body);
    return this.wire;
  }

  #body;

  get #key() {
    return this.wire.request.tag === "rest" ? "body" : "variables";
  }
}

// How many times in all a call is sent while its 2xx responses are not answers to it.
const ASKS_MAX = 3;

// A plugin and the rules that it wraps, as one set of rules that a component can export.
export function wrap(plugin, inner, log = () => {}) {
  const told = (ask) => (...given) => {
    try {
      return ask(...given);
    } catch (error) {
      // A thrown text is the rules' answer. Any other error stops the component without a message, so it is logged
      // first.
      if (error instanceof Error && error.payload === undefined) log(`panicked at ${error.stack || ""}${error}`);
      throw error;
    }
  };
  return {
    describe: told(() => {
      const manifest = { ...inner.describe(), name: plugin.name, version: plugin.version };
      return plugin.describe ? plugin.describe(manifest) : manifest;
    }),
    // The settings are those of the inner rules, which are configured already.
    configure: () => [],
    schema: told(() => inner.schema()),
    // The collections that the host can read: those of the inner rules, unless the plugin has a say in them.
    pulls: told(() => (plugin.pulls ? plugin.pulls(inner.pulls()) : inner.pulls())),
    askPage: told((reading) => (plugin.askPage ? plugin.askPage(reading, inner) : inner.askPage(reading))),
    readPage: told((reading, answer) =>
      plugin.readPage ? plugin.readPage(reading, answer, inner) : inner.readPage(reading, answer)),
    key: told((event) => (plugin.key ? plugin.key(opened(event), inner) : inner.key(event))),
    step: told((event, memory, replies) => new Run(inner, event, memory, replies).step(plugin)),
  };
}

function opened(event) {
  let body;
  return { ...event, get body() { return (body ??= exact.parse(event.payload)); } };
}

// One ask: runs the plugin's generator from its beginning, over the replies of the passes so far.
class Run {
  constructor(inner, event, memory, replies) {
    Object.assign(this, { inner, event, memory, replies, pass: 0, names: { learned: [], retired: [] } });
  }

  step(plugin) {
    const delegate = (change) => new Delegate(this, change);
    delegate.learned = (beginning) => this.names.learned.find((name) => name.startsWith(beginning))?.slice(beginning.length);
    const talk = plugin.handle(opened(this.event), delegate);
    for (let next = talk.next(); ; ) {
      if (next.done) return this.end(next.value);
      const { open, replies, end } = this.ask([next.value].flat(), !next.value.raw);
      if (end) return this.end(end);
      if (open) return this.send(open.map((call) => call.sent()));
      next = talk.next(next.value.raw ? replies : Array.isArray(next.value) ? replies.map(read) : read(replies[0]));
    }
  }

  // Gives the replies to these calls, or the calls that are still open, or an ending when a target gives no answer. The
  // inner rules judge the replies to their own calls.
  ask(calls, isOwn) {
    const replies = [];
    let open = calls.map((_, n) => n);
    for (let asks = 1; ; asks++) {
      if (this.pass === this.replies.length) return { open: open.map((n) => calls[n]) };
      const pass = this.replies[this.pass++];
      open.forEach((n, i) => (replies[n] = pass[i]));
      const why = (n) => `${calls[n].wire.target} answered \`${calls[n].line}\` with ${replies[n].val.status} and ${calls[n].lacks(replies[n])}`;
      open = isOwn ? open.filter((n) => calls[n].lacks(replies[n])) : [];
      for (const n of open.filter((n) => calls[n].wire.effect === "once")) replies[n] = { tag: "unknown", val: why(n) };
      open = open.filter((n) => replies[n].tag === "answer");
      if (open.length === 0) return { replies };
      if (asks === ASKS_MAX) return { end: refused(`given up: ${why(open[0])}, ${ASKS_MAX} times`) };
    }
  }

  send(calls) {
    return { tag: "send", val: { calls, names: this.names } };
  }

  end(end) {
    if (end instanceof Delegate) return end.rest();
    if (this.pass < this.replies.length) throw new Error("these are the replies of other rules");
    return { tag: "end", val: { ...end, memory: end.memory, names: this.learn(end.names) } };
  }

  // The latest statement about a name counts.
  learn({ learned = [], retired = [] } = {}) {
    const add = (to, more, without) => [...new Set([...to, ...more])].filter((name) => !without.includes(name));
    this.names = { learned: add(this.names.learned, learned, retired), retired: add(this.names.retired, retired, []) };
    this.names.retired = this.names.retired.filter((name) => !this.names.learned.includes(name));
    return this.names;
  }
}

// What the inner rules would do, with each call changed before it is sent. Either `yield*` it and go on from its
// ending, or return it. Returning is faster: the inner rules then run once for an ask, and not once for every pass.
class Delegate {
  constructor(run, change = () => {}) {
    Object.assign(this, { run, change });
  }

  *[Symbol.iterator]() {
    const { run } = this;
    for (const replies = []; ; ) {
      const next = run.inner.step(run.event, run.memory, replies);
      run.learn(next.val.names);
      if (next.tag === "end") return next.val;
      replies.push(yield Object.assign(this.changed(next.val.calls), { raw: true }));
    }
  }

  rest() {
    const { run } = this;
    const next = run.inner.step(run.event, run.memory, run.replies.slice(run.pass));
    const names = run.learn(next.val.names);
    if (next.tag === "end") return { tag: "end", val: { ...next.val, names } };
    return run.send(this.changed(next.val.calls).map((call) => call.sent()));
  }

  changed(wires) {
    const calls = wires.map((wire) => new Call(wire));
    calls.forEach((call) => this.change(call));
    return calls;
  }
}

// A reply for the plugin to read: `{ status, headers, body }`, where the body is parsed if it is JSON, or `{ unknown:
// "why" }`.
function read({ tag, val }) {
  if (tag === "unknown") return { unknown: val };
  try {
    return { ...val, body: exact.parse(val.body) };
  } catch {
    return val;
  }
}

// Runs an event to its end without wasm, for tests. Returns every call that was sent, and the ending.
export function converse(plugin, inner, event, answer) {
  const rules = wrap(plugin, inner, console.error);
  const calls = [];
  for (const replies = []; ; ) {
    const { tag, val } = rules.step({ source: "shopify", topic: "", id: "1", payload: "{}", ...event }, [], replies);
    if (tag === "end") return { calls, end: val };
    const sent = val.calls.map((wire) => new Call(wire));
    calls.push(...sent);
    replies.push(sent.map((call) => reply(...[answer(call)].flat())));
  }
}

const reply = (status, body = {}) => ({ tag: "answer", val: { status, headers: [], body: exact.stringify(body) } });
