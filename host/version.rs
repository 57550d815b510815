//! The identity of this program: its version, and the commit that it was built from, if the build knew it.

pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// `build.rs` finds the commit for a release. Any other build can set it in `TANDEM_COMMIT`.
const COMMIT: &str = env!("TANDEM_COMMIT");

/// The commit, for people and for a label; `unknown` if the build did not know it.
pub const fn commit() -> &'static str {
    if COMMIT.is_empty() { "unknown" } else { COMMIT }
}

/// `0.1.0 (0123456789ab)`.
pub const TEXT: &str = match COMMIT.is_empty() {
    true => concat!(env!("CARGO_PKG_VERSION"), " (commit unknown)"),
    false => concat!(env!("CARGO_PKG_VERSION"), " (", env!("TANDEM_COMMIT"), ")"),
};
