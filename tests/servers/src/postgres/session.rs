//! The few words of PostgreSQL's frontend protocol, version 3.0, that a fixture needs: log in without a password,
//! run a statement, look at success or error. What reads rows uses a driver.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// How long the server may be silent: copying a template database is the slowest thing asked of it.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// Protocol 3.0, as the startup message writes it.
const PROTOCOL: i32 = 196_608;
/// No message that answers a fixture is larger, in bytes.
const MESSAGE_MAX: usize = 1 << 20;

/// A session of the superuser, ready for a statement.
pub(super) struct Session {
    stream: TcpStream,
}

impl Session {
    /// Logs in at `port` of the loopback, into `database`.
    pub(super) fn open(port: u16, database: &str) -> Result<Session> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let stream = TcpStream::connect_timeout(&address, SILENCE_MAX).context("connecting to PostgreSQL")?;
        stream.set_read_timeout(Some(SILENCE_MAX))?;
        let mut session = Session { stream };
        let settings = format!("user\0postgres\0database\0{database}\0\0");
        session.send(None, &[&PROTOCOL.to_be_bytes(), settings.as_bytes()].concat())?;
        session.until_ready()?;
        Ok(session)
    }

    /// Runs `statement` to its end; the rows, if any, are thrown away.
    pub(super) fn run(&mut self, statement: &str) -> Result<()> {
        self.send(Some(b'Q'), format!("{statement}\0").as_bytes())?;
        self.until_ready().with_context(|| format!("running {statement:?}"))
    }

    fn send(&mut self, kind: Option<u8>, body: &[u8]) -> Result<()> {
        let length = i32::try_from(body.len() + 4).context("a message of over 2 GiB")?;
        let mut message = Vec::with_capacity(body.len() + 5);
        message.extend(kind);
        message.extend(length.to_be_bytes());
        message.extend(body);
        self.stream.write_all(&message).context("writing to PostgreSQL")
    }

    /// Reads up to and with ReadyForQuery; an ErrorResponse on the way is the error.
    fn until_ready(&mut self) -> Result<()> {
        let mut failed = None;
        loop {
            let (kind, body) = self.receive()?;
            match kind {
                // A fatal error is the last message, no ReadyForQuery follows; reading on finds the stream's end.
                b'E' if is_fatal(&body) => bail!("{}", error_words(&body)),
                b'E' => failed = Some(error_words(&body)),
                b'R' if body != [0; 4] => bail!("the server asks for a password"),
                b'Z' => return failed.map_or(Ok(()), |words| bail!("{words}")),
                _ => {}
            }
        }
    }

    fn receive(&mut self) -> Result<(u8, Vec<u8>)> {
        let mut head = [0; 5];
        self.stream.read_exact(&mut head).context("reading from PostgreSQL")?;
        let [kind, length @ ..] = head;
        let length = u32::from_be_bytes(length) as usize;
        if !(4..=MESSAGE_MAX).contains(&length) {
            bail!("a message of {length} bytes is not PostgreSQL's");
        }
        let mut body = vec![0; length - 4];
        self.stream.read_exact(&mut body).context("reading from PostgreSQL")?;
        Ok((kind, body))
    }
}

fn is_fatal(body: &[u8]) -> bool {
    matches!(field(body, b'V').as_deref(), Some("FATAL" | "PANIC"))
}

/// `message (SQLSTATE code)`.
fn error_words(body: &[u8]) -> String {
    let part = |kind| field(body, kind).unwrap_or_default();
    format!("{} (SQLSTATE {})", part(b'M'), part(b'C'))
}

/// An ErrorResponse is a run of fields: a letter, then text that ends in zero.
fn field(body: &[u8], kind: u8) -> Option<String> {
    let mut fields = body.split(|byte| *byte == 0);
    let found = fields.find(|field| field.first() == Some(&kind))?;
    Some(String::from_utf8_lossy(&found[1..]).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_read_field_by_field() {
        let body = b"SFATAL\0VFATAL\0C57P03\0Mthe database system is starting up\0\0";
        assert!(is_fatal(body));
        assert_eq!(error_words(body), "the database system is starting up (SQLSTATE 57P03)");
        assert!(!is_fatal(b"SERROR\0VERROR\0C42P04\0Mtaken\0\0"));
        assert_eq!(error_words(b""), " (SQLSTATE )");
    }
}
