//! How two parties put a batch that they made on the disk of each ([`crate::shelf`]).

use sotto_net::Link;
use sotto_protocols::batch::Batch;

use crate::{
    error::Error,
    messages::{self, Secret, step},
    shelf::{Record, Shelf},
};

/// Who did not store its part: the other has burnt its own.
#[derive(Debug)]
pub enum Lost {
    /// This party, and why.
    Here(Error),
    /// The peer.
    There,
}

/// Gives the peer a key for its part, seals this party's under the peer's, and stores it; the peer does the same. The keys cross under
/// `pads`, one that this party drew and one of the peer's.
///
/// A link that fails leaves what is stored, which is of no use where the peer has not stored its part.
///
/// # Errors
/// The link's.
pub fn keep(
    link: &mut dyn Link,
    shelf: &Shelf,
    [ours, theirs]: [&Secret; 2],
    record: Record,
    batch: Batch,
) -> Result<Option<Lost>, Error> {
    let keeps = Secret::random()?;
    messages::send(link, step::KEEP, &keeps.under(theirs))?;
    let sealed = messages::recv::<Secret>(link, step::KEEP)?.under(ours);
    let (peer, tag) = (record.of.peer.clone(), record.tag);
    let stored = shelf.put(record, batch, &sealed, &keeps);
    messages::send(link, step::KEPT, &stored.is_ok())?;
    let there: bool = messages::recv(link, step::KEPT)?;
    Ok(match stored {
        Err(e) => Some(Lost::Here(e)),
        Ok(()) if !there => {
            shelf.burn(&peer, &tag)?;
            Some(Lost::There)
        }
        Ok(()) => None,
    })
}
