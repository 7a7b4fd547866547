//! Asks the stream where it begins and whether it is still the one that the reader was opened on: every few seconds
//! beside the reading and without holding it up, and before anything from behind a hole is handed on.
//!
//! A stream that is trimmed, purged or made anew under a consumer says nothing by itself.

use std::time::Duration;

use jiff::Timestamp;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::api::{ApiError, STREAM_NOT_FOUND};
use super::connect::Connection;
use super::continuity::Continuity;
use super::stream::{self, StreamInfo};
use crate::source::SourceError;

/// Between two questions. Servers answer them in well under a millisecond, but there may be many readers.
const EVERY: Duration = Duration::from_secs(5);

/// Watches over one reader's stream.
#[derive(Debug)]
pub(super) struct Guard {
    connection: Connection,
    stream: String,
    created: Timestamp,
    due: Instant,
    asked: Option<JoinHandle<Result<StreamInfo, ApiError>>>,
}

impl Guard {
    /// A guard that asks at the first opportunity: between the look at the stream and the making of the consumer it
    /// may have been made anew.
    pub fn new(connection: &Connection, info: &StreamInfo) -> Guard {
        Guard {
            connection: connection.clone(),
            stream: info.config.name.clone(),
            created: info.created,
            due: Instant::now(),
            asked: None,
        }
    }

    /// Takes the answer to an earlier question if it is there, and asks anew when it is time.
    pub async fn look(&mut self, continuity: &mut Continuity) -> Result<(), SourceError> {
        if let Some(asked) = self.asked.take_if(|asked| asked.is_finished()) {
            // A question that was cut off is as good as one without an answer.
            if let Ok(answer) = asked.await {
                match self.first(answer)? {
                    Ok(first) => continuity.learnt(first),
                    Err(error) => {
                        tracing::debug!(stream = %self.stream, %error, "stream does not say where it begins");
                    }
                }
            }
        }
        let now = Instant::now();
        if self.asked.is_none() && now >= self.due {
            self.due = now + EVERY;
            let (connection, stream) = (self.connection.clone(), self.stream.clone());
            self.asked = Some(tokio::spawn(async move { stream::info(&connection, &stream).await }));
        }
        Ok(())
    }

    /// Has the stream vouch for the holes that were passed, where there are any.
    pub async fn vouch(&mut self, continuity: &mut Continuity) -> Result<(), SourceError> {
        let Some(from) = continuity.hole() else { return Ok(()) };
        // The question answers the one that would have been due.
        self.due = Instant::now() + EVERY;
        match self.first(stream::info(&self.connection, &self.stream).await)? {
            Ok(first) => continuity.vouched(first),
            // Here silence is no answer.
            Err(error) => Err(SourceError::Doubt(format!(
                "sequences behind {from} were passed by, and the stream does not say whether it still has them: {error}"
            ))),
        }
    }

    /// Where the stream begins, or why it does not say.
    ///
    /// # Errors
    /// It is not the stream that the reader was opened on.
    fn first(&self, answer: Result<StreamInfo, ApiError>) -> Result<Result<u64, ApiError>, SourceError> {
        match answer {
            Ok(info) if info.created != self.created => {
                Err(SourceError::Doubt(format!("the stream `{}` was deleted and made anew", self.stream)))
            }
            Err(error) if error.is_refusal(&[STREAM_NOT_FOUND]) => {
                Err(SourceError::Doubt(format!("the stream `{}` was deleted", self.stream)))
            }
            answer => Ok(answer.map(|info| info.state.first())),
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(asked) = &self.asked {
            asked.abort();
        }
    }
}
