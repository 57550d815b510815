//! Requests that a stand-in makes itself, each over a connection of its own, so that a receiver which restarts is met afresh.
//! Knows nothing of what they mean.

use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::AbortHandle;

/// Bytes of an answer.
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// A request over plain HTTP.
pub(crate) struct Sent<'a> {
    pub method: hyper::Method,
    pub url: &'a str,
    pub headers: &'a [(String, String)],
    pub body: Vec<u8>,
}

/// What came back.
pub(crate) struct Came {
    pub status: u16,
    /// Names are in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// Sends a request and reads all of the answer within the time; gives in words what went wrong.
pub(crate) async fn send(sent: Sent<'_>, patience: Duration) -> Result<Came, String> {
    match tokio::time::timeout(patience, exchange(sent)).await {
        Ok(came) => came,
        Err(_) => Err(format!("no answer within {} ms", patience.as_millis())),
    }
}

async fn exchange(Sent { method, url, headers, body }: Sent<'_>) -> Result<Came, String> {
    let say = |what: &str, error: &dyn std::fmt::Display| format!("{what} `{url}`: {error}");
    let uri: hyper::Uri = url.parse().map_err(|error| say("reading", &error))?;
    let authority = uri.authority().ok_or_else(|| say("reading", &"no host in it"))?;
    // An address of version 6 is in brackets here.
    let host = authority.host().trim_matches(['[', ']']);
    let stream = TcpStream::connect((host, authority.port_u16().unwrap_or(80))).await;
    let stream = stream.map_err(|error| say("connecting to", &error))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| say("connecting to", &error))?;
    let _connection = EndsWithThis(tokio::spawn(connection).abort_handle());
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let mut request = hyper::Request::builder().method(method).uri(path).header("host", authority.as_str());
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let request = request.body(Full::new(Bytes::from(body))).map_err(|error| say("sending to", &error))?;
    let answer = sender.send_request(request).await.map_err(|error| say("sending to", &error))?;
    let status = answer.status().as_u16();
    let text = |value: &hyper::header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers = answer.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect();
    let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
    let body = body.map_err(|error| say("reading the answer of", &error))?.to_bytes().to_vec();
    Ok(Came { status, headers, body })
}

struct EndsWithThis(AbortHandle);

impl Drop for EndsWithThis {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_receiver_is_reached_by_an_address_of_either_version() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let listener = match TcpListener::bind(address).await {
                Ok(listener) => listener,
                Err(error) => {
                    eprintln!("SKIPPED: nobody can listen on {address} here: {error}");
                    continue;
                }
            };
            let url = format!("http://{}/a", listener.local_addr().unwrap());
            let answer = tokio::spawn(async move {
                let (mut stream, _) = listener.accept().await.unwrap();
                assert!(stream.read(&mut [0; 4096]).await.unwrap() > 0);
                stream.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n").await.unwrap();
            });
            let sent = Sent { method: hyper::Method::POST, url: &url, headers: &[], body: vec![] };
            let came = send(sent, Duration::from_secs(10)).await;
            assert_eq!(came.map(|came| came.status), Ok(204), "{url}");
            answer.await.unwrap();
        }
    }
}
