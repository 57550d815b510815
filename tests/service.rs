//! A host that serves: one program, so that the host is linked once for all of these.

mod admin_schema;
mod desk;
mod host;
mod liar;
mod past;
mod town;

mod accounts;
mod admin;
mod alerts;
#[cfg(unix)]
mod building;
mod compile;
mod compliance;
mod configured;
mod controls;
mod grants;
mod hostile;
mod imports;
mod intake;
mod killed;
mod mapping;
mod proof;
mod record;
mod relink;
mod remote;
mod repair;
mod replay;
mod schemathesis;
mod setup;
mod shadow;
mod store;
mod stories;
mod swap;
mod wrong_answers;
