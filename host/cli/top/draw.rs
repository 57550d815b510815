//! Draws what `tandem top` knows: less of it where there are few columns. Pure: a state into a buffer.

use ratatui::buffer::Buffer;
use ratatui::layout::{Alignment, Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Cell, Paragraph, Row as TableRow, StatefulWidget, Table, TableState, Widget};

use super::FAILURES;
use super::state::{Row, State};
use crate::cli::table::age;
use crate::cli::tenants::stopped;
use crate::clock;
use crate::events::Event;
use crate::paint::harmless;

/// Lines above the tenants': two, and the head of their table; below it an empty one, the failures with their head, and the
/// keys.
pub const LINES_ABOVE: u16 = 3;
const LINES_BELOW: u16 = 2 + FAILURES as u16 + 1;

/// Below this many columns only what says that something is wrong is shown; from that many on there is room for all.
const NARROW: u16 = 64;
const WIDE: u16 = 120;

const KEYS: [(&str, &str); 7] = [
    ("up, down", "select a tenant: its latest dead letters are below"),
    ("page up, page down", "ten tenants at once"),
    ("home, end", "the first or the last tenant"),
    ("s", "sort by attention, waiting, dead letters, rate, name"),
    ("/", "filter by name; enter keeps the filter, esc clears it"),
    ("?", "this list"),
    ("q, ctrl-c", "quit"),
];

/// Lines for all tenants at once.
pub fn height(state: &State) -> u16 {
    let tenants = u16::try_from(state.shown().len()).unwrap_or(u16::MAX);
    tenants.max(1).saturating_add(LINES_ABOVE + LINES_BELOW)
}

pub fn draw(state: &State, area: Rect, buffer: &mut Buffer) {
    let [top, said, tenants, failures, keys] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Min(3),
        Constraint::Length(2 + FAILURES as u16),
        Constraint::Length(1),
    ])
    .areas(area);
    head(state, area.width).render(top, buffer);
    trouble(state).render(said, buffer);
    if state.is_helping {
        Paragraph::new(all_keys(area.width)).render(tenants, buffer);
    } else {
        table(state, tenants, buffer);
    }
    Paragraph::new(failed(state, area.width)).render(failures, buffer);
    help(state, area.width).render(keys, buffer);
}

fn all_keys(width: u16) -> Vec<Line<'static>> {
    let name = if width < NARROW { 10 } else { 20 };
    let line = |(keys, what): (&'static str, &'static str)| {
        Line::from(vec![Span::styled(format!("{keys:<name$} "), bold()), Span::raw(what)])
    };
    KEYS.into_iter().map(line).collect()
}

fn bold() -> Style {
    Style::new().add_modifier(Modifier::BOLD)
}

fn dim() -> Style {
    Style::new().add_modifier(Modifier::DIM)
}

/// As much of what is known of the whole host as there is room for, the most telling first.
fn head(state: &State, width: u16) -> Line<'_> {
    let rows = state.all();
    let sum = |of: fn(&Row) -> u64| rows.iter().map(of).sum::<u64>();
    let rate = |of: fn(&(f64, f64)) -> f64| rows.iter().filter_map(|row| row.rates.as_ref().map(of)).sum::<f64>();
    let at = state.asked_at.map_or("never".to_owned(), clock::time_of_day);
    let tenants = format!("{} tenant{}", rows.len(), if rows.len() == 1 { "" } else { "s" });
    let mut parts = vec![at, tenants];
    if rows.iter().any(|row| row.rates.is_some()) {
        parts.push(format!("in {}/s  out {}/s", speed(rate(|r| r.0)), speed(rate(|r| r.1))));
    }
    parts.push(format!("waiting {}", sum(|row| row.now.waiting)));
    parts.push(state.address.clone());
    let mut text = String::new();
    for part in parts {
        let is_room = "tandem top".len() + text.chars().count() + 2 + part.chars().count() <= usize::from(width);
        if is_room {
            text.push_str(&format!("  {part}"));
        }
    }
    Line::from(vec![Span::styled("tandem top", bold()), Span::raw(text)])
}

