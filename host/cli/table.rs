//! Tables, times and numbers as commands print them. Knows no command.

use crate::clock;
use crate::paint::{Paint, harmless};

/// Rows below their head, in columns as wide as their widest cell. A column of numbers stands to the right.
pub fn table(head: &[&str], rows: &[Vec<String>], paint: Paint) -> String {
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().map(|cell| harmless(cell).replace(['\n', '\t'], " ")).collect()).collect();
    let column = |n: usize| rows.iter().filter_map(move |row| row.get(n));
    let width = |n: usize| column(n).map(|cell| cell.chars().count()).max().unwrap_or(0).max(head[n].chars().count());
    let is_number = |n: usize| column(n).all(|cell| cell.parse::<u64>().is_ok());
    let line = |cells: &[&str]| {
        let cell = |(n, cell): (usize, &&str)| match is_number(n) {
            true => format!("{cell:>width$}", width = width(n)),
            false => format!("{cell:<width$}", width = width(n)),
        };
        cells.iter().enumerate().map(cell).collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let mut text = format!("{}\n", paint.dim(line(head)));
    for row in &rows {
        text.push_str(&line(&row.iter().map(String::as_str).collect::<Vec<_>>()));
        text.push('\n');
    }
    text
}

/// `2026-01-02 03:04:05`, of RFC 3339; anything else as it is.
pub fn moment(rfc3339: &str) -> String {
    match clock::parse(rfc3339) {
        Some(at) => format!("{} {}", clock::date(at), clock::time_of_day(at)),
        None => harmless(rfc3339),
    }
}

/// `3 s`, `4 min`, `2 h`, `5 d`; nothing for none.
pub fn age(seconds: f64) -> String {
    let whole = |unit: f64| (seconds / unit).floor();
    match seconds {
        s if s <= 0.0 => String::new(),
        s if s < 60.0 => format!("{} s", whole(1.0)),
        s if s < 3600.0 => format!("{} min", whole(60.0)),
        s if s < 2.0 * 86_400.0 => format!("{} h", whole(3600.0)),
        _ => format!("{} d", whole(86_400.0)),
    }
}

/// `event 7`, `events 7, 8 and 9`, `events 1, 2, 3, … and 9`.
pub fn events(ids: &[i64]) -> String {
    /// Events that are told one by one.
    const TOLD_MAX: usize = 12;
    let told: Vec<_> = ids.iter().take(TOLD_MAX).map(i64::to_string).collect();
    match (&told[..], ids) {
        ([], _) => "no events".into(),
        ([only], _) => format!("event {only}"),
        (_, [.., last]) if ids.len() > told.len() => format!("events {}, … and {last}", told.join(", ")),
        ([first @ .., last], _) => format!("events {} and {last}", first.join(", ")),
    }
}

/// `1 dead letter`, `3 dead letters`.
pub fn count(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_what_is_in_them() {
        let rows = [["a", "7", ""], ["longer\u{1b}", "12", "x"]].map(|row| row.map(str::to_owned).to_vec());
        let shown = table(&["name", "n", "why"], &rows, Paint::plain());
        assert_eq!(shown, "name      n  why\na         7\nlonger\u{fffd}  12  x\n");
    }

    #[test]
    fn ages_and_lists_are_short() {
        assert_eq!([0.0, 0.4, 61.0, 7300.0, 200_000.0].map(age), ["", "0 s", "1 min", "2 h", "2 d"]);
        assert_eq!([events(&[]), events(&[7]), events(&[7, 8, 9])], ["no events", "event 7", "events 7, 8 and 9"]);
        let many: Vec<_> = (1..=20).collect();
        assert_eq!(events(&many), "events 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, … and 20");
    }
}
