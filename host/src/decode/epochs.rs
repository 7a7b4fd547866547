//! Which epoch a change's position is of: what its envelope says, or what is known of its source at its sequence,
//! whichever is greater. A control message on `..._.epoch` begins one for what follows it.

use reconverge_streams::{epoch::EpochStart, source::Delivery};
use serde::Deserialize;

use crate::epochs::Epochs;

use super::{
    Decoder, change,
    event::{Event, Text},
    refusal::{Aside, Code, Fault},
};

/// The end of a control message's subject.
const CONTROL: &str = "._.epoch";

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    source: Text<'a>,
    epoch: i32,
}

/// Puts a change into its epoch. One that an operator sent again is of the epoch that it was first delivered in.
pub(super) fn place(event: &mut Event<'_>, known: &Epochs, delivery: &Delivery) {
    if let Some(position) = &mut event.position {
        let sequence = change::first_sequence(delivery).unwrap_or(delivery.sequence);
        position.epoch = position.epoch.max(known.at(event.source, sequence));
    }
}

/// The epoch that a control message begins; `None` for any other message.
///
/// # Errors
/// A dead letter for one that does not read: what follows it would be taken for older than it is.
pub(super) fn begun(decoder: &Decoder, delivery: &Delivery) -> Option<Result<EpochStart, Aside>> {
    if !delivery.subject.ends_with(CONTROL) {
        return None;
    }
    let read: Result<Body<'_>, _> = serde_json::from_slice(&delivery.payload);
    let start = match read {
        Ok(body) if body.epoch > 0 => decoder.intern(&body.source.0).map(|source| EpochStart {
            source,
            from_sequence: delivery.sequence,
            epoch: body.epoch,
        }),
        _ => Err(Fault::new(
            Code::BadEpoch,
            "an epoch's control message is no JSON object with `source` and an `epoch` above 0; hint: mend the publisher, \
             or say it with `reconverge source epoch bump`",
        )),
    };
    Some(start.map_err(Aside::from))
}

#[cfg(test)]
mod tests {
    use reconverge_streams::names::Names;

    use super::*;

    #[test]
    fn an_epoch_holds_from_its_sequence_on() {
        let names = Names::default();
        let (east, west) = (names.intern("east").unwrap(), names.intern("west").unwrap());
        let mut epochs = Epochs::default();
        epochs.begin(EpochStart { source: east, from_sequence: 10, epoch: 2 });
        epochs.begin(EpochStart { source: east, from_sequence: 5, epoch: 1 });
        let at = |source, sequence| epochs.at(source, sequence);
        assert_eq!([at(east, 4), at(east, 5), at(east, 9), at(east, 10), at(west, 10)], [0, 1, 1, 2, 0]);
    }
}
