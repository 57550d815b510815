//! `tandem token`: who may use the admin API. Works on the journal itself, so that the first token needs none.

use std::path::Path;

use anyhow::bail;
use clap::Subcommand;

use crate::journal::{Journal, Reader};
use crate::output::{noteln, outln};
use crate::{admin, clock, config};

#[derive(Subcommand)]
pub enum Token {
    /// Make a token, for everything or for one tenant. It is shown this once.
    Create {
        /// What the audit trail calls it.
        name: String,
        /// Only for this tenant.
        #[arg(long)]
        tenant: Option<String>,
    },
    /// List every token there ever was, without itself.
    List,
    /// Take a token out of force, at once.
    Revoke {
        /// What the audit trail calls it.
        name: String,
    },
}

pub async fn run(command: Token, path: &Path) -> anyhow::Result<()> {
    // Made here it would be another.
    let reader = Reader::open(path)?;
    if let Token::List = command {
        for token in reader.tokens()? {
            let of = token.tenant.map_or("operator".to_owned(), |tenant| format!("tenant {tenant}"));
            let state = match token.revoked_at {
                Some(at) => format!("revoked {}", clock::rfc3339(at)),
                None => "in force".to_owned(),
            };
            outln!("{:<20} {of:<24} created {}  {state}", token.name, clock::rfc3339(token.created_at))?;
        }
        return Ok(());
    }
    drop(reader);
    let (journal, feeds, thread) = Journal::open(path)?;
    let done = change(&journal, command).await;
    drop((journal, feeds));
    if thread.join().is_err() {
        bail!("the journal's thread ended in a panic");
    }
    done
}

async fn change(journal: &Journal, command: Token) -> anyhow::Result<()> {
    match command {
        Token::Create { name, tenant } => {
            if name.is_empty() || name.chars().any(|c| c.is_control() || c.is_whitespace()) {
                bail!("`{name}` is no name for a token\nhint: use letters, digits, `-` and `_`");
            }
            if let Some(tenant) = &tenant {
                config::check_name(tenant).map_err(anyhow::Error::msg)?;
            }
            let token = admin::new_token()?;
            if !journal.add_token(&name, tenant.as_deref(), &admin::hash(&token)).await? {
                bail!("there is a token `{name}` in force\nhint: `tandem token revoke {name}`, or use another name");
            }
            outln!("{token}")?;
            noteln!("this is shown once; give it to whoever asks, as `Authorization: Bearer …`");
        }
        Token::Revoke { name } => {
            if !journal.revoke_token(&name).await? {
                bail!("there is no token `{name}` in force\nhint: `tandem token list` shows them");
            }
            outln!("token {name} is revoked")?;
        }
        Token::List => {}
    }
    Ok(())
}
