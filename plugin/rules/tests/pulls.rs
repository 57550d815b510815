//! What the default rules ask for to read a collection, and what they find in the answers.

use tandem_rules::DefaultRules;
use tandem_sdk::{Answer, Ask, Call, Effect, Item, Page, Reading, Request, Rules, Value, json};

use crate::conversation::{body_of, rules};

const ADA: &str = "0b7dbfa6-25d3-4a2b-8b5e-3d3e6c1b2a11";
const BOB: &str = "0b7dbfa6-25d3-4a2b-8b5e-3d3e6c1b2a22";

pub fn reading(pull: &str) -> Reading {
    Reading { begun_at: "2026-11-30T02:00:00Z".into(), ..tandem_sdk::reading(pull) }
}

pub fn since(pull: &str, time: &str) -> Reading {
    Reading { since: Some(time.into()), ..reading(pull) }
}

pub fn at(reading: &Reading, cursor: &str) -> Reading {
    Reading { cursor: cursor.into(), ..reading.clone() }
}

pub fn names(pull: &str) -> Reading {
    Reading { names_only: true, ..reading(pull) }
}

/// The default rules with a day from which on orders count.
pub fn dated() -> DefaultRules {
    rules(json!({ "orders": { "from": "2026-01-01" } }))
}

pub fn asked(reading: &Reading) -> Call {
    match dated().ask_page(reading) {
        Ok(Ask::Call(call)) => call,
        other => panic!("{other:?}"),
    }
}

pub fn variables(reading: &Reading) -> Value {
    body_of(&asked(reading))
}

/// The query of a REST call, as text.
pub fn line(reading: &Reading) -> String {
    asked(reading).line()
}

pub fn read_as(rules: &DefaultRules, reading: &Reading, status: u16, body: &str) -> Result<Page, String> {
    rules.read_page(reading, &Answer { status, headers: vec![], body: body.into() })
}

pub fn read(reading: &Reading, body: Value) -> Result<Page, String> {
    read_as(&rules(json!({})), reading, 200, &body.to_string())
}

pub fn page(reading: &Reading, body: Value) -> Page {
    read(reading, body).expect("it is a page")
}

pub fn place(page: &Page) -> Value {
    serde_json::from_str(page.next.as_deref().expect("there are more")).expect("a cursor of these rules is JSON")
}

pub fn named(page: &Page) -> Vec<&str> {
    page.items.iter().map(|item| item.name.as_str()).collect()
}

/// A page of a connection of Shopify's.
pub fn connection(name: &str, nodes: Value, end: Option<&str>) -> Value {
    let mut data = json!({ name: { "nodes": nodes, "pageInfo": { "hasNextPage": end.is_some(), "endCursor": end } } });
    data[format!("{name}Count")] = json!({ "count": 9000 });
    json!({ "data": data })
}

fn customers(ids: &[u64], end: Option<&str>) -> Value {
    let node = |id: &u64| json!({ "id": format!("gid://shopify/Customer/{id}"), "updatedAt": "2026-11-29T10:00:00Z" });
    connection("customers", ids.iter().map(node).collect(), end)
}

/// A page of Omneo's list: each profile with the time of its last change.
fn profiles(rows: &[(&str, &str)], has_next: bool) -> Value {
    let row = |(id, at): &(&str, &str)| json!({ "id": id, "email": "ada@example.org", "updated_at": at });
    let next = has_next.then_some("https://api.acme.getomneo.com/api/v3/profiles?page[number]=2");
    json!({ "data": rows.iter().map(row).collect::<Value>(), "links": { "next": next }, "meta": { "total": 70 } })
}

#[test]
fn profiles_are_read_before_the_customers_that_may_be_the_same_people() {
    let pulls = dated().pulls();
    let listed: Vec<_> = pulls.iter().map(|pull| (&*pull.source, &*pull.name, &*pull.gone)).collect();
    let wanted = [
        ("shopify", "locations", "shopify/location"),
        ("shopify", "products", "shopify/product"),
        ("omneo", "profiles", "omneo/profile"),
        ("shopify", "customers", "shopify/customer"),
        // An order that is not listed may only be older than what this app may read.
        ("shopify", "orders", ""),
    ];
    assert_eq!(listed, wanted);
    let cautious: Vec<_> = pulls.iter().filter(|pull| !pull.caution.is_empty()).map(|pull| &*pull.name).collect();
    assert_eq!(cautious, ["orders"]);
    for pull in &pulls {
        for reading in [reading(&pull.name), names(&pull.name), since(&pull.name, "2026-11-29T02:00:00Z")] {
            let call = asked(&reading);
            assert_eq!((call.effect, &call.target), (Effect::Read, &pull.source));
        }
    }
    let unknown = "these rules have no pull `rewards`".to_owned();
    assert_eq!(rules(json!({})).ask_page(&reading("rewards")), Err(unknown.clone()));
    assert_eq!(read(&reading("rewards"), json!({})), Err(unknown));
}

