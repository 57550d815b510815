//! Carries out a plan: writes the winning values to the other side, and remembers the results. Does not decide who
//! wins, and writes only to sides that were read in the same run.

use tandem_sdk::End;

use super::fields::{Field, Side, Snapshot};
use super::mark::Mark;
use super::memory::{Base, Held, Window};
use super::merge::{Plan, Verdict, folded};
use super::omneo::Profile;
use super::put::{Asked, Changes, Written, write_omneo, write_shopify};
use super::run::Run;
use super::shopify::Customer;

/// The plan of a merge, and what it was made from.
pub struct Merged<'a> {
    pub plan: &'a Plan,
    /// Shopify's half as the merge used it, whether it was read or came in the event's body.
    pub shopify: &'a Snapshot,
    pub asked: &'a Asked,
}

/// Both sides, before the writes and then after them.
pub struct Pair {
    /// Absent where the body was enough. Nothing is written to Shopify then.
    pub customer: Option<Customer>,
    pub profile: Profile,
    /// Fields that somebody changed in Shopify between the read and the write, so that they were not written.
    pub stale: Vec<Field>,
}

impl Pair {
    /// Both sides as read.
    pub fn new(customer: Option<Customer>, profile: Profile) -> Self {
        Self { customer, profile, stale: vec![] }
    }
}

/// Writes what the plan asks for.
pub async fn apply(run: &mut Run<'_>, merged: Merged<'_>, mut pair: Pair) -> Result<Pair, End> {
    let Merged { plan, shopify, asked } = merged;
    let omneo = pair.profile.snapshot.clone();
    settle(run, plan, shopify, &omneo);
    let to_omneo = changes(run, plan, Side::Omneo, &omneo);
    let to_shopify = changes(run, plan, Side::Shopify, shopify);
    debug_assert!(to_shopify.is_empty() || pair.customer.is_some(), "no write to a side that was not read");

    let in_omneo = write_omneo(run, &pair.profile, to_omneo).await?;
    let in_shopify = match &pair.customer {
        Some(customer) => write_shopify(run, customer, to_shopify, asked).await?,
        None => Written { after: None, fields: vec![], held: vec![], stale: vec![] },
    };

    // From the answers, only the written fields are taken: an answer may also show edits that have not been merged yet.
    let (s_after, o_after) = (
        in_shopify.after.as_ref().map_or(shopify, |customer| &customer.snapshot),
        in_omneo.after.as_ref().map_or(&omneo, |profile| &profile.snapshot),
    );
    let touched = in_omneo.fields.iter().chain(&in_shopify.fields);
    for field in touched.chain(in_omneo.held.iter().chain(&in_shopify.held).map(|(field, _)| field)) {
        let s = if in_shopify.fields.contains(field) { s_after } else { shopify };
        let o = if in_omneo.fields.contains(field) { o_after } else { &omneo };
        run.memory.settle(*field, s.fields.value(*field), o.fields.value(*field));
    }
    let held = in_omneo.held.into_iter().chain(in_shopify.held);
    run.memory.held.extend(held.map(|(field, held)| (field.name().to_owned(), held)));
    open_windows(run, Side::Omneo, &in_omneo.fields, &omneo, o_after);
    open_windows(run, Side::Shopify, &in_shopify.fields, shopify, s_after);
    report(run, plan, &in_omneo.fields, &in_shopify.fields);
    if let Some(at) = in_shopify.after.as_ref().and_then(|customer| customer.snapshot.at) {
        run.memory.clock.wrote = run.memory.clock.wrote.max(at);
    }
    pair.stale = in_shopify.stale;
    pair.customer = in_shopify.after.or(pair.customer);
    pair.profile = in_omneo.after.unwrap_or(pair.profile);
    Ok(pair)
}

/// Remembers the fields that need no write.
fn settle(run: &mut Run, plan: &Plan, shopify: &Snapshot, omneo: &Snapshot) {
    for (field, verdict) in plan {
        let (s, o) = (shopify.fields.value(*field), omneo.fields.value(*field));
        match verdict {
            Verdict::Agree => run.memory.settle(*field, s, o),
            Verdict::Hold { to, why, again } => {
                run.memory.settle(*field, s, o);
                run.memory
                    .held
                    .insert(field.name().to_owned(), Held { to: *to, why: (*why).to_owned(), again: *again });
            }
            // The base stays. Once the value can be computed again, it is compared with what was last seen.
            Verdict::Fail { to, why } => {
                run.memory.held.insert(field.name().to_owned(), Held { to: *to, why: why.clone(), again: true });
            }
            Verdict::Ignore { taken } => {
                let mark =
                    |side, value| if side == *taken { run.memory.mark(*field, value) } else { Mark::never_taken() };
                let base = Base { shopify: mark(Side::Shopify, s), omneo: mark(Side::Omneo, o) };
                run.memory.base.insert(field.name().to_owned(), base);
            }
            Verdict::Leave | Verdict::Write { .. } | Verdict::PutBack { .. } => {}
        }
    }
}

/// The changes to a side that shows these values now.
fn changes(run: &Run, plan: &Plan, to: Side, now: &Snapshot) -> Changes {
    let mut changes = Changes::new();
    for (field, verdict) in plan {
        let value = match verdict {
            Verdict::Write { to: side, value, .. } if *side == to => value,
            Verdict::PutBack { value }
                if run.may_write(to) && field.goes_to(to) && can_travel(*field, value.as_deref()) =>
            {
                value
            }
            _ => continue,
        };
        if !field.same(now.fields.value(*field), value.as_deref()) {
            changes.insert(*field, value.clone());
        }
    }
    changes
}

fn can_travel(field: Field, value: Option<&str>) -> bool {
    value.is_none_or(|value| field.format.wrong(value).is_none())
}

/// Opens the windows of a write, from the read before it to its answer. Without both times there is no window.
pub fn open_windows(run: &mut Run, side: Side, fields: &[Field], read: &Snapshot, wrote: &Snapshot) {
    let (Some(read_at), Some(wrote_at)) = (read.at, wrote.at) else {
        return;
    };
    for field in fields {
        let mark = |of: &Snapshot| folded(&run.memory, *field, of.fields.value(*field));
        let window = Window { read_at, wrote_at, read: mark(read), wrote: mark(wrote) };
        run.memory.windows.of_mut(side).insert(field.name().to_owned(), window);
    }
}

fn report(run: &mut Run, plan: &Plan, in_omneo: &[Field], in_shopify: &[Field]) {
    for (side, fields) in [(Side::Omneo, in_omneo), (Side::Shopify, in_shopify)] {
        for field in fields {
            let why = match plan.get(field) {
                Some(Verdict::Write { why, .. }) => why,
                Some(Verdict::PutBack { .. }) => "an edit that was overwritten at the same moment is put back",
                _ => continue,
            };
            run.wrote(side, format!("{} ({why})", field.name()));
        }
    }
}
