//! A client: evaluations that outlive restarts of its peers.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use sotto_import::tokenizer::Long;
use sotto_models::{
    Private,
    images::{Fit, Picture, decode},
    length::Length,
};
use sotto_net::Endpoint;
use sotto_session::{card::Card, error::Error, messages::Epoch, refusal::Refusal, shelf::Shelf};

use crate::{
    answer::{Answer, Query},
    config::Config,
    connection::{Before, Connection, Known, kept::Kept, making::Shop},
};

/// How often an evaluation is tried in all, each time with a fresh batch.
const TRIES: usize = 3;

/// Pause after a first connection that came to nothing; it doubles with each.
const PAUSE: Duration = Duration::from_millis(50);

/// Longest pause.
const LONGEST: Duration = Duration::from_secs(1);

/// Evaluations by one model, over as many connections as it takes.
pub struct Client {
    config: Config,
    endpoint: Arc<Endpoint>,
    kept: Option<Arc<Kept>>,
    shelf: Option<Arc<Shelf>>,
    /// The length of the texts that the connection is for; `None` for pictures.
    length: Option<Length>,
    connection: Option<Connection>,
    known: Option<Known>,
    stale: Option<Epoch>,
    shop: Option<Shop>,
    /// Evaluations to come after those that are asked for.
    expected: usize,
    /// Bytes of setups, of connections that are gone, that no evaluation has counted.
    uncounted: u64,
}

impl Client {
    /// A client that connects with what it is first asked.
    ///
    /// # Errors
    /// [`Error::Config`] for a configuration that is none, [`Error::Net`] for keys that do not work.
    pub fn new(config: Config) -> Result<Self, Error> {
        let kept = Kept::of(&config)?.map(Arc::new);
        let shelf = config.shelf()?;
        let endpoint = Arc::new(config.bind()?);
        config.stop.closes(&endpoint);
        let (length, connection, known, stale, shop) = (None, None, None, None, None);
        let (expected, uncounted) = (0, 0);
        Ok(Self {
            config,
            endpoint,
            kept,
            shelf,
            length,
            connection,
            known,
            stale,
            shop,
            expected,
            uncounted,
        })
    }

    /// Connects for texts of a `length`, or, without, for pictures; and takes the masked weights.
    ///
    /// # Errors
    /// Those of [`Client::new`]; [`Error::Net`] when a peer cannot be reached, [`Error::Refused`] when it will not serve,
    /// [`Error::Check`] when it runs another plan; [`Error::Stopped`] when it was asked to stop.
    pub fn connect(config: Config, length: Option<Length>) -> Result<Self, Error> {
        let mut client = Self::new(config)?;
        client.length = length;
        client.persist(|_| Ok(()))?;
        Ok(client)
    }

    fn known(&mut self) -> Result<&Known, Error> {
        if self.known.is_none() {
            self.persist(|_| Ok(()))?;
        }
        Ok(self.known.as_ref().expect("a connection tells it"))
    }

    /// The model, for inputs of the present length.
    ///
    /// # Errors
    /// Those of [`Client::connect`], where there was no connection yet.
    pub fn private(&mut self) -> Result<Arc<Private>, Error> {
        Ok(Arc::clone(&self.known()?.lane.private))
    }

    /// What the server says of its model.
    ///
    /// # Errors
    /// As [`Client::private`].
    pub fn card(&mut self) -> Result<&Card, Error> {
        Ok(&self.known()?.card)
    }

    /// The present connection, if there is one.
    pub fn connection(&self) -> Option<&Connection> {
        self.connection.as_ref()
    }

    /// A PNG or JPEG of any size, as the model takes it: cut and scaled as the server's card says, else its largest centred
    /// square.
    ///
    /// # Errors
    /// As [`Client::private`]; [`Error::Model`] for a picture that is none.
    pub fn picture(&mut self, name: &str, encoded: &[u8]) -> Result<Query, Error> {
        let fit = self.card()?.framing.map_or(Fit::Resize, Fit::Framed);
        let model = &self.private()?.model;
        Ok(Query::Picture(decode(encoded, name, model, fit)?))
    }

