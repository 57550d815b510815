//! Alerts of a running host: what somebody should know of arrives, signed, and again when the first try was not taken.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::Value;
use sha2::Sha256;
use tandem::config::{Alerts, Peer, Post, Quota, RulesFrom, Tenant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::host::{self, Host};

/// A post as it arrived.
struct Arrived {
    head: String,
    body: String,
}

impl Arrived {
    fn header(&self, name: &str) -> &str {
        let line = self.head.lines().find_map(|line| line.split_once(": ").filter(|(key, _)| *key == name));
        line.map(|(_, value)| value).unwrap_or_default()
    }
}

/// Takes one post and answers it with this status.
async fn take(listener: &TcpListener, status: &str) -> Arrived {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut bytes = vec![];
    loop {
        let mut part = [0; 4096];
        let length = stream.read(&mut part).await.unwrap();
        bytes.extend_from_slice(&part[..length]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let arrived = Arrived { head: head.replace("\r\n", "\n"), body: body.to_owned() };
        if arrived.body.len() >= arrived.header("content-length").parse().unwrap_or(0) {
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
            return arrived;
        }
    }
}

#[tokio::test]
async fn an_alert_is_posted_signed_and_posted_again_where_it_was_not_taken() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let key = vec![7; 32];
    let post = Post { url: format!("http://{address}/tandem"), key: key.clone() };
    let peer = || Peer {
        webhook_secrets: vec![host::SECRET.into()],
        ..Peer::with_token("https://api.acme.getomneo.com", "t")
    };
    let host = Host::with(|config| {
        config.tenants.push(Tenant {
            name: "acme".into(),
            shop: host::shop("acme"),
            rules: RulesFrom::Component(host::build()),
            shopify: peer(),
            omneo: peer(),
            limits: Quota::default(),
        });
        config.allow.push(address.to_string());
        config.alerts = Alerts { every: Duration::from_millis(50), post: Some(post) };
    })
    .await;
    let event = host.event("acme", "broken", r#"{"id":7}"#).await;
    host.over(event).await;
    // Something else may be wrong here, too: the disk of whoever runs this may be full.
    let mut alerts = vec![];
    while !alerts.contains(&Value::from("dead-letters")) {
        let first = take(&listener, "500 Internal Server Error").await;
        let second = take(&listener, "200 OK").await;
        assert_eq!((first.header("webhook-id"), &first.body), (second.header("webhook-id"), &second.body));
        for arrived in [&first, &second] {
            let signed =
                format!("{}.{}.{}", arrived.header("webhook-id"), arrived.header("webhook-timestamp"), arrived.body);
            let mac = Hmac::<Sha256>::new_from_slice(&key).unwrap().chain_update(signed).finalize().into_bytes();
            assert_eq!(arrived.header("webhook-signature"), format!("v1,{}", STANDARD.encode(mac)));
        }
        let said: Value = serde_json::from_str(&second.body).unwrap();
        let data = &said["data"];
        assert_eq!(said["type"], "alert.firing", "{said}");
        assert!(!alerts.contains(&data["alert"]), "told twice: {said}");
        if data["alert"] == "dead-letters" {
            assert_eq!(data["tenant"], "acme", "{said}");
            assert!(data["text"].as_str().unwrap().starts_with("1 dead letters of acme, broken: "), "{said}");
        }
        alerts.push(data["alert"].clone());
    }
    host.stop().await;
}
