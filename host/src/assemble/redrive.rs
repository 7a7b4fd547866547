//! Sends a dead letter again, to the end of its stream: it meets the newest state through every step but the gate,
//! so an old fix loses against newer data.

use reconverge_streams::{
    headers::Headers,
    records::{DeadLetterRecord, Query, Records},
    source::Source,
};

use crate::{config::Pipeline, plugin::Digest};

use super::{RunError, Sidecar, ends};

/// The header that lets the gate by; its value is `stream/sequence` of the first delivery.
pub(super) const REDRIVE: &str = "Reconverge-Redrive";
/// The header by which a stream knows a message that it has taken already.
const MESSAGE_ID: &str = "Nats-Msg-Id";

/// Publishes the original bytes of an open dead letter again; returns the new sequence. The letter is marked
/// `redriven` by the transaction that applies it. Bytes that were not kept (residency had not passed them) come
/// from the stream, proven by their digest.
///
/// # Errors
/// [`RunError::NotFound`] where there is no such open letter, or its bytes are gone or are others.
pub async fn redrive(pipeline: &Pipeline, sidecar: &Sidecar, id: i64) -> Result<u64, RunError> {
    let query = Query { id: Some(id.to_string()), limit: 1, ..Query::default() };
    let letter =
        sidecar.dead_letters(&query).await?.into_iter().next().ok_or_else(|| RunError::NotFound {
            what: format!("there is no dead letter {id}"),
            hint: "`reconverge dlq list` shows them".to_owned(),
        })?;
    if letter.state != "open" {
        return Err(RunError::NotFound {
            what: format!("dead letter {id} is {}", letter.state),
            hint: "only an open one can be sent again".to_owned(),
        });
    }
    let named = letter.lane.split('/').nth(1).unwrap_or_default();
    let config = pipeline.sources.iter().find(|source| source.name == named).ok_or_else(|| {
        let what = format!("dead letter {id} is of source `{named}`, which the pipeline does not have");
        RunError::NotFound {
            what,
            hint: "publish it to the stream by hand, then discard the letter".to_owned(),
        }
    })?;
    let source = ends::source(pipeline, config, false).await?;
    let (headers, payload) = original(&source, &letter).await?;
    let first = format!("{}/{}", letter.stream, letter.sequence);
    let id = format!("redrive/{first}/{}", uuid::Uuid::new_v4().simple());
    let kept = headers.iter().filter(|(name, _)| *name != REDRIVE && *name != MESSAGE_ID);
    let sent: Headers = kept.chain([(MESSAGE_ID, id.as_str()), (REDRIVE, &first)]).collect();
    Ok(source.publish(&letter.subject, &sent, payload).await?)
}

async fn original(
    source: &impl Source,
    letter: &DeadLetterRecord,
) -> Result<(Headers, bytes::Bytes), RunError> {
    if let Some(bytes) = &letter.bytes {
        let headers = letter.headers.as_ref().and_then(serde_json::Value::as_object);
        let headers = headers.into_iter().flatten();
        let headers = headers.map(|(name, value)| (name, value.as_str().unwrap_or_default())).collect();
        return Ok((headers, bytes.clone()));
    }
    let gone = |what: String| RunError::NotFound {
        what,
        hint: "let the source send the change again, then discard this letter".to_owned(),
    };
    let found = source.fetch(letter.sequence).await?.ok_or_else(|| {
        gone(format!("sequence {} is not in stream {} any more", letter.sequence, letter.stream))
    })?;
    if Digest::of(&found.payload).to_string() != letter.digest {
        return Err(gone(format!(
            "sequence {} of stream {} holds other bytes now",
            letter.sequence, letter.stream
        )));
    }
    Ok((found.headers, found.payload))
}
