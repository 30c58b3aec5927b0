//! What was answered, and whether it was right.

use std::{collections::HashSet, sync::Mutex};

use super::parties::{Finished, Log};

/// A private logit of the tiny model may differ from the plain one by so much.
const BOUND: f64 = 0.02;

/// Most complaints that are kept.
const MOST: usize = 20;

#[derive(Default)]
struct State {
    done: usize,
    largest_error: f64,
    wrong: Vec<String>,
}

/// Counts of all clients.
#[derive(Default)]
pub struct Tally(Mutex<State>);

impl Tally {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Notes something that is not as it must be.
    pub fn wrong(&self, why: String) {
        let mut state = self.lock();
        if state.wrong.len() < MOST {
            state.wrong.push(why);
        }
    }

    /// Pictures that were classified so far.
    pub fn done(&self) -> usize {
        self.lock().done
    }

    /// Holds a client's answers against the plain model's; gives how many there are.
    pub fn check(&self, pictures: &[usize], client: &Finished, plain: &[Vec<f64>]) -> usize {
        for (picture, logits) in pictures.iter().zip(&client.logits) {
            let plain = &plain[*picture];
            let errors = plain.iter().zip(logits).map(|(a, b)| (a - b).abs());
            let error = errors.fold(0.0, f64::max);
            if logits.len() != plain.len() || error > BOUND {
                self.wrong(format!("picture {picture} has {logits:?}, the plain model {plain:?}"));
            }
            let mut state = self.lock();
            state.done += 1;
            state.largest_error = state.largest_error.max(error);
        }
        let (code, answered) = (client.code, client.logits.len());
        let fair = match code {
            0 => answered == pictures.len(),
            // Network or peer, no correlations, killed: asked again.
            4 | 5 | -1 => true,
            _ => false,
        };
        if !fair || client.messages.contains("panicked") {
            self.wrong(format!("a client ended with {code} after {answered}: {}", client.messages));
        }
        answered
    }

    /// Holds the services' logs against each other: no number of an epoch is used twice by a server, none is dealt twice to
    /// anybody, none is taken off a disk twice in any life. Gives how many were used, and how many of them had waited on a disk.
    pub fn single_use(&self, logs: &[Log]) -> [usize; 2] {
        let (mut used, mut waited) = (HashSet::new(), HashSet::new());
        for log in logs {
            if log.text.contains("panicked") {
                self.wrong(format!("a service panicked: {}", log.text));
            }
            // A dealer's life is an epoch of its own; a server's log says in which it is.
            let (mut epoch, mut dealt) = (String::new(), HashSet::new());
            for line in log.text.lines() {
                if let Some((_, of)) = line.split_once("set up with the dealer, epoch ") {
                    epoch = of.trim().to_owned();
                }
                if let Some((_, tag)) = line.split_once(" waited on the disk, ")
                    && !waited.insert(tag.trim().to_owned())
                {
                    self.wrong(format!("batch {tag} was taken off a disk twice"));
                }
                let Some(number) = number(line) else { continue };
                if line.ends_with(" flights") && !used.insert((epoch.clone(), log.alone, number)) {
                    self.wrong(format!("batch {number} of epoch {epoch} was used twice"));
                }
                if let Some((_, to)) = line.split_once(" dealt to ")
                    && !dealt.insert((number, to.to_owned()))
                {
                    self.wrong(format!("batch {number} was dealt twice to {to}"));
                }
            }
            let clients = dealt.iter().filter(|(_, to)| to != "server");
            let numbers: Vec<u64> = clients.map(|(number, _)| *number).collect();
            if numbers.iter().collect::<HashSet<_>>().len() < numbers.len() {
                self.wrong("a batch was dealt to two clients".into());
            }
        }
        [used.len(), waited.len()]
    }

    /// Pictures that were classified, the largest error, and what is wrong.
    pub fn end(self) -> (usize, f64, Vec<String>) {
        let state = self.0.into_inner().unwrap_or_else(|e| e.into_inner());
        (state.done, state.largest_error, state.wrong)
    }
}

/// The number of the batch that a line is about.
fn number(line: &str) -> Option<u64> {
    let rest = line.split("batch ").nth(1)?;
    rest.split([',', ' ']).next()?.parse().ok()
}
