//! What the default rules ask for to read locations, products and orders, and what they find in the answers.

use tandem_sdk::{Answer, Ask, Page, Reading, Rules, Value, json};

use crate::conversation::rules;
use crate::pulls::{asked, at, connection, dated, line, named, names, page, place, read_as, reading, since, variables};

#[test]
fn locations_are_read_whole_whatever_has_changed() {
    for reading in [reading("locations"), names("locations"), since("locations", "2026-11-29T02:00:00Z")] {
        assert_eq!(asked(&reading).line(), "GRAPHQL shopify PullLocations");
        assert_eq!(variables(&reading), json!({ "n": 250, "after": null }));
        let nodes = json!([{ "id": "gid://shopify/Location/71" }, { "id": "gid://shopify/Location/72" }]);
        let found = page(&reading, connection("locations", nodes, Some("abc")));
        assert_eq!(named(&found), ["shopify/location/71", "shopify/location/72"]);
        assert_eq!((found.items[1].at.as_str(), found.total), ("/data/locations/nodes/1", Some(9000)));
        assert_eq!(variables(&at(&reading, found.next.as_deref().unwrap())), json!({ "n": 250, "after": "abc" }));
        assert_eq!(page(&reading, connection("locations", json!([]), None)).next, None);
    }
}

fn bulk(pull: &str) -> Reading {
    Reading { bulk: true, ..reading(pull) }
}

/// The document of a job.
fn job(reading: &Reading) -> String {
    match dated().ask_page(reading) {
        Ok(Ask::Bulk(document)) => document,
        other => panic!("{other:?}"),
    }
}

#[test]
fn products_are_read_by_a_job_or_in_small_pages() {
    let all = job(&bulk("products"));
    assert!(all.contains("{ products { edges { node {") && !all.contains('$'), "{all}");
    // With an order, Shopify leaves out products of a job.
    assert!(!all.contains("sortKey"));

    let paged = reading("products");
    assert_eq!(variables(&paged), json!({ "n": 25, "after": null, "query": null, "sort": "ID" }));
    let nodes = json!([{ "id": "gid://shopify/Product/61" }]);
    let found = page(&paged, connection("products", nodes.clone(), Some("abc")));
    assert_eq!((named(&found), found.total), (vec!["shopify/product/61"], Some(9000)));
    assert_eq!(variables(&at(&paged, found.next.as_deref().unwrap()))["after"], "abc");
    let changed = since("products", "2026-11-29T02:00:00+02:00");
    let wanted =
        json!({ "n": 25, "after": null, "query": "updated_at:>='2026-11-29T00:00:00Z'", "sort": "UPDATED_AT" });
    assert_eq!(variables(&changed), wanted);
    assert_eq!(page(&changed, connection("products", nodes.clone(), None)).total, None);
    // What has changed is little, and a job takes its time.
    let changed = Reading { bulk: true, ..changed };
    assert_eq!(variables(&changed), wanted);
    assert_eq!(page(&changed, connection("products", nodes.clone(), None)).items.len(), 1);

    for names in [names("products"), Reading { bulk: true, ..names("products") }] {
        assert_eq!(asked(&names).line(), "GRAPHQL shopify PullProductNames");
        assert_eq!(variables(&names), json!({ "n": 250, "after": null }));
        assert_eq!(page(&names, connection("products", nodes.clone(), None)).total, Some(9000));
    }
}

