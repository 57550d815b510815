//! What wrapping the default rules costs for each event, in fresh instances, by the way it is done.
//!
//! `cargo bench --bench composed`: microseconds of the key and every ask of an event, the 20th percentile of many. The
//! plugins are those that `tandem new` writes, built by their own READMEs; JavaScript needs npm, and is left out aloud
//! where there is none.

mod made;

use std::cell::RefCell;
use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use serde_json::{Value, json};
use tandem::model::{Event, Reply};
use tandem::rules::Plugin;
use tandem::sandbox::{Case, Rules};

const TIMES: usize = 200;

/// What the plugins are asked about: a case, and the bytes that its payload is filled up to.
const EVENTS: [(&str, &str, usize); 4] = [
    ("a new customer, 0.4 KB", "shopify/customers-create/a-new-customer-becomes-a-profile", 0),
    ("a long talk, 0.4 KB", "omneo/profile.created/an-e-mail-taken-at-the-same-moment-is-looked-up-again", 0),
    ("a paid order, 30 KB", "shopify/orders-paid/a-paid-order-goes-to-the-profile-of-its-customer", 30_000),
    ("a paid order, 100 KB", "shopify/orders-paid/a-paid-order-goes-to-the-profile-of-its-customer", 100_000),
];

fn main() {
    let plugins = plugins();
    println!("{:<26} {:<34} {:>9} {:>7} {:>6} {:>8} {:>7}", "event", "rules", "µs", "times", "asks", "M fuel", "MiB");
    for (event, case, bytes) in EVENTS {
        let mut case = Case::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases").join(case))
            .expect("the case is there");
        case.event.webhook.payload = filled(&case.event.webhook.payload, bytes);
        let mut first = None;
        for (rules, plugin) in &plugins {
            let conversation = Conversation::hold(plugin, &case);
            let took = time(|| conversation.again(plugin, &case));
            let (fuel, memory) = conversation.used(plugin, &case);
            let first = *first.get_or_insert(took);
            println!(
                "{event:<26} {rules:<34} {took:>9.0} {:>7.1} {:>6} {:>8.1} {:>7.1}",
                took / first,
                conversation.replies.len() + 1,
                fuel as f64 / 1e6,
                memory as f64 / f64::from(1 << 20)
            );
        }
    }
}

fn plugins() -> Vec<(&'static str, Plugin)> {
    let mut plugins = vec![
        ("the default rules", made::default_rules()),
        ("passed on by a composition", made::composed()),
        ("a plugin in Rust", made::rust()),
    ];
    plugins.extend(made::javascript(|rules| rules).map(|js| ("a plugin in JavaScript", js)));
    let always = |rules: String| {
        let shortcut = "if (event.topic !== \"customers/create\") return inner(change);";
        assert!(rules.contains(shortcut), "{rules}");
        rules.replace(shortcut, "")
    };
    plugins.extend(made::javascript(always).map(|js| ("the same, that always goes on", js)));
    plugins
}

/// The payload with more in it that no rules look at, such as Shopify's orders have.
fn filled(payload: &str, bytes: usize) -> String {
    let mut body: Value = serde_json::from_str(payload).expect("a case has JSON");
    let mut more = vec![];
    let mut length = payload.len();
    while length < bytes {
        let money = json!({"amount": "1.36", "currency_code": "AUD"});
        let line = json!({"channel_liable": false, "price": "1.36", "rate": 0.025, "title": "GST",
            "price_set": {"shop_money": money, "presentment_money": money}});
        length += line.to_string().len() + 1;
        more.push(line);
    }
    body["more"] = json!(more);
    body.to_string()
}

/// The replies that an event had, pass by pass.
struct Conversation {
    replies: Vec<Vec<Reply>>,
}

impl Conversation {
    /// With the replies of the case. Where a plugin asks for more, that is its last ask.
    fn hold(plugin: &Plugin, case: &Case) -> Self {
        let last = RefCell::new(vec![]);
        let Rules { manifest, key, step } = Rules::from(plugin);
        let step = Box::new(|event: &Event, memory: &[String], replies: &[Vec<Reply>]| {
            *last.borrow_mut() = replies.to_vec();
            step(event, memory, replies)
        });
        let report = case.run(&Rules { manifest, key, step }, None);
        assert!(report.asks.len() > 2, "{}", report.actual);
        Self { replies: last.into_inner() }
    }

    fn again(&self, plugin: &Plugin, case: &Case) {
        let _ = black_box(plugin.key(&case.event));
        for n in 0..=self.replies.len() {
            let _ = black_box(plugin.step(&case.event, &case.memory, &self.replies[..n]));
        }
    }

    /// Of the ask that used the most.
    fn used(&self, plugin: &Plugin, case: &Case) -> (u64, usize) {
        let asks = (0..=self.replies.len()).map(|n| plugin.step(&case.event, &case.memory, &self.replies[..n]).usage);
        asks.fold((0, 0), |(fuel, memory), usage| (fuel.max(usage.fuel), memory.max(usage.memory_bytes)))
    }
}

fn time(run: impl Fn()) -> f64 {
    let mut took: Vec<f64> = (0..TIMES)
        .map(|_| {
            let began = Instant::now();
            run();
            began.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    took.sort_by(f64::total_cmp);
    took[TIMES / 5]
}
