//! Every operation of the admin API, each with the command that asks for it. Knows no answer.

use crate::remote::Operation;

pub const HEALTH: Operation = get("/health");
pub const READY: Operation = get("/ready");
pub const METRICS: Operation = get("/metrics");
pub const OPENAPI: Operation = get("/v1/openapi.json");
pub const TENANTS: Operation = get("/v1/tenants");
pub const TENANT: Operation = get("/v1/tenants/{tenant}");
pub const ADD_TENANT: Operation = post("/v1/tenants");
pub const CHANGE_TENANT: Operation = Operation { method: "PATCH", ..TENANT };
pub const REMOVE_TENANT: Operation = Operation { method: "DELETE", ..TENANT };
pub const SET_TOKEN: Operation = put("/v1/tenants/{tenant}/targets/{target}/token");
pub const ADD_WEBHOOK_SECRET: Operation = post("/v1/tenants/{tenant}/targets/{target}/webhook-secrets");
pub const END_WEBHOOK_SECRET: Operation = delete("/v1/tenants/{tenant}/targets/{target}/webhook-secrets/{id}");
pub const SET_UP: Operation = slow(post("/v1/tenants/{tenant}/setup"));
pub const CONNECT: Operation = slow(post("/v1/tenants/{tenant}/connect"));
pub const INVITATIONS: Operation = get("/v1/invitations");
pub const INVITE: Operation = post("/v1/invitations");
pub const WITHDRAW: Operation = delete("/v1/invitations/{id}");
pub const RESTART: Operation = post("/v1/tenants/{tenant}/events/{id}/restart");
pub const EVENTS: Operation = get("/v1/tenants/{tenant}/events");
pub const EVENT: Operation = get("/v1/tenants/{tenant}/events/{id}");
pub const ANY_EVENT: Operation = get("/v1/events/{id}");
pub const DEAD_LETTERS: Operation = get("/v1/tenants/{tenant}/dead-letters");
pub const RETRY: Operation = post("/v1/tenants/{tenant}/dead-letters/retry");
pub const DISCARD: Operation = post("/v1/tenants/{tenant}/dead-letters/discard");
pub const TARGETS: Operation = get("/v1/tenants/{tenant}/targets");
pub const PAUSE: Operation = post("/v1/tenants/{tenant}/targets/{target}/pause");
pub const RESUME: Operation = post("/v1/tenants/{tenant}/targets/{target}/resume");
pub const DIRECTIONS: Operation = get("/v1/tenants/{tenant}/directions");
pub const DIRECT: Operation = put("/v1/tenants/{tenant}/directions/{source}");
pub const IMPORTS: Operation = get("/v1/tenants/{tenant}/imports");
pub const IMPORT: Operation = post("/v1/tenants/{tenant}/imports");
pub const CHANGE_IMPORT: Operation = put("/v1/tenants/{tenant}/import");
pub const CLUES: Operation = get("/v1/tenants/{tenant}/clues");
pub const RECONCILE: Operation = slow(post("/v1/tenants/{tenant}/reconciliations"));
pub const GRANTS: Operation = get("/v1/grants");
pub const AUDIT: Operation = get("/v1/audit");
pub const VERSIONS: Operation = get("/v1/tenants/{tenant}/versions");
pub const ACTIVATIONS: Operation = get("/v1/tenants/{tenant}/activations");
pub const DEPLOY: Operation = slow(post("/v1/tenants/{tenant}/versions"));
pub const REMOVE_VERSION: Operation = delete("/v1/tenants/{tenant}/versions/{digest}");
pub const PROOF: Operation = get("/v1/tenants/{tenant}/versions/{digest}/proof");
pub const PROVE: Operation = slow(post("/v1/tenants/{tenant}/versions/{digest}/proof"));
pub const PROGRESS: Operation = get("/v1/tenants/{tenant}/versions/{digest}/progress");
pub const CASES: Operation = get("/v1/tenants/{tenant}/cases");
pub const REPLACE_CASES: Operation = put("/v1/tenants/{tenant}/cases");
pub const REMOVE_CASES: Operation = delete("/v1/tenants/{tenant}/cases");
pub const SHADOW: Operation = get("/v1/tenants/{tenant}/shadow");
pub const BEGIN_SHADOW: Operation = slow(put("/v1/tenants/{tenant}/shadow"));
pub const END_SHADOW: Operation = delete("/v1/tenants/{tenant}/shadow");
pub const REPLAY: Operation = slow(post("/v1/tenants/{tenant}/replay"));
pub const ACTIVATE: Operation = slow(post("/v1/tenants/{tenant}/versions/{digest}/activate"));
pub const ROLL_BACK: Operation = slow(post("/v1/tenants/{tenant}/roll-back"));

