//! `tandem top`: a live view of a host. Asks, and takes keys; knows neither what is shown nor where.

use std::io::IsTerminal as _;
use std::time::Duration;

use anyhow::{Context, anyhow};
use ratatui::DefaultTerminal;
use ratatui::buffer::Buffer;
use ratatui::crossterm::event::{self, Event as Input, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::layout::Rect;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;
use tokio::time::timeout;

use super::operations::{EVENTS, TENANTS};
use crate::admin::Tenant;
use crate::clock;
use crate::events::Event;
use crate::output::out;
use crate::remote::{Body, Remote};

mod draw;
mod state;

use draw::draw;
use state::{State, Then};

/// How often the host is asked, and how long its answer may take.
const EVERY: Duration = Duration::from_secs(2);
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// Failures of the selected tenant that are shown.
const FAILURES: usize = 5;
/// Of the frame that is printed where there is no terminal.
const PLAIN_WIDTH: u16 = 100;

/// What the host said, or why it did not.
type Polled = Result<(Vec<Tenant>, Option<(String, Vec<Event>)>), String>;

pub async fn run(host: Remote) -> anyhow::Result<()> {
    let mut state = State::new(host.address());
    if !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() {
        let tenants = host.ask(TENANTS, &[], &[], Body::Nothing).await?.json()?;
        state.take(tenants, None, clock::now());
        out!("{}", plain(&state))?;
        return Ok(());
    }
    let terminal = ratatui::try_init().context("taking the terminal")?;
    let watched = watch_host(host, state, terminal).await;
    ratatui::restore();
    watched
}

async fn watch_host(host: Remote, mut state: State, mut terminal: DefaultTerminal) -> anyhow::Result<()> {
    let (select, selected) = watch::channel(None);
    let (polls, mut polled) = unbounded_channel();
    let polling = tokio::spawn(poll(host, selected, polls));
    let mut keys = keys();
    loop {
        terminal.draw(|frame| draw(&state, frame.area(), frame.buffer_mut()))?;
        tokio::select! {
            key = keys.recv() => {
                let Some(key) = key else { return Err(anyhow!("the terminal gives no more keys")) };
                if is_end(key) || matches!(state.key(key.code), Then::End) {
                    polling.abort();
                    return Ok(());
                }
            }
            said = polled.recv() => match said {
                Some(Ok((tenants, failures))) => state.take(tenants, failures, clock::now()),
                Some(Err(why)) => state.fail(why),
                None => return Err(anyhow!("asking the host has ended")),
            },
        }
        select.send_if_modified(|now| {
            let is_new = *now != state.selected;
            now.clone_from(&state.selected);
            is_new
        });
    }
}

/// Asks again and again, and at once when another tenant is selected.
async fn poll(host: Remote, mut selected: watch::Receiver<Option<String>>, polls: UnboundedSender<Polled>) {
    loop {
        let tenant = selected.borrow_and_update().clone();
        let said = match timeout(ANSWER_MAX, ask(&host, tenant)).await {
            Ok(said) => said.map_err(|error| format!("{error:#}")),
            Err(_) => Err(format!("no answer within {} s", ANSWER_MAX.as_secs())),
        };
        if polls.send(said).is_err() {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            changed = selected.changed() => if changed.is_err() { return },
        }
    }
}

async fn ask(host: &Remote, tenant: Option<String>) -> anyhow::Result<(Vec<Tenant>, Option<(String, Vec<Event>)>)> {
    let tenants: Vec<Tenant> = host.ask(TENANTS, &[], &[], Body::Nothing).await?.json()?;
    // It may be gone.
    let Some(name) = tenant.filter(|name| tenants.iter().any(|tenant| tenant.tenant == *name)) else {
        return Ok((tenants, None));
    };
    let query = [("outcome", "dead".to_owned()), ("limit", FAILURES.to_string())];
    let failures = host.ask(EVENTS, &[&name], &query, Body::Nothing).await?.json()?;
    Ok((tenants, Some((name, failures))))
}

/// Keys as they are pressed. The thread waits for the next one when nobody wants any more, and ends with the program.
fn keys() -> UnboundedReceiver<KeyEvent> {
    let (sender, keys) = unbounded_channel();
    std::thread::spawn(move || {
        while let Ok(input) = event::read() {
            let sent = match input {
                Input::Key(key) if key.kind != KeyEventKind::Release => sender.send(key),
                // To be drawn again.
                Input::Resize(..) => sender.send(KeyEvent::new(KeyCode::Null, KeyModifiers::NONE)),
                _ => Ok(()),
            };
            if sent.is_err() {
                return;
            }
        }
    });
    keys
}

fn is_end(key: KeyEvent) -> bool {
    key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL)
}

/// One frame as text, with room for every tenant, and without what keys are for.
fn plain(state: &State) -> String {
    let area = Rect::new(0, 0, PLAIN_WIDTH, draw::height(state));
    let mut buffer = Buffer::empty(area);
    draw(state, area, &mut buffer);
    let lines = usize::from(draw::LINES_ABOVE) + state.shown().len();
    text(&buffer).lines().take(lines).map(|line| format!("{line}\n")).collect()
}

fn text(buffer: &Buffer) -> String {
    let width = usize::from(buffer.area.width.max(1));
    let lines = buffer.content.chunks(width).map(|cells| {
        let line: String = cells.iter().map(|cell| cell.symbol()).collect();
        format!("{}\n", line.trim_end())
    });
    lines.collect()
}
