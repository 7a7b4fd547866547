//! What the process that runs a pipeline says of itself: its `/ready`, asked on the address of `[metrics] listen`.
//! It alone knows which end it waits for.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// How long it may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// The body of `/ready`; none where no process of this machine answers there.
pub(super) async fn health(listen: SocketAddr) -> Option<Value> {
    timeout(PATIENCE, asked(listen)).await.ok().flatten()
}

async fn asked(listen: SocketAddr) -> Option<Value> {
    // An address to listen on everywhere is none to connect to.
    let host = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    let mut stream = TcpStream::connect((host, listen.port())).await.ok()?;
    stream.write_all(b"GET /ready HTTP/1.0\r\n\r\n").await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    let (_, body) = answer.split_once("\r\n\r\n")?;
    let health: Value = serde_json::from_str(body.trim()).ok()?;
    health["lanes"].is_array().then_some(health)
}

/// The ends of a lane that do not work as they should, in words.
pub(super) fn troubles(health: &Value) -> Vec<String> {
    let mut troubles = Vec::new();
    for lane in health["lanes"].as_array().into_iter().flatten() {
        for (end, is) in lane["ends"].as_object().into_iter().flatten() {
            let (state, name) =
                (is["state"].as_str().unwrap_or_default(), lane["lane"].as_str().unwrap_or_default());
            if let Some(error) = is["error"].as_str() {
                let failures = is["failures"].as_u64().unwrap_or_default();
                troubles.push(format!(
                    "lane {name}: the {end} failed {failures} times in a row, its breaker is {state}: {error}"
                ));
            } else if let Some(seconds) = is["silent_s"].as_u64() {
                troubles.push(format!("lane {name}: the {end} has not answered for {seconds} s"));
            }
        }
    }
    troubles
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_ends_in_trouble_are_told() {
        let well = json!({"state": "closed", "failures": 0});
        let open = json!({"state": "open", "failures": 3, "error": "refused"});
        let silent = json!({"state": "closed", "failures": 0, "silent_s": 12});
        let health = json!({"lanes": [
            {"lane": "a", "ends": {"source": well, "sink": open}},
            {"lane": "b", "ends": {"source": well, "sink": silent}},
        ]});
        assert_eq!(
            troubles(&health),
            [
                "lane a: the sink failed 3 times in a row, its breaker is open: refused",
                "lane b: the sink has not answered for 12 s"
            ]
        );
    }

    #[tokio::test]
    async fn nobody_there_is_no_health() {
        let free = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        assert_eq!(health(address).await, None);
    }
}
