//! The help of the whole program: its commands by who uses them. Knows their names, and no command.

use clap::builder::styling::Styles;
use clap::{Command, CommandFactory as _};

/// Commands by who uses them and for what, in the order in which they are shown.
pub const GROUPS: [(&str, &[&str]); 7] = [
    ("Write rules", &["demo", "new", "build", "schema", "test", "try", "trigger", "inspect", "record", "replay"]),
    ("Run a host", &["serve", "app", "setup", "token", "backup", "restore", "data-request"]),
    (
        "See what happens on a host",
        &["status", "top", "tenants", "events", "dead", "versions", "audit", "grants", "metrics", "openapi"],
    ),
    ("Put a version live", &["deploy", "prove", "activate", "rollback", "undeploy", "shadow", "cases"]),
    (
        "Keep tenants running",
        &["tenant", "connect", "import", "reconcile", "retry", "discard", "restart", "targets", "pause", "resume"],
    ),
    ("Hold a direction", &["directions", "hold", "drop", "run"]),
    ("Install", &["completions", "man"]),
];
/// The heading of commands that are in no group.
const OTHERS: &str = "Others";

/// The command line as it is defined, with its commands in groups.
pub fn command() -> Command {
    let command = super::Arguments::command();
    let styles = Styles::styled();
    let (head, literal) = (styles.get_header(), styles.get_literal());
    let mut list = String::new();
    for (heading, commands) in groups(&command) {
        list.push_str(&format!("\n{head}{heading}:{head:#}\n"));
        for command in commands {
            let about = command.get_about().map(|about| about.to_string()).unwrap_or_default();
            let name = format!("{:<13}", command.get_name());
            list.push_str(&format!("  {literal}{name}{literal:#} {}\n", about.lines().next().unwrap_or_default()));
        }
    }
    let options = format!("{head}Options:{head:#}\n{{options}}");
    command.help_template(format!("{{about}}\n\n{{usage-heading}} {{usage}}\n{list}\n{options}"))
}

/// The command line as it is defined, for what has no groups: shells and manual pages.
pub fn plain() -> Command {
    super::Arguments::command()
}

/// The commands that are shown, by heading.
pub fn groups(command: &Command) -> Vec<(&'static str, Vec<&Command>)> {
    let mut groups: Vec<(_, Vec<&Command>)> = GROUPS.iter().map(|(heading, _)| (*heading, vec![])).collect();
    for (n, (_, names)) in GROUPS.iter().enumerate() {
        groups[n].1 = names.iter().filter_map(|name| command.find_subcommand(name)).collect();
    }
    let known = |name: &str| GROUPS.iter().any(|(_, names)| names.contains(&name));
    let others = command.get_subcommands().filter(|one| !one.is_hide_set() && !known(one.get_name()));
    let others: Vec<_> = others.collect();
    if !others.is_empty() {
        groups.push((OTHERS, others));
    }
    groups
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_command_is_in_one_group() {
        let command = super::super::Arguments::command();
        let named: Vec<&str> = GROUPS.iter().flat_map(|(_, names)| names.iter().copied()).collect();
        let shown = command.get_subcommands().filter(|one| !one.is_hide_set()).map(Command::get_name);
        assert_eq!(named.iter().copied().collect::<BTreeSet<_>>(), shown.collect::<BTreeSet<_>>());
        assert_eq!(named.len(), named.iter().collect::<BTreeSet<_>>().len(), "a command is in two groups");
    }

    #[test]
    fn each_command_fits_into_a_line_of_a_terminal() {
        let help = command().render_help().to_string();
        let (commands, _) = help.split_once("\nOptions:").unwrap();
        assert_eq!(
            commands.lines().skip(1).filter(|line| line.chars().count() > 80).collect::<Vec<_>>(),
            Vec::<&str>::new()
        );
    }
}
