//! No input may make the rules panic.

use crate::world;

use crate::world::Random;
use tandem_sdk::{Reply, Rules, Value, json, step};

/// Runs recorded lives again, each time with one value in them replaced by one that nobody would send.
#[test]
fn no_input_makes_the_rules_panic() {
    let mut random = Random(7);
    for seed in 0..40 {
        let life = world::scenario::live(seed, false, false);
        for ended in &life.world.host.ended {
            for n in 0..=ended.replies.len() {
                let (mut event, mut memory) = (ended.event.clone(), ended.memory.clone());
                let mut replies = ended.replies[..n].to_vec();
                match (replies.last_mut(), memory.first_mut()) {
                    (Some(pass), _) => {
                        let at = random.below(pass.len() as i64) as usize;
                        spoil_reply(&mut random, &mut pass[at]);
                    }
                    (None, Some(memory)) if random.percent(50) => spoil(&mut random, memory),
                    _ => spoil(&mut random, &mut event.payload),
                }
                drop(life.world.rules.key(&event));
                drop(step(&life.world.rules, &event, &memory, replies));
            }
        }
    }
}

fn spoil_reply(random: &mut Random, reply: &mut Reply) {
    match reply {
        Reply::Answer(answer) if random.percent(80) => spoil(random, &mut answer.body),
        Reply::Answer(answer) => answer.status = random.pick(&[200, 204, 301, 404, 409, 410, 422, 500]),
        Reply::Unknown(_) => {}
    }
}

fn spoil(random: &mut Random, text: &mut String) {
    let Ok(mut json) = serde_json::from_str::<Value>(text) else {
        return;
    };
    let mut places = vec![];
    collect_places(&json, String::new(), &mut places);
    let with =
        [json!(null), json!(7), json!(-1.5), json!(""), json!("x"), json!([]), json!({}), json!([null]), json!(true)];
    if let Some(place) = json.pointer_mut(&random.pick(&places)) {
        *place = random.pick(&with);
    }
    *text = json.to_string();
}

fn collect_places(json: &Value, at: String, places: &mut Vec<String>) {
    match json {
        Value::Object(members) => members.iter().for_each(|(k, v)| collect_places(v, format!("{at}/{k}"), places)),
        Value::Array(members) => {
            members.iter().enumerate().for_each(|(n, v)| collect_places(v, format!("{at}/{n}"), places));
        }
        _ => {}
    }
    places.push(at);
}
