//! The forms of an installation: a code that admits a shop, and which Omneo tenant is the shop's. Each form that is shown is good
//! once, for ten minutes, for the shop that it was shown to.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, Method, StatusCode};
use url::{Url, form_urlencoded};

use super::approving::way;
use super::once::hash;
use super::pages::{Direction, Form, Line, Page};
use super::shared::{Install, OPEN_AGAIN, Question, failed, in_admin, not_head};
use crate::accounts::Connector;
use crate::clock;
use crate::config::{App, AppKind, Tenant};
use crate::connect::{Omneo, Refused};
use crate::journal::{self, Mode};
use crate::model::{Shop, shop_of_shopify};
use crate::setup::{OFFICIAL_ALONE, State as Stands, Step};

/// What the audit trail and a direction say of a merchant, before the shop.
const MERCHANT: &str = "merchant of ";
/// What to do where the shop is known under another domain.
const MOVED: &str =
    "Was this shop here before, under another address? Then go on to Shopify, and it is found again by its number.";
const BAD_CODE: &str = "this code is not good, was used, or has ended";

/// The page of a shop: its switches, or as long as it is not connected, the form for that.
pub async fn page(install: &Install, app: &App, tenant: &Tenant) -> Result<Page, Page> {
    if !tenant.has_omneo() {
        return form(install, app, &tenant.shop, "").await;
    }
    let is_begun = install.0.connect.manifest(&tenant.name).await.map_err(failed)?.is_some();
    if !is_begun {
        let text = "Omneo is connected, and nothing is sent yet: the rest did not work.";
        let page = Page::good(format!("{} is nearly connected", tenant.shop), text);
        return Ok(page.with(again(install, app, &tenant.shop).await?));
    }
    let text = format!("It is kept in step with the Omneo tenant at {}.", host_of(&tenant.omneo.url));
    let page = Page::good(format!("{} is connected", tenant.shop), text);
    Ok(page.with(switches(install, app, tenant).await?))
}

/// Has the webhooks of Omneo's own app switched off, where the two would send everything twice.
async fn leave(install: &Install, app: &App, shop: &str) -> Result<Form, Page> {
    let (token, _) = install.ask(Question::Connect, app, shop, false).await?;
    let why = format!(
        "Omneo’s own app for Shopify is in step with this shop, too, so each change is sent twice. Here its webhooks are switched off; \
         in that app, under Settings, General, its other direction. Leave the app installed as long as you use what only that app \
         does: {OFFICIAL_ALONE}."
    );
    Ok(Form::Again { action: format!("/shopify/{}/connect", app.name), token, leave: Some(why) })
}

/// Has everything tried once more that is not there yet.
async fn again(install: &Install, app: &App, shop: &str) -> Result<Form, Page> {
    let (token, _) = install.ask(Question::Connect, app, shop, false).await?;
    Ok(Form::Again { action: format!("/shopify/{}/connect", app.name), token, leave: None })
}

async fn switches(install: &Install, app: &App, tenant: &Tenant) -> Result<Form, Page> {
    let (token, _) = install.ask(Question::Switch, app, &tenant.shop, false).await?;
    let known = install.0.journal.directions(&tenant.name);
    let directions = [("shopify", "Shopify → Omneo"), ("omneo", "Omneo → Shopify")];
    let directions = directions.map(|(source, name)| {
        let known = known.iter().find(|direction| direction.source == source);
        let by_operator = known.filter(|known| !is_merchants(known)).map(|known| known.why.clone());
        Direction { source, name, mode: known.map_or(Mode::Run, |known| known.mode), by_operator }
    });
    Ok(Form::Switches { action: format!("/shopify/{}/switch", app.name), token, directions })
}

/// What an operator has set is not a merchant's to lift.
fn is_merchants(direction: &journal::Direction) -> bool {
    direction.mode == Mode::Run || direction.by.starts_with(MERCHANT)
}

fn host_of(url: &str) -> String {
    Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default()
}

/// The shop is no tenant's: whom to ask, and where to type the code that they give.
pub async fn unknown(install: &Install, app: &App, shop: &str) -> Page {
    let cure = "Ask whoever runs this Tandem to invite the shop, and then open the app again. If you were given a code, type it here.";
    let page = Page::wrong(StatusCode::FORBIDDEN, format!("{shop} is not known here"), cure);
    match install.ask(Question::Code, app, shop, false).await {
        Ok((token, _)) => page.with(Form::Code { action: format!("/shopify/{}/code", app.name), token }),
        Err(failed) => failed,
    }
}

