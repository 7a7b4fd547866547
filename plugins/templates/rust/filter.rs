//! Orders: drafts and empty orders do not belong here.

use reconverge_sdk::{Columns, Filtered, filter};

/// The struct is the contract: the host hands over these columns, and no others.
#[derive(Columns, Debug)]
struct Order<'a> {
    status: &'a str,
    quantity: i64,
}

#[filter(name = "NAME")]
fn decide(order: &Order) -> Filtered {
    if order.status == "draft" {
        Filtered::drop().because("a draft")
    } else if order.quantity <= 0 {
        Filtered::drop().because("nothing was ordered")
    } else {
        Filtered::keep()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drafts_go() {
        assert_eq!(decide(&Order { status: "draft", quantity: 1 }), Filtered::drop().because("a draft"));
        assert_eq!(decide(&Order { status: "sent", quantity: 1 }), Filtered::keep());
    }
}
