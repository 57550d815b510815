//! A target that answers in all the wrong ways, byte by byte over a socket: what no HTTP library would send.
//!
//! Knows how to read a request and which bytes to send; not what a host should make of them.

#![allow(dead_code, reason = "each test file uses its own part")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What a request is answered with.
#[derive(Clone, Debug)]
pub enum Lie {
    /// These bytes; then the connection is closed.
    Bytes(Vec<u8>),
    /// These bytes; then nothing, and the connection stays open.
    Hang(Vec<u8>),
    /// These bytes, one after each pause.
    Drip(Vec<u8>, Duration),
    /// The first once, the second for ever.
    Endless(Vec<u8>, Vec<u8>),
    /// The connection is reset in the middle of these bytes.
    Reset(Vec<u8>),
    /// The connection is closed before the request is read.
    Deaf,
}

pub struct Liar {
    pub address: SocketAddr,
    requests: Arc<AtomicUsize>,
    listens: JoinHandle<()>,
}

impl Liar {
    /// Answers each request by its number, from 0.
    pub async fn start(lie: impl Fn(usize) -> Lie + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (requests, lie) = (Arc::new(AtomicUsize::new(0)), Arc::new(lie));
        let counted = requests.clone();
        let listens = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (counted, lie) = (counted.clone(), lie.clone());
                // How it ends is the other side's affair.
                tokio::spawn(async move { drop(answer(stream, &counted, &*lie).await) });
            }
        });
        Self { address, requests, listens }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Requests that have come.
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

impl Drop for Liar {
    fn drop(&mut self) {
        self.listens.abort();
    }
}

/// An answer as it should be, with these headers beside its length.
pub fn answer_of(status: &str, headers: &[&str], body: impl AsRef<[u8]>) -> Vec<u8> {
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    let length = body.as_ref().len();
    let head = format!("HTTP/1.1 {status}\r\nconnection: close\r\n{headers}content-length: {length}\r\n\r\n");
    [head.as_bytes(), body.as_ref()].concat()
}

async fn answer(mut stream: TcpStream, counted: &AtomicUsize, lie: &impl Fn(usize) -> Lie) -> std::io::Result<()> {
    let number = || counted.fetch_add(1, Ordering::SeqCst);
    if let Lie::Deaf = lie(counted.load(Ordering::SeqCst)) {
        number();
        return Ok(());
    }
    read(&mut stream).await?;
    match lie(number()) {
        Lie::Bytes(bytes) => {
            stream.write_all(&bytes).await?;
            stream.shutdown().await?;
            // Closing with something unread would take the answer back.
            tokio::io::copy(&mut stream, &mut tokio::io::sink()).await?;
        }
        Lie::Hang(bytes) => {
            stream.write_all(&bytes).await?;
            std::future::pending::<()>().await;
        }
        Lie::Drip(bytes, pause) => {
            for byte in bytes {
                stream.write_all(&[byte]).await?;
                tokio::time::sleep(pause).await;
            }
        }
        Lie::Endless(first, then) => {
            stream.write_all(&first).await?;
            loop {
                stream.write_all(&then).await?;
            }
        }
        Lie::Reset(bytes) => {
            stream.write_all(&bytes).await?;
            stream.set_zero_linger()?;
        }
        Lie::Deaf => {}
    }
    Ok(())
}

/// Reads one request, its body included.
async fn read(stream: &mut TcpStream) -> std::io::Result<()> {
    let mut request = vec![];
    let head = loop {
        if let Some(end) = request.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        if stream.read_buf(&mut request).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    };
    let text = String::from_utf8_lossy(&request[..head]).to_ascii_lowercase();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    while request.len() < head + length.unwrap_or(0) {
        if stream.read_buf(&mut request).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}