/// The same where the merchant has not approved anything yet: the shop may have been here under another domain, which its number
/// tells once it has.
pub async fn unknown_yet(install: &Install, app: &Arc<App>, shop: &Shop) -> Page {
    let page = unknown(install, app, shop.domain()).await;
    let url = app.address_of(shop.domain());
    match way(install, app, shop.domain(), &url, Question::Approve).await {
        Ok(way) => page.going_on(Some(MOVED), way),
        Err(failed) => failed,
    }
}

/// Has a merchant say which Omneo tenant is the shop's.
pub async fn form(install: &Install, app: &App, shop: &str, address: &str) -> Result<Page, Page> {
    let (token, _) = install.ask(Question::Connect, app, shop, false).await?;
    let text = "Customers, orders and products of this shop are kept in step with the Omneo tenant that you name here, both ways.";
    let action = format!("/shopify/{}/connect", app.name);
    let form = Form::Connect { action, token, address: address.to_owned() };
    Ok(Page::good(format!("Connect {shop} to Omneo"), text).with(form))
}

/// Where the browser is sent after the approval, by an address that is good once.
pub async fn enter(
    State(install): State<Install>,
    Path(app): Path<String>,
    method: Method,
    headers: HeaderMap,
    RawQuery(raw): RawQuery,
) -> Result<Page, Page> {
    not_head(&method)?;
    let app = install.app(&app)?;
    let once = field(raw.unwrap_or_default().as_bytes(), "once");
    let shop = install.answered(Question::Enter, &app, &once, &headers, true).await?;
    let tenant = known(&install, &app, &shop.ok_or_else(over)?).await?;
    page(&install, &app, &tenant).await
}

/// The tenant of a shop that was asked something.
async fn known(install: &Install, app: &App, shop: &str) -> Result<Arc<Tenant>, Page> {
    let found = match shop_of_shopify(shop) {
        Some(known) => install.tenant(app, &known).await?,
        None => None,
    };
    match found {
        Some(tenant) => Ok(tenant),
        None => Err(unknown(install, app, shop).await),
    }
}

/// A form that whoever it was shown to has filled in.
struct Sent {
    app: Arc<App>,
    shop: String,
    body: Bytes,
}

impl Sent {
    fn field(&self, name: &str) -> String {
        field(&self.body, name)
    }

    /// An embedded app's pages stand in a frame of the admin, whatever they say.
    fn framed(&self, page: Result<Page, Page>) -> Result<Page, Page> {
        let framed = |page: Page| match self.app.kind {
            AppKind::Embedded => page.framed_by(&self.shop),
            _ => page,
        };
        page.map(framed).map_err(framed)
    }
}

