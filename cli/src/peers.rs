//! Greetings to the dealer, from server and client.

use std::time::{Duration, Instant};

use sotto_crypto::Seed;
use sotto_net::{Endpoint, Link, QuicLink};

use crate::{
    card::Card,
    config::Peer,
    error::Error,
    messages::{self, DealerHello, DealerWelcome, Epoch, VERSION, step},
};

fn refused(link: &QuicLink, why: String) -> Error {
    Error::Refused { peer: link.peer().to_owned(), why }
}

/// Connects; what is left of the deadline is for the answer.
fn greet(endpoint: &Endpoint, dealer: &Peer, deadline: Duration) -> Result<QuicLink, Error> {
    let start = Instant::now();
    let mut link = endpoint.connect(dealer.address()?, &dealer.name, deadline)?;
    link.set_deadline(deadline.saturating_sub(start.elapsed()).max(deadline / 4));
    Ok(link)
}

/// The server announces its model; gives the dealer's epoch and the seed of the weights' masks.
///
/// # Errors
/// [`Error::Refused`] when the dealer does not take it, [`Error::Net`] when it cannot be reached.
pub fn announce(
    endpoint: &Endpoint,
    dealer: &Peer,
    card: &Card,
    plan: [u8; 32],
    deadline: Duration,
) -> Result<(Epoch, Seed), Error> {
    let mut link = greet(endpoint, dealer, deadline)?;
    let hello = DealerHello::Server { version: VERSION, card: card.clone(), plan };
    messages::send(&mut link, step::HELLO, &hello)?;
    match messages::recv(&mut link, step::WELCOME)? {
        DealerWelcome::Setup { epoch, seed } => {
            let secret = Seed::from_bytes(*seed);
            drop(link.finish());
            Ok((epoch, secret))
        }
        DealerWelcome::Refused(why) => Err(refused(&link, why)),
        DealerWelcome::Ready { .. } => Err(refused(&link, "it answered another question".into())),
    }
}

/// Opens a link on which a party asks for batches that it shares with `peer`.
///
/// # Errors
/// As [`announce`].
pub fn batches(
    endpoint: &Endpoint,
    dealer: &Peer,
    peer: &str,
    plan: [u8; 32],
    deadline: Duration,
) -> Result<(QuicLink, Epoch), Error> {
    let mut link = greet(endpoint, dealer, deadline)?;
    let hello = DealerHello::Batches { version: VERSION, peer: peer.to_owned(), plan };
    messages::send(&mut link, step::HELLO, &hello)?;
    match messages::recv(&mut link, step::WELCOME)? {
        DealerWelcome::Ready { epoch } => {
            link.set_deadline(deadline);
            Ok((link, epoch))
        }
        DealerWelcome::Refused(why) => Err(refused(&link, why)),
        DealerWelcome::Setup { .. } => Err(refused(&link, "it answered another question".into())),
    }
}