    /// A picture of the model's size, by its pixels: planes, rows, columns.
    ///
    /// # Errors
    /// As [`Client::private`]; [`Error::Config`] for another number of bytes, [`Error::OtherInput`] where the model takes texts.
    pub fn pixels(&mut self, name: &str, pixels: Vec<u8>) -> Result<Query, Error> {
        let private = self.private()?;
        let Some(takes) = private.model.pixels() else {
            return Err(Error::OtherInput { model: private.model.name.clone(), takes: "texts" });
        };
        if pixels.len() != takes.numbers() {
            let (found, due) = (pixels.len(), takes.numbers());
            return Err(Error::Config(format!(
                "{name}: {found} bytes of pixels; the model takes {due}, of {} x {}",
                takes.image, takes.image
            )));
        }
        Ok(Query::Picture(Picture { pixels, label: None, name: name.into() }))
    }

    /// A text as the configuration's lexicon numbers it. Its length, [`Query::length`], is public: its number of
    /// tokens, or the bucket that hides it, as the configuration says.
    ///
    /// # Errors
    /// [`Error::Config`] where there is no lexicon, [`Error::Import`] for a text that the model does not take.
    pub fn text(&self, name: &str, text: &str) -> Result<Query, Error> {
        let Some(lexicon) = &self.config.lexicon else {
            let why =
                "texts need a lexicon: the folder that `sotto lexicon` writes where the model is";
            return Err(Error::Config(why.into()));
        };
        let text = lexicon.encode(text, None, Long::Refuse)?;
        let length = self.config.length.of(text.words.len(), lexicon.model().tokens())?;
        Ok(Query::Text { name: name.into(), text, length })
    }

    /// Says how many evaluations will follow those that are asked for next, so that batches are got ready for them meanwhile. None
    /// without; a batch that is not used is lost.
    pub fn expect(&mut self, evaluations: usize) {
        self.expected = evaluations;
    }

    /// Connects where there is no connection for texts of this `length` or, without, for pictures, and waits until
    /// both sides have a batch for the next evaluation. Left for more than 45 seconds it is burnt, and the evaluation gets another.
    ///
    /// # Errors
    /// As [`Client::answer`].
    pub fn wait_until_ready(&mut self, length: Option<Length>) -> Result<(), Error> {
        self.turn(length);
        let left = self.expected.saturating_add(1);
        self.persist(|connection| {
            connection.expect(left);
            connection.wait_until_ready()
        })
    }

    /// Without a dealer, makes batches for pictures or for texts of this `length` with the server, until as many wait on the disks of both as
    /// the configurations say; `told` how many that are, again and again. Gives how many they are in the end. An evaluation then waits for
    /// nothing, in a later process, too.
    ///
    /// # Errors
    /// [`Error::Config`] where there is no pool on a disk, here or at the server, or a disk is full; as [`Client::answer`].
    pub fn fill(
        &mut self,
        length: Option<Length>,
        told: &mut dyn FnMut(usize),
    ) -> Result<usize, Error> {
        self.turn(length);
        self.persist(|connection| connection.fill(told))
    }

    /// Evaluates pictures or texts, and gives an answer to each.
    ///
    /// # Errors
    /// Those of [`Client::answer_each`]; the answers that were there before are lost.
    pub fn answer(&mut self, queries: &[Query]) -> Result<Vec<Answer>, Error> {
        let mut answers = Vec::new();
        self.answer_each(queries, &mut |place, answer| {
            answers.push((place, answer));
            Ok(())
        })?;
        answers.sort_by_key(|(place, _)| *place);
        Ok(answers.into_iter().map(|(_, answer)| answer).collect())
    }