const fn get(path: &'static str) -> Operation {
    Operation { method: "GET", path, is_slow: false }
}

const fn post(path: &'static str) -> Operation {
    Operation { method: "POST", path, is_slow: false }
}

const fn put(path: &'static str) -> Operation {
    Operation { method: "PUT", path, is_slow: false }
}

const fn delete(path: &'static str) -> Operation {
    Operation { method: "DELETE", path, is_slow: false }
}

const fn slow(operation: Operation) -> Operation {
    Operation { is_slow: true, ..operation }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::{CommandFactory, Parser};
    use serde_json::Value;

    use super::*;
    use crate::{admin, cli};

    /// A command line that asks for each.
    const COMMANDS: [(Operation, &str); 52] = [
        (HEALTH, "status"),
        (READY, "status"),
        (METRICS, "metrics"),
        (OPENAPI, "openapi"),
        (TENANTS, "tenants"),
        (TENANT, "tenant show acme"),
        (ADD_TENANT, "tenant add acme acme.toml"),
        (CHANGE_TENANT, "tenant change acme --shop a.example"),
        (REMOVE_TENANT, "tenant remove acme --yes"),
        (SET_TOKEN, "tenant token acme omneo -"),
        (ADD_WEBHOOK_SECRET, "tenant secret acme omneo -"),
        (END_WEBHOOK_SECRET, "tenant end-secret acme omneo 0123"),
        (SET_UP, "tenant setup acme --dry-run"),
        (CONNECT, "connect acme --address acme --token -"),
        (INVITATIONS, "tenant invitations"),
        (INVITE, "tenant invite acme.myshopify.com --app main"),
        (WITHDRAW, "tenant uninvite 0123"),
        (RESTART, "restart acme 7"),
        (EVENTS, "events --tenant acme"),
        (EVENT, "events 7 --tenant acme"),
        (ANY_EVENT, "events 7"),
        (DEAD_LETTERS, "dead acme"),
        (RETRY, "retry acme --all"),
        (DISCARD, "discard acme 7 --why because"),
        (TARGETS, "targets acme"),
        (PAUSE, "pause acme omneo --why because"),
        (RESUME, "resume acme omneo"),
        (DIRECTIONS, "directions acme"),
        (DIRECT, "hold acme shopify --why because"),
        (IMPORTS, "import acme --status"),
        (IMPORT, "import acme customers --since 2026-01-31 --yes"),
        (CHANGE_IMPORT, "import acme --pause"),
        (CLUES, "import acme --conflicts"),
        (RECONCILE, "reconcile acme --names"),
        (GRANTS, "grants"),
        (AUDIT, "audit"),
        (VERSIONS, "versions acme"),
        (ACTIVATIONS, "versions acme"),
        (DEPLOY, "deploy acme acme.toml"),
        (REMOVE_VERSION, "undeploy acme 0123ab"),
        (PROOF, "prove acme 0123ab --kept"),
        (PROVE, "prove acme 0123ab"),
        (PROGRESS, "prove acme 0123ab"),
        (CASES, "cases list acme"),
        (REPLACE_CASES, "cases put acme cases"),
        (REMOVE_CASES, "cases remove acme"),
        (SHADOW, "shadow show acme"),
        (BEGIN_SHADOW, "shadow begin acme 0123ab --events 100"),
        (END_SHADOW, "shadow end acme"),
        (REPLAY, "replay --tenant acme --from 7 --send --dry-run"),
        (ACTIVATE, "activate acme 0123ab"),
        (ROLL_BACK, "rollback acme"),
    ];

    #[test]
    fn every_operation_of_the_document_has_a_command() {
        let document: Value = serde_json::from_str(&admin::document()).unwrap();
        let mut there = BTreeSet::new();
        for (path, operations) in document["paths"].as_object().unwrap() {
            let methods = operations.as_object().unwrap().keys().filter(|key| *key != "parameters");
            there.extend(methods.map(|method| format!("{} {path}", method.to_uppercase())));
        }
        let has = COMMANDS.iter().map(|(operation, _)| format!("{} {}", operation.method, operation.path));
        assert_eq!(there, has.collect::<BTreeSet<_>>());
        cli::Arguments::command().debug_assert();
        for (_, line) in COMMANDS {
            let words = ["tandem", "--host", "http://127.0.0.1:1"].into_iter().chain(line.split(' '));
            assert!(cli::Arguments::try_parse_from(words).is_ok(), "{line}");
        }
    }
}