#[test]
fn what_is_switched_off_is_not_read() {
    for (switch, pulls) in [
        ("locations", vec!["locations"]),
        ("products", vec!["products"]),
        ("orders", vec!["orders"]),
        ("profiles", vec!["profiles", "customers"]),
    ] {
        let off = rules(json!({ "sync": { switch: false }, "orders": { "from": "2026-01-01" } }));
        let all = off.pulls();
        let refused = all.iter().filter(|pull| off.ask_page(&reading(&pull.name)).is_err());
        assert_eq!(refused.map(|pull| &*pull.name).collect::<Vec<_>>(), pulls);
        let why = format!("switched off: `sync.{switch} = false`");
        assert_eq!(off.ask_page(&reading(pulls[0])), Err(why));
    }
}

#[test]
fn all_customers_are_read_by_id() {
    let all = reading("customers");
    assert_eq!(asked(&all).line(), "GRAPHQL shopify PullCustomers");
    assert_eq!(variables(&all), json!({ "n": 100, "query": null, "sort": "ID" }));
    let first = page(&all, customers(&[7, 9, 7064], Some("abc")));
    assert_eq!(named(&first), ["shopify/customer/7", "shopify/customer/9", "shopify/customer/7064"]);
    assert_eq!(first.items[2].at, "/data/customers/nodes/2");
    assert_eq!((first.total, place(&first)), (Some(9000), json!({ "after": "7064" })));

    let second = at(&all, first.next.as_deref().unwrap());
    assert_eq!(variables(&second), json!({ "n": 100, "query": "id:>7064", "sort": "ID" }));
    assert_eq!(page(&second, customers(&[7065], None)).next, None);
    assert_eq!(page(&second, customers(&[], None)).items, []);
    // What would be read for ever, or with somebody left out, ends the reading.
    let out_of_order = "Shopify lists customers out of the order of their ids: 7064 comes too late";
    assert_eq!(read(&second, customers(&[7064], Some("abc"))), Err(out_of_order.into()));
    assert_eq!(read(&all, customers(&[7065, 7064], None)), Err(out_of_order.into()));
    let empty = "Shopify answered an empty page and says that there are more customers";
    assert_eq!(read(&second, customers(&[], Some("abc"))), Err(empty.into()));
}

#[test]
fn names_of_customers_cost_a_small_query_whatever_has_changed() {
    for reading in [names("customers"), Reading { since: Some("2026-11-29T02:00:00Z".into()), ..names("customers") }] {
        let Request::Graphql(request) = asked(&reading).request else { panic!("it is GraphQL") };
        assert!(!request.document.contains("Person"), "{}", request.document);
        assert_eq!(variables(&reading), json!({ "n": 250, "query": null }));
        let first = page(&reading, customers(&[7, 9], Some("abc")));
        assert_eq!(
            first.items[0],
            Item { at: "/data/customers/nodes/0".into(), name: "shopify/customer/7".into(), clues: vec![] }
        );
        assert_eq!(variables(&at(&reading, first.next.as_deref().unwrap())), json!({ "n": 250, "query": "id:>9" }));
    }
}

