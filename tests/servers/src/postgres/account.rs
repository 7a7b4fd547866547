//! Under whose name PostgreSQL runs. It refuses to be root, so root lends it another user: `postgres` where there
//! is one, else `nobody`. Anyone else runs it under the own name.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process::Run;

/// A user's and a group's number, in place of root's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Account {
    uid: u32,
    gid: u32,
}

impl Account {
    /// The account to take, `None` where the present one will do.
    ///
    /// # Errors
    /// For root, where the system names neither user.
    pub(super) fn needed() -> Result<Option<Account>> {
        if number(&["-u"])? != 0 {
            return Ok(None);
        }
        for user in ["postgres", "nobody"] {
            if let (Ok(uid), Ok(gid)) = (number(&["-u", user]), number(&["-g", user])) {
                return Ok(Some(Account { uid, gid }));
            }
        }
        bail!(
            "PostgreSQL does not run as root, and there is neither a user postgres nor nobody\nhint: run as another user"
        )
    }

    /// Gives `path` to the account.
    pub(super) fn own(self, path: &Path) -> Result<()> {
        std::os::unix::fs::lchown(path, Some(self.uid), Some(self.gid))
            .with_context(|| format!("giving {} to PostgreSQL's user", path.display()))
    }

    /// `program` under this account.
    ///
    /// Folders above the data or the program may be closed to others (a clone below /root, a temporary folder). So
    /// where the system has setpriv, and that is every Linux with util-linux, the one right of root that is kept is
    /// to pass by file permissions.
    pub(super) fn run(self, program: &Path) -> Run {
        let setpriv = Path::new("/usr/bin/setpriv");
        if !setpriv.exists() {
            return Run::new(program).under(self.uid, self.gid);
        }
        Run::new(setpriv)
            .arg(format!("--reuid={}", self.uid))
            .arg(format!("--regid={}", self.gid))
            .arg("--clear-groups")
            .arg("--inh-caps=-all,+dac_override")
            .arg("--ambient-caps=-all,+dac_override")
            .arg("--")
            .arg(program)
    }
}

fn number(id_arguments: &[&str]) -> Result<u32> {
    let output = Command::new("id").args(id_arguments).output().context("running id")?;
    if !output.status.success() {
        bail!("id {} failed", id_arguments.join(" "));
    }
    String::from_utf8_lossy(&output.stdout).trim().parse().context("id tells no number")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_takes_another_account_and_nobody_else_does() {
        let account = Account::needed().unwrap();
        assert_eq!(account.is_some(), number(&["-u"]).unwrap() == 0);
        let run = match account {
            Some(account) => account.run(Path::new("/usr/bin/id")),
            None => Run::new("/usr/bin/id"),
        };
        let told = run.arg("-u").direct().output().unwrap();
        let uid = String::from_utf8_lossy(&told.stdout).trim().to_owned();
        assert!(uid.parse::<u32>().is_ok_and(|uid| uid != 0), "{}", String::from_utf8_lossy(&told.stderr));
    }
}
