-- events -> runs -> calls -> attempts, and memory in revisions. Times are milliseconds since 1970 in UTC.
-- What an older journal lacks of this is added by the steps in schema.rs.

CREATE TABLE IF NOT EXISTS events (
  id INTEGER PRIMARY KEY,
  tenant TEXT NOT NULL,
  source TEXT NOT NULL,
  topic TEXT NOT NULL,
  delivery_id TEXT,
  occurred_at TEXT NOT NULL,
  received_at INTEGER NOT NULL,
  api_version TEXT NOT NULL,
  payload TEXT NOT NULL,
  -- Where it stands among all. An event that is taken up again gets a new, last place.
  place INTEGER NOT NULL DEFAULT 0,
  -- What the rules said it is about, as JSON; null until they were asked.
  entity TEXT,
  -- Null while it is not over.
  outcome TEXT,
  blame TEXT,
  reason TEXT,
  -- The version that ended it.
  version TEXT,
  ended_at INTEGER,
  -- When everything personal was taken out of it, or was to be as soon as it is over; and the event that asked for that.
  redacted_at INTEGER,
  redacted_by INTEGER
) STRICT;
CREATE UNIQUE INDEX IF NOT EXISTS deliveries ON events (tenant, source, delivery_id) WHERE delivery_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS events_of ON events (tenant, id);
CREATE INDEX IF NOT EXISTS unfinished ON events (id) WHERE outcome IS NULL;
CREATE INDEX IF NOT EXISTS waiting ON events (tenant, place) WHERE outcome IS NULL;
CREATE INDEX IF NOT EXISTS dead_letters ON events (tenant, id) WHERE outcome IN ('refused', 'invalid', 'failed');
CREATE INDEX IF NOT EXISTS data_requests ON events (id) WHERE topic = 'customers/data_request';
CREATE INDEX IF NOT EXISTS redacted ON events (redacted_by) WHERE redacted_by IS NOT NULL;

-- The last place that was given: one row.
CREATE TABLE IF NOT EXISTS places (
  last INTEGER NOT NULL
) STRICT;
INSERT INTO places SELECT (SELECT coalesce(max(id), 0) FROM events) WHERE NOT EXISTS (SELECT 1 FROM places);