#[test]
fn orders_are_read_from_a_day_on_by_a_job_or_over_rest() {
    let why = "orders are read only from a day on: set `orders.from`, such as `orders.from = \"2026-01-01\"`. Orders \
        before it stay out of Omneo, by webhook too";
    for reading in [reading("orders"), bulk("orders")] {
        assert_eq!(rules(json!({})).ask_page(&reading), Err(why.into()));
    }
    let document = job(&bulk("orders"));
    assert!(document.contains("orders(query: \"processed_at:>='2026-01-01T00:00:00Z'\")"), "{document}");
    assert!(!document.contains("presentmentMoney") && !document.contains("sortKey"));
    let changed = job(&Reading { since: Some("2026-11-29T02:00:00+02:00".into()), ..bulk("orders") });
    let both = "processed_at:>='2026-01-01T00:00:00Z' AND updated_at:>='2026-11-29T00:00:00Z'";
    assert!(changed.contains(both), "{changed}");

    let rest = reading("orders");
    let of_day = "limit=250&status=any&processed_at_min=2026-01-01T00:00:00Z";
    assert_eq!(line(&rest), format!("GET shopify /admin/api/2026-07/orders.json?{of_day}"));
    let changed = since("orders", "2026-11-29T02:00:00+02:00");
    assert_eq!(line(&changed), format!("{}&updated_at_min=2026-11-29T00:00:00Z", line(&rest)));
    let answer = |link: Option<&str>| Answer {
        status: 200,
        headers: link.map(|link| ("link".to_owned(), link.to_owned())).into_iter().collect(),
        body: json!({ "orders": [{ "id": 7, "admin_graphql_api_id": "gid://shopify/Order/4501" }, { "id": 4502 }] })
            .to_string(),
    };
    let next = "<https://acme.example/admin/api/2026-07/orders.json?limit=250&page_info=abc%3D>; rel=\"next\"";
    let first = dated()
        .read_page(&rest, &answer(Some(&format!("{}, {next}", next.replace("abc", "x").replace("next", "previous")))))
        .unwrap();
    assert_eq!(named(&first), ["shopify/order/4501", "shopify/order/4502"]);
    assert_eq!((first.items[1].at.as_str(), place(&first)), ("/orders/1", json!({ "after": "abc=" })));
    // A page behind the first takes no filter.
    let second = at(&changed, first.next.as_deref().unwrap());
    assert_eq!(line(&second), "GET shopify /admin/api/2026-07/orders.json?limit=250&page_info=abc=");
    for last in
        [None, Some("<https://acme.example/?page_info=x>; rel=\"previous\""), Some("next"), Some("<x>; rel=\"next\"")]
    {
        assert_eq!(dated().read_page(&rest, &answer(last)).unwrap().next, None, "{last:?}");
    }
    let why = "Shopify answered 403 [API] This action requires merchant approval";
    assert_eq!(read_as(&dated(), &rest, 403, "[API] This action requires merchant approval"), Err(why.into()));
}

#[test]
fn a_field_made_of_what_a_list_of_orders_hides_keeps_orders_from_being_read_so() {
    let with = |of: Value| {
        let mut field = json!({ "omneo": "transaction.meta.x" });
        field.as_object_mut().unwrap().extend(of.as_object().unwrap().clone());
        rules(json!({ "orders": { "from": "2026-01-01" }, "fields": { "x": field } }))
    };
    for (of, hidden) in [
        (json!({ "shopify": "order.landing_site" }), Some("landing_site")),
        (json!({ "expression": "line_items[0].properties[0].value" }), Some("line_items")),
        (json!({ "expression": "total_weight" }), Some("total_weight")),
        (json!({ "shopify": "order.note_attributes.gift" }), None),
        (json!({ "shopify": "order.po_number" }), None),
        (json!({ "expression": "join(' ', [name, note || ''])" }), None),
    ] {
        let rules = with(of.clone());
        let why = hidden.map(|key| {
            format!("field `x` is made of `order.{key}`, which a list of orders does not show; only webhooks bring it")
        });
        assert_eq!(rules.ask_page(&bulk("orders")).err(), why, "{of}");
        // REST gives the bodies of webhooks.
        assert!(rules.ask_page(&reading("orders")).is_ok(), "{of}");
    }
}

#[test]
fn the_lines_of_a_job_are_items_by_their_first() {
    for (pull, kind) in [("products", "Product"), ("orders", "Order")] {
        let line = |id: u64| json!({ "__typename": kind, "id": format!("gid://shopify/{kind}/{id}") });
        let body = json!([[line(1), { "id": "gid://shopify/X/5", "__parentId": "x" }], [line(2)]]);
        let found = read_as(&dated(), &bulk(pull), 200, &body.to_string()).unwrap();
        let at: Vec<_> = found.items.iter().map(|item| (item.at.as_str(), item.name.as_str())).collect();
        let name = format!("shopify/{}", kind.to_lowercase());
        assert_eq!(at, [("/0", format!("{name}/1").as_str()), ("/1", format!("{name}/2").as_str())]);
        assert_eq!((found.next, found.total), (None, None));
        assert_eq!(read_as(&dated(), &bulk(pull), 200, "[]"), Ok(Page::default()));
        for (body, why) in [
            (json!({}), "Shopify did not answer with a page: there is no list at ``".to_owned()),
            (json!([[]]), "answer at `/0/0/id`: missing".to_owned()),
            (json!([{}]), "answer at `/0/0/id`: missing".to_owned()),
            (json!([[{ "id": "gid://shopify/Order/1" }]]), "answer at `/0/0/__typename`: missing".to_owned()),
            (
                json!([[line(1)], [{ "__typename": "LineItem", "id": "gid://shopify/LineItem/1" }]]),
                format!("answer at `/1/0/__typename`: expected a line about a `{kind}`"),
            ),
        ] {
            assert_eq!(read_as(&dated(), &bulk(pull), 200, &body.to_string()), Err(why), "{body}");
        }
    }
}