/// What is wrong, without what to do about it: there is one line.
fn trouble(state: &State) -> Line<'_> {
    match &state.trouble {
        Some(why) => {
            let why = harmless(why.lines().next().unwrap_or_default());
            Line::styled(format!("trying again: {why}"), Style::new().fg(Color::Red).add_modifier(Modifier::BOLD))
        }
        None if state.asked_at.is_none() => Line::styled("asking …", dim()),
        None => Line::default(),
    }
}

/// The columns that there is room for.
fn columns(width: u16) -> Vec<(&'static str, Constraint)> {
    if width < NARROW {
        return vec![
            ("tenant", Constraint::Fill(1)),
            ("waiting", Constraint::Length(7)),
            ("dead", Constraint::Length(5)),
            ("stopped", Constraint::Length(12)),
        ];
    }
    let stopped = if width < WIDE { Constraint::Length(15) } else { Constraint::Fill(2) };
    let tenant = if width < WIDE { Constraint::Min(20) } else { Constraint::Fill(1) };
    vec![
        ("tenant", tenant),
        ("in/s", Constraint::Length(7)),
        ("out/s", Constraint::Length(7)),
        ("waiting", Constraint::Length(8)),
        ("oldest", Constraint::Length(7)),
        ("dead", Constraint::Length(6)),
        ("stopped", stopped),
    ]
}

fn cell(column: &str, row: &Row) -> Cell<'static> {
    let right = |text: String| Cell::from(Line::from(text).alignment(Alignment::Right));
    let now = &row.now;
    let rate = |of: fn((f64, f64)) -> f64| row.rates.map_or("-".to_owned(), |rates| speed(of(rates)));
    match column {
        "tenant" => Cell::from(harmless(&now.tenant)),
        "in/s" => right(rate(|rates| rates.0)),
        "out/s" => right(rate(|rates| rates.1)),
        "waiting" => right(now.waiting.to_string()),
        "oldest" => right(age(now.oldest_s)),
        "dead" => right(now.dead_letters.to_string()),
        _ => Cell::from(stopped(now)),
    }
}

fn table(state: &State, area: Rect, buffer: &mut Buffer) {
    let columns = columns(area.width);
    let head = columns.iter().map(|(name, _)| match *name {
        "tenant" | "stopped" => Cell::from(*name),
        name => Cell::from(Line::from(name).alignment(Alignment::Right)),
    });
    let row = |row: &&Row| {
        let now = &row.now;
        let style = match now {
            _ if !now.paused.is_empty() || !now.directions.is_empty() => Style::new().fg(Color::Red),
            _ if now.dead_letters > 0 || now.oldest_s >= 60.0 || !now.held.is_empty() => Style::new().fg(Color::Yellow),
            _ => Style::new(),
        };
        TableRow::new(columns.iter().map(|(name, _)| cell(name, row))).style(style)
    };
    let shown = state.shown();
    let table = Table::new(shown.iter().map(row), columns.iter().map(|(_, width)| *width))
        .header(TableRow::new(head).style(bold()))
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
    StatefulWidget::render(table, area, buffer, &mut TableState::new().with_selected(state.position()));
}

fn failed(state: &State, width: u16) -> Vec<Line<'_>> {
    let Some((tenant, failures)) = &state.failures else { return vec![] };
    let title = match failures.len() {
        0 => format!("no dead letters of {}", harmless(tenant)),
        _ => format!("latest dead letters of {}", harmless(tenant)),
    };
    let mut lines = vec![Line::default(), Line::styled(title, bold())];
    lines.extend(failures.iter().rev().take(FAILURES).map(|event| failure(event, width)));
    lines
}

