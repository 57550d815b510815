//! `tandem build` and `tandem inspect`.

use super::{Folder, GOOD_RULES, component, config_with, fails, prints};
use frozen::{RULES, WIT, module};

#[path = "../compat/frozen.rs"]
mod frozen;

#[test]
fn the_same_rules_make_the_same_bytes() {
    let folder = Folder::new().with("another-name.toml", GOOD_RULES);
    let said = folder.tandem("build another-name.toml -o again.wasm");
    let bytes = folder.read("again.wasm");
    assert_eq!(said, prints(&format!("again.wasm {} bytes sha256:[SHA256]\n", bytes.len())));
    assert!(bytes == component(), "two builds differ");
}

/// What the rules say of themselves is theirs; the rest of the report is the host's.
#[test]
fn a_component_is_shown() {
    let folder = Folder::new().with("acme.wasm", component());
    let said = folder.tandem("inspect acme.wasm");
    assert_eq!((said.status, &*said.stderr), (0, ""));
    let of_the_rules = |line: &&str| ["calls ", "listens ", "setting "].iter().any(|field| line.starts_with(field));
    let (theirs, ours): (Vec<_>, Vec<_>) = said.stdout.lines().partition(of_the_rules);
    assert_eq!(
        ours.join("\n"),
        "name      tandem-default 0.1.0
digest    sha256:[SHA256]
base      sha256:[SHA256]
rules     17 bytes; `--rules` prints them
world     tandem:rules@0.1.0
imports   nothing
limits    an ask about 1 KiB: 51 million units of fuel, 16 MiB of memory, 1028 KiB of answer
limits    an ask about 100 KiB: 152 million units of fuel, 18 MiB of memory, 1424 KiB of answer
limits    an ask about 2 MiB: 2147 million units of fuel, 64 MiB of memory, 9216 KiB of answer"
    );
    for line in [
        "setting   timezone = \"UTC\"",
        "setting   identity.handle = \"shopify\"  (fixed once profiles are linked)",
        "setting   tags.prefix = \"cx-\"",
    ] {
        assert!(theirs.contains(&line), "{theirs:#?}");
    }
}

#[test]
fn what_is_no_component_is_refused() {
    let folder = Folder::new().with("acme.toml", GOOD_RULES).with("cut.wasm", &component()[..5_000]);
    let text = fails(
        "error: plugin `acme.toml`: this is not WebAssembly\nhint: `tandem build` makes a component of a rules file\n",
    );
    assert_eq!(folder.tandem("inspect acme.toml"), text);
    assert_eq!(folder.tandem("build acme.toml --base acme.toml -o acme.wasm"), text);
    let said = folder.tandem("inspect cut.wasm");
    assert_eq!((said.status, &*said.stdout), (1, ""));
    // Where it ends too early changes with the rules.
    let (cause, hint) = said.stderr.split_once('\n').unwrap();
    assert!(
        cause.starts_with("error: plugin `cut.wasm`: the component is not valid: unexpected end-of-file"),
        "{cause}"
    );
    assert_eq!(hint, "hint: it may have been cut off; build it again\n");
    assert_eq!(folder.tandem("build acme.toml --base cut.wasm -o acme.wasm"), said);
    let folder = folder.with("tandem.toml", config_with("component = \"cut.wasm\""));
    let served = folder.served().stderr;
    assert_eq!(served, said.stderr);
}

/// Rules by hand that import a log and warn of any rules file.
fn core_module() -> Vec<u8> {
    module(WIT, RULES)
}

const WARNING: &str = "warning: looks odd\n --> acme.toml:1:1\n  |\n1 | rules = 7\n  | ^^^^^\nhint: look again\n";

#[test]
fn a_built_component_can_be_built_again_from() {
    let folder = Folder::new().with("acme.wasm", component()).with("other.toml", "timezone = \"Asia/Tokyo\"\n");
    assert_eq!(folder.tandem("build other.toml -o direct.wasm").status, 0);
    assert_eq!(folder.tandem("build other.toml --base acme.wasm -o again.wasm").status, 0);
    assert!(folder.read("direct.wasm") == folder.read("again.wasm"), "the way it was built shows");
    assert_eq!(folder.tandem("inspect again.wasm --rules"), prints("timezone = \"Asia/Tokyo\"\n"));
    // With a base of one's own, too.
    let folder = folder.with("my.wasm", core_module()).with("acme.toml", "rules = 7\n").with("b.toml", "b = 1\n");
    let said = folder.tandem("build acme.toml --base my.wasm -o acme.wasm");
    assert_eq!((said.status, &*said.stderr), (0, WARNING));
    for base in ["my.wasm", "acme.wasm"] {
        assert_eq!(folder.tandem(&format!("build b.toml --base {base} -o of-{base}")).status, 0);
    }
    assert!(folder.read("of-my.wasm") == folder.read("of-acme.wasm"), "the way it was built shows");
}

