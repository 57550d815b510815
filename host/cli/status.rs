//! `tandem status`, `metrics` and `openapi`: what a host says of itself. Knows no tenant.

use super::operations::{HEALTH, METRICS, OPENAPI, READY};
use crate::output::{out, outln};
use crate::remote::{Body, Remote};

pub async fn status(host: &Remote) -> anyhow::Result<()> {
    out!("{}", host.ask(HEALTH, &[], &[], Body::Nothing).await?.text)?;
    out!("{}", host.ask(READY, &[], &[], Body::Nothing).await?.text)?;
    Ok(())
}

pub async fn metrics(host: &Remote) -> anyhow::Result<()> {
    out!("{}", host.ask(METRICS, &[], &[], Body::Nothing).await?.text)?;
    Ok(())
}

pub async fn openapi(host: &Remote) -> anyhow::Result<()> {
    outln!("{}", host.ask(OPENAPI, &[], &[], Body::Nothing).await?.text.trim_end())?;
    Ok(())
}
