//! Passes a request on to another server, and its answer back. Knows nothing of what is asked.

use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::Response;
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

const ANSWER_MAX: Duration = Duration::from_secs(10);
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// A request as it is passed on, without a body.
#[derive(Clone, Debug)]
pub(crate) struct Forward {
    pub method: String,
    /// With the query. Plain HTTP only.
    pub url: String,
    pub headers: Vec<(String, String)>,
    /// Headers of the answer that are not passed back.
    pub kept_back: &'static [&'static str],
}

impl Forward {
    /// What the other server answers, or that it does not.
    pub async fn answer(self) -> Response<Full<Bytes>> {
        let asked = tokio::time::timeout(ANSWER_MAX, self.ask()).await;
        asked.unwrap_or_else(|_| Err("no answer in time".to_owned())).unwrap_or_else(|why| {
            let mut answer = Response::new(Full::new(Bytes::from(why)));
            *answer.status_mut() = hyper::StatusCode::BAD_GATEWAY;
            answer
        })
    }

    async fn ask(self) -> Result<Response<Full<Bytes>>, String> {
        let say = |error: &dyn std::fmt::Display| format!("passing a request on: {error}");
        let uri: hyper::Uri = self.url.parse().map_err(|error| say(&error))?;
        let authority = uri.authority().ok_or_else(|| say(&"no host in the address"))?;
        let stream = TcpStream::connect((authority.host(), authority.port_u16().unwrap_or(80))).await;
        let stream = stream.map_err(|error| say(&error))?;
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.map_err(|error| say(&error))?;
        let connection = tokio::spawn(connection);
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let mut request = hyper::Request::builder().method(&*self.method).uri(path).header("host", authority.as_str());
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(Bytes::new())).map_err(|error| say(&error))?;
        let answer = sender.send_request(request).await.map_err(|error| say(&error))?;
        let (mut head, body) = answer.into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await.map_err(|error| say(&error))?;
        connection.abort();
        self.kept_back
            .iter()
            .chain(&["transfer-encoding", "connection"])
            .for_each(|name| drop(head.headers.remove(*name)));
        Ok(Response::from_parts(head, Full::new(body.to_bytes())))
    }
}
