//! A dealer in the attacker's hands: it deals as an honest one does, but for what it is told, and remembers all seeds.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use sotto::{
    card::Card,
    messages::{
        self, Ask, DealerHello, DealerWelcome, Dealt, Epoch, Secret, Ticket, VERSION, step,
    },
};
use sotto_crypto::Seed;
use sotto_net::{Endpoint, Link, QuicLink};
use sotto_protocols::{
    Role,
    deal::{Seeds, deal},
    plan::Plan,
    seeds::deal_tag,
    weights::SetupMasks,
};

use crate::{error::Error, scene::Scene};

/// Longer than any attack takes.
const LIFE: Duration = Duration::from_secs(600);

/// What the dealer does from now on.
#[derive(Clone, Copy)]
pub struct Ways {
    /// The epoch that it gives to a server that announces itself.
    pub epoch: Epoch,
    /// The number of its next batch.
    pub next: u64,
    /// Who receives corrections.
    pub corrected: Role,
    /// A bit of each batch's corrections is false.
    pub lies: bool,
}

struct State {
    ways: Ways,
    plan: Option<Arc<Plan>>,
    seeds: HashMap<u64, [Seed; 2]>,
}

/// A running rogue.
pub struct Dealer {
    state: Arc<Mutex<State>>,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Dealer {
    /// Starts it with the dealer's key.
    ///
    /// # Errors
    /// Those of [`Scene::endpoint`].
    pub fn start(scene: &Scene, ways: Ways) -> Result<Self, Error> {
        let endpoint = scene.endpoint("dealer", &[], &["server", "client", "second"])?;
        let address = endpoint.local_addr();
        let state = Arc::new(Mutex::new(State { ways, plan: None, seeds: HashMap::new() }));
        let kept = Arc::clone(&state);
        thread::spawn(move || accept(&endpoint, &kept));
        Ok(Self { state, address })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Changes its ways.
    pub fn turn(&self, change: impl FnOnce(&mut Ways)) {
        change(&mut self.lock().ways);
    }

    /// Numbers of all batches so far.
    pub fn dealt(&self) -> std::ops::Range<u64> {
        1..self.lock().ways.next
    }

    /// Both seeds of these batches.
    pub fn seeds(&self, batches: &[u64]) -> Vec<[u8; 32]> {
        let state = self.lock();
        let both = batches.iter().filter_map(|id| state.seeds.get(id));
        both.flatten().map(|seed| *seed.expose()).collect()
    }
}

fn accept(endpoint: &Endpoint, state: &Arc<Mutex<State>>) {
    while let Ok(mut link) = endpoint.accept(LIFE) {
        let state = Arc::clone(state);
        thread::spawn(move || {
            link.set_deadline(LIFE);
            // Whoever has seen enough hangs up.
            drop(attend(&mut link, &state));
        });
    }
}

fn attend(link: &mut QuicLink, state: &Mutex<State>) -> Result<(), Error> {
    let lock = || state.lock().unwrap_or_else(|e| e.into_inner());
    let role = match messages::recv(link, step::HELLO)? {
        DealerHello::Server { card, .. } => {
            let epoch = {
                let mut state = lock();
                state.plan = Some(Card::trace(&card, None)?.plan);
                state.ways.epoch
            };
            let setup = DealerWelcome::Setup { epoch, masks: epoch, seed: Secret(setup()) };
            messages::send(link, step::WELCOME, &setup)?;
            return Ok(link.finish()?);
        }
        DealerHello::Batches { version: VERSION, server: None, .. } => Role::Server,
        DealerHello::Batches { .. } => Role::Client,
    };
    messages::send(link, step::WELCOME, &DealerWelcome::Ready)?;
    loop {
        let ask = messages::recv(link, step::REQUEST)?;
        let (ways, plan, id, seeds) = {
            let mut state = lock();
            let id = match &ask {
                Ask::New { .. } => {
                    let id = state.ways.next;
                    state.ways.next += 1;
                    let fresh = || Seed::random().map_err(sotto::error::Error::from);
                    state.seeds.insert(id, [fresh()?, fresh()?]);
                    id
                }
                Ask::Seed { id, .. } | Ask::Audit { id } | Ask::Claim { id, .. } => *id,
            };
            let seeds = state.seeds.get(&id).cloned();
            let known = || Error::scene("a batch that was not dealt");
            let plan = state.plan.clone().ok_or_else(known)?;
            (state.ways, plan, id, seeds.ok_or_else(known)?)
        };
        match ask {
            Ask::Seed { pad, .. } => {
                let seed = Secret(seeds[0].clone()).under(&pad);
                messages::send(link, step::REPLY, &Dealt::Seed(seed))?;
            }
            Ask::Audit { .. } => {
                messages::send(link, step::REPLY, &Dealt::Audit(seeds.map(Secret)))?;
            }
            Ask::New { pad } => give(link, role, &ways, (id, seeds, pad), &plan)?,
            Ask::Claim { pad, .. } => give(link, role, &ways, (id, seeds, Some(pad)), &plan)?,
        }
    }
}

fn setup() -> Seed {
    Seed::from_bytes([9; 32])
}

/// A party's part of a batch.
fn give(
    link: &mut QuicLink,
    role: Role,
    ways: &Ways,
    (id, party, pad): (u64, [Seed; 2], Option<Secret>),
    plan: &Plan,
) -> Result<(), Error> {
    let prints = party.each_ref().map(Seed::fingerprint);
    let mut all = Vec::new();
    let seed = pad.map(|pad| Secret(party[role.index()].clone()).under(&pad));
    if role == ways.corrected {
        let (seeds, masks) = (Seeds { party, corrected: role }, SetupMasks::expand(plan, &setup()));
        let dealt = deal(plan, &seeds, &masks, |bytes| {
            all.extend(bytes);
            Ok::<(), std::convert::Infallible>(())
        });
        dealt.unwrap_or_else(|never| match never {});
        let middle = all.len() / 2;
        all[middle] ^= u8::from(ways.lies);
    }
    let header = Dealt::Batch {
        id,
        ticket: Ticket::new([5; 16]),
        tag: deal_tag("server", &ways.epoch, id, prints.each_ref()),
        peer: prints[role.peer().index()],
        seed,
        corrections: all.len() as u64,
    };
    messages::send(link, step::REPLY, &header)?;
    Ok(messages::send_bytes(link, step::CORRECTIONS, &all)?)
}
