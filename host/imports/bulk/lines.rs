//! The file of a job: a JSON object a line, the lines of an item together, its own first. Read line by line, so that a file
//! of any length takes the memory of one item.

use std::borrow::Cow;
use std::collections::HashSet;
use std::io::{self, BufRead, Read as _};

use serde::Deserialize;

use super::answers::Said;

/// Bytes of an item with all its lines.
pub const ITEM_BYTES_MAX: u64 = 8 << 20;
/// A part ends behind the item that reaches one of these.
const PART_ITEMS_MAX: usize = 100;
const PART_BYTES_MAX: usize = 1 << 20;

/// Why a file cannot be read, in words that go on from `the file`.
#[derive(Debug)]
pub enum Unfit {
    /// It is not what was said of it: another download, or another job, may help.
    Broken(String),
    /// This item is longer than any may be.
    TooLong(String),
    Disk(io::Error),
}

/// Some items of a file, as rules are given them.
#[derive(Debug, PartialEq)]
pub struct Part {
    /// A JSON array with an array for each item: its own line, then those below it.
    pub text: String,
    /// Where the part ends.
    pub end: u64,
}

/// What a line says of its place.
#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "__parentId")]
    parent: Option<Cow<'a, str>>,
}

/// Looks through a whole file, before anything of it is taken in.
pub fn check(file: impl BufRead, said: &Said) -> Result<u64, Unfit> {
    let mut lines = Lines { file, line: vec![], number: 0, end: 0 };
    let (mut items, mut ids, mut begins) = (0, HashSet::new(), 0);
    let mut first = String::new();
    let broken = |why: String| Err(Unfit::Broken(why));
    loop {
        let begin = lines.end;
        if !lines.next(&first)? {
            break;
        }
        let number = lines.number;
        let Line { id, parent } = lines.place()?;
        match parent {
            None => {
                let Some(id) = id else {
                    return broken(format!("has no `id` in line {number}, which is an item's own"));
                };
                ids.clear();
                (items, begins, first) = (items + 1, begin, id.clone().into_owned());
                ids.insert(id.into_owned());
            }
            Some(parent) if !ids.contains(&*parent) => {
                return broken(format!(
                    "is not grouped: line {number} belongs to `{parent}`, which does not stand above it"
                ));
            }
            Some(_) => ids.extend(id.map(Cow::into_owned)),
        }
        if lines.end - begins > ITEM_BYTES_MAX {
            return Err(Unfit::TooLong(first));
        }
    }
    let differs = |what: &str, found: u64, said: u64| broken(format!("has {found} {what}, and the job has {said}"));
    match said {
        Said { bytes: Some(bytes), .. } if *bytes != lines.end => differs("bytes", lines.end, *bytes),
        Said { lines: objects, .. } if *objects != lines.number => differs("lines", lines.number, *objects),
        Said { items: Some(roots), .. } if *roots != items => differs("items", items, *roots),
        _ => Ok(lines.end),
    }
}

/// The next items of a file that begins at an offset.
pub fn part(file: impl BufRead, offset: u64) -> Result<Part, Unfit> {
    let mut lines = Lines { file, line: vec![], number: 0, end: offset };
    let (mut text, mut items, mut end) = (String::from("["), 0, offset);
    while lines.next("")? {
        let is_item = lines.place()?.parent.is_none();
        if is_item && (items >= PART_ITEMS_MAX || text.len() >= PART_BYTES_MAX) {
            break;
        }
        if !is_item && items == 0 {
            return Err(Unfit::Broken(format!("has no item at {offset}, where one began")));
        }
        text.push_str(match (is_item, items) {
            (true, 0) => "[",
            (true, _) => "],[",
            (false, _) => ",",
        });
        items += usize::from(is_item);
        let line = std::str::from_utf8(&lines.line).map_err(|_| Unfit::Broken("is not text".into()))?;
        text.push_str(line.trim_end());
        end = lines.end;
    }
    text.push_str(if items > 0 { "]]" } else { "]" });
    Ok(Part { text, end })
}

struct Lines<R> {
    file: R,
    /// The last line that was read, and its number.
    line: Vec<u8>,
    number: u64,
    /// Where it ends.
    end: u64,
}

