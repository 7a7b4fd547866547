//! Customers: rows of the EU may be here, those of the US may not; of all others the phone number is taken out.

use reconverge_sdk::{Columns, Placed, Writes, residency};

/// The struct is the contract: the host hands over this column, and takes those of `Redacted` back.
#[derive(Columns, Debug)]
struct Customer<'a> {
    country: &'a str,
}

#[derive(Clone, Copy, Debug, PartialEq, Writes)]
struct Redacted {
    phone: Option<&'static str>,
}

#[residency(name = "NAME")]
fn decide(customer: &Customer) -> Placed<Redacted> {
    match customer.country {
        "eu" => Placed::keep(),
        "us" => Placed::suppress(),
        _ => Placed::redact(Redacted { phone: None }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_us_stays_there() {
        assert_eq!(decide(&Customer { country: "us" }), Placed::suppress());
        assert_eq!(decide(&Customer { country: "br" }), Placed::redact(Redacted { phone: None }));
    }
}
