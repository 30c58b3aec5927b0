//! Looking at how the dealer deals.
//!
//! Dealing follows from two seeds. Before the dealer knows which batch it will be, the server tosses a coin; of a batch that
//! it wants to look at it asks for both seeds once the corrections are here, deals again, and compares every byte. The
//! batch is burnt at both sides. The dealer opens only what no client has, so nothing that is in use is ever opened.
//!
//! Corrections that go to the client cannot be looked at: a dealer could show those that it should have given, and give others.
//! So a dealer that gives none to a server that looks is not used.
//!
//! A dealer that deals a share `q` of batches falsely is caught with each batch with a probability of `audit q`.

use sotto_crypto::Seed;
use sotto_protocols::{
    Role,
    deal::{Seeds, deal},
    weights::SetupMasks,
};

use super::Terms;
use crate::{
    dealer_link::{Batches, Names, Part},
    error::Error,
};

/// Whether the next batch is to be looked at.
pub(super) fn wanted(terms: &Terms) -> Result<bool, Error> {
    match terms.audit {
        Some((_, rate)) => Ok(Seed::random()?.stream(0).unit() < rate),
        None => Ok(false),
    }
}

/// Whether this batch's corrections do not come here, where they should be looked at.
pub(super) fn is_blind(terms: &Terms, names: &Names) -> bool {
    terms.audit.is_some() && names.corrections == 0 && terms.plan.correction_bytes() > 0
}

/// Looks at a batch.
pub(super) fn check(terms: &Terms, link: &mut Batches, part: &Part) -> Result<(), Error> {
    let Some((seed, _)) = &terms.audit else { return Ok(()) };
    let id = part.names.id;
    let party = link.audit(id)?;
    part.names.check(&terms.server, &terms.epoch, Role::Server, &party[0])?;
    let of = &terms.of;
    let lie = |what: &str| Error::Distrust(format!("it dealt batch {id}, {of}, falsely ({what})"));
    if party[1].fingerprint() != part.names.peer {
        return Err(lie("the client's seed"));
    }
    if part.seed.as_ref().is_some_and(|seed| *seed != party[0]) {
        return Err(lie("the server's seed"));
    }
    let Some(corrections) = &part.corrections else { return Ok(()) };
    let mut rest = &corrections[..];
    let seeds = Seeds { party, corrected: Role::Server };
    // They are large, and nobody else here needs them.
    let masks = SetupMasks::expand(&terms.plan, seed);
    let same = deal(&terms.plan, &seeds, &masks, |bytes| {
        rest = rest.strip_prefix(&bytes[..]).ok_or(())?;
        Ok(())
    });
    match same {
        Ok(()) if rest.is_empty() => Ok(()),
        Ok(()) | Err(()) => Err(lie("corrections")),
    }
}