#[test]
fn a_core_module_alone_becomes_a_component() {
    let folder = Folder::new().with("my.wasm", core_module());
    let said = folder.tandem("build --base my.wasm -o x.wasm");
    assert_eq!(said, prints(&format!("x.wasm {} bytes sha256:[SHA256]\n", folder.read("x.wasm").len())));
    assert_eq!(folder.tandem("inspect x.wasm"), folder.tandem("inspect my.wasm"));
    assert_eq!(
        folder.tandem("inspect x.wasm --rules"),
        fails(
            "error: plugin `x.wasm` carries no rules file\nhint: one that `tandem build RULES.toml -o FILE` has made does\n"
        )
    );
    let folder = folder.with(
        "other.wasm",
        module(&WIT.replace("tandem:rules@", "acme:rules@"), &RULES.replace("tandem:rules/", "acme:rules/")),
    );
    assert_eq!(
        folder.tandem("build --base other.wasm -o x.wasm"),
        fails(
            "error: plugin `other.wasm`: the component imports `acme:rules/host@0.1.0`, which plugins may not use\nhint: rules may import nothing but `tandem:rules/host`\n"
        )
    );
}

#[test]
fn the_settings_in_force_are_explained_as_a_rules_file() {
    let rules = "people = { default_country = \"AU\" }\ntimezone = \"UTC\"\nidentity.handle = \"shop\"\n\n[fields]\npoints = false\n\
                 [fields.first_name]\nowner = \"omneo\"\n[fields.greeting]\nshopify = \"note\"\nexpression = \"join(' ', ['Hi', first_name])\"\n";
    let folder = Folder::new().with("acme.toml", rules);
    let said = folder.tandem("build acme.toml --explain");
    assert_eq!((said.status, &*said.stderr), (0, ""));
    for line in [
        "timezone = \"UTC\"  # acme.toml:2",
        "handle = \"shop\"  # acme.toml:3, fixed once profiles are linked",
        "default_country = \"AU\"  # acme.toml:1",
        "[fields.first_name]",
        "owner = \"omneo\"  # acme.toml:8",
        "omneo = \"first_name\"  # default",
        "points = false  # acme.toml:6",
        "whitelist = []  # default",
        "# phone is not set  # default",
    ] {
        assert!(said.stdout.lines().any(|found| found == line), "{line}\n{}", said.stdout);
    }
    // It says the same when it is built itself.
    let folder = folder.with("all.toml", &said.stdout);
    assert_eq!(folder.tandem("build acme.toml -o acme.wasm").status, 0);
    let again = folder.tandem("build all.toml --explain -o all.wasm");
    let plain = |text: &str| {
        let mut lines: Vec<_> = text.lines().map(|line| line.split("  # ").next().unwrap().to_owned()).collect();
        lines.sort();
        lines
    };
    assert_eq!((again.status, plain(&again.stdout)), (0, plain(&said.stdout)));
    assert_eq!(again.stderr, format!("all.wasm {} bytes sha256:[SHA256]\n", folder.read("all.wasm").len()));
    let settings = |name: &str| {
        let said = folder.tandem(&format!("inspect {name}")).stdout;
        said.lines().filter(|line| line.starts_with("setting ")).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(settings("all.wasm"), settings("acme.wasm"));
    // Of what was built before, too.
    let of_component = folder.tandem("build --base acme.wasm --explain").stdout;
    assert_eq!(of_component, said.stdout.replace("acme.toml:", "rules:"));
}

#[test]
fn what_is_there_stays_until_it_can_be_replaced() {
    let folder = Folder::new().with("acme.wasm", "as it was").with("acme.toml", "[tags]\nwhitelst = []\n");
    assert_eq!(folder.tandem("build acme.toml -o acme.wasm").status, 1);
    assert_eq!(folder.read("acme.wasm"), b"as it was");
    let folder = folder.with("acme.toml", GOOD_RULES);
    assert_eq!(folder.tandem("build acme.toml -o acme.wasm").status, 0);
    assert!(folder.read("acme.wasm") == component());
    let mut left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["acme.toml", "acme.wasm"]);
    let said = folder.tandem("build acme.toml -o .");
    assert_eq!((said.status, said.stderr.lines().last()), (2, Some("hint: this is a folder: name a file in it")));
}