async fn sent(
    install: &Install,
    app: &str,
    question: Question,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Sent, Page> {
    let (app, body) = (install.app(app)?, body.map_err(|_| in_admin(too_long()))?);
    let shop = install.answered(question, &app, &field(&body, "form"), headers, false).await?;
    let shop = shop.ok_or_else(|| in_admin(over()))?;
    Ok(Sent { app, shop, body })
}

/// A direction that a merchant switches on or off.
pub async fn switch(
    State(install): State<Install>,
    Path(app): Path<String>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Page, Page> {
    let sent = sent(&install, &app, Question::Switch, &headers, body).await?;
    sent.framed(switched(&install, &sent).await)
}

async fn switched(install: &Install, sent: &Sent) -> Result<Page, Page> {
    let Sent { app, shop, .. } = sent;
    let tenant = known(install, app, shop).await?;
    let wanted = ["shopify", "omneo"].map(|source| (source, sent.field(source)));
    for (source, wanted) in wanted {
        let mode = match &*wanted {
            "on" => Mode::Run,
            "off" => Mode::Drop,
            _ => continue,
        };
        let directions = install.0.journal.directions(&tenant.name);
        let known = directions.iter().find(|direction| direction.source == source);
        if known.is_none_or(is_merchants) && known.map_or(Mode::Run, |known| known.mode) != mode {
            let direction = journal::Direction {
                tenant: tenant.name.clone(),
                source: source.to_owned(),
                mode,
                since: clock::now(),
                by: format!("{MERCHANT}{shop}"),
                why: format!("switched {wanted} on the app's page"),
            };
            install.0.journal.direct(direction).await.map_err(failed)?;
        }
    }
    page(install, app, &tenant).await
}

/// What a merchant has filled in about Omneo.
pub async fn connect(
    State(install): State<Install>,
    Path(app): Path<String>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Page, Page> {
    let sent = sent(&install, &app, Question::Connect, &headers, body).await?;
    sent.framed(connecting(&install, &sent).await)
}

async fn connecting(install: &Install, sent: &Sent) -> Result<Page, Page> {
    let Sent { app, shop, .. } = sent;
    let tenant = known(install, app, shop).await?;
    let connect = &install.0.connect;
    if tenant.has_omneo() {
        return match connect.again(&tenant.name, sent.field("leave") == "yes").await {
            Ok(steps) => outcome(install, app, &tenant, steps).await,
            Err(refused) => Ok(page(install, app, &tenant).await?.problem(StatusCode::CONFLICT, refused.to_string())),
        };
    }
    let secret = Some(sent.field("secret")).filter(|secret| !secret.is_empty());
    let omneo = Omneo { address: sent.field("address"), token: sent.field("token"), webhook_secret: secret };
    let said = omneo.address.clone();
    match connect.connect(&tenant.name, omneo, Connector::Merchant { shop: shop.clone() }).await {
        Ok(steps) => outcome(install, app, &tenant, steps).await,
        Err(refused) => {
            let status = match &refused {
                Refused::UnderWay => StatusCode::CONFLICT,
                Refused::Account(error) => {
                    tracing::error!(tenant = tenant.name, blame = "host", "connecting Omneo: {error}");
                    StatusCode::CONFLICT
                }
                Refused::Address(_) | Refused::Token(_) | Refused::NoWebhookSecret => StatusCode::UNPROCESSABLE_ENTITY,
            };
            Ok(form(install, app, shop, &said).await?.problem(status, refused.to_string()))
        }
    }
}

/// What came of it.
async fn outcome(install: &Install, app: &App, tenant: &Tenant, steps: Vec<Step>) -> Result<Page, Page> {
    let is_offered = steps.iter().any(|step| step.state == Stands::Offer);
    let line = |step: Step| {
        let is_good = step.state != Stands::Missing;
        Line { is_good, what: format!("{}: {}", step.side, step.what), hint: step.hint.filter(|_| !is_good) }
    };
    let (shop, lines) = (&tenant.shop, steps.into_iter().map(line).collect::<Vec<_>>());
    let page = if lines.iter().all(|line| line.is_good) {
        let text = "From now on, what changes on one side changes on the other. You can close this page.";
        let page = Page::good(format!("{shop} is in step with Omneo"), text);
        page.with(switches(install, app, tenant).await?)
    } else {
        let text = "When its cause is gone, try again: what is there already is left alone.";
        let page = Page::good(format!("{shop} is connected, and something is missing"), text);
        page.with(again(install, app, shop).await?)
    };
    let page = if is_offered { page.with(leave(install, app, shop).await?) } else { page };
    Ok(page.lines(lines))
}

/// The code that admits a shop.
pub async fn code(
    State(install): State<Install>,
    Path(app): Path<String>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Page, Page> {
    let sent = sent(&install, &app, Question::Code, &headers, body).await?;
    sent.framed(admitted(&install, &sent).await)
}

async fn admitted(install: &Install, sent: &Sent) -> Result<Page, Page> {
    let Sent { app, shop, .. } = sent;
    let known = shop_of_shopify(shop).ok_or_else(|| failed(anyhow::anyhow!("`{shop}` is no shop")))?;
    let (client_id, code) = (app.client_id.clone(), hash(&sent.field("code").trim().to_ascii_lowercase()));
    let now = clock::now();
    let invitation = install.read(move |reader| reader.invitation_with(&client_id, &code, now)).await?;
    let Some(invitation) = invitation else {
        let page = unknown(install, app, shop).await;
        return Err(page.problem(StatusCode::FORBIDDEN, BAD_CODE.into()));
    };
    let tenant = match install.tenant(app, &known).await? {
        Some(tenant) => tenant,
        None => match install.admit(invitation, app, &known).await? {
            Some(tenant) => tenant,
            None => return Err(unknown(install, app, shop).await.problem(StatusCode::FORBIDDEN, BAD_CODE.into())),
        },
    };
    let title = format!("{shop} is admitted");
    if app.kind != AppKind::Standalone {
        return Ok(Page::good(title, OPEN_AGAIN));
    }
    let text = "Shopify asks you next whether the app may have what it needs.";
    let way = way(install, app, &tenant.shop, &tenant.shopify.url, Question::Approve).await?;
    Ok(Page::good(title, text).going_on(None, way))
}

fn too_long() -> Page {
    Page::wrong(StatusCode::PAYLOAD_TOO_LARGE, "This is too long", "No address and no token is as long as this.")
        .and(OPEN_AGAIN)
}

fn over() -> Page {
    let title = "This page is not open any more";
    let why = "What was filled in was sent already, or the page is older than ten minutes. Nothing was changed by sending it again.";
    Page::wrong(StatusCode::GONE, title, why).and(OPEN_AGAIN)
}

/// A field of a form; empty if it is not there.
fn field(body: &[u8], name: &str) -> String {
    let mut fields = form_urlencoded::parse(body);
    fields.find(|(own, _)| own == name).map(|(_, value)| value.into_owned()).unwrap_or_default()
}
