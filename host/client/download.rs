//! Downloads a file from an address that a system has signed. No credentials go with the request, and no redirect is
//! followed. Errors never hold the address: whoever has it can read the file.

use std::fs::File;
use std::io::{self, Write as _};
use std::time::Duration;

use reqwest::Url;
use reqwest::header::{ACCEPT_ENCODING, CONTENT_ENCODING};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::{Client, explain};

/// The only host that Shopify's files come from (its documentation of bulk operations).
const FILES_HOST: &str = "storage.googleapis.com";
/// Bytes that are written at a time.
const WRITTEN_BYTES: usize = 1 << 20;

/// How much a download may take.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub bytes_max: u64,
    /// From one part of the file to the next.
    pub silence: Duration,
    /// All of it.
    pub whole: Duration,
}

/// Why there is no file, in words that go on from `the file`.
#[derive(Debug)]
pub enum NotDownloaded {
    /// The address leads where nothing may be downloaded from.
    Forbidden(String),
    /// Another attempt, or another address, may help.
    Failed(String),
    TooLong,
    Disk(io::Error),
}

impl Client {
    /// Downloads a file and gives its length. What was written when this fails is of no use.
    pub async fn download(&self, url: &str, to: File, bounds: Bounds) -> Result<u64, NotDownloaded> {
        let Bounds { silence, whole, .. } = bounds;
        let failed = |why: String| Err(NotDownloaded::Failed(why));
        let all = async {
            let url = self.of_files(url)?;
            let request = self.client_for(&url).map_err(NotDownloaded::Forbidden)?.get(url);
            // The whole time is kept here; the client's own limit is for answers.
            let request = request.header(ACCEPT_ENCODING, "identity").timeout(whole * 2);
            let response = match timeout(silence, request.send()).await {
                Ok(Ok(response)) => response,
                Ok(Err(error)) => return failed(format!("cannot be downloaded: {}", explain(&error))),
                Err(_) => return failed(format!("cannot be downloaded: no answer in {silence:?}")),
            };
            let status = response.status();
            if status.is_redirection() {
                return failed(format!("is not there: the answer is {status}, which leads somewhere else"));
            }
            if status.as_u16() != 200 {
                return failed(format!("is not there: the answer is {status}"));
            }
            let encoding = response.headers().get(CONTENT_ENCODING).map(|value| value.as_bytes().to_owned());
            if let Some(encoding) = encoding.filter(|encoding| encoding != b"identity") {
                return failed(format!("comes encoded as `{}`", String::from_utf8_lossy(&encoding)));
            }
            written(response, to, bounds).await
        };
        // Waits for the disk count, too.
        match timeout(whole, all).await {
            Ok(ended) => ended,
            Err(_) => failed(format!("takes longer than {whole:?}")),
        }
    }

    /// The address, if files may be downloaded from there: with TLS from Shopify's storage, or from a host that the operator
    /// has allowed by name.
    fn of_files(&self, url: &str) -> Result<Url, NotDownloaded> {
        let forbidden = |why: String| Err(NotDownloaded::Forbidden(why));
        let Ok(url) = Url::parse(url) else { return forbidden("has an address that cannot be read".into()) };
        let host = url.host_str().unwrap_or_default();
        let authority = format!("{host}:{}", url.port_or_known_default().unwrap_or_default());
        if self.allow.contains(&authority) || (url.scheme() == "https" && authority == format!("{FILES_HOST}:443")) {
            return Ok(url);
        }
        let scheme = url.scheme();
        forbidden(format!(
            "is to come from `{scheme}://{authority}`, and files come from `https://{FILES_HOST}`\nhint: if Shopify has moved them, allow it by name: `[network] allow = [\"{authority}\"]`"
        ))
    }
}

