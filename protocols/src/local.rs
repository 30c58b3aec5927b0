//! One session inside one process: dealer, server and client, without a link, a clock or a thread.
//!
//! For tests, measurements and first steps. All secrets lie in one memory, so nothing is private here.

use std::convert::Infallible;

use sotto_crypto::Seed;

use crate::{
    batch::{Batch, Staged},
    deal::{Seeds, deal_observed},
    error::Error,
    matrices::{Matrix, SetupMasks, Weights},
    observer::Observer,
    party::{Evaluated, Evaluation, Party, lockstep},
    plan::Plan,
    spec::Role,
    weights::{read_setup, setup_message},
};

/// A plan with the server's matrices, set up at all three.
pub struct Local<'a> {
    plan: &'a Plan,
    masks: SetupMasks,
    /// The server's, the client's.
    weights: [Weights; 2],
    seed: Seed,
}

impl<'a> Local<'a> {
    /// Masks the server's `matrices`. All randomness follows from `seed`.
    ///
    /// # Errors
    /// [`Error::Desync`] when the matrices are not the plan's.
    pub fn new(plan: &'a Plan, matrices: Vec<Matrix>, seed: &Seed) -> Result<Self, Error> {
        let masks = SetupMasks::expand(plan, &seed.derive("setup", 0));
        let masked = read_setup(plan, setup_message(plan, &matrices, &masks), "server")?;
        let weights = [Weights::Plain(matrices), masked];
        Ok(Self { plan, masks, weights, seed: seed.clone() })
    }

    /// Without a dealer: the client has nothing of the server's `matrices` online. What is dealt here is what two parties make.
    ///
    /// # Errors
    /// As [`Local::new`].
    pub fn without_masks(
        plan: &'a Plan,
        matrices: Vec<Matrix>,
        seed: &Seed,
    ) -> Result<Self, Error> {
        let lens = matrices.iter().map(|matrix| matrix.entries().count());
        if !lens.eq(plan.weights.iter().map(|w| w.outputs * w.inputs)) {
            return Err(Error::Desync {
                peer: "server".into(),
                what: "its matrices are not of the plan's shapes".into(),
                remedy: "use the same model on both sides".into(),
            });
        }
        let masks = SetupMasks::themselves(&matrices);
        let weights = [Weights::Plain(matrices), Weights::Encrypted];
        Ok(Self { plan, masks, weights, seed: seed.clone() })
    }

