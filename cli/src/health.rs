//! Whether a service lives and is ready, and what it counts, over HTTP: for orchestrators and Prometheus.
//!
//! `GET /live` is 200 as long as the process runs, `GET /ready` is 200 where it can serve and 503 with the reason where it cannot,
//! `GET /metrics` is the text that Prometheus reads.
//!
//! Security: plain HTTP without authentication. An answer has peers' names, counts and reasons, nothing secret; listen where
//! those who may know them can reach it. Requests have no body that is read; each has two seconds, and where more than 64 are
//! open the oldest gives way, once it has had its turn: who connects and is silent keeps nobody out. Tens of thousands of connections
//! a second from this host do delay answers; let none but the orchestrator reach the port.

use std::{
    collections::VecDeque, convert::Infallible, net::SocketAddr, sync::Arc, thread, time::Duration,
};

use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::CONTENT_TYPE,
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpSocket},
    runtime,
    task::JoinHandle,
    time::timeout,
};

use crate::error::Error;

/// Requests that are open at once.
const AT_ONCE: usize = 64;

/// Connections that wait to be taken; the system may allow fewer.
const BACKLOG: u32 = 16 << 10;

/// How long a request and its answer may take.
const LONGEST: Duration = Duration::from_secs(2);

/// A service that can be asked.
pub trait Observed: Send + Sync + 'static {
    /// Whether it can serve now.
    ///
    /// # Errors
    /// Why it cannot, in one sentence.
    fn ready(&self) -> Result<(), String>;

    /// Its counts, as [`crate::metrics::Metrics::text`] writes them.
    fn metrics(&self) -> String;
}

/// Answers at `address` from now on, in a thread of its own, as long as the process lives.
///
/// # Errors
/// [`Error::Config`] where nothing can listen there.
pub fn serve(address: SocketAddr, service: Arc<dyn Observed>) -> Result<(), Error> {
    let refused = |e: std::io::Error| {
        Error::Config(format!("`health = \"{address}\"` cannot be listened at: {e}"))
    };
    let runtime = runtime::Builder::new_current_thread().enable_all().build().map_err(refused)?;
    let listener = runtime.block_on(async { listen(address) }).map_err(refused)?;
    tracing::info!("health and metrics at http://{}", listener.local_addr().map_err(refused)?);
    thread::Builder::new()
        .name("health".into())
        .spawn(move || runtime.block_on(accept(listener, service)))
        .map_err(refused)?;
    Ok(())
}

/// Listens as [`TcpListener::bind`] does, with room for a burst: whom the system turns away meanwhile tries again a second later.
fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

async fn accept(listener: TcpListener, service: Arc<dyn Observed>) {
    let mut open: VecDeque<JoinHandle<()>> = VecDeque::new();
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            // Of one connection, or no file is left: the next may do.
            Err(e) => {
                tracing::debug!("a request for health was lost: {e}");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let service = Arc::clone(&service);
        let answering = tokio::spawn(async move {
            let answers = service_fn(|request| {
                let answer = answer(&request, &*service);
                async move { Ok::<_, Infallible>(answer) }
            });
            let mut http = http1::Builder::new();
            http.keep_alive(false).timer(TokioTimer::new()).header_read_timeout(LONGEST);
            // Whoever asked may have gone.
            drop(timeout(LONGEST, http.serve_connection(TokioIo::new(stream), answers)).await);
        });
        // A request that is there is answered before another is taken, or a burst would push it out unserved.
        tokio::task::yield_now().await;
        open.retain(|one| !one.is_finished());
        open.push_back(answering);
        if open.len() > AT_ONCE {
            open.pop_front().inspect(JoinHandle::abort);
        }
    }
}

fn answer(request: &Request<Incoming>, service: &dyn Observed) -> Response<Full<Bytes>> {
    let asked = matches!(request.method(), &Method::GET | &Method::HEAD);
    let (status, kind, text) = match (asked, request.uri().path()) {
        (true, "/live") => (StatusCode::OK, PLAIN, "live\n".into()),
        (true, "/ready") => match service.ready() {
            Ok(()) => (StatusCode::OK, PLAIN, "ready\n".into()),
            Err(why) => (StatusCode::SERVICE_UNAVAILABLE, PLAIN, why + "\n"),
        },
        (true, "/metrics") => (StatusCode::OK, METRICS, service.metrics()),
        (true, _) => {
            (StatusCode::NOT_FOUND, PLAIN, "/live, /ready and /metrics are answered\n".into())
        }
        (false, _) => (StatusCode::METHOD_NOT_ALLOWED, PLAIN, "GET is answered\n".into()),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(kind));
    response
}

const PLAIN: &str = "text/plain; charset=utf-8";
const METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
