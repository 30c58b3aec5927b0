//! The loop of a process that others connect to.

use std::{sync::Arc, thread, time::Duration};

use sotto_net::{Endpoint, Link, QuicLink};

use crate::{error::Error, stop::Stop};

/// Accepts links until it is asked to stop, each attended in a thread of its own; a refused or failed handshake is
/// logged and does not stop us.
///
/// # Errors
/// The endpoint's, when it is closed otherwise.
pub fn accept(
    endpoint: &Arc<Endpoint>,
    stop: &Stop,
    attend: &Arc<impl Fn(QuicLink) + Send + Sync + 'static>,
) -> Result<(), Error> {
    stop.closes(endpoint);
    loop {
        match endpoint.accept(Duration::from_secs(3600)) {
            Ok(link) => {
                let (peer, attend) = (link.peer().to_owned(), Arc::clone(attend));
                if let Err(e) = thread::Builder::new().spawn(move || attend(link)) {
                    tracing::warn!("{peer} is turned away, no thread can be started: {e}");
                }
            }
            Err(sotto_net::Error::Deadline { .. }) => {}
            Err(e @ sotto_net::Error::Identity { .. }) => tracing::warn!("refused: {e}"),
            Err(_) if stop.asked() => {
                // Peers are being told: not to leave before they are.
                stop.close(endpoint);
                return Ok(());
            }
            Err(e) => return Err(e.into()),
        }
    }
}