async fn written(mut response: reqwest::Response, to: File, bounds: Bounds) -> Result<u64, NotDownloaded> {
    let Bounds { bytes_max, silence, .. } = bounds;
    let (mut file, mut bytes, mut waiting) = (to, 0, Vec::with_capacity(WRITTEN_BYTES));
    loop {
        let chunk = match timeout(silence, response.chunk()).await {
            Ok(Ok(chunk)) => chunk,
            Ok(Err(error)) => {
                return Err(NotDownloaded::Failed(format!("breaks off after {bytes} bytes: {}", explain(&error))));
            }
            Err(_) => {
                let why = format!("breaks off after {bytes} bytes: nothing more came in {silence:?}");
                return Err(NotDownloaded::Failed(why));
            }
        };
        let is_over = chunk.is_none();
        let chunk = chunk.unwrap_or_default();
        bytes += chunk.len() as u64;
        if bytes > bytes_max {
            return Err(NotDownloaded::TooLong);
        }
        waiting.extend_from_slice(&chunk);
        if waiting.len() >= WRITTEN_BYTES || is_over {
            let write = move || {
                file.write_all(&waiting)?;
                waiting.clear();
                if is_over {
                    file.sync_all()?;
                }
                Ok((file, waiting))
            };
            let wrote = spawn_blocking(write).await.map_err(io::Error::other).and_then(|wrote| wrote);
            (file, waiting) = wrote.map_err(NotDownloaded::Disk)?;
        }
        if is_over {
            return Ok(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    const BOUNDS: Bounds =
        Bounds { bytes_max: 1_000, silence: Duration::from_millis(200), whole: Duration::from_millis(700) };

    /// Downloads what a server answers with, piece by piece, one each 100 ms; gives the request and what became of it.
    async fn downloaded(pieces: &[&str]) -> (String, Result<String, NotDownloaded>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let authority = listener.local_addr().unwrap().to_string();
        let pieces: Vec<String> = pieces.iter().map(|piece| (*piece).to_owned()).collect();
        let server = tokio::spawn(async move {
            let (mut connection, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 4_096];
            let read = connection.read(&mut request).await.unwrap();
            for piece in pieces {
                if connection.write_all(piece.as_bytes()).await.is_err() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            String::from_utf8_lossy(&request[..read]).into_owned()
        });
        let client = Client::new(5_000, vec![authority.clone()]).unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        let url = format!("http://{authority}/file?Signature=secret");
        let ended = client.download(&url, file.reopen().unwrap(), BOUNDS).await;
        let text = ended.map(|bytes| {
            let text = std::fs::read_to_string(file.path()).unwrap();
            assert_eq!(bytes, text.len() as u64);
            text
        });
        (server.await.unwrap(), text)
    }

    #[tokio::test]
    async fn a_file_comes_without_credentials() {
        let (request, file) = downloaded(&["HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n", "{}\n", "{}\n"]).await;
        assert_eq!(file.unwrap(), "{}\n{}\n");
        let request = request.to_ascii_lowercase();
        assert!(request.starts_with("get /file?signature=secret "), "{request}");
        assert!(!request.contains("authorization") && !request.contains("x-shopify"), "{request}");
    }

    #[tokio::test]
    async fn a_file_that_does_not_come_is_given_up() {
        let failed = async |pieces: &[&str]| match downloaded(pieces).await.1 {
            Err(NotDownloaded::Failed(why)) => {
                assert!(!why.contains("secret"), "{why}");
                why
            }
            other => panic!("{other:?}"),
        };
        let whole = "HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n";
        assert_eq!(failed(&[]).await.split(':').next(), Some("cannot be downloaded"));
        assert_eq!(failed(&["", "", "", ""]).await, "cannot be downloaded: no answer in 200ms");
        assert_eq!(failed(&[whole, "{}", "", "", ""]).await, "breaks off after 2 bytes: nothing more came in 200ms");
        assert!(failed(&[whole, "{}"]).await.starts_with("breaks off after 2 bytes: "));
        assert_eq!(failed(&[&[whole], &["{}"; 20][..]].concat()).await, "takes longer than 700ms");
        let answers = ["403 Forbidden", "400 Bad Request", "404 Not Found", "503 Service Unavailable"];
        for status in answers {
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
            assert_eq!(failed(&[&answer]).await, format!("is not there: the answer is {status}"));
        }
        let elsewhere = "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n";
        assert!(failed(&[elsewhere]).await.ends_with("leads somewhere else"));
        let packed = "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\n{}";
        assert_eq!(failed(&[packed]).await, "comes encoded as `gzip`");
    }

    #[tokio::test]
    async fn a_file_is_no_longer_than_it_may_be() {
        let long = format!("HTTP/1.1 200 OK\r\ncontent-length: 1001\r\n\r\n{}", "x".repeat(1_001));
        assert!(matches!(downloaded(&[&long]).await.1, Err(NotDownloaded::TooLong)));
    }

    #[test]
    fn files_come_from_shopifys_storage_alone() {
        let client = Client::new(5_000, vec!["127.0.0.1:8080".into()]).unwrap();
        let good = ["https://storage.googleapis.com/shopify/x?Signature=y", "http://127.0.0.1:8080/x"];
        for url in good {
            assert!(client.of_files(url).is_ok(), "{url}");
        }
        for url in [
            "http://storage.googleapis.com/x",
            "https://storage.googleapis.com:8443/x",
            "https://storage.googleapis.com.evil.example/x",
            "https://storage.googleapis.com@evil.example/x",
            "https://acme.myshopify.com/x",
            "http://127.0.0.1:8081/x",
            "https://169.254.169.254/latest/meta-data",
            "file:///etc/passwd",
            "",
        ] {
            assert!(matches!(client.of_files(url), Err(NotDownloaded::Forbidden(_))), "{url}");
        }
    }
}
