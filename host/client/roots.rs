//! Whom TLS believes: the certificate authorities of the system, and where it has none, those that came with this program. An
//! image with nothing else in it has none.

use anyhow::Context;
use reqwest::{Certificate, ClientBuilder};

/// A client of requests, and whether it believes those that came with this program.
pub struct Built {
    pub client: reqwest::Client,
    pub is_by_own: bool,
}

/// Builds a client. The builder is asked for again where the system has no certificate authorities: that is when it fails.
pub fn built(builder: impl Fn() -> ClientBuilder) -> anyhow::Result<Built> {
    if let Ok(client) = builder().build() {
        return Ok(Built { client, is_by_own: false });
    }
    let own: Result<Vec<_>, _> =
        webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().map(|root| Certificate::from_der(root)).collect();
    let own = own.context("reading the certificate authorities of this program")?;
    let client = builder().tls_certs_only(own).build().context("building the HTTP client")?;
    Ok(Built { client, is_by_own: true })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_built_of_the_authorities_that_came_along() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        // Fails like a system without any, once.
        let tries = std::cell::Cell::new(0);
        let built = built(|| {
            tries.set(tries.get() + 1);
            let broken = (tries.get() == 1).then_some("a\nb");
            broken.map_or_else(reqwest::Client::builder, |name| reqwest::Client::builder().user_agent(name))
        });
        assert!(built.unwrap().is_by_own && tries.get() == 2);
        assert!(webpki_root_certs::TLS_SERVER_ROOT_CERTS.len() > 50);
    }
}
