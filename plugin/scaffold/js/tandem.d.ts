// The types of `tandem.js`, for editors and `tsc --checkJs`.

/** A value of JSON. A whole number that is too long for a number is a bigint. */
export type Json = any;

/** `tandem` is the host itself: `get("tandem", "/names/shopify/customer/7064")`. */
export type Target = "shopify" | "omneo" | "tandem";

/** A webhook, or an event of the host's own. */
export interface Event {
  id: string;
  source: "shopify" | "omneo" | "tandem";
  topic: string;
  /** RFC 3339. */
  occurredAt: string;
  receivedAt: string;
  apiVersion: string;
  /** As it was received. */
  payload: string;
  /** The payload as JSON. */
  readonly body: Json;
}

/** Names of the entity that an event is about, and of entities that it comes after. */
export interface Entity {
  names: string[];
  after: string[];
}

export type Outcome = "done" | "skipped" | "refused" | "invalid";

export interface Ending {
  outcome: Outcome;
  reason: string;
  /** What is remembered from now on; absent: what was before. */
  memory?: string;
  names?: { learned?: string[]; retired?: string[] };
}

/** A reply to a call: an answer, whose body is JSON where it is some, or why nobody knows whether there is one. */
export type Reply =
  | { status: number; headers: [string, string][]; body: Json; unknown?: undefined }
  | { unknown: string; status?: undefined; headers?: undefined; body?: undefined };

export class Call {
  /** `PUT omneo /profiles/2b1c`, `GRAPHQL shopify Person`. */
  readonly line: string;
  /** The body of a REST request, the variables of a GraphQL one. What is changed in it is sent. */
  body: Json;
  /** Whether its line is this one; `*` stands for one segment of the path. */
  matches(line: string): boolean;
  /** Places, JSON pointers, that must hold something in a 2xx. */
  needs(...places: string[]): this;
}

export function get(target: Target, path: string): Call;
export function post(target: Target, path: string, body: Json): Call;
export function put(target: Target, path: string, body: Json): Call;
export function patch(target: Target, path: string, body: Json): Call;
export function remove(target: Target, path: string): Call;
export function query(target: Target, document: string, variables: Json): Call;
export function mutation(target: Target, document: string, variables: Json): Call;

export function done(reason: string): Ending;
export function skipped(reason: string): Ending;
/** Makes the event a dead letter, as does `invalid`. */
export function refused(reason: string): Ending;
export function invalid(reason: string): Ending;

/** What the inner rules would do: `yield*` it for their ending, or return it. */
export interface Delegate extends Iterable<Call[]> {}

/** The inner rules for this event; each of their calls can be changed before it is sent. */
export interface Inner {
  (change?: (call: Call) => void): Delegate;
  /** What stands behind this beginning in a name that was learned: `learned("omneo/profile/")`. */
  learned(beginning: string): string | undefined;
}

export interface Manifest {
  name: string;
  version: string;
  listens: { source: string; topic: string }[];
  [other: string]: Json;
}

export interface Plugin {
  name: string;
  version: string;
  /** Changes what the rules say of themselves: topics that they listen to, for one. */
  describe?(manifest: Manifest): Manifest;
  /** Whose an event is, if it is not what the inner rules say. */
  key?(event: Event, inner: { key(event: Event): Entity }): Entity;
  /** The collections that the host can read, given those of the inner rules. */
  pulls?(inner: Json[]): Json[];
  /** What to ask for to get the next page of one: `{ tag: "call", val: get("omneo", "/rewards").sent() }`. */
  askPage?(reading: Json, inner: { askPage(reading: Json): Json }): Json;
  /** Where the items are in an answer. */
  readPage?(reading: Json, answer: Json, inner: { readPage(reading: Json, answer: Json): Json }): Json;
  /** Yields a call for its reply, or several for theirs, and returns how the event ends. */
  handle(event: Event, inner: Inner): Generator<Call | Call[], Ending | Delegate, any>;
}

export const exact: { parse(text: string): Json; stringify(value: Json): string };

/** The rules that a plugin and the rules it wraps are together, as a component exports them. */
export function wrap(plugin: Plugin, inner: Json, log?: (line: string) => void): Json;

/** Runs an event to its end without wasm, for tests; `answer` gives status, or status and body, for each call. */
export function converse(
  plugin: Plugin,
  inner: Json,
  event: Partial<Event>,
  answer: (call: Call) => number | [number, Json],
): { calls: Call[]; end: Ending };
