//! What systemd is told (`Type=notify`): a service that says `READY=1` is started, one that is asked to stop says so.

use crate::stop::Stop;

/// Says that the service is ready, and at its end that it stops; nothing where nobody asked to be told.
pub fn ready(stop: &Stop) {
    #[cfg(target_os = "linux")]
    {
        use sd_notify::{NotifyState, notify};
        let tell = |state| {
            if let Err(e) = notify(&[state]) {
                tracing::warn!("the service manager cannot be told: {e}");
            }
        };
        tell(NotifyState::Ready);
        stop.then(move || tell(NotifyState::Stopping));
    }
    #[cfg(not(target_os = "linux"))]
    let _ = stop;
}
