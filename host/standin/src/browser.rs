//! The browser of somebody who opens pages and fills in forms: it keeps cookies and follows redirects.
//! Reads such HTML as the pages of an app and of the stand-in have; knows nothing of what they say.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::http::{Came, Sent, send};
use crate::query::encoded;

/// Redirects in a row.
const REDIRECTS_MAX: usize = 10;
/// How long a page may take: connecting a shop makes dozens of things on both sides.
const PATIENCE: Duration = Duration::from_secs(300);

/// One that has been nowhere yet. Cookies are kept by host and port.
#[derive(Default)]
pub struct Browser {
    cookies: BTreeMap<(String, String), String>,
    /// Where it is.
    url: String,
    page: String,
}

impl Browser {
    /// The HTML of the page.
    pub fn page(&self) -> &str {
        &self.page
    }

    /// Where the page came from.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Opens an address of plain HTTP; gives the status of the page that it ends at.
    pub async fn open(&mut self, url: &str) -> Result<u16, String> {
        self.go(hyper::Method::GET, url.to_owned(), None).await
    }

    /// Fills in the form of the page that is sent to an address with this end, and sends it. What the page has hidden in it goes
    /// along. Gives the status of the page that comes of it.
    pub async fn submit(&mut self, action: &str, fields: &[(&str, &str)]) -> Result<u16, String> {
        let forms = self.page.split("<form").skip(1).filter_map(|rest| rest.split("</form>").next());
        let own = |form: &&str| {
            attribute(form, "action").is_some_and(|to| to.split('?').next().unwrap_or_default().ends_with(action))
        };
        let form = forms.filter(|form| form.contains('>')).find(own);
        let form = form.ok_or_else(|| format!("no form at {} is sent to `{action}`", self.url))?;
        let inputs = form.split("<input").skip(1).filter_map(|rest| rest.split('>').next());
        let said = |name: &str| fields.iter().any(|(own, _)| *own == name);
        let filled = inputs.filter_map(|input| Some((attribute(input, "name")?, attribute(input, "value")?)));
        let kept = filled.filter(|(name, _)| !said(name));
        let given = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let all: Vec<_> = kept.chain(given).collect();
        let all: Vec<_> = all.iter().map(|(name, value)| (&**name, &**value)).collect();
        let body = encoded(&all);
        let url = self.resolved(&attribute(form, "action").unwrap_or_default());
        self.go(hyper::Method::POST, url, Some(body.join("&"))).await
    }

    /// The text of every element of this name, without the tags in it.
    pub fn texts(&self, element: &str) -> Vec<String> {
        let (open, close) = (format!("<{element}"), format!("</{element}>"));
        let all = self.page.split(&*open).skip(1).filter(|rest| rest.starts_with(['>', ' ']));
        let inside = all.filter_map(|rest| rest.split(&*close).next()?.split_once('>'));
        inside.map(|(_, inner)| plain(inner)).collect()
    }

    async fn go(
        &mut self,
        mut method: hyper::Method,
        mut url: String,
        mut body: Option<String>,
    ) -> Result<u16, String> {
        for _ in 0..REDIRECTS_MAX {
            let host = origin(&url).to_owned();
            let own = self.cookies.iter().filter(|((of, _), _)| *of == host);
            let cookies: Vec<_> = own.map(|((_, name), value)| format!("{name}={value}")).collect();
            let mut headers = vec![];
            if !cookies.is_empty() {
                headers.push(("cookie".to_owned(), cookies.join("; ")));
            }
            if body.is_some() {
                headers.push(("content-type".to_owned(), "application/x-www-form-urlencoded".to_owned()));
            }
            let sent = Sent {
                method: method.clone(),
                url: &url,
                headers: &headers,
                body: body.clone().unwrap_or_default().into_bytes(),
            };
            let Came { status, headers, body: page } = send(sent, PATIENCE).await?;
            self.url = url.split('#').next().unwrap_or_default().to_owned();
            for (_, set) in headers.iter().filter(|(name, _)| name == "set-cookie") {
                let pair = set.split(';').next().and_then(|pair| pair.split_once('='));
                if let Some((name, value)) = pair {
                    self.cookies.insert((host.clone(), name.trim().to_owned()), value.trim().to_owned());
                }
            }
            let location = headers.into_iter().find(|(name, _)| name == "location").map(|(_, value)| value);
            let (Some(location), 300..=399) = (location, status) else {
                self.page = String::from_utf8_lossy(&page).into_owned();
                return Ok(status);
            };
            url = self.resolved(&location);
            // What a form has led to is opened, not sent once more.
            (method, body) = (hyper::Method::GET, None);
        }
        Err(format!("more than {REDIRECTS_MAX} redirects in a row, the last one to {url}"))
    }

    fn resolved(&self, to: &str) -> String {
        match to {
            "" => self.url.clone(),
            to if to.contains("://") => to.to_owned(),
            to if to.starts_with('/') => format!("{}{to}", origin(&self.url)),
            to => format!("{}/{to}", self.url.rsplit_once('/').map_or("", |(folder, _)| folder)),
        }
    }
}

/// `http://127.0.0.1:8080` of `http://127.0.0.1:8080/a?b`.
fn origin(url: &str) -> &str {
    let start = url.find("://").map_or(0, |at| at + 3);
    let rest = &url[start..];
    &url[..start + rest.find(['/', '?', '#']).unwrap_or(rest.len())]
}

/// The value of an attribute of the tag that the text begins in.
fn attribute(tag: &str, name: &str) -> Option<String> {
    let tag = tag.split('>').next()?;
    let value = tag.split_once(&format!(" {name}=\""))?.1;
    Some(unescaped(value.split('"').next()?))
}

fn plain(html: &str) -> String {
    let pieces = html.split('<').enumerate();
    let text: String = pieces
        .map(|(n, piece)| if n == 0 { piece } else { piece.split_once('>').map_or("", |(_, text)| text) })
        .collect();
    unescaped(&text)
}

fn unescaped(text: &str) -> String {
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&#39;", "'").replace("&amp;", "&")
}