    /// One of the parties.
    pub fn party(&self, role: Role) -> Party<'_> {
        Party { role, plan: self.plan, weights: &self.weights[role.index()] }
    }

    /// The masks of the matrices.
    pub fn masks(&self) -> &SetupMasks {
        &self.masks
    }

    /// The seeds of evaluation `number`, whose corrections go to `corrected`.
    pub fn seeds(&self, number: u64, corrected: Role) -> Seeds {
        let of = |role: Role| self.seed.derive(role.name(), number);
        Seeds { party: [Role::Server, Role::Client].map(of), corrected }
    }

    /// Deals the correlations of evaluation `number`: the server's, the client's. Each number is for one evaluation.
    pub fn deal(&self, number: u64) -> [Batch; 2] {
        self.deal_observed(number, &self.seeds(number, Role::Server), &mut ())
    }

    /// Like [`Local::deal`] from these seeds, before somebody who watches.
    pub fn deal_observed(
        &self,
        number: u64,
        seeds: &Seeds,
        observer: &mut dyn Observer,
    ) -> [Batch; 2] {
        let mut corrections = Vec::with_capacity(self.plan.correction_bytes());
        let mut emit = |bytes: Vec<u8>| {
            corrections.extend(bytes);
            Ok::<(), Infallible>(())
        };
        let Ok(()) = deal_observed(self.plan, seeds, &self.masks, &mut emit, observer);
        Batch::pair(number, seeds, corrections)
    }

    /// Stages one party's batch.
    ///
    /// # Errors
    /// [`Error::Correlation`] when it is not of this plan.
    pub fn stage(&self, role: Role, batch: Batch) -> Result<Staged, Error> {
        batch.stage(self.plan, role, &self.weights[role.index()])
    }

    /// Evaluates the plan on the server's and the client's shares of its inputs: none and the inputs themselves, where
    /// the client alone knows them.
    ///
    /// # Errors
    /// [`Error::Input`] and [`Error::Correlation`] when inputs or batches are not the plan's.
    pub fn evaluate(
        &self,
        batches: [Batch; 2],
        inputs: [&[Vec<i64>]; 2],
    ) -> Result<[Evaluated; 2], Error> {
        self.evaluate_observed(batches, inputs, [&mut (), &mut ()])
    }

    /// Like [`Local::evaluate`], each party before somebody who watches.
    ///
    /// # Errors
    /// As [`Local::evaluate`].
    pub fn evaluate_observed(
        &self,
        batches: [Batch; 2],
        inputs: [&[Vec<i64>]; 2],
        observers: [&mut dyn Observer; 2],
    ) -> Result<[Evaluated; 2], Error> {
        let begin = |role: Role, batch, inputs| {
            Evaluation::new(&self.party(role), self.stage(role, batch)?, inputs)
        };
        let [server, client] = batches;
        let [at_server, at_client] = observers;
        let server = begin(Role::Server, server, inputs[0])?.observed(at_server);
        let client = begin(Role::Client, client, inputs[1])?.observed(at_client);
        lockstep([server, client])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        party::Turn,
        plan::{Trace, WeightSpec},
    };

    fn plan() -> (Plan, Vec<Matrix>) {
        let mut t = Trace::new();
        let x = t.input(&[2, 3], 40, 4);
        let spec = WeightSpec { name: "w".into(), outputs: 2, inputs: 3, width: 40, scale: 2 };
        let weight = t.weight(spec);
        let y = t.linear(x, weight, 1);
        let y = t.reveal(y, 40);
        let matrix = Matrix::new([1, 2, 3, 4, 5, 6], vec![10, 20]);
        (t.finish(&[y]), vec![matrix])
    }

    #[test]
    fn a_session_is_right_and_costs_what_the_plan_says() {
        let (plan, matrices) = plan();
        let local = Local::new(&plan, matrices, &Seed::from_bytes([1; 32])).expect("they fit");
        let inputs = [vec![1, 0, -1, 0, 2, -2]];
        for number in 0..2 {
            let [server, client] =
                local.evaluate(local.deal(number), [&[], &inputs]).expect("one plan");
            assert_eq!(client.outputs, [[8, 18, 8, 18]]);
            assert!(server.outputs.is_empty());
            assert_eq!([server.traffic, client.traffic], [plan.online(); 2]);
        }
    }

    #[test]
    fn what_is_not_the_plan_s_is_refused() {
        let (plan, matrices) = plan();
        let seed = Seed::from_bytes([1; 32]);
        assert!(matches!(Local::new(&plan, Vec::new(), &seed), Err(Error::Desync { .. })));
        let local = Local::new(&plan, matrices, &seed).expect("they fit");
        for inputs in [&[][..], &[vec![1; 5]]] {
            let refused = local.evaluate(local.deal(0), [&[], inputs]);
            assert!(matches!(refused, Err(Error::Input(_))));
        }
        let mut batches = local.deal(0);
        batches[0].corrections = Some(vec![0]);
        let refused = local.evaluate(batches, [&[], &[vec![1; 6]]]);
        assert!(matches!(refused, Err(Error::Correlation { .. })));
    }

    #[test]
    fn a_party_takes_what_is_due_and_nothing_else() {
        let (plan, matrices) = plan();
        let local = Local::new(&plan, matrices, &Seed::from_bytes([1; 32])).expect("they fit");
        let [server, _] = local.deal(0);
        let staged = local.stage(Role::Server, server).expect("the plan's own");
        let mut party = Evaluation::new(&local.party(Role::Server), staged, &[]).expect("no input");
        assert!(matches!(party.receive(&[1]), Err(Error::Desync { .. })), "before its turn");
        let Turn::Exchange { level: 0, send, expect } = party.turn() else {
            panic!("the client opens to the server")
        };
        assert!(send.is_empty() && expect > 0);
        for len in [0, expect - 1, expect + 1] {
            assert!(matches!(party.receive(&vec![0; len]), Err(Error::Desync { .. })));
        }
        party.receive(&vec![0; expect]).expect("as many as are due");
        assert!(matches!(party.receive(&vec![0; expect]), Err(Error::Desync { .. })), "twice");
        let Turn::Exchange { send, expect: 0, .. } = party.turn() else {
            panic!("the server reveals to the client")
        };
        assert!(!send.is_empty());
        for _ in 0..2 {
            let Turn::Done(done) = party.turn() else { panic!("nothing is left") };
            assert_eq!(done.traffic, plan.online());
        }
    }

    #[test]
    #[should_panic(expected = "is due")]
    fn a_turn_before_the_peer_s_message_is_a_fault() {
        let (plan, matrices) = plan();
        let local = Local::new(&plan, matrices, &Seed::from_bytes([1; 32])).expect("they fit");
        let [server, _] = local.deal(0);
        let staged = local.stage(Role::Server, server).expect("the plan's own");
        let mut party = Evaluation::new(&local.party(Role::Server), staged, &[]).expect("no input");
        party.turn();
        party.turn();
    }
}