#[test]
fn changed_customers_are_read_by_whole_days_and_those_before_are_left_out() {
    let changed = since("customers", "2026-11-29T10:00:00.5+11:00");
    // The shop's day may begin half a day later than UTC's.
    let first = json!({ "n": 100, "after": null, "query": "updated_at:>='2026-11-28'", "sort": "UPDATED_AT" });
    assert_eq!(variables(&changed), first);
    let node = |id: u64, at: Value| json!({ "id": format!("gid://shopify/Customer/{id}"), "updatedAt": at });
    let nodes = json!([
        node(9, json!("2026-11-28T22:59:59Z")),
        node(7, json!("2026-11-28T23:00:00Z")),
        node(8, json!("2026-11-29T00:00:00Z")),
        // A clock that cannot be read leaves nobody out.
        node(6, json!("yesterday")),
        node(5, Value::Null),
    ]);
    let found = page(&changed, connection("customers", nodes, Some("abc")));
    let at_pointers: Vec<_> = found.items.iter().map(|item| (item.at.as_str(), item.name.as_str())).collect();
    assert_eq!(
        at_pointers,
        [
            ("/data/customers/nodes/1", "shopify/customer/7"),
            ("/data/customers/nodes/2", "shopify/customer/8"),
            ("/data/customers/nodes/3", "shopify/customer/6"),
            ("/data/customers/nodes/4", "shopify/customer/5"),
        ]
    );
    // Shopify counts all customers, which says nothing of those that have changed.
    assert_eq!((found.total, place(&found)), (None, json!({ "after": "abc" })));
    assert_eq!(variables(&at(&changed, found.next.as_deref().unwrap()))["after"], "abc");
    // A page may hold nobody who has changed, and there may be more behind it.
    let nobody = page(&changed, connection("customers", json!([node(9, json!("2026-11-28T13:00:00Z"))]), Some("def")));
    assert_eq!((nobody.items.len(), place(&nobody)), (0, json!({ "after": "def" })));

    let wrong = since("customers", "last week");
    assert_eq!(rules(json!({})).ask_page(&wrong), Err("`since` is no time: `last week`".into()));
    let ahead = since("customers", "2027-03-01T00:00:00Z");
    assert_eq!(variables(&ahead)["query"], "updated_at:>='2027-02-28'");
}