fn failure(event: &Event, width: u16) -> Line<'_> {
    let at = event.ended_at.as_deref().and_then(clock::parse).map(clock::time_of_day).unwrap_or_default();
    let reason = harmless(event.reason.as_deref().unwrap_or_default()).replace(['\n', '\t'], " ");
    let outcome = event.outcome.as_deref().unwrap_or_default();
    if width < NARROW {
        return Line::from(vec![
            Span::raw(format!("{} {} ", event.id, harmless(&event.topic))),
            Span::styled(reason, Style::new().fg(Color::Red)),
        ]);
    }
    Line::from(vec![
        Span::raw(format!("{:>7} ", event.id)),
        Span::styled(at, dim()),
        Span::raw(format!(" {} ", harmless(&event.topic))),
        Span::styled(format!("{} ", harmless(outcome)), Style::new().fg(Color::Red)),
        Span::raw(reason),
    ])
}

fn help(state: &State, width: u16) -> Line<'_> {
    if state.is_typing {
        return Line::from(vec![Span::styled("filter: ", bold()), Span::raw(format!("{}_", harmless(&state.filter)))]);
    }
    let filter = match state.filter.as_str() {
        "" => "/ filter".to_owned(),
        filter => format!("/ filter: {} (esc clears it)", harmless(filter)),
    };
    let text = match width < NARROW {
        true => format!("q quit  ? keys  {filter}"),
        false => format!("q quit   ? keys   arrows select   s sort: {}   {filter}", state.sort.name()),
    };
    Line::styled(text, dim())
}