impl<R: BufRead> Lines<R> {
    /// Reads the next line, of an item that begins with `first`; gives whether there is one.
    fn next(&mut self, first: &str) -> Result<bool, Unfit> {
        self.line.clear();
        let read = (&mut self.file).take(ITEM_BYTES_MAX + 1).read_until(b'\n', &mut self.line).map_err(Unfit::Disk)?;
        if read as u64 > ITEM_BYTES_MAX {
            let of = if first.is_empty() { "the first".to_owned() } else { format!("{first}, or the one behind it") };
            return Err(Unfit::TooLong(of));
        }
        self.end += read as u64;
        self.number += u64::from(read > 0);
        Ok(read > 0)
    }

    fn place(&self) -> Result<Line<'_>, Unfit> {
        serde_json::from_slice(&self.line).map_err(|error| {
            let (number, is_cut) = (self.number, error.is_eof());
            let why = if is_cut { "ends in the middle of" } else { "has no object of a job in" };
            Unfit::Broken(format!("{why} line {number}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = concat!(
        r#"{"__typename":"Order","id":"gid://o/1"}"#,
        "\n",
        r#"{"id":"gid://l/1","__parentId":"gid://o/1"}"#,
        "\n",
        r#"{"index":0,"__parentId":"gid://l/1"}"#,
        "\n",
        r#"{"index":0,"__parentId":"gid://o/1"}"#,
        "\n",
        r#"{"__typename":"Order","id":"gid://o/2","n":706405506930370084}"#,
        "\n",
    );

    fn said(file: &str) -> Said {
        Said { url: String::new(), bytes: Some(file.len() as u64), lines: 5, items: Some(2) }
    }

    fn broken(file: &str, said: &Said) -> String {
        match check(file.as_bytes(), said) {
            Err(Unfit::Broken(why)) => why,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_whole_file_is_what_was_said_of_it() {
        assert_eq!(check(FILE.as_bytes(), &said(FILE)).unwrap(), FILE.len() as u64);
        // Whether a line ends behind the last object is the writer's affair.
        let bare = FILE.trim_end();
        assert_eq!(check(bare.as_bytes(), &said(bare)).unwrap(), bare.len() as u64);
        let unsaid = Said { bytes: None, items: None, ..said(FILE) };
        assert!(check(FILE.as_bytes(), &unsaid).is_ok());
        assert_eq!(check("".as_bytes(), &Said::default()).unwrap(), 0);
    }

    #[test]
    fn a_file_that_is_not_whole_is_refused() {
        let whole = said(FILE);
        let lines: Vec<_> = FILE.lines().collect();
        let without = |n: usize| [&lines[..n], &lines[n + 1..]].concat().join("\n") + "\n";
        assert_eq!(broken(&FILE[..FILE.len() - 20], &whole), "ends in the middle of line 5");
        assert_eq!(broken("", &whole), format!("has 0 bytes, and the job has {}", FILE.len()));
        let short = without(4);
        assert_eq!(broken(&short, &whole), format!("has {} bytes, and the job has {}", short.len(), FILE.len()));
        let unsized_ = Said { bytes: None, ..whole.clone() };
        assert_eq!(broken(&short, &unsized_), "has 4 lines, and the job has 5");
        assert_eq!(broken(FILE, &Said { items: Some(3), ..unsized_.clone() }), "has 2 items, and the job has 3");
        let apart = "is not grouped: line 1 belongs to `gid://o/1`, which does not stand above it";
        assert_eq!(broken(&without(0), &whole), apart);
        let mixed = [lines[0], lines[4], lines[1]].join("\n");
        assert_eq!(
            broken(&mixed, &whole),
            "is not grouped: line 3 belongs to `gid://o/1`, which does not stand above it"
        );
        assert_eq!(broken("{\"n\":1}\n", &whole), "has no `id` in line 1, which is an item's own");
        for odd in ["{\"id\":7}\n", "<Error/>\n", "[]\n", "\n{}\n", "{\"id\":\"a\"} {}\n"] {
            assert!(broken(odd, &whole).ends_with("line 1"), "{odd}");
        }
        let not_text = [b"{\"id\":\"\xff\"}\n".as_slice(), FILE.as_bytes()].concat();
        assert!(matches!(check(&not_text[..], &whole), Err(Unfit::Broken(_))));
    }

    #[test]
    fn an_item_has_a_greatest_length() {
        let child = format!("{{\"n\":\"{}\",\"__parentId\":\"gid://o/1\"}}\n", "x".repeat(1 << 20));
        let item = |children: usize| format!("{{\"id\":\"gid://o/1\"}}\n{}", child.repeat(children));
        let fits = item(7);
        let said = Said { url: String::new(), bytes: None, lines: 8, items: None };
        assert!(check(fits.as_bytes(), &said).is_ok());
        assert!(matches!(check(item(8).as_bytes(), &said), Err(Unfit::TooLong(of)) if of == "gid://o/1"));
        let line = format!("{{\"id\":\"gid://o/1\"}}\n{{\"id\":\"{}\"}}", "x".repeat(9 << 20));
        let of = "gid://o/1, or the one behind it";
        assert!(matches!(check(line.as_bytes(), &said), Err(Unfit::TooLong(long)) if long == of));
    }

    /// A file that is written as it is read: items of four lines.
    struct Endless {
        items: std::ops::Range<usize>,
        waiting: Vec<u8>,
    }

    impl io::Read for Endless {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            if self.waiting.is_empty()
                && let Some(n) = self.items.next()
            {
                let child = format!("{{\"x\":\"{}\",\"__parentId\":\"gid://o/{n}\"}}\n", "y".repeat(200));
                self.waiting = format!("{{\"id\":\"gid://o/{n}\"}}\n{}", child.repeat(3)).into_bytes();
            }
            let read = into.len().min(self.waiting.len());
            into[..read].copy_from_slice(&self.waiting[..read]);
            self.waiting.drain(..read);
            Ok(read)
        }
    }

    #[test]
    fn a_file_of_250_000_items_takes_the_memory_of_a_part() {
        let items = 250_000;
        let file = || io::BufReader::new(Endless { items: 0..items, waiting: vec![] });
        let said = Said { url: String::new(), bytes: None, lines: 4 * items as u64, items: Some(items as u64) };
        let size = check(file(), &said).unwrap();
        assert!(size > 150_000_000, "{size}");
        let (mut file, mut offset, mut parts) = (file(), 0, 0);
        let mut behind = vec![];
        while offset < size {
            // What a part has read of the next item is read once more, as from an offset.
            let mut lines = (&behind[..]).chain(&mut file);
            let part = part(&mut lines, offset).unwrap();
            assert!(part.text.len() < PART_BYTES_MAX + 1_000);
            (offset, parts) = (part.end, parts + 1);
            let next = parts * PART_ITEMS_MAX;
            behind = if next < items { format!("{{\"id\":\"gid://o/{next}\"}}\n").into_bytes() } else { vec![] };
        }
        assert_eq!((offset, parts), (size, items / PART_ITEMS_MAX));
    }

    #[test]
    fn parts_are_a_file_item_by_item() {
        let lines: Vec<_> = FILE.lines().collect();
        let one = part(FILE.as_bytes(), 0).unwrap();
        assert_eq!(one.text, format!("[[{}],[{}]]", lines[..4].join(","), lines[4]));
        assert_eq!(one.end, FILE.len() as u64);
        assert_eq!(part("".as_bytes(), 7).unwrap(), Part { text: "[]".into(), end: 7 });
        assert!(matches!(part(&FILE.as_bytes()[lines[0].len() + 1..], 40), Err(Unfit::Broken(_))));

        // However a file is cut, every item comes once.
        let item = |n: usize| {
            let line = format!("{{\"id\":\"{n}\",\"x\":\"{}\"}}\n", "y".repeat(n % 7 * 9_000));
            (0..n % 4).fold(line, |lines, child| lines + &format!("{{\"n\":{child},\"__parentId\":\"{n}\"}}\n"))
        };
        let file: String = (0..1_000).map(item).collect();
        let (mut offset, mut ids, mut parts) = (0, vec![], 0);
        while offset < file.len() as u64 {
            let next = part(&file.as_bytes()[offset as usize..], offset).unwrap();
            let items: Vec<Vec<serde_json::Value>> = serde_json::from_str(&next.text).unwrap();
            assert!(items.len() <= PART_ITEMS_MAX && next.text.len() < PART_BYTES_MAX + 100_000);
            for item in items {
                let n: usize = item[0]["id"].as_str().unwrap().parse().unwrap();
                assert_eq!(item.len(), 1 + n % 4);
                ids.push(n);
            }
            (offset, parts) = (next.end, parts + 1);
        }
        assert_eq!(ids, (0..1_000).collect::<Vec<_>>());
        assert!(parts > 20, "{parts}");
    }
}
