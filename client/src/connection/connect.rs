//! What a client does before its first evaluation: trace the server's model and take the masked weights.

use std::{sync::Arc, time::Instant};

use sotto_models::{Calibration, Private, calibration::hex, length::Length};
use sotto_net::{Endpoint, Link, QuicLink, printable};
use sotto_protocols::{
    make::whole_recipe,
    plan::Plan,
    weights::{Weights, read_setup},
};

use super::{
    Before, Connection, Known, Lane, Supply,
    claims::{Claims, Deal},
    kept::{Kept, Of},
    making::{Making, Pool, Shop, Source, Work},
};
use crate::config::{Config, asked};
use sotto_session::{
    card::{Card, short},
    dealer_link::Dealer,
    error::Error,
    longest,
    messages::{self, ClientHello, ServerWelcome, Waits, step},
    refusal::Refusal,
    shelf::{Of as Made, Record, described},
    waiting::Waiting,
    workshop::{longest, patience},
};

/// Longest name and address of a server's dealer that are told (characters).
const LONGEST: usize = 200;

/// Traces the card's plan, which must be the one that the server says.
pub(super) fn trace(
    card: &Card,
    length: Option<Length>,
    theirs: [u8; 32],
    peer: &str,
) -> Result<Private, Error> {
    let unusable = |e: Error| Error::Card { peer: peer.into(), why: e.to_string() };
    let private = card.trace(length).map_err(unusable)?;
    let ours = private.plan.hash();
    if ours != theirs {
        return Err(Error::Check(format!(
            "{peer} runs plan {}, its own description gives {} here: run the same version of sotto",
            short(&theirs),
            short(&ours)
        )));
    }
    Ok(private)
}

/// Receives the masked weights, of the size that the plan says.
pub(super) fn receive_setup(
    link: &mut QuicLink,
    plan: &Plan,
    announced: u64,
    progress: &messages::Progress<'_>,
) -> Result<Vec<u8>, Error> {
    let expected = plan.setup_bytes() as u64;
    if announced != expected {
        return Err(Error::Check(format!(
            "{} announces {announced} bytes of masked weights, the plan says {expected}",
            link.peer()
        )));
    }
    messages::recv_bytes(link, step::SETUP, expected as usize, progress)
}

/// The masked weights, and how many bytes of them came: those that are kept where the server announces none, else all of
/// them, which are kept then.
fn masked(
    link: &mut QuicLink,
    plan: &Plan,
    (of, announced): (&Of, u64),
    (kept, stored): (Option<&Kept>, Option<(Of, Vec<u8>)>),
    progress: &messages::Progress<'_>,
) -> Result<(Weights, u64), Error> {
    if let Some((_, message)) = stored.filter(|(found, _)| announced == 0 && found == of) {
        return Ok((read_setup(plan, message, link.peer())?, 0));
    }
    let message = receive_setup(link, plan, announced, progress)?;
    if let Some(kept) = kept {
        kept.write(of, &message);
    }
    let bytes = message.len() as u64;
    Ok((read_setup(plan, message, link.peer())?, bytes))
}

/// What makes batches, and the bytes of its setup: over the link that is at hand from texts of another length, over a new one, or, where
/// batches wait on the disk, over one that is set up when it is needed. `progress` is told of the encrypted weights.
pub(super) fn making(
    config: &Config,
    endpoint: &Arc<Endpoint>,
    (lane, weights, name, model): (&Lane, &Arc<Weights>, &str, &[u8; 32]),
    (shop, pool): (Option<Shop>, Option<Pool>),
    progress: &messages::Progress<'_>,
) -> Result<(Making, u64), Error> {
    let (plan, extension) = (&lane.private.plan, config.extension);
    // Before it is asked for: a description may ask for more than two parties can make.
    let recipe = Arc::new(whole_recipe(plan, extension)?);
    let (cost, deadline) = (recipe.cost(plan), config.deadline);
    let hello = ClientHello {
        name: Some(name.to_owned()),
        model: Some(hex(model)),
        length: lane.length,
        // Which folder it is made for: the others' batches may have to give way.
        waits: pool.as_ref().map(|pool| Waits {
            folder: pool.shelf.id(),
            tags: Vec::new(),
            alone: false,
        }),
        ..ClientHello::new(config.source())
    };
    let source = Source {
        endpoint: Arc::clone(endpoint),
        server: config.server.clone(),
        hello,
        plan: plan.hash(),
        model: *model,
        cost,
        deadline,
        patience: patience(&recipe, deadline),
        recipe,
    };
    let longest = longest(&source.recipe, &cost, deadline);
    let waits = pool.as_ref().is_some_and(|pool| pool.count() > 0);
    let work = Work { plan: Arc::clone(plan), weights: Arc::clone(weights), pool, longest };
    if let Some(shop) = shop {
        match source.turn(shop) {
            Ok(shop) => return Ok((Making::start(source, work, Some(shop)), 0)),
            Err(e) => tracing::info!("a link for making is set up anew: {e}"),
        }
    }
    if waits {
        return Ok((Making::start(source, work, None), 0));
    }
    let shop = source.open(progress)?;
    Ok((Making::start(source, work, Some(shop)), cost.setup_bytes))
}

