//! Customer profiles: each column has a time of its own, and the newer value of each wins. Two people who correct an
//! address and a phone number at the same moment in two regions both keep what they wrote.
//!
//! For `deletes = "win"`: a delete has no place in an order that goes column by column. The table should have no other
//! columns than these: what a rule does not see comes from whichever row comes.

use reconverge_sdk::{Columns, Timestamp, Verdict, Writes, merge};

/// A row, as the host hands it over.
#[derive(Columns, Debug, Default)]
struct Profile<'a> {
    email: Option<&'a str>,
    email_changed_at: Option<Timestamp>,
    phone: Option<&'a str>,
    phone_changed_at: Option<Timestamp>,
}

/// A row that is neither of the two.
#[derive(Writes, Debug, PartialEq, Eq)]
struct Merged {
    email: Option<String>,
    email_changed_at: Option<Timestamp>,
    phone: Option<String>,
    phone_changed_at: Option<Timestamp>,
}

/// A value with its time. The order of the fields is the order of comparison: of one time the greater text wins, on
/// both sides alike.
type Stamped<'a> = (Option<Timestamp>, Option<&'a str>);

impl<'a> Profile<'a> {
    fn columns(&self) -> [Stamped<'a>; 2] {
        [(self.email_changed_at, self.email), (self.phone_changed_at, self.phone)]
    }
}

/// Takes the greater of each column, which is the same from both sides and however often it is done.
#[merge(name = "profile-merge", laws = true)]
fn decide(incoming: &Profile, current: &Profile) -> Verdict<Merged> {
    let (new, old) = (incoming.columns(), current.columns());
    let [email, phone] = [new[0].max(old[0]), new[1].max(old[1])];
    if [email, phone] == old {
        return Verdict::keep_current().because("no column is newer").archive_loser();
    }
    if [email, phone] == new {
        return Verdict::take_incoming().archive_loser();
    }
    let owned = |text: Option<&str>| text.map(str::to_owned);
    Verdict::write(Merged {
        email: owned(email.1),
        email_changed_at: email.0,
        phone: owned(phone.1),
        phone_changed_at: phone.0,
    })
    .archive_loser()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile<'a>(email: (i64, &'a str), phone: (i64, &'a str)) -> Profile<'a> {
        Profile {
            email: Some(email.1),
            email_changed_at: Some(Timestamp(email.0)),
            phone: Some(phone.1),
            phone_changed_at: Some(Timestamp(phone.0)),
        }
    }

    #[test]
    fn two_corrections_are_both_kept() {
        let east = profile((2, "new@example.com"), (1, "555-0100"));
        let west = profile((1, "old@example.com"), (2, "555-0199"));
        let merged = Merged {
            email: Some("new@example.com".to_owned()),
            email_changed_at: Some(Timestamp(2)),
            phone: Some("555-0199".to_owned()),
            phone_changed_at: Some(Timestamp(2)),
        };
        let both = || {
            Verdict::write(Merged { email: merged.email.clone(), phone: merged.phone.clone(), ..merged })
                .archive_loser()
        };
        assert_eq!(decide(&east, &west), both());
        assert_eq!(decide(&west, &east), both());
    }

    #[test]
    fn a_row_that_is_newer_in_all_columns_just_wins() {
        let (old, new) = (profile((1, "a"), (1, "b")), profile((2, "c"), (1, "b")));
        assert_eq!(decide(&new, &old), Verdict::take_incoming().archive_loser());
        assert_eq!(decide(&old, &new), Verdict::keep_current().because("no column is newer").archive_loser());
        assert_eq!(decide(&new, &Profile::default()), Verdict::take_incoming().archive_loser());
    }
}
