//! Metrics and health on one port: `/metrics` for Prometheus, `/live` and `/ready` for whoever starts and stops
//! processes. Off unless `[metrics] listen` is set. Reads what the lanes tell; never decides for them.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::IntoResponse,
    routing::get,
};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use serde::Serialize;
use tokio::{net::TcpListener, task::JoinHandle};

use crate::lane::{End, EndHealth, LaneState, Lanes};

use super::{exit::Exit, failure::Failure, metrics};

/// How often the recorder tidies what it has collected.
const UPKEEP: Duration = Duration::from_secs(5);

/// A server that runs until it is stopped.
#[derive(Debug)]
pub(super) struct Server {
    task: JoinHandle<()>,
    #[cfg(test)]
    address: SocketAddr,
}

impl Server {
    /// Stops listening. Answers under way may be cut off.
    pub(super) fn stop(self) {
        self.task.abort();
    }
}

/// Starts to record metrics and to serve them with the health of `lanes`.
///
/// # Errors
/// Where the address cannot be listened on.
pub(super) async fn start(listen: SocketAddr, lanes: Arc<Lanes>) -> Result<Server, Failure> {
    let recorder = PrometheusBuilder::new()
        .install_recorder()
        .map_err(|error| Failure::new(Exit::Runtime, "metrics cannot be recorded").because(&error))?;
    metrics::describe();
    serve(listen, lanes, recorder).await
}

async fn serve(listen: SocketAddr, lanes: Arc<Lanes>, recorder: PrometheusHandle) -> Result<Server, Failure> {
    let failed = |error: std::io::Error| {
        Failure::new(Exit::Environment, format!("metrics and health cannot be served on {listen}"))
            .because(&error)
            .hint("set another address or port in [metrics] listen, or leave [metrics] out")
    };
    let listener = TcpListener::bind(listen).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    tracing::info!(%address, "metrics.listening");
    let routes = Router::new()
        .route("/metrics", get(scrape))
        .with_state(recorder.clone())
        .route("/live", get(|| async { "live\n" }))
        .merge(Router::new().route("/ready", get(ready)).with_state(lanes));
    let task = tokio::spawn(async move {
        let upkeep = async {
            loop {
                tokio::time::sleep(UPKEEP).await;
                recorder.run_upkeep();
            }
        };
        tokio::select! {
            served = axum::serve(listener, routes) => {
                if let Err(error) = served {
                    tracing::error!(%error, "metrics.stopped");
                }
            }
            () = upkeep => {}
        }
    });
    Ok(Server {
        task,
        #[cfg(test)]
        address,
    })
}

async fn scrape(State(recorder): State<PrometheusHandle>) -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], recorder.render())
}

async fn ready(State(lanes): State<Arc<Lanes>>) -> impl IntoResponse {
    let health = Health::of(&lanes);
    let code = if health.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = serde_json::to_string(&health).unwrap_or_default();
    (code, [(CONTENT_TYPE, "application/json")], body + "\n")
}

/// The body of `/ready`.
#[derive(Debug, Serialize)]
struct Health {
    /// Whether every lane works, here or in another process, or ended as it was told. Without a lane: not yet.
    ready: bool,
    lanes: Vec<LaneHealth>,
}

#[derive(Debug, Serialize)]
struct LaneHealth {
    lane: String,
    state: &'static str,
    /// Why it waits or failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    sequence: u64,
    delivered: u64,
    /// `source` and `sink`.
    ends: BTreeMap<&'static str, EndIs>,
    /// What an operator should look at; a lane with alarms may work all the same.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    alarms: BTreeMap<&'static str, String>,
}

/// How an end is.
#[derive(Debug, Serialize)]
struct EndIs {
    /// Of its circuit breaker: `closed` (it works), `open` (left alone after failures), `half-open` (being tried).
    state: &'static str,
    /// Failures since the last success.
    failures: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// For how long a call has not come back.
    #[serde(skip_serializing_if = "Option::is_none")]
    silent_s: Option<u64>,
}

