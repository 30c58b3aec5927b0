//! A stream of evaluations that outlives restarts of its peers.

use std::{
    path::Path,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use sotto_models::Private;
use sotto_net::Endpoint;

use super::{Answer, Before, Client, Known, Query, Wanted, making::Shop};
use crate::config::ClientConfig;
use sotto_session::{card::Card, error::Error, messages::Epoch, refusal::Refusal, stop::Stop};

/// How often an evaluation is tried in all, each time with a fresh batch.
const TRIES: usize = 3;

/// Pause after a connection that came to nothing.
const PAUSE: Duration = Duration::from_millis(50);

/// Evaluations of one model, over as many connections as it takes.
pub struct Stream<'a> {
    config: &'a ClientConfig,
    endpoint: Arc<Endpoint>,
    stop: Stop,
    progress: &'a dyn Fn(u64, u64),
    wanted: Wanted,
    client: Option<Client>,
    known: Option<Known>,
    stale: Option<Epoch>,
    shop: Option<Shop>,
}

impl<'a> Stream<'a> {
    /// Connects for inputs like the first and takes the masked weights; `progress` is told of each piece.
    ///
    /// # Errors
    /// Those of [`Client::connect`]; [`Error::Stopped`] after a signal.
    pub fn open(
        config: &'a ClientConfig,
        base: &Path,
        wanted: Wanted,
        stop: &Stop,
        progress: &'a dyn Fn(u64, u64),
    ) -> Result<Self, Error> {
        let wanted = wanted.configured(config, base)?;
        let endpoint = Arc::new(config.own.bind(base, &config.dialled()?, &[])?);
        stop.closes(&endpoint);
        let stop = stop.clone();
        let (client, known, stale, shop) = (None, None, None, None);
        let mut stream =
            Self { config, endpoint, stop, progress, wanted, client, known, stale, shop };
        stream.persist(|_| Ok(()))?;
        Ok(stream)
    }

    /// The model, for inputs of the present length.
    ///
    /// # Panics
    /// Never: an open stream has one.
    pub fn private(&self) -> Arc<Private> {
        Arc::clone(&self.known().lane.private)
    }

    /// What the server says of its model.
    ///
    /// # Panics
    /// Never, as [`Stream::private`].
    pub fn card(&self) -> &Card {
        &self.known().card
    }

    fn known(&self) -> &Known {
        self.known.as_ref().expect("it was open")
    }

    /// The present connection, if there is one.
    pub fn client(&self) -> Option<&Client> {
        self.client.as_ref()
    }

    /// Evaluates up to a batch of pictures or of texts of one length; `left` evaluations of that length are to come, this one
    /// included. Texts of another length than those before have another connection, over which the weights are not sent
    /// again. Where a peer was restarted it connects and tries again.
    ///
    /// # Errors
    /// The last failure when an evaluation fails three times in a row, or when a peer is not found again within a
    /// deadline; errors that no retry can mend at once; [`Error::Stopped`] after a signal.
    pub fn answer(&mut self, queries: &[Query], left: usize) -> Result<Vec<Answer>, Error> {
        let rows = queries.first().and_then(Query::rows);
        if rows != self.wanted.rows {
            self.wanted.rows = rows;
            if let Some(client) = self.client.take() {
                // Else its making would outlive it; its link for that goes on with the next length.
                self.known = Some(client.known.without_making());
                self.shop = client.part(rows);
            }
        }
        let stop = self.stop.clone();
        self.persist(|client| {
            let _working = stop.begin().ok_or(Error::Stopped)?;
            client.expect(left);
            client.answer(queries)
        })
    }

    fn connected(&mut self) -> Result<&mut Client, Error> {
        let client = match self.client.take() {
            Some(client) => client,
            None => {
                let endpoint = Arc::clone(&self.endpoint);
                let (known, shop) = (self.known.clone(), self.shop.take());
                let before = Before { known, stale: self.stale.take(), shop };
                Client::connect_by(
                    self.config,
                    endpoint,
                    self.wanted.clone(),
                    before,
                    self.progress,
                )?
            }
        };
        self.known = Some(client.known.clone());
        Ok(self.client.insert(client))
    }

    fn persist<T>(
        &mut self,
        mut attempt: impl FnMut(&mut Client) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let (mut tries, mut first) = (0, None);
        loop {
            let start = Instant::now();
            let (e, since) = match self.connected() {
                Err(e) => (e, *first.get_or_insert(start)),
                Ok(client) => match attempt(client) {
                    Ok(done) => return Ok(done),
                    Err(e) => {
                        tries += 1;
                        (e, *first.get_or_insert_with(Instant::now))
                    }
                },
            };
            if self.stop.asked() {
                return Err(Error::Stopped);
            }
            // Who connects tries nearly until the deadline.
            let late = 10 * since.elapsed() >= 9 * self.config.own.deadline();
            if tries == TRIES || late || e.is_final() {
                return Err(e);
            }
            tracing::warn!("{e}; the batch in use, if any, is burnt, connecting again");
            if self.client.take().is_none() {
                thread::sleep(PAUSE);
            }
            let over = matches!(
                e,
                Error::Refused { why: Refusal::Stale | Refusal::NotAnnounced { .. }, .. }
            );
            self.stale = self.known.as_ref().map(|known| known.lane.epoch).filter(|_| over);
        }
    }

    /// Says good-bye to the server.
    pub fn leave(mut self) {
        if let Some(client) = self.client.take() {
            self.known = None;
            client.leave();
        }
    }
}

impl Drop for Stream<'_> {
    fn drop(&mut self) {
        if self.stop.asked() {
            // Peers are being told: not to leave before they are.
            self.stop.close(&self.endpoint);
        }
    }
}