#[test]
fn a_page_that_costs_too_much_is_halved_until_there_is_one_customer() {
    let too_much = json!({ "errors": [{
        "message": "Query cost is 1322, which exceeds the single query max cost limit (1000).",
        "extensions": { "code": "MAX_COST_EXCEEDED" },
    }] });
    for reading in [reading("customers"), since("customers", "2026-11-29T02:00:00Z"), names("customers")] {
        let (mut now, mut sizes) = (at(&reading, r#"{"after":"7064"}"#), vec![]);
        let why = loop {
            sizes.push(variables(&now)["n"].as_u64().unwrap());
            match read(&now, too_much.clone()) {
                Ok(page) => {
                    assert_eq!((page.items.len(), place(&page)["after"].as_str()), (0, Some("7064")));
                    now = at(&reading, page.next.as_deref().unwrap());
                }
                Err(why) => break why,
            }
        };
        let all = if reading.names_only {
            [250, 125, 62, 31, 15, 7, 3, 1].to_vec()
        } else {
            [100, 50, 25, 12, 6, 3, 1].to_vec()
        };
        assert_eq!(sizes, all);
        assert!(why.starts_with("Shopify finds a page of one too much: Query cost is 1322"), "{why}");
    }
    // The size stays as small as it has become.
    let small = at(&reading("customers"), r#"{"after":"7064","n":25}"#);
    assert_eq!(place(&page(&small, customers(&[7065], Some("abc")))), json!({ "after": "7065", "n": 25 }));
}

#[test]
fn a_cursor_that_cannot_be_read_leads_to_the_beginning() {
    for cursor in ["", "abc", "{", "[]", r#"{"n":"25"}"#, r#"{"after":7}"#, r#"{"until":"7"}"#] {
        assert_eq!(
            variables(&at(&reading("customers"), cursor)),
            json!({ "n": 100, "query": null, "sort": "ID" }),
            "{cursor}"
        );
        let line = line(&at(&reading("profiles"), cursor));
        assert_eq!(line, "GET omneo /profiles?page[size]=250&sort=updated_at&page[number]=1", "{cursor}");
    }
    // No cursor makes a page larger, or empty.
    for (n, size) in [(0, 1), (99, 99), (5000, 100)] {
        assert_eq!(variables(&at(&reading("customers"), &format!(r#"{{"n":{n}}}"#)))["n"], size);
    }
    // The cursor of another kind of reading is one that cannot be read.
    assert_eq!(variables(&at(&reading("customers"), r#"{"after":"abc"}"#))["query"], Value::Null);
}

#[test]
fn profiles_are_read_by_the_time_of_their_last_change() {
    let all = reading("profiles");
    assert_eq!(line(&all), "GET omneo /profiles?page[size]=250&sort=updated_at&page[number]=1");
    let rows = [(ADA, "2026-11-28 10:00:00"), (BOB, "2026-11-28 10:00:01")];
    let first = page(&all, profiles(&rows, true));
    assert_eq!(named(&first), [format!("omneo/profile/{ADA}"), format!("omneo/profile/{BOB}")]);
    assert_eq!(first.items[1].at, "/data/1");
    assert_eq!((first.total, place(&first)), (Some(70), json!({ "after": "2026-11-28 10:00:01" })));

    let second = at(&all, first.next.as_deref().unwrap());
    let behind = "filter[updated_at][gte]=2026-11-28 10:00:01";
    assert_eq!(line(&second), format!("GET omneo /profiles?page[size]=250&sort=updated_at&{behind}&page[number]=1"));
    // Everything on the page has the time at which it begins: only its number leads on.
    let same = page(&second, profiles(&[(ADA, "2026-11-28 10:00:01"), (BOB, "2026-11-28 10:00:01")], true));
    assert_eq!((same.total, place(&same)), (None, json!({ "after": "2026-11-28 10:00:01", "page": 2, "read": 2 })));
    let third = at(&all, same.next.as_deref().unwrap());
    assert_eq!(line(&third), format!("GET omneo /profiles?page[size]=250&sort=updated_at&{behind}&page[number]=2"));
    // Three had that time. Some may have left it meanwhile, so it is read once more; three again, and it goes on.
    let last = || profiles(&[(ADA, "2026-11-28 10:00:01"), (BOB, "2026-11-29 00:00:00")], true);
    let again = page(&third, last());
    assert_eq!(place(&again), json!({ "after": "2026-11-28 10:00:01", "page": 1, "before": 3 }));
    let same = page(
        &at(&all, again.next.as_deref().unwrap()),
        profiles(&[(ADA, "2026-11-28 10:00:01"), (BOB, "2026-11-28 10:00:01")], true),
    );
    let later = page(&at(&all, same.next.as_deref().unwrap()), last());
    assert_eq!(place(&later), json!({ "after": "2026-11-29 00:00:00" }));
    let settled = at(&all, r#"{"after":"2026-11-28 10:00:01","page":2,"read":2,"before":2}"#);
    let last = page(&settled, profiles(&[(ADA, "2026-11-29 00:00:00")], false));
    assert_eq!((last.items.len(), last.next), (1, None));
    assert_eq!(page(&settled, profiles(&[], false)), Page::default());

    let changed = since("profiles", "2026-11-29T02:00:00+02:00");
    let filter = "filter[updated_at][gte]=2026-11-29 00:00:00";
    assert_eq!(line(&changed), format!("GET omneo /profiles?page[size]=250&sort=updated_at&{filter}&page[number]=1"));
    assert_eq!(page(&changed, profiles(&rows, false)).total, Some(70));
    // Omneo has no list of names alone.
    assert_eq!(line(&names("profiles")), line(&all));
}

#[test]
fn a_list_out_of_order_is_read_by_numbers() {
    let now = at(&reading("profiles"), r#"{"after":"2026-11-28 10:00:00","page":3}"#);
    let by_number = json!({ "after": "2026-11-28 10:00:00", "page": 4 });
    for rows in [
        [(ADA, "2026-11-29 10:00:01"), (BOB, "2026-11-29 10:00:00")],
        [(ADA, "2026-11-27 10:00:00"), (BOB, "2026-11-29 10:00:00")],
        [(ADA, "2026-11-29 10:00:00"), (BOB, "soon")],
    ] {
        assert_eq!(place(&page(&now, profiles(&rows, true))), by_number, "{rows:?}");
    }
    let untimed = json!({ "data": [{ "id": ADA }], "links": { "next": "x" }, "meta": {} });
    assert_eq!(place(&page(&reading("profiles"), untimed)), json!({ "page": 2 }));
    let empty = "Omneo answered an empty page and says that there are more profiles";
    assert_eq!(read(&now, profiles(&[], true)), Err(empty.into()));
}

#[test]
fn a_list_that_moves_while_it_is_read_skips_nobody() {
    // 12 profiles, 4 in a page, of which 6 changed in one second. After each page, the first one that was read changes.
    let mut rows: Vec<(u64, u64)> = (0..12).map(|n| (n, if (3..9).contains(&n) { 3 } else { n })).collect();
    let (mut now, mut seen, mut clock) = (at(&reading("profiles"), r#"{"n":4}"#), vec![], 20);
    for _ in 0..40 {
        let call = asked(&now);
        let Request::Rest(request) = &call.request else { panic!("it is REST") };
        let of = |name: &str| request.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let number: usize = of("page[number]").unwrap().parse().unwrap();
        let time = |at: u64| format!("2026-11-28 10:00:{at:02}");
        rows.sort_by_key(|(_, at)| *at);
        let kept =
            rows.iter().filter(|(_, at)| of("filter[updated_at][gte]").is_none_or(|from| time(*at).as_str() >= from));
        let kept: Vec<_> = kept.copied().collect();
        let shown: Vec<_> = kept.iter().skip(4 * (number - 1)).take(4).copied().collect();
        let listed: Vec<_> = shown
            .iter()
            .map(
                |(n, at)| json!({ "id": format!("0b7dbfa6-25d3-4a2b-8b5e-3d3e6c1b2a{n:02}"), "updated_at": time(*at) }),
            )
            .collect();
        let next = (kept.len() > 4 * number).then_some("more");
        let found = page(&now, json!({ "data": listed, "links": { "next": next }, "meta": { "total": kept.len() } }));
        seen.extend(shown.iter().map(|(n, _)| *n));
        if let Some(moved) = rows.iter_mut().find(|(n, at)| seen.contains(n) && *at < 12) {
            (moved.1, clock) = (clock, clock + 1);
        }
        match &found.next {
            Some(next) => now = at(&now, next),
            None => {
                assert!((0..12).all(|n| seen.contains(&n)), "{seen:?}");
                return;
            }
        }
    }
    panic!("the reading does not end: {seen:?}");
}

/// A load of many profiles gives all of them one time, and what comes of the first pages changes them while the others are read.
#[test]
fn many_profiles_of_one_second_are_all_read_though_they_leave_it_meanwhile() {
    for moved_by_page in [0, 1, 3, 4] {
        // 40 profiles of one second, 4 in a page, and one of a later second.
        let mut rows: Vec<(u64, u64)> = (0..41).map(|n| (n, if n < 40 { 3 } else { 5 })).collect();
        let (mut now, mut seen) = (at(&reading("profiles"), r#"{"n":4}"#), std::collections::BTreeSet::new());
        let mut pages = 0;
        loop {
            pages += 1;
            assert!(pages < 400, "the reading does not end: {seen:?}");
            let call = asked(&now);
            let Request::Rest(request) = &call.request else { panic!("it is REST") };
            let of = |name: &str| request.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
            let number: usize = of("page[number]").unwrap().parse().unwrap();
            let time = |at: u64| format!("2026-11-28 10:{:02}:{:02}", at / 60, at % 60);
            rows.sort_by_key(|(_, at)| *at);
            let is_kept = |at: u64| of("filter[updated_at][gte]").is_none_or(|from| time(at).as_str() >= from);
            let kept: Vec<_> = rows.iter().copied().filter(|(_, at)| is_kept(*at)).collect();
            let shown: Vec<_> = kept.iter().skip(4 * (number - 1)).take(4).copied().collect();
            let id = |n: u64| format!("0b7dbfa6-25d3-4a2b-8b5e-3d3e6c1b2a{n:02}");
            let listed: Vec<_> = shown.iter().map(|(n, at)| json!({ "id": id(*n), "updated_at": time(*at) })).collect();
            let next = (kept.len() > 4 * number).then_some("more");
            let found = page(&now, json!({ "data": listed, "links": { "next": next }, "meta": { "total": 41 } }));
            for (n, _) in shown.iter().take(moved_by_page).filter(|(n, _)| !seen.contains(n)) {
                rows.iter_mut().find(|(row, _)| row == n).unwrap().1 = 60 + n;
            }
            seen.extend(shown.iter().map(|(n, _)| *n));
            match &found.next {
                Some(next) => now = at(&now, next),
                None => break,
            }
        }
        assert_eq!(seen.len(), 41, "{moved_by_page} of each page move: {seen:?}");
    }
}

#[test]
fn a_page_size_that_omneo_objects_to_is_halved_and_the_place_kept() {
    let rules = rules(json!({}));
    let objection = r#"{"message":"The given data was invalid.","errors":{"page.size":["The page.size may not be greater than 100."]}}"#;
    let now = at(&reading("profiles"), r#"{"after":"2026-11-28 10:00:00","page":3}"#);
    let smaller = read_as(&rules, &now, 422, objection).unwrap();
    assert_eq!(
        (smaller.items.len(), place(&smaller)),
        (0, json!({ "after": "2026-11-28 10:00:00", "page": 5, "n": 125 }))
    );
    let first = read_as(&rules, &reading("profiles"), 422, objection).unwrap();
    assert_eq!(place(&first), json!({ "n": 125 }));
    assert!(line(&at(&now, first.next.as_deref().unwrap())).contains("page[size]=125"));
    let why = read_as(&rules, &at(&now, r#"{"n":1}"#), 422, objection).unwrap_err();
    assert!(why.starts_with("Omneo answered 422 {\"message\":\"The given data was invalid.\""), "{why}");
}

#[test]
fn clues_of_both_sides_are_equal_when_the_people_are() {
    let configured = rules(json!({ "people": { "default_country": "AU" } }));
    let clues = |reading: &Reading, body: Value| {
        let page = read_as(&configured, reading, 200, &body.to_string()).unwrap();
        page.items.into_iter().map(|item| item.clues).collect::<Vec<_>>()
    };
    let customer = |email: Value, phone: Value| json!({ "id": "gid://shopify/Customer/7", "defaultEmailAddress": email, "defaultPhoneNumber": phone });
    let shown = |email: &str, phone: &str| customer(json!({ "emailAddress": email }), json!({ "phoneNumber": phone }));
    for (node, wanted) in [
        (
            shown("Ada@Example.ORG", "+61400000001"),
            vec!["email/ada@example.org", "alike/ada@example.org", "phone/+61400000001", "note/test person"],
        ),
        (customer(Value::Null, Value::Null), vec![]),
        (customer(json!({ "emailAddress": null }), json!({ "phoneNumber": "" })), vec![]),
    ] {
        assert_eq!(clues(&reading("customers"), connection("customers", json!([node]), None)), [wanted]);
    }
    for (email, mobile, international, wanted) in [
        (
            " ada@ example.org",
            "+61 400 000 001",
            Value::Null,
            vec!["email/ada@example.org", "alike/ada@example.org", "phone/+61400000001", "note/test person"],
        ),
        (
            "ADA@EXAMPLE.ORG",
            "0400 000 001",
            Value::Null,
            vec!["email/ada@example.org", "alike/ada@example.org", "phone/+61400000001", "note/test person"],
        ),
        ("", "0400 000 001", json!("+61400000001"), vec!["phone/+61400000001"]),
        // A number that would have to be guessed is no clue.
        (
            "ada@example.org",
            "ask Bob",
            Value::Null,
            vec!["email/ada@example.org", "alike/ada@example.org", "note/test person"],
        ),
    ] {
        let profile = json!({ "id": ADA, "email": email, "mobile_phone": mobile, "mobile_phone_e164": international });
        let body = json!({ "data": [profile], "links": { "next": null }, "meta": { "total": 1 } });
        assert_eq!(clues(&reading("profiles"), body), [wanted], "{email} {mobile}");
    }
}

/// Shops want to know of these before anything is read in.
#[test]
fn clues_tell_of_claims_and_of_who_is_no_customer() {
    let clues = |name: &str, body: Value| {
        let mut items = read_as(&rules(json!({})), &reading(name), 200, &body.to_string()).unwrap().items;
        items.remove(0).clues
    };
    let customer = json!({
        "id": "gid://shopify/Customer/7", "firstName": "Test", "tags": ["vip", "Staff"], "link": { "value": ADA },
        "defaultEmailAddress": { "emailAddress": "A.da+shop@lovelace.dev" },
    });
    assert_eq!(
        clues("customers", connection("customers", json!([customer]), None)),
        [
            "email/a.da+shop@lovelace.dev",
            "alike/ada@lovelace.dev",
            &format!("link/{ADA}"),
            "note/test person",
            "note/staff"
        ]
    );
    let identities: Vec<_> = (0..50).map(|n| json!({ "handle": "shopify", "identifier": n.to_string() })).collect();
    let profile = json!({ "id": ADA, "email": "ada@lovelace.dev", "identities": identities });
    let of_profile = clues("profiles", json!({ "data": [profile], "links": { "next": null }, "meta": { "total": 1 } }));
    assert_eq!(of_profile[..3], ["email/ada@lovelace.dev", "alike/ada@lovelace.dev", "identity/0"]);
    assert_eq!(of_profile.len(), 10, "more than a few identities are no clue");
    for (email, is_test) in [
        ("ada@example.com", true),
        ("ada@shop.test", true),
        ("test@lovelace.dev", true),
        ("ada@myexample.com", false),
        ("contest@lovelace.dev", false),
        ("@", false),
    ] {
        let customer = json!({ "id": "gid://shopify/Customer/7", "defaultEmailAddress": { "emailAddress": email } });
        let notes = clues("customers", connection("customers", json!([customer]), None));
        assert_eq!(notes.contains(&"note/test person".to_owned()), is_test, "{email}");
    }
}

#[test]
fn answers_that_refuse_end_the_reading_with_what_was_said() {
    let rules = rules(json!({}));
    let denied = json!({ "errors": [{ "message": "Access denied for customers field.", "extensions": { "code": "ACCESS_DENIED" } }], "data": null });
    let why = "Shopify refused the query: Access denied for customers field. (ACCESS_DENIED)";
    assert_eq!(read(&reading("customers"), denied), Err(why.into()));
    // Half an answer is none.
    let mut half = customers(&[7], None);
    half["errors"] = json!([{ "message": "Internal error" }]);
    assert_eq!(read(&reading("customers"), half), Err("Shopify refused the query: Internal error".into()));
    for pull in ["customers", "profiles"] {
        let of = if pull == "customers" { "Shopify" } else { "Omneo" };
        assert_eq!(read_as(&rules, &reading(pull), 403, ""), Err(format!("{of} answered 403")));
        let long = read_as(&rules, &reading(pull), 404, &"ä".repeat(5000)).unwrap_err();
        assert_eq!(long.chars().count(), of.len() + 314, "{long}");
    }
}

#[test]
fn a_body_that_is_no_page_ends_the_reading_and_says_where() {
    let rules = rules(json!({}));
    let customers = reading("customers");
    let more =
        |nodes: Value| json!({ "data": { "customers": { "nodes": nodes, "pageInfo": { "hasNextPage": false } } } });
    for (reading, body, why) in [
        (
            &customers,
            json!(null).to_string(),
            "Shopify did not answer with a page: there is no list at `/data/customers/nodes`",
        ),
        (&customers, json!({ "data": null }).to_string(), "there is no list at `/data/customers/nodes`"),
        (&customers, json!({ "data": { "customers": { "nodes": {} } } }).to_string(), "there is no list at"),
        (&customers, "<html>".into(), "Shopify did not answer with a page: answer: not JSON"),
        (&customers, String::new(), "Shopify did not answer with a page: answer: not JSON"),
        (
            &customers,
            json!({ "data": { "customers": { "nodes": [] } } }).to_string(),
            "does not say whether there are more",
        ),
        (&customers, more(json!([{ "email": "x" }])).to_string(), "answer at `/data/customers/nodes/0/id`: missing"),
        (&customers, more(json!([null])).to_string(), "answer at `/data/customers/nodes/0/id`: missing"),
        (
            &customers,
            more(json!([{ "id": "Ada" }])).to_string(),
            "answer at `/data/customers/nodes/0/id`: expected an id",
        ),
        (
            &customers,
            more(json!([{ "id": 7, "defaultEmailAddress": { "emailAddress": 5 } }])).to_string(),
            "nodes/0/defaultEmailAddress/emailAddress`",
        ),
        (&reading("profiles"), "[]".into(), "Omneo did not answer with a page: there is no list at `/data`"),
        (&reading("profiles"), json!({ "data": [] }).to_string(), "nothing at `/links/next`"),
        (
            &reading("profiles"),
            json!({ "data": [{ "id": 12 }], "links": { "next": null } }).to_string(),
            "answer at `/data/0/id`: expected the UUID",
        ),
        (
            &reading("profiles"),
            json!({ "data": [{ "email": "x" }], "links": { "next": null } }).to_string(),
            "answer at `/data/0/id`: missing",
        ),
    ] {
        let found = read_as(&rules, reading, 200, &body).expect_err(&body);
        assert!(found.contains(why), "{body}: {found}");
    }
}
