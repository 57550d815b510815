//! Both systems of every tenant, at one address: carries out what it is asked, counts it, and answers wrongly where it is
//! told to.
//!
//! Knows the calls of the rules in `tests/plugins` that have effects; not who sends them.

use std::collections::HashMap;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// What was carried out about one webhook, and how often.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Done {
    /// The call that must not be carried out twice.
    pub once: u32,
    /// The one that may.
    pub kept: u32,
    /// Requests that came, carried out or not.
    pub requests: u32,
}

/// A way to answer wrongly.
#[derive(Clone, Copy, Debug)]
enum Wrong {
    /// The connection is closed without a word.
    Closed,
    /// After the first bytes of the answer.
    CutOff,
    /// No answer within the time that the host waits.
    Silent,
    /// The right answer, a byte at a time.
    Slow,
    /// This status line, these headers and this body.
    Says { status: &'static str, headers: &'static str, body: &'static str },
    /// These bytes; then the connection is closed.
    Raw(&'static str),
    /// The right answer, with this said of Shopify's bucket of cost.
    Claims(&'static str),
}

const HTML: &str = "<!doctype html><title>Back soon</title>";
const THROTTLED: &str = r#"{"errors":[{"message":"Throttled","extensions":{"code":"THROTTLED"}}]}"#;
const JSON: &str = "content-type: application/json\r\n";

const fn ok(body: &'static str) -> Wrong {
    Wrong::Says { status: "200 OK", headers: JSON, body }
}

const fn says(status: &'static str, headers: &'static str, body: &'static str) -> Wrong {
    Wrong::Says { status, headers, body }
}

/// How often a call that is answered so is carried out all the same, of a hundred.
const NEVER: u8 = 0;
const PERHAPS: u8 = 50;
const ALWAYS: u8 = 100;

const WRONG: &[(Wrong, u8)] = &[
    (Wrong::Closed, PERHAPS),
    (Wrong::CutOff, PERHAPS),
    (Wrong::Silent, PERHAPS),
    (Wrong::Slow, ALWAYS),
    // What HTTP calls a success.
    (says("200 OK", "content-type: text/html\r\n", HTML), PERHAPS),
    (ok(""), PERHAPS),
    (ok(" "), PERHAPS),
    (ok("null"), PERHAPS),
    (ok("\"OK\""), PERHAPS),
    (ok("[]"), PERHAPS),
    (ok("{}"), PERHAPS),
    (ok("{}{}"), PERHAPS),
    (ok("{\"data\":NaN}"), PERHAPS),
    (ok("\u{feff}{\"data\":{}}"), PERHAPS),
    (ok(r#"{"data":{"external_id":"#), PERHAPS),
    (ok(r#"{"data":null}"#), PERHAPS),
    (ok(r#"{"data":{"external_id":"-1","keep":{"nth":"-1"}}}"#), PERHAPS),
    (ok(r#"{"errors":"no"}"#), PERHAPS),
    (ok(r#"{"errors":[{"message":"no"}]}"#), PERHAPS),
    (ok(THROTTLED), NEVER),
    (says("200 OK", "content-encoding: gzip\r\n", "this is no gzip"), PERHAPS),
    (says("200 OK", "content-encoding: br\r\n", "{}"), PERHAPS),
    (says("202 Accepted", "", ""), PERHAPS),
    (says("204 No Content", "", ""), PERHAPS),
    (says("206 Partial Content", JSON, "{"), PERHAPS),
    // What it calls something else.
    (says("301 Moved Permanently", "location: http://127.0.0.1:9/\r\n", ""), NEVER),
    (says("400 Bad Request", JSON, "{}"), NEVER),
    (says("404 Not Found", JSON, "{}"), NEVER),
    (says("408 Request Timeout", "", ""), NEVER),
    (says("409 Conflict", "", HTML), NEVER),
    (says("422 Unprocessable Content", JSON, r#"{"errors":{}}"#), NEVER),
    (says("425 Too Early", "", ""), NEVER),
    (says("429 Too Many Requests", "", ""), NEVER),
    (says("500 Internal Server Error", "", HTML), PERHAPS),
    (says("501 Not Implemented", "", ""), PERHAPS),
    (says("502 Bad Gateway", "content-type: text/html\r\n", HTML), PERHAPS),
    (says("503 Service Unavailable", "", ""), PERHAPS),
    (says("504 Gateway Timeout", "", ""), PERHAPS),
    (says("999 Who Knows", "", ""), PERHAPS),
    // What is not HTTP.
    (Wrong::Raw("\0\0\0\0"), PERHAPS),
    (Wrong::Raw("220 mail.example ESMTP\r\n"), PERHAPS),
    (Wrong::Raw("HTTP/1.1 103 Early Hints\r\n\r\n"), PERHAPS),
    (Wrong::Raw("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n"), PERHAPS),
    (Wrong::Raw("HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{}"), PERHAPS),
    (Wrong::Raw("HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}"), PERHAPS),
    // What may hold the target.
    (says("503 Service Unavailable", "retry-after: 1\r\n", ""), NEVER),
    (says("429 Too Many Requests", "retry-after: 1\r\n", ""), NEVER),
    (Wrong::Claims(r#"{"maximumAvailable":0,"currentlyAvailable":-1e300,"restoreRate":0}"#), ALWAYS),
    (Wrong::Claims(r#"{"maximumAvailable":2000,"currentlyAvailable":0,"restoreRate":1e-300}"#), ALWAYS),
];
/// How many of these, the last ones, hold the target; and how many of a life's answers may.
const HOLDING: usize = 4;
const HELD_MAX: usize = 2;

pub struct Target {
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    random: Mutex<fastrand::Rng>,
    /// Of a hundred answers, those that are wrong.
    wrong: AtomicU8,
    is_unreachable: AtomicBool,
    is_over: AtomicBool,
    held: AtomicUsize,
    done: Mutex<HashMap<u64, Done>>,
    /// What came that nobody asked for.
    strange: Mutex<Vec<String>>,
}

impl Target {
    pub fn start(seed: u64, wrong: u8) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            random: Mutex::new(fastrand::Rng::with_seed(seed)),
            wrong: AtomicU8::new(wrong),
            is_unreachable: AtomicBool::default(),
            is_over: AtomicBool::default(),
            held: AtomicUsize::default(),
            done: Mutex::default(),
            strange: Mutex::default(),
        });
        let serving = shared.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if serving.is_over.load(Ordering::Relaxed) {
                    return;
                }
                let shared = serving.clone();
                // An error is a client that has gone.
                thread::spawn(move || drop(shared.serve(stream)));
            }
        });
        Self { address, shared }
    }

    pub fn set_unreachable(&self, is_unreachable: bool) {
        self.shared.is_unreachable.store(is_unreachable, Ordering::Relaxed);
    }

    /// Every answer is right from now on.
    pub fn behave(&self) {
        self.set_unreachable(false);
        self.shared.wrong.store(0, Ordering::Relaxed);
    }

    /// How many requests have come.
    pub fn requests(&self) -> usize {
        self.shared.done.lock().unwrap().values().map(|done| done.requests as usize).sum()
    }

    pub fn done(&self) -> HashMap<u64, Done> {
        self.shared.done.lock().unwrap().clone()
    }

    pub fn strange(&self) -> Vec<String> {
        self.shared.strange.lock().unwrap().clone()
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        // Wakes who waits for a connection.
        let _ = TcpStream::connect(self.address);
    }
}

struct Request {
    line: String,
    body: String,
}

fn read(from: &mut BufReader<TcpStream>) -> io::Result<Option<Request>> {
    let mut line = String::new();
    if from.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut length = 0;
    loop {
        let mut header = String::new();
        if from.read_line(&mut header)? == 0 {
            return Ok(None);
        }
        if header.trim_end().is_empty() {
            break;
        }
        if let Some(given) = header.to_ascii_lowercase().strip_prefix("content-length:") {
            length = given.trim().parse().map_err(io::Error::other)?;
        }
    }
    let mut body = vec![0; length];
    from.read_exact(&mut body)?;
    let body = String::from_utf8(body).map_err(io::Error::other)?;
    Ok(Some(Request { line: line.trim_end().to_owned(), body }))
}

impl Shared {
    fn serve(&self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut from = BufReader::new(stream.try_clone()?);
        loop {
            if self.is_unreachable.load(Ordering::Relaxed) {
                return stream.shutdown(Shutdown::Both);
            }
            let Some(request) = read(&mut from)? else { return Ok(()) };
            if self.is_unreachable.load(Ordering::Relaxed) {
                return stream.shutdown(Shutdown::Both);
            }
            if !self.answer(&request, &mut stream)? {
                return stream.shutdown(Shutdown::Both);
            }
        }
    }

    /// How the next answer is wrong, if it is to be, and whether its call is carried out.
    fn wrong(&self) -> Option<(Wrong, bool)> {
        let mut random = self.random.lock().unwrap();
        if random.u8(0..100) >= self.wrong.load(Ordering::Relaxed) {
            return None;
        }
        let may_hold = self.held.load(Ordering::Relaxed) < HELD_MAX;
        let n = random.usize(..WRONG.len() - if may_hold { 0 } else { HOLDING });
        self.held.fetch_add(usize::from(n >= WRONG.len() - HOLDING), Ordering::Relaxed);
        let (wrong, acts) = WRONG[n];
        Some((wrong, random.u8(0..100) < acts))
    }

    /// Answers a request; gives whether the connection may be used again.
    fn answer(&self, request: &Request, stream: &mut TcpStream) -> io::Result<bool> {
        let asked = asked(request);
        let wrong = self.wrong();
        let Some((nth, is_once)) = asked else {
            // What a host looks at when it starts.
            if request.line.starts_with("GET /webhooks?") || request.body.contains("query ShopFacts ") {
                return say(stream, "404 Not Found", "", "{}").map(|()| true);
            }
            self.strange.lock().unwrap().push(format!("{} {}", request.line, request.body));
            return say(stream, "404 Not Found", "", "{}").map(|()| true);
        };
        {
            let mut done = self.done.lock().unwrap();
            let done = done.entry(nth).or_default();
            done.requests += 1;
            if wrong.is_none_or(|(_, acts)| acts) {
                *(if is_once { &mut done.once } else { &mut done.kept }) += 1;
            }
        }
        let right = match is_once {
            true => format!(r#"{{"data":{{"external_id":"{nth}"}}}}"#),
            false => format!(r#"{{"data":{{"keep":{{"nth":"{nth}","userErrors":[]}}}}}}"#),
        };
        match wrong.map(|(wrong, _)| wrong) {
            None => say(stream, "200 OK", JSON, &right).map(|()| true),
            Some(Wrong::Closed) => Ok(false),
            Some(Wrong::CutOff) => {
                let head = format!("HTTP/1.1 200 OK\r\n{JSON}content-length: {}\r\n\r\n", right.len());
                stream.write_all(format!("{head}{}", &right[..right.len() / 2]).as_bytes())?;
                Ok(false)
            }
            Some(Wrong::Silent) => {
                thread::sleep(Duration::from_millis(super::TIMEOUT_MS + 200));
                Ok(false)
            }
            Some(Wrong::Says { status, headers, body }) => say(stream, status, headers, body).map(|()| true),
            Some(Wrong::Raw(bytes)) => stream.write_all(bytes.as_bytes()).map(|()| false),
            Some(Wrong::Claims(status)) => {
                let cost =
                    format!(r#","extensions":{{"cost":{{"requestedQueryCost":10,"throttleStatus":{status}}}}}}}"#);
                say(stream, "200 OK", JSON, &(right[..right.len() - 1].to_owned() + &cost)).map(|()| true)
            }
            Some(Wrong::Slow) => {
                let head = format!("HTTP/1.1 200 OK\r\n{JSON}content-length: {}\r\n\r\n", right.len());
                for byte in format!("{head}{right}").as_bytes() {
                    stream.write_all(&[*byte])?;
                    thread::sleep(Duration::from_millis(2));
                }
                Ok(true)
            }
        }
    }
}

fn say(stream: &mut TcpStream, status: &str, headers: &str, body: &str) -> io::Result<()> {
    let length = body.len();
    stream.write_all(format!("HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\n\r\n{body}").as_bytes())
}

/// The webhook that a request is about, and whether it asks for what must not be done twice.
fn asked(request: &Request) -> Option<(u64, bool)> {
    let path = request.line.split(' ').nth(1)?;
    if let Some(nth) = path.strip_prefix("/once/") {
        return Some((nth.parse().ok()?, true));
    }
    if !path.ends_with("/graphql.json") {
        return None;
    }
    let body: serde_json::Value = serde_json::from_str(&request.body).ok()?;
    Some((body["variables"]["nth"].as_str()?.parse().ok()?, false))
}