-- Every name ever given to an entity. An entity has no row of its own: it is what its names share.
CREATE TABLE IF NOT EXISTS names (
  tenant TEXT NOT NULL,
  name TEXT NOT NULL,
  entity INTEGER NOT NULL,
  -- What it stood for is gone; another name of its kind may take its place.
  retired INTEGER NOT NULL DEFAULT FALSE,
  PRIMARY KEY (tenant, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS names_of ON names (entity);

CREATE TABLE IF NOT EXISTS memory (
  revision INTEGER PRIMARY KEY,
  entity INTEGER NOT NULL,
  -- The one that left it; it may have left the journal since.
  event INTEGER NOT NULL,
  body TEXT NOT NULL,
  -- Whether it is what the entity remembers now. Two at once: entities were joined and have not remembered since.
  current INTEGER NOT NULL,
  tenant TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX IF NOT EXISTS remembered ON memory (entity, current);

CREATE TABLE IF NOT EXISTS runs (
  id INTEGER PRIMARY KEY,
  event INTEGER NOT NULL REFERENCES events,
  version TEXT NOT NULL,
  -- The revisions it was begun with, newest first, as JSON.
  memory TEXT NOT NULL,
  begun_at INTEGER NOT NULL,
  -- `open`, `ended`, or `dropped`: another run took its place.
  state TEXT NOT NULL,
  -- Of its asks so far.
  asks INTEGER NOT NULL DEFAULT 0,
  fuel INTEGER NOT NULL DEFAULT 0,
  -- The names that each ask gave, as JSON; null where an older host began it, or once its event is redacted.
  names TEXT,
  -- The revision that its end left behind; 0 if it had everything forgotten, null if all is as before.
  remembered INTEGER
) STRICT;
CREATE INDEX IF NOT EXISTS runs_of ON runs (event);
CREATE INDEX IF NOT EXISTS open_runs ON runs (event) WHERE state = 'open';

CREATE TABLE IF NOT EXISTS calls (
  id INTEGER PRIMARY KEY,
  run INTEGER NOT NULL REFERENCES runs,
  pass INTEGER NOT NULL,
  target TEXT NOT NULL,
  -- What its target's requests are written for, by the version that asked.
  api_version TEXT NOT NULL DEFAULT '',
  -- As JSON. Empty, and the reply too, once its event is redacted.
  call TEXT NOT NULL,
  -- Null until there is one.
  reply TEXT,
  -- Why it is not sent any more although it has no reply, as JSON.
  given_up TEXT
) STRICT;
CREATE INDEX IF NOT EXISTS calls_of ON calls (run, pass);
CREATE INDEX IF NOT EXISTS unanswered ON calls (id) WHERE reply IS NULL;

CREATE TABLE IF NOT EXISTS attempts (
  id INTEGER PRIMARY KEY,
  call INTEGER NOT NULL REFERENCES calls,
  began_at INTEGER NOT NULL,
  ended_at INTEGER,
  -- How it ended, for people; null when the host stopped before it knew.
  outcome TEXT,
  -- It ended without an answer: it may still take effect, until the quiet time is over.
  is_unsettled INTEGER NOT NULL DEFAULT FALSE
) STRICT;
CREATE INDEX IF NOT EXISTS attempts_of ON attempts (call);
CREATE INDEX IF NOT EXISTS unsettled ON attempts (call) WHERE ended_at IS NULL OR is_unsettled;

-- Data requests that somebody has said to be answered, when and by whom. Those that are not stay in the journal.
CREATE TABLE IF NOT EXISTS answers (
  event INTEGER PRIMARY KEY REFERENCES events,
  tenant TEXT NOT NULL,
  at INTEGER NOT NULL,
  by TEXT NOT NULL
) STRICT;

-- Alerts that somebody was told of and that are open, so that a start tells none anew. The id is a hash of what an alert is about,
-- since that may name a person.
CREATE TABLE IF NOT EXISTS alerts (
  id TEXT PRIMARY KEY,
  kind TEXT NOT NULL,
  -- Null: the host's own.
  tenant TEXT,
  since INTEGER NOT NULL,
  told_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Lines that the rules logged in the last ask of a run.
CREATE TABLE IF NOT EXISTS log (
  run INTEGER PRIMARY KEY REFERENCES runs,
  lines TEXT NOT NULL
) STRICT;

-- Bytes of all that is kept of each tenant. Counted by triggers where it is written (usage.rs has the table of what counts),
-- so that nobody has to add up.
CREATE TABLE IF NOT EXISTS usage (
  tenant TEXT PRIMARY KEY,
  bytes INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Settings that may not change once people are linked by them, as they were when the tenant's rules last ran.
CREATE TABLE IF NOT EXISTS fixed_settings (
  tenant TEXT NOT NULL,
  -- JSON pointer, and the value as JSON.
  at TEXT NOT NULL,
  value TEXT NOT NULL,
  PRIMARY KEY (tenant, at)
) STRICT, WITHOUT ROWID;

-- What the latest replay through a version has found, as JSON, without a value of anybody's.
CREATE TABLE IF NOT EXISTS reports (
  tenant TEXT NOT NULL,
  digest TEXT NOT NULL,
  at INTEGER NOT NULL,
  report TEXT NOT NULL,
  PRIMARY KEY (tenant, digest)
) STRICT, WITHOUT ROWID;

-- Which host has the journal: the last one that was started on it. One row, raised at every start.
CREATE TABLE IF NOT EXISTS fence (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  epoch INTEGER NOT NULL,
  since INTEGER NOT NULL,
  process INTEGER NOT NULL
) STRICT;

-- How far the clock is believed by which events are old, and how many (in thousandths) may leave. One row.
CREATE TABLE IF NOT EXISTS retention (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  at INTEGER NOT NULL,
  allowed INTEGER NOT NULL
) STRICT;

-- Who may use the admin API. The hash is SHA-256 in hex: the token itself is shown once and kept nowhere.
CREATE TABLE IF NOT EXISTS tokens (
  hash TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  -- Null: an operator's, for every tenant.
  tenant TEXT,
  created_at INTEGER NOT NULL,
  revoked_at INTEGER
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX IF NOT EXISTS tokens_in_force ON tokens (name) WHERE revoked_at IS NULL;

-- What was done by whom, for good.
CREATE TABLE IF NOT EXISTS audit (
  id INTEGER PRIMARY KEY,
  at INTEGER NOT NULL,
  -- The name of the token.
  token TEXT NOT NULL,
  tenant TEXT,
  what TEXT NOT NULL
) STRICT;

-- Tenants that were added over the admin API, as JSON. Secrets in it are sealed with a key that is not here.
CREATE TABLE IF NOT EXISTS accounts (
  tenant TEXT PRIMARY KEY,
  account TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- What Shopify grants to an app for a tenant, as JSON whose secrets are sealed with a key that is not here.
CREATE TABLE IF NOT EXISTS grants (
  tenant TEXT NOT NULL,
  client_id TEXT NOT NULL,
  -- Whose grant it is.
  shop TEXT NOT NULL,
  -- A part of the address that the tenant's webhooks of the app come to.
  webhook_key TEXT NOT NULL,
  -- Raised with each grant; 0 before the first.
  revision INTEGER NOT NULL,
  -- Null: nothing is held.
  body TEXT,
  -- What was held is gone because the shop refused it.
  is_dropped INTEGER NOT NULL DEFAULT FALSE,
  PRIMARY KEY (tenant, client_id)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX IF NOT EXISTS grants_of_key ON grants (client_id, webhook_key);

-- Approvals that merchants have been asked for, until they answer: hashes only (SHA-256 in hex).
CREATE TABLE IF NOT EXISTS installs (
  state TEXT PRIMARY KEY,
  -- Of the cookie that the merchant's browser has.
  cookie TEXT NOT NULL,
  client_id TEXT NOT NULL,
  shop TEXT NOT NULL,
  ends_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The number of each tenant's shop that has an app: under one domain it can be another shop one day.
CREATE TABLE IF NOT EXISTS shops (
  tenant TEXT PRIMARY KEY,
  shop TEXT NOT NULL,
  number INTEGER NOT NULL,
  -- Another number that the shop has said since, until an operator resumes the tenant.
  other INTEGER
) STRICT, WITHOUT ROWID;

-- Shops that may install an app though no tenant names them yet.
CREATE TABLE IF NOT EXISTS invitations (
  id TEXT PRIMARY KEY,
  client_id TEXT NOT NULL,
  -- Null: the shop whose merchant types the code.
  shop TEXT,
  -- Of the code, SHA-256 in hex.
  code TEXT UNIQUE,
  -- Null: it is called after the shop.
  tenant TEXT,
  -- The name of the token that made it.
  by TEXT NOT NULL,
  ends_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Tenants that were removed, with their shop: its events may still be here, and are nobody else's.
CREATE TABLE IF NOT EXISTS removed_tenants (
  tenant TEXT PRIMARY KEY,
  shop TEXT NOT NULL,
  at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Targets that take no calls, whatever restarts there are, until somebody resumes them.
CREATE TABLE IF NOT EXISTS paused (
  tenant TEXT NOT NULL,
  target TEXT NOT NULL,
  since INTEGER NOT NULL,
  reason TEXT NOT NULL,
  PRIMARY KEY (tenant, target)
) STRICT, WITHOUT ROWID;

-- Directions, named by their source, whose events are not simply run: `hold` or `drop`, by whose word and why.
CREATE TABLE IF NOT EXISTS directions (
  tenant TEXT NOT NULL,
  source TEXT NOT NULL,
  mode TEXT NOT NULL,
  since INTEGER NOT NULL,
  by TEXT NOT NULL,
  why TEXT NOT NULL,
  PRIMARY KEY (tenant, source)
) STRICT, WITHOUT ROWID;

-- Components by their SHA-256, as they were deployed. Tenants on the same one share it.
CREATE TABLE IF NOT EXISTS components (
  digest TEXT PRIMARY KEY,
  -- What it says it is, as JSON.
  manifest TEXT NOT NULL,
  bytes BLOB NOT NULL
) STRICT;

-- Which tenant has which.
CREATE TABLE IF NOT EXISTS versions (
  tenant TEXT NOT NULL,
  digest TEXT NOT NULL REFERENCES components,
  deployed_at INTEGER NOT NULL,
  PRIMARY KEY (tenant, digest)
) STRICT, WITHOUT ROWID;

-- What somebody said of a version when it was deployed, the latest only.
CREATE TABLE IF NOT EXISTS notes (
  tenant TEXT NOT NULL,
  digest TEXT NOT NULL,
  note TEXT NOT NULL,
  PRIMARY KEY (tenant, digest)
) STRICT, WITHOUT ROWID;

-- Every activation there was. A version may be one that was never deployed: tests start a host with rules in memory.
CREATE TABLE IF NOT EXISTS activations (
  id INTEGER PRIMARY KEY,
  tenant TEXT NOT NULL,
  digest TEXT NOT NULL,
  at INTEGER NOT NULL,
  -- `configured`, `activated`, `rolled back`, or `failing`: the one before failed too many events.
  cause TEXT NOT NULL,
  -- The activation that a roll back returns to; null when there was none before.
  back INTEGER REFERENCES activations,
  -- So many failures among its latest events roll it back; null: none do.
  failures_max INTEGER,
  -- Whether the tenant's new runs take this one.
  current INTEGER NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS activations_of ON activations (tenant, id);
CREATE UNIQUE INDEX IF NOT EXISTS active ON activations (tenant) WHERE current;
CREATE INDEX IF NOT EXISTS active_anywhere ON activations (digest) WHERE current;

-- What the configuration last said of a tenant's rules, and the version that was made of it.
CREATE TABLE IF NOT EXISTS configured (
  tenant TEXT PRIMARY KEY,
  -- SHA-256 of the file, and of the component that it was frozen into; empty for a component.
  source TEXT NOT NULL,
  base TEXT NOT NULL,
  digest TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- The code that a version was last compiled to: for which host, and the SHA-256 of the file that it is in.
CREATE TABLE IF NOT EXISTS compiled (
  digest TEXT PRIMARY KEY,
  host TEXT NOT NULL,
  sha256 TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- What a tenant's rules must do: a row for each case, with its files as JSON, name to text.
CREATE TABLE IF NOT EXISTS cases (
  tenant TEXT NOT NULL,
  name TEXT NOT NULL,
  files TEXT NOT NULL,
  PRIMARY KEY (tenant, name)
) STRICT, WITHOUT ROWID;

-- The version that runs beside a tenant's live one, sending nothing, or the last one that did.
CREATE TABLE IF NOT EXISTS shadows (
  tenant TEXT PRIMARY KEY,
  digest TEXT NOT NULL,
  since INTEGER NOT NULL,
  -- The last event that it has gone past.
  cursor INTEGER NOT NULL,
  -- So many events are enough; null: it goes on.
  events_max INTEGER,
  -- What it has found, as JSON, without a value of anybody's.
  report TEXT NOT NULL,
  -- When and why it ended; null while it runs.
  ended_at INTEGER,
  ended TEXT
) STRICT, WITHOUT ROWID;

-- What is written and taken away again to see whether anything can be.
CREATE TABLE IF NOT EXISTS tries (
  filler BLOB NOT NULL
) STRICT;

-- What a tenant has of its past read. `readings` is JSON: one entry for each collection, with how far it has come.
CREATE TABLE IF NOT EXISTS imports (
  id INTEGER PRIMARY KEY,
  tenant TEXT NOT NULL,
  began_at INTEGER NOT NULL,
  ended_at INTEGER,
  by TEXT NOT NULL,
  -- `import` or `reconciliation`.
  kind TEXT NOT NULL,
  -- Whether nothing is made of what is read.
  plan INTEGER NOT NULL,
  -- Whether somebody has agreed to what the rules warn of, and to many names that are not listed any more.
  agreed INTEGER NOT NULL,
  state TEXT NOT NULL,
  why TEXT NOT NULL,
  since TEXT,
  readings TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX IF NOT EXISTS open_import ON imports (tenant) WHERE ended_at IS NULL;

-- Until when the changes of a collection were read without a gap.
CREATE TABLE IF NOT EXISTS checkpoints (
  tenant TEXT NOT NULL,
  pull TEXT NOT NULL,
  at INTEGER NOT NULL,
  PRIMARY KEY (tenant, pull)
) STRICT, WITHOUT ROWID;

-- What may tell that items of different collections are about the same thing, by digest: e-mail addresses, numbers.
CREATE TABLE IF NOT EXISTS clues (
  tenant TEXT NOT NULL,
  clue BLOB NOT NULL,
  name TEXT NOT NULL,
  -- What the clue begins with: `email`.
  kind TEXT NOT NULL,
  pull TEXT NOT NULL,
  read_at INTEGER NOT NULL,
  PRIMARY KEY (tenant, clue, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS clues_of ON clues (tenant, name);

-- The names that the reading of a collection has found so far, until it is over.
CREATE TABLE IF NOT EXISTS listed (
  tenant TEXT NOT NULL,
  name TEXT NOT NULL,
  PRIMARY KEY (tenant, name)
) STRICT, WITHOUT ROWID;