impl Connection {
    /// Connects over an endpoint, with what is at hand from before.
    pub(crate) fn connect(
        config: &Config,
        endpoint: Arc<Endpoint>,
        length: Option<Length>,
        Before { known, stale, shop, kept, shelf, uncounted }: Before,
    ) -> Result<Self, Error> {
        let start = Instant::now();
        let progress: &messages::Progress<'_> = &|got, all| {
            (config.progress)(got, all);
            Ok(())
        };
        let lexicon = config.lexicon.clone().filter(|_| length.is_some());
        let deadline = config.deadline;
        let (server, at) = (&config.server.name, config.server.address()?);
        let mut waiting = Some(Waiting::until(format!("{server} at {at} to answer")));
        let mut link = endpoint.connect(at, server, deadline)?;
        link.set_deadline(deadline);
        // A client's results are one model's.
        let [name, model] = match &known {
            Some(known) => [Some(known.name.clone()), Some(hex(&known.model))],
            None => asked(config.model.as_deref()),
        };
        let wanted = [name.clone(), model.clone()];
        // Read before the server is asked: what it names then is here.
        let stored = match (&known, &kept) {
            (None, Some(kept)) => kept.read(),
            _ => None,
        };
        let held = known.as_ref().map(|known| known.masks);
        let held = held.or(stored.as_ref().map(|(of, _)| of.masks));
        let waits = shelf.as_ref().map(|shelf| shelf.waits(server));
        let waits = waits.map(|waits| Waits { alone: config.only_folder, ..waits });
        let told = waits.clone().map_or_else(Vec::new, |waits| waits.tags);
        let hello = ClientHello::new(config.source());
        let hello = ClientHello { name, model, length, held, stale, waits, ..hello };
        messages::send(&mut link, step::HELLO, &hello)?;
        let peer = link.peer().to_owned();
        let welcome = messages::welcome(&mut link, |dealer| {
            drop(waiting.take());
            let dealer = printable(&dealer, LONGEST);
            tracing::warn!("waiting for {dealer}, which has not answered {peer} ...");
        })?;
        let (name, card, plan, model, [epoch, masks], [setup, keeps]) = match welcome {
            ServerWelcome::Card { name, card, plan, model, epoch, masks, setup, keeps, waits } => {
                if let Some(shelf) = &shelf {
                    // What the server has not is of no more use.
                    shelf
                        .retain(|Record { tag, .. }| !told.contains(tag) || waits.contains(tag))?;
                }
                (name, card, plan, model, [epoch, masks], [setup, u64::from(keeps)])
            }
            ServerWelcome::Making(_) | ServerWelcome::Waiting { .. } => {
                return Err(messages::unasked(&link, step::WELCOME));
            }
            ServerWelcome::Refused(why) => {
                return Err(Error::Refused { peer: link.peer().to_owned(), why });
            }
        };
        drop(waiting);
        // The server compares both, too, but it is the client who insists.
        for (asked, served) in wanted.into_iter().zip([name.clone(), hex(&model)]) {
            if let Some(asked) = asked.filter(|asked| *asked != served) {
                let why = Refusal::OtherModel { asked, served };
                return Err(Error::Refused { peer: link.peer().to_owned(), why });
            }
        }
        if known.as_ref().is_some_and(|known| known.card != card) {
            return Err(Error::Check(format!(
                "{} serves something else than before: begin again",
                link.peer()
            )));
        }
        if let Some(lexicon) = &lexicon {
            lexicon.check(card.lexicon.as_ref(), &card.arch, link.peer())?;
        }
        let dealer = config.dealer.as_ref();
        let before = known.as_ref().map(|known| known.lane.clone());
        let mut lane = match before.filter(|l| (l.length, l.epoch, l.plan) == (length, epoch, plan))
        {
            Some(lane) => lane,
            None => {
                let private = Arc::new(trace(&card, length, plan, link.peer())?);
                config.places(&private.plan)?;
                Lane { length, private, plan, epoch, making: None }
            }
        };
        let matrices = lane.private.plan.weights_hash();
        let same = |known: &Known| setup == 0 && (known.masks, known.matrices) == (masks, matrices);
        let (known, mut setup_bytes) = match known {
            Some(known) if same(&known) => (known, 0),
            _ => {
                let images = Calibration::from_toml(&card.calibration)?.images;
                let plan = &lane.private.plan;
                let (weights, bytes) = match dealer {
                    Some(_) => {
                        let of = Of { masks, model, matrices };
                        let kept = kept.as_deref();
                        let longest = longest::carried(plan.setup_bytes() as u64, deadline);
                        link.set_longest(Some(longest));
                        let taken =
                            masked(&mut link, plan, (&of, setup), (kept, stored), progress)?;
                        link.set_longest(None);
                        taken
                    }
                    None => (Weights::Encrypted, 0),
                };
                let weights = Arc::new(weights);
                let numbers = known.map(|known| known.numbers).unwrap_or_default();
                let lane = lane.clone();
                let known =
                    Known { card, weights, matrices, masks, name, model, images, numbers, lane };
                (known, bytes)
            }
        };
        let supply = match dealer {
            Some(dealer) => {
                let dealer = Dealer {
                    endpoint: Arc::clone(&endpoint),
                    peer: dealer.clone(),
                    plan,
                    // A dealer that fell silent is noticed while the evaluation that waits for it can still be saved.
                    deadline: deadline / 2,
                };
                let server = config.server.name.clone();
                let deal = Deal {
                    plan: Arc::clone(&lane.private.plan),
                    weights: Arc::clone(&known.weights),
                    server: server.clone(),
                    epoch,
                    numbers: Arc::clone(&known.numbers),
                };
                let connect = Box::new(move || dealer.batches(Some(&server), epoch));
                Supply::Dealer(Claims::start(deal, connect))
            }
            None => {
                let making = match lane.making.take().filter(|making| !making.failed()) {
                    Some(making) => making,
                    None => {
                        let ours = (&lane, &known.weights, &known.name[..], &known.model);
                        let peer = config.server.name.clone();
                        let described = described(&model, &known.card);
                        let of = Made { peer, plan, model: described };
                        let pool = shelf.map(|shelf| -> Result<Pool, Error> {
                            // Those of another model are of no more use; of this one each length of texts has its own.
                            shelf.retain(|waits| {
                                let texts = length.is_some() && waits.of.peer == of.peer;
                                waits.of == of || texts && waits.of.model == of.model
                            })?;
                            let most = config.pool.min(keeps as usize);
                            Ok(Pool { shelf, of, most })
                        });
                        let before = (shop, pool.transpose()?);
                        let (made, bytes) = making(config, &endpoint, ours, before, progress)?;
                        setup_bytes += bytes;
                        Arc::new(made)
                    }
                };
                lane.making = Some(Arc::clone(&making));
                Supply::Peer(making)
            }
        };
        // One of the places is for the batch in use.
        let pool = config.pool.min(config.places(&lane.private.plan)? - 1);
        Ok(Self {
            endpoint,
            link,
            known: Known { lane, ..known },
            lexicon,
            supply,
            prepared: None,
            deadline,
            pool,
            left: usize::MAX,
            setup_bytes,
            uncounted: uncounted + setup_bytes,
            setup_s: start.elapsed().as_secs_f64(),
        })
    }
}