impl From<EndHealth> for EndIs {
    fn from(end: EndHealth) -> EndIs {
        let silent_s = end.silent.map(|silent| silent.as_secs());
        EndIs { state: end.state.word(), failures: end.failures, error: end.error, silent_s }
    }
}

impl Health {
    fn of(lanes: &Lanes) -> Health {
        let mut lanes: Vec<LaneHealth> = lanes
            .iter()
            .map(|lane| {
                let (state, why) = match lane.state() {
                    LaneState::Starting => ("starting", None),
                    LaneState::Running => ("running", None),
                    LaneState::Waiting(why) => ("waiting", Some(why)),
                    LaneState::Stopped => ("stopped", None),
                    LaneState::Failed(why) => ("failed", Some(why)),
                    LaneState::Elsewhere => ("elsewhere", None),
                };
                let name = lane.key().clone();
                let alarms = lane.alarms().standing().into_iter().collect();
                let (sequence, delivered) = (lane.sequence(), lane.delivered());
                let ends = End::ALL.map(|end| (end.word(), lane.ends().health(end).into())).into();
                LaneHealth { lane: name, state, why, sequence, delivered, ends, alarms }
            })
            .collect();
        lanes.sort_by(|a, b| a.lane.cmp(&b.lane));
        Health { ready: are_ready(&lanes), lanes }
    }
}

fn are_ready(lanes: &[LaneHealth]) -> bool {
    !lanes.is_empty() && lanes.iter().all(|lane| matches!(lane.state, "running" | "stopped" | "elsewhere"))
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
    };

    use crate::lane::Progress;

    use super::*;

    async fn get(address: SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn metrics_and_health_are_served() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        ::metrics::with_local_recorder(&recorder, || {
            metrics::describe();
            ::metrics::counter!("reconverge_batches_total").increment(3);
        });
        let lanes = Arc::new(Lanes::new());
        let server = serve(([127, 0, 0, 1], 0).into(), Arc::clone(&lanes), handle).await.unwrap();

        let scraped = get(server.address, "/metrics").await;
        assert!(scraped.contains("# HELP reconverge_batches_total Transactions committed"), "{scraped}");
        assert!(scraped.contains("reconverge_batches_total 3"), "{scraped}");
        assert!(get(server.address, "/live").await.starts_with("HTTP/1.1 200"));
        assert!(get(server.address, "/ready").await.starts_with("HTTP/1.1 503"), "no lane yet");

        let lane = Arc::new(Progress::new("p/main/main/0".to_owned()));
        lanes.insert("p/main/main/0".to_owned(), Arc::clone(&lane));
        let starting = get(server.address, "/ready").await;
        assert!(starting.starts_with("HTTP/1.1 503"), "{starting}");
        assert!(
            starting.contains(r#"{"lane":"p/main/main/0","state":"starting","sequence":0,"delivered":0,"ends":{"sink":{"state":"closed","failures":0},"source":{"#)
        );
        server.stop();
    }

    #[test]
    fn one_lane_that_waits_is_enough_to_be_not_ready() {
        let lane = |state| LaneHealth {
            lane: String::new(),
            state,
            why: None,
            sequence: 0,
            delivered: 0,
            ends: BTreeMap::new(),
            alarms: BTreeMap::new(),
        };
        let cases: [(&[&'static str], bool); 7] = [
            (&["elsewhere", "running"], true),
            (&[], false),
            (&["running"], true),
            (&["running", "stopped"], true),
            (&["running", "waiting"], false),
            (&["failed", "running"], false),
            (&["starting"], false),
        ];
        for (states, ready) in cases {
            let lanes: Vec<_> = states.iter().map(|state| lane(state)).collect();
            assert_eq!(are_ready(&lanes), ready, "{states:?}");
        }
    }

    #[tokio::test]
    async fn an_address_in_use_is_told_with_what_to_do() {
        let taken = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let handle = PrometheusBuilder::new().build_recorder().handle();
        let refused = serve(taken.local_addr().unwrap(), Arc::new(Lanes::new()), handle).await.unwrap_err();
        assert_eq!(refused.exit(), Exit::Environment);
        assert!(refused.line().contains("cannot be served on 127.0.0.1"), "{}", refused.line());
    }
}