/// A rate: `0`, `0.4`, `12`, `3.1k`.
fn speed(rate: f64) -> String {
    match rate {
        r if r < 0.05 => "0".into(),
        r if r < 10.0 => format!("{r:.1}"),
        r if r < 1_000.0 => format!("{r:.0}"),
        r => format!("{:.1}k", r / 1_000.0),
    }
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use ratatui::crossterm::event::KeyCode;

    use super::*;
    use crate::cli::top::state::tests::tenant;
    use crate::cli::top::text;

    fn frame(state: &State, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(state, frame.area(), frame.buffer_mut())).unwrap();
        text(terminal.backend().buffer())
    }

    fn dead(id: i64, reason: &str) -> Event {
        let text = |text: &str| Some(text.to_owned());
        Event {
            id,
            tenant: "shut".into(),
            source: "shopify".into(),
            topic: "orders/paid".into(),
            delivery_id: None,
            occurred_at: String::new(),
            received_at: String::new(),
            names: vec![],
            outcome: text("failed"),
            blame: text("peer"),
            reason: text(reason),
            version: None,
            ended_at: text("2026-01-02T03:04:05.678Z"),
            redacted_at: None,
            calls: 1,
        }
    }

    fn busy() -> State {
        let mut state = State::new("http://127.0.0.1:8081");
        let tenants = || {
            vec![
                tenant("calm", 0, 0.0, 0, &[]),
                tenant("late", 12_345, 7_300.0, 3, &[]),
                tenant("shut", 1, 5.0, 41, &["omneo", "shopify"]),
            ]
        };
        state.take(tenants(), None, 0);
        let mut later = tenants();
        (later[0].accepted, later[0].ended, later[1].accepted) = (7, 7, 5_000);
        later[1].held = vec!["shopify down".into()];
        let failures =
            vec![dead(17, "503"), dead(18, "a long\n\u{1b}reason that does not fit into what is left of one line")];
        state.take(later, Some(("shut".into(), failures)), 3_723_000);
        state
    }

    #[test]
    fn eighty_columns_show_who_needs_attention_and_why() {
        let mut state = busy();
        state.key(KeyCode::Char('s'));
        state.key(KeyCode::Char('s'));
        let expected = "\
tandem top  01:02:03  3 tenants  in 1.3/s  out 0/s  waiting 12346

tenant                      in/s   out/s  waiting  oldest   dead stopped
shut                           0       0        1     5 s     41 omneo paused, s
late                         1.3       0    12345     2 h      3 shopify down
calm                           0       0        0              0
";
        let shown = frame(&state, 80, 24);
        let mut lines: Vec<_> = shown.lines().collect();
        let below = lines.split_off(16);
        assert_eq!(lines[..6], expected.lines().take(6).collect::<Vec<_>>(), "{shown}");
        assert_eq!(
            below,
            [
                "",
                "latest dead letters of shut",
                "     18 03:04:05 orders/paid failed a long \u{fffd}reason that does not fit into what i",
                "     17 03:04:05 orders/paid failed 503",
                "",
                "",
                "",
                "q quit   ? keys   arrows select   s sort: dead letters   / filter",
            ],
            "{shown}"
        );
    }

    #[test]
    fn forty_columns_show_what_is_wrong_and_two_hundred_show_all_of_it() {
        let state = busy();
        let narrow = frame(&state, 40, 24);
        for line in [
            "tandem top  01:02:03  3 tenants",
            "tenant        waiting  dead stopped",
            "shut                1    41 omneo paused",
            "18 orders/paid a long \u{fffd}reason that doe",
            "q quit  ? keys  / filter",
        ] {
            assert!(narrow.lines().any(|shown| shown.starts_with(line)), "{line}\n{narrow}");
        }
        assert!(narrow.lines().all(|line| line.chars().count() <= 40));
        let wide = frame(&state, 200, 24);
        assert!(wide.contains("waiting 12346  http://127.0.0.1:8081\n"), "{wide}");
        assert!(wide.contains("omneo paused, shopify paused\n"), "{wide}");
        assert!(wide.contains("a long \u{fffd}reason that does not fit into what is left of one line\n"), "{wide}");
    }

    #[test]
    fn a_question_mark_shows_the_keys_until_the_next_key() {
        let mut state = busy();
        state.key(KeyCode::Char('?'));
        for width in [40, 80, 200] {
            let shown = frame(&state, width, 24);
            assert!(shown.contains("\nup, down ") && shown.contains("\nq, ctrl-c "), "{shown}");
        }
        state.key(KeyCode::Char('s'));
        let shown = frame(&state, 80, 24);
        assert!(shown.contains("\nshut ") && shown.contains("sort: attention"), "{shown}");
    }

    #[test]
    fn a_host_that_does_not_answer_is_said_beside_what_was_known() {
        let mut state = State::new("http://127.0.0.1:8081");
        assert!(frame(&state, 80, 24).contains("\nasking …\n"));
        state.fail("no answer from `http://127.0.0.1:8081`: Connection refused\nhint: is it there?".into());
        let shown = frame(&state, 80, 24);
        assert!(
            shown.contains("\ntrying again: no answer from `http://127.0.0.1:8081`: Connection refused\n"),
            "{shown}"
        );
        let mut state = busy();
        state.fail("no answer".into());
        let shown = frame(&state, 80, 24);
        assert!(shown.contains("\ntrying again: no answer\n") && shown.contains("\nlate "), "{shown}");
    }

    #[test]
    fn the_selected_one_is_in_sight_and_small_screens_break_nothing() {
        let mut state = State::new("http://127.0.0.1:8081");
        state.take((0..100).map(|n| tenant(&format!("t{n:03}"), 0, 0.0, 0, &[])).collect(), None, 0);
        state.key(KeyCode::End);
        assert!(frame(&state, 80, 24).contains("\nt099 "));
        assert_eq!(usize::from(height(&state)), 100 + 11);
        for (width, height) in [(1, 1), (10, 5), (40, 12), (200, 60)] {
            frame(&state, width, height);
        }
        state.key(KeyCode::Char('/'));
        state.key(KeyCode::Char('7'));
        assert!(frame(&state, 80, 24).ends_with("\nfilter: 7_\n"));
    }
}