    /// Evaluates pictures or texts, and tells `each` every answer as it comes, with the query's place: as many at once as the
    /// server takes, those of one length together, the shortest first, those of a bucket in the order of `queries`. Texts of another length have another connection, over
    /// which the weights are not sent again. Where a peer was restarted it connects and tries again.
    ///
    /// # Errors
    /// The last failure when an evaluation fails three times in a row, or when a peer is not found again within a
    /// deadline; errors that no retry can mend at once, those of `each` among them; [`Error::Stopped`] when it was asked to stop.
    pub fn answer_each(
        &mut self,
        queries: &[Query],
        each: &mut dyn FnMut(usize, Answer) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut order: Vec<usize> = (0..queries.len()).collect();
        order.sort_by_key(|&place| queries[place].length());
        for same in order.chunk_by(|&a, &b| queries[a].length() == queries[b].length()) {
            self.turn(queries[same[0]].length());
            let chunks = same.chunks(self.private()?.batch);
            let all = chunks.len();
            for (done, chunk) in chunks.enumerate() {
                let asked: Vec<&Query> = chunk.iter().map(|&place| &queries[place]).collect();
                let left = self.expected.saturating_add(all - done);
                let answers = self.evaluate(&asked, left)?;
                chunk.iter().zip(answers).try_for_each(|(&place, answer)| each(place, answer))?;
            }
        }
        Ok(())
    }

    /// Goes on with texts of a length, or with pictures.
    fn turn(&mut self, length: Option<Length>) {
        if length == self.length {
            return;
        }
        self.length = length;
        if let Some(mut connection) = self.connection.take() {
            self.uncounted += connection.take_setups();
            // Else its making would outlive it; its link for that goes on with the next length.
            self.known = Some(connection.known.without_making());
            self.shop = connection.part(length);
        }
    }

    /// Evaluates up to a batch; `left` evaluations of this length are to come, this one included.
    fn evaluate(&mut self, queries: &[&Query], left: usize) -> Result<Vec<Answer>, Error> {
        let stop = self.config.stop.clone();
        self.persist(|connection| {
            let _working = stop.begin().ok_or(Error::Stopped)?;
            connection.expect(left);
            connection.answer(queries)
        })
    }

    fn connected(&mut self) -> Result<&mut Connection, Error> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => {
                let (known, stale) = (self.known.clone(), self.stale.take());
                let (shop, kept) = (self.shop.take(), self.kept.clone());
                let (shelf, uncounted) = (self.shelf.clone(), self.uncounted);
                let before = Before { known, stale, shop, kept, shelf, uncounted };
                let endpoint = Arc::clone(&self.endpoint);
                let connection = Connection::connect(&self.config, endpoint, self.length, before)?;
                self.uncounted = 0;
                connection
            }
        };
        self.known = Some(connection.known.clone());
        Ok(self.connection.insert(connection))
    }

    fn persist<T>(
        &mut self,
        mut attempt: impl FnMut(&mut Connection) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let (mut tries, mut first, mut pause) = (0, None, PAUSE);
        let mut said = String::new();
        loop {
            let start = Instant::now();
            let (e, since) = match self.connected() {
                Err(e) => (e, *first.get_or_insert(start)),
                Ok(connection) => match attempt(connection) {
                    Ok(done) => return Ok(done),
                    Err(e) => {
                        tries += 1;
                        (e, *first.get_or_insert_with(Instant::now))
                    }
                },
            };
            if self.config.stop.asked() {
                return Err(Error::Stopped);
            }
            // Who connects tries nearly until the deadline.
            let late = 10 * since.elapsed() >= 9 * self.config.deadline;
            if tries == TRIES || late || e.is_final() {
                return Err(e);
            }
            let why = e.to_string();
            if why != said {
                tracing::warn!("{why}; the batch in use, if any, is burnt, connecting again");
                said = why;
            }
            match self.connection.take() {
                Some(mut lost) => self.uncounted += lost.take_setups(),
                None => {
                    thread::sleep(pause);
                    pause = LONGEST.min(2 * pause);
                }
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
        if let Some(connection) = self.connection.take() {
            self.known = None;
            connection.leave();
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        if self.config.stop.asked() {
            // Peers are being told: not to leave before they are.
            self.config.stop.close(&self.endpoint);
        }
    }
}