#[test]
fn a_rules_file_that_is_no_text_is_named() {
    let folder =
        Folder::new().with("latin.toml", b"# one\ntimezone = \"\xe9\"\n").with("long.toml", "#".repeat(1 << 21));
    assert_eq!(
        folder.tandem("build latin.toml -o x.wasm"),
        fails("error: the rules `latin.toml` are not UTF-8 in line 2\nhint: save the file as UTF-8\n")
    );
    assert_eq!(
        folder.tandem("build long.toml -o x.wasm"),
        fails("error: the rules `long.toml` have 2097152 bytes; 1048576 are allowed\nhint: write less into them\n")
    );
    let said = folder.tandem("build . -o x.wasm");
    assert_eq!((said.status, said.stderr.lines().last()), (2, Some("hint: this is a folder: name a file in it")));
    assert!(said.stderr.starts_with("error: reading the rules `.`: "), "{}", said.stderr);
}

/// Place, message and hint of a mistake.
type Shown = (&'static str, &'static str, &'static str);

const TEXT: &str = "expected a text that is not empty, found `3`";
const PREFIX: &str = "write `prefix = \"…\"`";
const VALUE: &str = "write one: `\"text\"`, `3`, `true` or `[\"one\", \"two\"]`";
const NUMBER: &str = "write another number, or a text in quotes";

#[test]
fn every_mistake_of_a_rules_file_has_its_place_and_its_fix() {
    let long = format!("timezone = \"UTC\"\n[tags]\nprefix = [\"{}\"]\n", "a".repeat(1_000_000));
    let cases: [(&str, &[Shown]); 14] = [
        (
            "timezone = UTC\n[tags]\nprefix = 3\nwhitelist = [\"vip\"\n[sync]\norders = \"no\"\n",
            &[
                ("1:12", "string values must be quoted, expected literal string", "put the text in quotes: `\"…\"`"),
                ("3:1", TEXT, PREFIX),
                ("4:13", "unclosed array, expected `]`", "write `]`, where it ends"),
            ],
        ),
        ("timezone = \"UTC\"\n[tags\nprefix = 3\n", &[("2:6", "unclosed table, expected `]`", "write `]` here")]),
        (
            "timezone = \"UTC\"\ntags.prefix = 3\norders = { guest = \"emial\", refunds = }\nsync.orders =\n",
            &[
                ("2:6", TEXT, PREFIX),
                ("3:39", "a value is missing, expected value", VALUE),
                ("4:14", "a value is missing, expected value", VALUE),
            ],
        ),
        (
            "timezone = nan\npeople.default_country = 0xffffffffffffffffff\n[locations]\nphone = -inf\n[tags]\nprefix = 3\n",
            &[
                ("1:1", "`nan` is no number that a setting can be", NUMBER),
                ("2:8", "`0xffffffffffffffffff` is more than 64 bits hold", NUMBER),
                ("4:1", "`-inf` is no number that a setting can be", NUMBER),
                ("6:1", TEXT, PREFIX),
            ],
        ),
        (
            "timezone = \"UTC\"\n[[tags]]\nprefix = \"x\"\n[[fields]]\nomneo = \"company\"\n",
            &[
                ("2:3", "`tags` is a table", "write `[tags]` and its keys below it"),
                ("4:3", "`fields` is a table", "write `[fields.NAME]` and its keys below it"),
            ],
        ),
        (
            "timezone = \"UTC\"\ntags = { prefix = 3, whitelst = [\"vip\"] }\n",
            &[("2:10", TEXT, PREFIX), ("2:22", "unknown key `whitelst`", "did you mean `whitelist`?")],
        ),
        (
            "timezone = \"UTC\"\nfields.a.omneo = \"compny\"\nfields.a.shopify = \"note\"\n",
            &[("2:10", "there is no `compny` in an Omneo profile", "did you mean `company`?")],
        ),
        (
            "timezone = \"UTC\"\n[owners]\nemail = \"omneo\"\n",
            &[(
                "2:2",
                "unknown key `owners`",
                "write `owner = \"…\"` into `[fields.NAME]`, and into `[addresses]` for addresses",
            )],
        ),
        (
            "timezone = \"UTC\"\ntimezone = \"UTC\"\n= 3\nsync\n",
            &[
                ("2:1", "duplicate key", "keep one of the two"),
                ("3:1", "unquoted keys cannot be empty, expected letters, numbers, `-`, `_`", "write a key here"),
                ("4:5", "key with no value, expected `=`", "write `=` here"),
            ],
        ),
        ("timezone = \"\"\"\nUTC\"\"\"\n[tags]\n\tprefix = 3\n", &[("4:2", TEXT, PREFIX)]),
        (
            "",
            &[(
                "1:1",
                "`timezone` is missing: Omneo wants one with every order, and no order says it",
                "add `timezone = \"Area/City\"`, the shop's time zone, or switch orders off: `sync.orders = false`",
            )],
        ),
        (
            "\u{feff}timezone = 3\r\n[tags]\r\nprefix = 3\r\n",
            &[
                (
                    "1:1",
                    "expected the IANA name of a time zone, found `3`",
                    "write `timezone = \"Australia/Melbourne\"`",
                ),
                ("3:1", TEXT, PREFIX),
            ],
        ),
        (
            "LONG",
            &[(
                "3:1",
                "expected a text that is not empty, found `[\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa…`",
                PREFIX,
            )],
        ),
        (
            "timezone = \"UTC\"\n[fields.greeting]\nexpression = \"\"\"\njoin(' ', [\"\"\"\nshopify = \"note\"\n",
            &[(
                "3:1",
                "not JMESPath: it ends too early at character 12",
                "see https://jmespath.org/specification.html",
            )],
        ),
    ];
    for (rules, expected) in cases {
        let folder = Folder::new().with("acme.toml", rules.replace("LONG", &long));
        let said = folder.tandem("build acme.toml -o acme.wasm");
        assert_eq!((said.status, &*said.stdout), (1, ""), "{rules}");
        assert!(said.stderr.len() < 2_000, "{} bytes", said.stderr.len());
        let found: Vec<_> = said
            .stderr
            .trim_end()
            .split("\n\n")
            .map(|mistake| {
                let place = mistake.split("acme.toml:").nth(1).and_then(|rest| rest.lines().next()).unwrap_or_default();
                let (first, last) = (mistake.lines().next().unwrap(), mistake.lines().last().unwrap());
                (place, first.trim_start_matches("error: "), last.trim_start_matches("hint: "))
            })
            .collect();
        assert_eq!(found, expected, "{rules}\n{}", said.stderr);
    }
}

#[test]
fn what_people_are_linked_by_is_not_changed_in_passing() {
    let other = format!("{GOOD_RULES}[identity]\nhandle = \"web\"\n");
    let folder = Folder::new().with("acme.wasm", component()).with("other.toml", &*other);
    let refused = "error: `acme.wasm` was built with `identity.handle = \"shopify\"`, and this would be \"web\": whoever is linked by the old value would be cut off
hint: set it back, or pass `--relink` here and to `tandem serve`, which then links everybody anew
";
    assert_eq!(folder.tandem("build other.toml -o acme.wasm"), fails(refused));
    assert!(folder.read("acme.wasm") == component());
    assert_eq!(folder.tandem("build other.toml -o acme.wasm --relink").status, 0);
    assert_eq!(folder.tandem("build other.toml -o acme.wasm").status, 0);
}

#[test]
fn a_rules_file_has_a_schema_that_an_editor_can_read() {
    let before =
        module(&WIT.replace("  schema: func() -> string;\n", ""), &RULES.replace("rules@0.1.0#schema", "nothing"));
    let folder = Folder::new().with("older.wasm", before).with("own.wasm", core_module());
    let said = folder.tandem("schema");
    assert_eq!((said.status, &*said.stderr), (0, ""));
    let schema: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(schema["properties"]["tags"]["properties"]["prefix"]["default"], "cx-");
    let rules = serde_json::json!({"timezone": "UTC", "tags": {"whitelst": ["vip"]}});
    let validator = jsonschema::validator_for(&schema).unwrap();
    assert_eq!(validator.iter_errors(&rules).next().unwrap().instance_path().as_str(), "/tags");
    let refused = "error: plugin `older.wasm` has no function `schema`\nhint: build it against wit/v0.1 as it is now\n";
    assert_eq!(folder.tandem("schema --base older.wasm"), fails(refused));
    assert_eq!(folder.tandem("schema --base own.wasm"), prints("{}\n"));
    let written = folder.tandem("schema --base own.wasm -o own.json");
    assert_eq!((written, folder.read("own.json").as_slice()), (prints("own.json\n"), &b"{}\n"[..]));
}
