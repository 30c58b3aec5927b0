//! A plan with seconds and bytes on every step: what the simulation walks through.

use sotto_protocols::{Role, gate::Exchange, plan::Plan};

use crate::{
    Error,
    machine::{Machine, Phase},
};

/// The machines of the three parties.
#[derive(Clone, Debug)]
pub struct Machines {
    /// The server's.
    pub server: Machine,
    /// The client's.
    pub client: Machine,
    /// The dealer's.
    pub dealer: Machine,
    /// All three are one machine and share its cores.
    pub shared: bool,
}

impl Machines {
    /// Three machines of one kind.
    pub fn alike(machine: &Machine) -> Self {
        let [server, client, dealer] = [(); 3].map(|()| machine.clone());
        Self { server, client, dealer, shared: false }
    }

    /// One machine for all.
    pub fn one(machine: &Machine) -> Self {
        Self { shared: true, ..Self::alike(machine) }
    }

    /// A party's.
    pub fn of(&self, role: Role) -> &Machine {
        match role {
            Role::Server => &self.server,
            Role::Client => &self.client,
        }
    }
}

/// One call of a gate: seconds and bytes of server and client.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// The gate's name.
    pub gate: &'static str,
    /// Index of the layer's name in [`Priced::sections`].
    pub section: usize,
    /// Seconds of the call, unpacking of what the round before opened included.
    pub seconds: [f64; 2],
    /// Bytes that each sends at its end.
    pub bytes: [u64; 2],
}

/// The dealer's and the parties' preparation of one gate.
#[derive(Clone, Debug, PartialEq)]
pub struct Prepared {
    /// Index of the layer's name in [`Priced::sections`].
    pub section: usize,
    /// The dealer's seconds.
    pub deal: f64,
    /// Bytes of corrections.
    pub bytes: u64,
    /// Seconds of server and client.
    pub stage: [f64; 2],
}

/// A plan with its costs on given machines; what any network then adds follows from it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Priced {
    /// Names of the model's layers.
    pub sections: Vec<String>,
    /// Steps, level by level; each level ends with an exchange of all its bytes.
    pub levels: Vec<Vec<Step>>,
    /// The offline work in the dealer's order.
    pub offline: Vec<Prepared>,
    /// Bytes of masked weights.
    pub setup_bytes: u64,
}

impl Priced {
    /// Prices `plan`.
    ///
    /// # Errors
    /// [`Error::Input`] when a profile does not know one of the plan's gates.
    pub fn new(plan: &Plan, machines: &Machines) -> Result<Self, Error> {
        let roles = [Role::Server, Role::Client];
        let mut offline = Vec::with_capacity(plan.nodes.len());
        for (index, node) in plan.nodes.iter().enumerate() {
            let stage = |role: Role| machines.of(role).seconds(plan, node, Phase::Stage(role));
            offline.push(Prepared {
                section: node.section,
                deal: machines.dealer.seconds(plan, node, Phase::Deal)?,
                bytes: plan.node_correction_bytes(index) as u64,
                stage: [stage(roles[0])?, stage(roles[1])?],
            });
        }
        let mut levels = Vec::with_capacity(plan.levels.len());
        for steps in &plan.levels {
            let mut level = Vec::with_capacity(steps.len());
            for step in steps {
                let node = &plan.nodes[step.node];
                let rounds = node.gate.rounds();
                let before = step.round.checked_sub(1).and_then(|r| rounds.get(r));
                let seconds = |role: Role| -> Result<f64, Error> {
                    let machine = machines.of(role);
                    let run = machine.seconds(plan, node, Phase::Run(role, step.round))?;
                    Ok(run + machine.messages.element * opened(before, role))
                };
                let sent = rounds.get(step.round).map_or(&[][..], |r| &r[..]);
                level.push(Step {
                    gate: node.gate.name(),
                    section: node.section,
                    seconds: [seconds(roles[0])?, seconds(roles[1])?],
                    bytes: roles.map(|role| bytes(sent, role)),
                });
            }
            levels.push(level);
        }
        let setup_bytes = plan.setup_bytes() as u64;
        Ok(Self { sections: plan.sections.clone(), levels, offline, setup_bytes })
    }

    /// Bytes of corrections of one evaluation.
    pub fn correction_bytes(&self) -> u64 {
        self.offline.iter().map(|p| p.bytes).sum()
    }
}

/// Elements that `role` unpacks of a round.
fn opened(round: Option<&Vec<Exchange>>, role: Role) -> f64 {
    let learns = |e: &&Exchange| e.to.sends(role.peer());
    round.into_iter().flatten().filter(learns).map(|e| e.count as f64).sum()
}

fn bytes(sent: &[Exchange], from: Role) -> u64 {
    sent.iter().filter(|e| e.to.sends(from)).map(|e| e.bytes() as u64).sum()
}
